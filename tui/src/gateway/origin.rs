//! The source of last resort: an HTTP server that has content under its hash, or a site under its paths.

use std::{
    collections::BTreeMap,
    fmt,
    future::pending,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Body, Bytes},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use peerway_swarm::share::{AdoptError, Hash, KeepError, Sharing};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::index::escaped;

/// How long it may take to connect, and how long nothing may come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is not asked again for what it has not, or has wrong.
const FORGET: Duration = Duration::from_secs(60);
/// Things that are fetched at once; others wait.
const AT_ONCE: usize = 8;
/// Things of which the outcome is remembered.
const MAX_REMEMBERED: usize = 1024;
/// By what the command has the node that runs ask there.
pub(crate) const ASK: &str = "peerway-origin";

/// Where an origin is: what is behind this address is called by its hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OriginUrl {
    is_secure: bool,
    host: String,
    port: u16,
    pub(super) path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is http://HOST[:PORT][/PATH] or https://…, without a name, a password or a question"
)]
pub(crate) struct ParseOriginError;

impl FromStr for OriginUrl {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let uri = text.parse::<Uri>().map_err(|_| ParseOriginError)?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(ParseOriginError),
        };
        let authority = uri.authority().ok_or(ParseOriginError)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(ParseOriginError);
        }
        Ok(Self {
            is_secure,
            host: authority.host().to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_secure { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl OriginUrl {
    /// As servers expect it: without the port that goes without saying.
    pub(super) fn authority(&self) -> String {
        match (self.is_secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The one that a command names to the node that it asks.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(ASK)?.to_str().ok()?.parse().ok()
    }
}

/// Why an origin does not give something.
#[derive(Debug, thiserror::Error)]
pub(super) enum OriginError {
    #[error("cannot be reached: {0}")]
    Unreached(String),
    #[error("has it not either ({0})")]
    NotThere(StatusCode),
    #[error("answers {0}")]
    Refused(StatusCode),
    #[error("does not say how long it is: name a link, which does")]
    NoLength,
    #[error("has something else under this name, of which nothing was passed on")]
    Wrong,
    #[error("broke off: {0}")]
    Cut(String),
    #[error("is silent")]
    Slow,
    #[error("would give it: {0}")]
    Keep(#[from] KeepError),
    #[error("was asked by a node that has ended")]
    Ended,
}

/// What is to be had of it.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) hash: Hash,
    /// Under which path, if not under its hash.
    pub(super) at: Option<String>,
    /// If that is known.
    pub(super) size: Option<u64>,
    pub(super) public: bool,
}

type Outcome = Option<Result<(), Arc<OriginError>>>;

#[derive(Clone, Debug)]
struct Fetch {
    begun: Instant,
    /// None as long as it is not over.
    outcome: watch::Receiver<Outcome>,
}

/// What is fetched from origins, all of it whoever stops reading, and what came of it.
#[derive(Debug)]
pub(super) struct Origins {
    fetches: Mutex<BTreeMap<(OriginUrl, Hash), Fetch>>,
    turn: Semaphore,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            fetches: Mutex::default(),
            turn: Semaphore::new(AT_ONCE),
        }
    }
}

impl Origins {
    /// Ready when it is in the store, and right.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        url: &OriginUrl,
        sharing: &Sharing,
        want: Want,
    ) -> Result<(), Arc<OriginError>> {
        let mut outcome = self.begin(url, sharing, want);
        let done = outcome.wait_for(Option::is_some).await;
        let ended = || Err(Arc::new(OriginError::Ended));
        done.ok().and_then(|it| it.clone()).unwrap_or_else(ended)
    }

    fn begin(
        self: &Arc<Self>,
        url: &OriginUrl,
        sharing: &Sharing,
        want: Want,
    ) -> watch::Receiver<Outcome> {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        fetches.retain(|_, it| match &*it.outcome.borrow() {
            None => it.outcome.has_changed().is_ok(),
            Some(Ok(())) => false,
            Some(Err(_)) => now < it.begun + FORGET,
        });
        let key = (url.clone(), want.hash);
        if let Some(there) = fetches.get(&key) {
            return there.outcome.clone();
        }
        let (tell, told) = watch::channel(None);
        if fetches.len() < MAX_REMEMBERED {
            let outcome = told.clone();
            fetches.insert(
                key,
                Fetch {
                    begun: now,
                    outcome,
                },
            );
        }
        let (origins, url, sharing) = (self.clone(), url.clone(), sharing.clone());
        #[expect(clippy::disallowed_methods, reason = "the shell")]
        tokio::spawn(async move {
            let hash = want.hash;
            let fetched = match origins.turn.acquire().await {
                Ok(_turn) => fetched(&url, &sharing, want).await,
                Err(_) => Err(OriginError::Ended),
            };
            if let Err(error) = &fetched {
                tracing::info!(%hash, "the origin {error}");
            }
            tell.send_replace(Some(fetched.map_err(Arc::new)));
        });
        told
    }
}

pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

pub(super) async fn dial(url: &OriginUrl) -> Result<Stream, OriginError> {
    let unreached = |error: std::io::Error| OriginError::Unreached(error.to_string());
    let bare = url.host.trim_matches(['[', ']']);
    let dialled = timeout(PATIENCE, TcpStream::connect((bare, url.port))).await;
    let stream = dialled.map_err(|_| OriginError::Slow)?.map_err(unreached)?;
    if !url.is_secure {
        return Ok(Either::Left(stream));
    }
    let name = ServerName::try_from(bare.to_owned());
    let name = name.map_err(|error| OriginError::Unreached(error.to_string()))?;
    let secured = timeout(PATIENCE, connector()?.connect(name, stream)).await;
    let stream = secured.map_err(|_| OriginError::Slow)?.map_err(unreached)?;
    Ok(Either::Right(stream))
}

/// Trusts whom the system trusts.
fn connector() -> Result<TlsConnector, OriginError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let reason = "this computer has no list of authorities (ca-certificates)";
        return Err(OriginError::Unreached(reason.to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| OriginError::Unreached(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn fetched(url: &OriginUrl, sharing: &Sharing, want: Want) -> Result<(), OriginError> {
    let cut = |error: hyper::Error| OriginError::Cut(error.to_string());
    let stream = TokioIo::new(dial(url).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(cut)?;
    let at = match &want.at {
        Some(path) => escaped(path),
        None => want.hash.to_string(),
    };
    let request = Request::get(format!("{}/{at}", url.path))
        .header(header::HOST, url.authority())
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| OriginError::Unreached(error.to_string()))?;
    let taking = async {
        let response = timeout(PATIENCE, sender.send_request(request)).await;
        let response = response.map_err(|_| OriginError::Slow)?.map_err(cut)?;
        take(response, sharing, want).await
    };
    let ended = async {
        // Whoever reads the answer is told the same.
        let _ = connection.await;
        pending().await
    };
    tokio::select! {
        taken = taking => taken,
        never = ended => never,
    }
}

async fn take(
    mut response: hyper::Response<hyper::body::Incoming>,
    sharing: &Sharing,
    want: Want,
) -> Result<(), OriginError> {
    match response.status() {
        StatusCode::OK => {}
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => {
            return Err(OriginError::NotThere(status));
        }
        status => return Err(OriginError::Refused(status)),
    }
    let told = response.body().size_hint().exact();
    let size = want.size.or(told).ok_or(OriginError::NoLength)?;
    if told.is_some_and(|told| told != size) {
        return Err(OriginError::Wrong);
    }
    let mut adoption = sharing.adopt(want.hash, size, want.public).await?;
    let taking = async {
        loop {
            let frame = timeout(PATIENCE, response.frame()).await;
            let Some(frame) = frame.map_err(|_| OriginError::Slow)? else {
                return Ok(());
            };
            let frame = frame.map_err(|error| OriginError::Cut(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                adoption.take(&data).await.map_err(not_taken)?;
            }
        }
    };
    match taking.await {
        Ok(()) => adoption.finish().await.map_err(not_taken),
        Err(error) => {
            adoption.give_up().await;
            Err(error)
        }
    }
}

fn not_taken(error: AdoptError) -> OriginError {
    match error {
        AdoptError::Keep(error) => OriginError::Keep(error),
        AdoptError::Wrong | _ => OriginError::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_an_address_alone_and_its_port_goes_without_saying() {
        let said = |text: &str| text.parse::<OriginUrl>().map(|url| url.to_string());
        for (text, url) in [
            ("http://cdn.example:80", "http://cdn.example"),
            ("https://cdn.example/blobs/", "https://cdn.example/blobs"),
            ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b"),
        ] {
            assert_eq!(said(text).as_deref(), Ok(url));
        }
        for text in [
            "",
            "cdn.example",
            "ftp://cdn.example",
            "http://",
            "http://me:secret@cdn.example",
            "http://cdn.example/?q=1",
        ] {
            assert_eq!(said(text), Err(ParseOriginError), "{text}");
        }
    }
}
