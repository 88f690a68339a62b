//! One connection to a relay, from dialling to its end.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportErrorCode,
};
use tokio::time::{sleep, timeout};

use super::{
    Place,
    trouble::{self, Trouble},
};
use crate::{
    RelayUrl, tls,
    wire::relay::{
        CloseReason, Frame, FrameError, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION,
    },
};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first packet to WELCOME.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// When to look for what is in the way: early enough to know it when the time is up.
const LOOK_AFTER: Duration = Duration::from_millis(1200);
/// A relay that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("its name {host} does not resolve: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("it does not answer")]
    Timeout,
    #[error(transparent)]
    Trouble(Trouble),
    #[error("whoever answers does not hold the key in its URL")]
    IdentityMismatch,
    #[error("it ended the connection: {}", .0.text())]
    Closed(CloseReason),
    #[error("it has no room: too many connections in all, or from this network")]
    Refused,
    #[error("the connection was lost: {0}")]
    Connection(#[source] ConnectionError),
    #[error("it cannot be dialled: {0}")]
    Dial(#[from] quinn::ConnectError),
    #[error("it broke the protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("it speaks version {0} of the protocol, we speak {VERSION}")]
    Version(u8),
    #[error("it broke the protocol: WELCOME was expected")]
    NoWelcome,
    #[error("it is restarting")]
    Draining { reconnect_in: Duration },
}

impl From<ConnectionError> for SessionError {
    fn from(error: ConnectionError) -> Self {
        /// TLS alert `bad_certificate`, which our verifier ends in when the key is not the dialled one.
        const BAD_CERTIFICATE: u64 = 0x12a;
        if let ConnectionError::TransportError(ours) = &error
            && u64::from(ours.code) == BAD_CERTIFICATE
        {
            return Self::IdentityMismatch;
        }
        if let ConnectionError::ApplicationClosed(close) = &error
            && let Some(reason) = CloseReason::from_code(close.error_code.into_inner())
        {
            return Self::Closed(reason);
        }
        if let ConnectionError::ConnectionClosed(close) = &error
            && close.error_code == TransportErrorCode::CONNECTION_REFUSED
        {
            return Self::Refused;
        }
        if error == ConnectionError::TimedOut {
            return Self::Timeout;
        }
        Self::Connection(error)
    }
}

/// The addresses of a relay, in the operating system's order of preference.
pub(super) async fn resolve(url: &RelayUrl) -> Result<Vec<SocketAddr>, SessionError> {
    let failed = |source| SessionError::Resolve {
        host: url.host().to_owned(),
        source,
    };
    let lookup = tokio::net::lookup_host((url.host(), url.port()));
    let addrs: Vec<_> = timeout(RESOLVE_TIMEOUT, lookup)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)?
        .collect();
    if addrs.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(addrs)
}

/// What all connections to the relay have in common.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) config: ClientConfig,
}

impl Dialer {
    /// Dials and registers. When that takes long, looks for what is in the way.
    pub(super) async fn connect(
        &self,
        place: Place,
        url: &RelayUrl,
    ) -> Result<(Session, Welcome), SessionError> {
        let mut registering = pin!(self.register(place.at, url));
        let own = self.endpoint.local_addr().ok().map(|addr| addr.ip());
        let from = own.filter(|ip| !ip.is_unspecified());
        let mut looking = pin!(async {
            sleep(LOOK_AFTER).await;
            trouble::look(place.real, from).await
        });
        let mut found = None;
        loop {
            tokio::select! {
                registered = &mut registering => return match (registered, found) {
                    (Err(SessionError::Timeout), Some(found)) => Err(SessionError::Trouble(found)),
                    (registered, _) => registered,
                },
                trouble = &mut looking, if found.is_none() => found = Some(trouble),
            }
        }
    }

    async fn register(
        &self,
        addr: SocketAddr,
        url: &RelayUrl,
    ) -> Result<(Session, Welcome), SessionError> {
        let connect = async {
            let name = tls::server_name(url.key());
            let connection = self
                .endpoint
                .connect_with(self.config.clone(), addr, &name)?
                .await?;
            Session::register(connection).await
        };
        timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or(Err(SessionError::Timeout))
    }
}

/// The relay's answer to HELLO.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) observed: SocketAddr,
    pub(super) time_ms: u64,
}

/// A registered connection; it closes when dropped.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    frames: FrameReader<ToClient>,
}

impl Session {
    async fn register(connection: Connection) -> Result<(Self, Welcome), SessionError> {
        let (send, recv) = connection.open_bi().await?;
        let mut session = Self {
            connection,
            send,
            recv,
            frames: FrameReader::default(),
        };
        session.write(&ToRelay::Hello { version: VERSION }).await?;
        let ToClient::Welcome {
            version,
            time_ms,
            observed,
        } = session.read().await?
        else {
            return Err(SessionError::NoWelcome);
        };
        if version != VERSION {
            return Err(SessionError::Version(version));
        }
        Ok((session, Welcome { observed, time_ms }))
    }

    pub(super) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    pub(super) fn goodbye(&self) {
        let reason = CloseReason::Goodbye;
        self.connection
            .close(reason.code().into(), reason.text().as_bytes());
    }

    pub(super) async fn write(&mut self, frame: &ToRelay) -> Result<(), SessionError> {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        match timeout(WRITE_TIMEOUT, self.send.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => Err(SessionError::Timeout),
        }
    }

    /// The next frame; may be dropped and called again without losing any.
    pub(super) async fn read(&mut self) -> Result<ToClient, SessionError> {
        let mut buffer = [0; MAX_BODY];
        loop {
            if let Some(frame) = self.frames.poll()? {
                return Ok(frame);
            }
            match self.recv.read(&mut buffer).await {
                Ok(Some(len)) => self.frames.push(buffer.get(..len).unwrap_or_default()),
                Ok(None) => return Err(SessionError::Closed(CloseReason::Goodbye)),
                Err(_) => return Err(self.lost()),
            }
        }
    }

    /// Why a stream failed: with its connection, or else alone, which only a broken relay does.
    fn lost(&self) -> SessionError {
        match self.connection.close_reason() {
            Some(reason) => reason.into(),
            None => SessionError::Closed(CloseReason::Protocol),
        }
    }
}
