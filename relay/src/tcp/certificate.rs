//! TLS on the TCP port: the relay's key for whoever asks for one, an operator's certificate for everybody else.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use peerway_keys::tls::web;
use peerway_proto::SecretKey;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tracing::{info, warn};

use super::Certificate;

/// The first byte of a TLS connection (RFC 8446 section 5.1).
pub(super) const HANDSHAKE_RECORD: u8 = 22;
/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Correct the path, or the permissions.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Give a file in PEM.
    #[error("{} holds no {what} in PEM: {why}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it is to hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Give the key that belongs to the certificate.
    #[error("the certificate in {} cannot be used with the key in {}: {source}", chain.display(), key.display())]
    Tls {
        /// The file with the certificate.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// rustls refuses the relay's own key.
    #[error("cannot set up TLS: {0}")]
    Pinned(#[source] rustls::Error),
}

#[derive(Debug)]
pub(super) struct Tls {
    pinned: Arc<ServerConfig>,
    certified: Option<Certified>,
}

impl Tls {
    pub(super) fn new(
        key: &SecretKey,
        host: &str,
        certificate: Option<Certificate>,
    ) -> Result<Self, CertificateError> {
        let pinned = web::pinned_server(key).map_err(CertificateError::Pinned)?;
        Ok(Self {
            pinned: Arc::new(pinned),
            certified: certificate
                .map(|files| Certified::load(files, host))
                .transpose()?,
        })
    }

    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tcp: S,
    ) -> io::Result<TlsStream<S>> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
        let asks_for_key = start.client_hello().server_cert_types().is_some();
        let config = match &self.certified {
            Some(certified) if !asks_for_key => certified.config(),
            _ => self.pinned.clone(),
        };
        start.into_stream(config).await
    }
}

/// An operator's certificate, as it was when it could be read last.
#[derive(Debug)]
struct Certified {
    files: Certificate,
    /// Under which clients reach the relay.
    host: String,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Certified {
    fn load(files: Certificate, host: &str) -> Result<Self, CertificateError> {
        let loaded = Loaded {
            changed: changed(&files),
            config: Arc::new(read(&files, host)?),
            looked: Instant::now(),
        };
        Ok(Self {
            files,
            host: host.to_owned(),
            loaded: Mutex::new(loaded),
        })
    }

    /// The newest that could be read.
    fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.elapsed() >= LOOK {
            loaded.looked = Instant::now();
            let changed = changed(&self.files);
            if changed != loaded.changed {
                loaded.changed = changed;
                match read(&self.files, &self.host) {
                    Ok(config) => {
                        info!("the certificate was read again");
                        loaded.config = Arc::new(config);
                    }
                    Err(error) => warn!(%error, "the certificate stays as it was"),
                }
            }
        }
        loaded.config.clone()
    }
}

fn changed(files: &Certificate) -> [Option<SystemTime>; 2] {
    [&files.chain, &files.key].map(|path| path.metadata().and_then(|it| it.modified()).ok())
}

fn read(files: &Certificate, host: &str) -> Result<ServerConfig, CertificateError> {
    let content = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| CertificateError::Read {
            path: path.clone(),
            source,
        })
    };
    let wrong = |path: &PathBuf, what: &'static str, why: String| CertificateError::Content {
        path: path.clone(),
        what,
        why,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&content(&files.chain)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&files.chain, "certificate", error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(&files.chain, "certificate", "it has none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&content(&files.key)?)
        .map_err(|error| wrong(&files.key, "private key", error.to_string()))?;
    if let Some(error) = web::objection(&chain, host, UnixTime::now()) {
        let chain = files.chain.display();
        warn!(%error, "{chain} is served, but no browser will take it for {host}; Peerway's nodes do not mind");
    }
    web::certified_server(chain, key).map_err(|source| CertificateError::Tls {
        chain: files.chain.clone(),
        key: files.key.clone(),
        source,
    })
}
