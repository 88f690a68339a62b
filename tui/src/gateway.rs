//! Content over HTTP, for browsers, players and other programs of this computer: what is here, and what is fetched as it is read.

mod index;
mod reply;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use peerway_swarm::{
    share::{GetError, Hash, KeepError, Kind, Link, Reader, Sharing},
    store::StoreError,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use reply::Reply;

/// Readers at a time.
const READERS: usize = 64;

/// What answers; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    sharing: Sharing,
    room: Arc<Semaphore>,
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
    #[error("{READERS} read already: try again when one of them is done")]
    Full,
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl Gateway {
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            room: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Answers a request for a path behind `/blob/`: a link or a hash, and in a folder a path.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response {
        let answer = self.find(method, path, headers).await;
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    async fn find(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response, NoAnswer> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(NoAnswer::Method);
        }
        let (which, below) = match path.split_once('/') {
            Some((which, below)) => (which, Some(below)),
            None => (path, None),
        };
        let link = self.link(which).await?;
        let ask = Ask {
            is_head: *method == Method::HEAD,
            headers,
            root: &link,
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

    async fn link(&self, which: &str) -> Result<Link, NoAnswer> {
        if let Ok(hash) = which.parse::<Hash>() {
            return Ok(self.sharing.known(hash).await?);
        }
        let neither = |_| NoAnswer::Neither(which.chars().take(80).collect());
        which.parse::<Link>().map_err(neither)
    }

    async fn folder(&self, ask: &Ask<'_>, below: &str) -> Result<Response, NoAnswer> {
        let files = self.sharing.files(ask.root).await?;
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

    async fn file(&self, ask: &Ask<'_>, file: &Link, name: &str) -> Result<Response, NoAnswer> {
        let size = self.sharing.size(file).await;
        let reply = Reply::to(ask.headers, file.hash, size);
        let mut response = Response::new(Body::empty());
        reply.head(file.hash, size, name, &mut response);
        let (Some(bytes), false) = (reply.bytes(size), ask.is_head) else {
            return Ok(response);
        };
        if bytes.is_empty() {
            return Ok(response);
        }
        let seat = self.room.clone().try_acquire_owned();
        let seat = seat.map_err(|_| NoAnswer::Full)?;
        let mut reader = self.sharing.read(ask.root, file, bytes).await?;
        // Why nothing comes is said as long as nothing was.
        let first = reader.next().await?;
        *response.body_mut() = body(first, reader, seat);
        Ok(response)
    }
}

struct Ask<'a> {
    is_head: bool,
    headers: &'a HeaderMap,
    root: &'a Link,
}

/// The bytes as they come; whoever stops reading ends the fetching.
fn body(first: Option<axum::body::Bytes>, reader: Reader, seat: OwnedSemaphorePermit) -> Body {
    let state = (first, reader, seat);
    Body::from_stream(stream::try_unfold(
        state,
        |(first, mut reader, seat)| async {
            let next = match first {
                Some(first) => Some(first),
                None => reader.next().await?,
            };
            Ok::<_, KeepError>(next.map(|bytes| (bytes, (None, reader, seat))))
        },
    ))
}

fn moved(to: &str) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Neither(_) => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Keep(error) => status(error),
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
            GetError::Write { .. } | GetError::Ended | _ => StatusCode::INTERNAL_SERVER_ERROR,
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
