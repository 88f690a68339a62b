//! One connection to a relay, from dialling to its end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use tokio::time::{sleep, timeout};

use super::{Place, RelayError, trouble};
use crate::{
    RelayUrl, tls,
    wire::relay::{CloseReason, Frame, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION},
};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first packet to WELCOME.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// When to look for what is in the way: early enough to know it when the time is up.
const LOOK_AFTER: Duration = Duration::from_millis(1200);
/// A relay that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// The addresses of a relay, in the operating system's order of preference.
pub(super) async fn resolve(url: &RelayUrl) -> Result<Vec<SocketAddr>, RelayError> {
    let failed = |error| RelayError::Resolve {
        host: url.host().to_owned(),
        source: Arc::new(error),
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
    ) -> Result<(Session, Welcome), RelayError> {
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
                    (Err(RelayError::Timeout), Some(found)) => Err(RelayError::Trouble(found)),
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
    ) -> Result<(Session, Welcome), RelayError> {
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
            .unwrap_or(Err(RelayError::Timeout))
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
    async fn register(connection: Connection) -> Result<(Self, Welcome), RelayError> {
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
            return Err(RelayError::NoWelcome);
        };
        if version != VERSION {
            return Err(RelayError::Version(version));
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

    pub(super) async fn write(&mut self, frame: &ToRelay) -> Result<(), RelayError> {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        match timeout(WRITE_TIMEOUT, self.send.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => Err(RelayError::Timeout),
        }
    }

    /// The next frame; may be dropped and called again without losing any.
    pub(super) async fn read(&mut self) -> Result<ToClient, RelayError> {
        let mut buffer = [0; MAX_BODY];
        loop {
            if let Some(frame) = self.frames.poll()? {
                return Ok(frame);
            }
            match self.recv.read(&mut buffer).await {
                Ok(Some(len)) => self.frames.push(buffer.get(..len).unwrap_or_default()),
                Ok(None) => return Err(RelayError::Closed(CloseReason::Goodbye)),
                Err(_) => return Err(self.lost()),
            }
        }
    }

    /// Why a stream failed: with its connection, or else alone, which only a broken relay does.
    fn lost(&self) -> RelayError {
        match self.connection.close_reason() {
            Some(reason) => reason.into(),
            None => RelayError::Closed(CloseReason::Protocol),
        }
    }
}
