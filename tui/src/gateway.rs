//! Content over HTTP, for browsers, players and other programs of this computer: what is here, and what is fetched as it is read.

mod index;
pub(crate) mod origin;
mod passing;
mod reading;
mod reply;
pub(crate) mod site;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use peerway_swarm::{
    share::{GetError, Hash, KeepError, Kind, Link, Sharing},
    store::StoreError,
};
use tokio::{sync::Semaphore, time::timeout};

use origin::{OriginError, OriginUrl, Origins, Want};
use reading::{PEERS_FIRST, Reading, is_lacking};
use reply::Reply;

/// Readers at a time.
const READERS: usize = 64;

/// What answers; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    sharing: Sharing,
    room: Arc<Semaphore>,
    origins: Arc<Origins>,
}

/// Why something is not answered.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(
        "{0} is neither a link, as `peerway share` prints it, nor a hash of 64 hexadecimal digits"
    )]
    Neither(String),
    #[error("a gateway reads: GET and HEAD alone")]
    Method,
    #[error("{0} is no path of a site")]
    Path(String),
    #[error(
        "no site was posted in the feed {0} yet, or it has not come yet: `peerway feed post --site DIR` of its writer posts one"
    )]
    NoSite(String),
    #[error("{0}, and no origin is asked for the rest (--origin)")]
    Unnamed(KeepError),
    #[error("the origin {0}")]
    Passing(OriginError),
    #[error("{READERS} read already: try again when one of them is done")]
    Full,
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error("{peers}; the origin {origin}")]
    Origin {
        peers: KeepError,
        origin: Arc<OriginError>,
    },
}

impl Gateway {
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            room: Arc::new(Semaphore::new(READERS)),
            origins: Arc::default(),
        }
    }

    /// Answers a request for a path behind `/blob/`: a link or a hash, and in a folder a path. What no peer gives is asked of the origin.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        origin: Option<Arc<OriginUrl>>,
    ) -> Response {
        let answer = self.find(method, path, headers, origin).await;
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    async fn find(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        origin: Option<Arc<OriginUrl>>,
    ) -> Result<Response, NoAnswer> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(NoAnswer::Method);
        }
        let (which, below) = match path.split_once('/') {
            Some((which, below)) => (which, Some(below)),
            None => (path, None),
        };
        let link = self.link(which, origin.as_ref()).await?;
        let ask = Ask {
            is_head: *method == Method::HEAD,
            headers,
            root: &link,
            origin,
            is_site: false,
        };
        match (link.kind, below) {
            (Kind::Folder, None) => Ok(moved(&format!("{which}/"))),
            (Kind::Folder, Some(below)) => self.folder(&ask, below).await,
            // The name is for people, and for the type.
            (_, below) => {
                let named = below.filter(|name| !name.is_empty()).unwrap_or(&link.name);
                self.file(&ask, &link, named).await
            }
        }
    }

    async fn link(&self, which: &str, origin: Option<&Arc<OriginUrl>>) -> Result<Link, NoAnswer> {
        if let Ok(hash) = which.parse::<Hash>() {
            let known = self.sharing.known(hash).await;
            let (Err(KeepError::Unknown), Some(origin)) = (&known, origin) else {
                return Ok(known?);
            };
            let want = Want {
                hash,
                at: None,
                size: None,
                public: false,
            };
            self.ask_origin(origin, want, KeepError::Unknown).await?;
            return Ok(self.sharing.known(hash).await?);
        }
        let neither = |_| NoAnswer::Neither(which.chars().take(80).collect());
        which.parse::<Link>().map_err(neither)
    }

    async fn folder(&self, ask: &Ask<'_>, below: &str) -> Result<Response, NoAnswer> {
        let files = self.files(ask).await?;
        let is = |wanted: &str| files.iter().find(|(path, _)| path == wanted);
        if let Some((path, file)) = is(below) {
            return self.file(ask, file, path).await;
        }
        let folder = below.strip_suffix('/').unwrap_or(below);
        let start = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        if !files.iter().any(|(path, _)| path.starts_with(&start)) && !start.is_empty() {
            return Err(KeepError::NoFile.into());
        }
        if folder == below && !below.is_empty() {
            let last = below.rsplit('/').next().unwrap_or(below);
            return Ok(moved(&format!("{}/", index::escaped(last))));
        }
        if let Some((path, file)) = is(&format!("{start}index.html")) {
            return self.file(ask, file, path).await;
        }
        let page = index::page(&ask.root.name, &start, &files);
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        Ok((html, page).into_response())
    }

    /// Has the store have something, of which peers gave nothing.
    async fn ask_origin(
        &self,
        origin: &OriginUrl,
        want: Want,
        peers: KeepError,
    ) -> Result<(), NoAnswer> {
        let fetched = self.origins.fetch(origin, &self.sharing, want).await;
        fetched.map_err(|origin| NoAnswer::Origin { peers, origin })
    }

    /// What is in a folder. Its lists are content, too.
    async fn files(&self, ask: &Ask<'_>) -> Result<Vec<(String, Link)>, NoAnswer> {
        // A site's origin has files, and no lists.
        let Some(origin) = ask.origin.as_ref().filter(|_| !ask.is_site) else {
            return Ok(self.sharing.files(ask.root).await?);
        };
        let files = timeout(PEERS_FIRST, self.sharing.files(ask.root)).await;
        let why = match files.unwrap_or(Err(KeepError::Slow)) {
            Ok(files) => return Ok(files),
            Err(error) if is_lacking(&error) => error,
            Err(error) => return Err(error.into()),
        };
        // The root names the others.
        while let Some((hash, size)) = self.sharing.missing_list(ask.root).await {
            let want = Want {
                hash,
                at: None,
                size: Some(size),
                public: ask.root.public,
            };
            self.ask_origin(origin, want, why.clone()).await?;
        }
        Ok(self.sharing.files(ask.root).await?)
    }

    async fn file(&self, ask: &Ask<'_>, file: &Link, name: &str) -> Result<Response, NoAnswer> {
        let size = self.sharing.size(file).await;
        let reply = Reply::to(ask.headers, file.hash, size);
        let mut response = Response::new(Body::empty());
        let keep = match ask.is_site {
            true => reply::FOR_NOW,
            false => reply::FOR_EVER,
        };
        reply.head((file.hash, size), name, keep, &mut response);
        let (Some(bytes), false) = (reply.bytes(size), ask.is_head) else {
            return Ok(response);
        };
        if bytes.is_empty() {
            return Ok(response);
        }
        let seat = self.room.clone().try_acquire_owned();
        let seat = seat.map_err(|_| NoAnswer::Full)?;
        let mut reading = Reading {
            gateway: self.clone(),
            root: ask.root.clone(),
            file: file.clone(),
            at: ask.is_site.then(|| name.to_owned()),
            left: bytes,
            origin: ask.origin.clone(),
            reader: None,
            _seat: seat,
        };
        // Why nothing comes is said as long as nothing was.
        let first = reading.next().await?;
        *response.body_mut() = reading.body(first);
        Ok(response)
    }
}

struct Ask<'a> {
    is_head: bool,
    headers: &'a HeaderMap,
    root: &'a Link,
    origin: Option<Arc<OriginUrl>>,
    /// Whether the origin has files under their paths.
    is_site: bool,
}

fn moved(to: &str) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Neither(_) | Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::NoSite(_) | Self::Unnamed(_) => StatusCode::NOT_FOUND,
            Self::Passing(error) => status_of_origin(error),
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Keep(error) => status(error),
            Self::Origin { origin, .. } => status_of_origin(origin),
        };
        let allow = [(header::ALLOW, "GET, HEAD"), (header::RETRY_AFTER, "5")];
        let used = match status {
            StatusCode::METHOD_NOT_ALLOWED => &allow[..1],
            StatusCode::SERVICE_UNAVAILABLE => &allow[1..],
            _ => &[],
        };
        let mut response = (status, format!("{self}\n")).into_response();
        for (name, value) in used {
            let value = header::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn status_of_origin(error: &OriginError) -> StatusCode {
    match error {
        OriginError::NotThere(_) => StatusCode::NOT_FOUND,
        OriginError::Slow => StatusCode::GATEWAY_TIMEOUT,
        OriginError::Keep(error) => status(error),
        OriginError::Unreached(_)
        | OriginError::Refused(_)
        | OriginError::NoLength
        | OriginError::Wrong
        | OriginError::Cut(_)
        | OriginError::Ended => StatusCode::BAD_GATEWAY,
    }
}

fn status(error: &KeepError) -> StatusCode {
    match error {
        KeepError::Unknown | KeepError::NoFile | KeepError::Gone => StatusCode::NOT_FOUND,
        KeepError::Slow => StatusCode::GATEWAY_TIMEOUT,
        KeepError::Get(error) => match **error {
            GetError::NotThere(_)
            | GetError::Nowhere { .. }
            | GetError::NobodyToAsk
            | GetError::NoProvider => StatusCode::NOT_FOUND,
            GetError::Unreached(_) | GetError::NoList(_) => StatusCode::BAD_GATEWAY,
            GetError::Write { .. } | GetError::InTheWay(_) | GetError::Ended | _ => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        },
        KeepError::Store(error) => match **error {
            StoreError::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::Catalog(_)
            | StoreError::Taken(_)
            | StoreError::BadName
            | StoreError::Folder { .. }
            | _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        KeepError::NoStore | _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
