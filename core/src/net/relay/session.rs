//! One connection to a relay, from dialling to its end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use tokio::time::{sleep, timeout};

use super::{
    Place, RelayError,
    stream::{Stream, StreamError, Streams},
    trouble,
};
use crate::{
    RelayUrl,
    proto::relays::Over,
    tls,
    wire::relay::{CloseReason, Frame, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION},
};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first packet to the end of QUIC's handshake, and from there to WELCOME.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(3);
/// A relay that stopped for a moment is dialled so often, after so long each: QUIC's own repeats become rare too soon.
const REDIALS: usize = 3;
const REDIAL_AFTER: Duration = Duration::from_millis(500);
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

/// What all connections to the relay have in common. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) config: ClientConfig,
    /// None if TCP is not wanted.
    pub(super) streams: Option<Arc<Streams>>,
    /// The first frames, up to HELLO.
    pub(super) greeting: Vec<ToRelay>,
    /// See [`Standing`](super::Standing).
    pub(super) is_stranger: bool,
}

/// A QUIC connection with the relay, and the stream that carries it unless UDP does.
#[derive(Debug)]
pub(super) struct Connected {
    connection: Connection,
    stream: Option<Stream>,
}

impl Connected {
    /// By what the relay is reached.
    pub(super) fn over(&self) -> Over {
        self.stream
            .as_ref()
            .map_or(Over::Udp, |stream| stream.over.clone())
    }
}

impl Dialer {
    /// Dials by UDP, and by TCP after a head start; the first that the relay answers is taken. One that `returns` may be there at
    /// any moment.
    pub(super) async fn connect(
        &self,
        place: Place,
        url: &RelayUrl,
        head_start: Duration,
        returns: bool,
    ) -> Result<Connected, RelayError> {
        let dials = if returns { REDIALS } else { 1 };
        if self.streams.is_none() {
            return self.dial_udp(place, url, dials).await;
        }
        let mut udp = pin!(self.dial_udp(place, url, dials));
        let mut tcp = pin!(async {
            sleep(head_start).await;
            self.by_tcp(place, url).await
        });
        let (mut no_udp, mut no_tcp) = (None, None);
        loop {
            tokio::select! {
                done = &mut udp, if no_udp.is_none() => match done {
                    Err(error) if !error.is_busy() => no_udp = Some(error),
                    done => return done,
                },
                done = &mut tcp, if no_tcp.is_none() => match done {
                    Err(error) if !error.is_busy() => no_tcp = Some(error),
                    done => return done,
                },
            }
            if let (Some(udp), Some(tcp)) = (&no_udp, &no_tcp) {
                return Err(RelayError::neither(udp, tcp));
            }
        }
    }

    /// Dials by TCP alone.
    pub(super) async fn by_tcp(
        &self,
        place: Place,
        url: &RelayUrl,
    ) -> Result<Connected, RelayError> {
        let Some(streams) = &self.streams else {
            return Err(RelayError::Timeout);
        };
        let stream = streams.dial(url, place.real, self.is_stranger).await?;
        let connection = self.quic(stream.dialled_at, url).await?;
        Ok(Connected {
            connection,
            stream: Some(stream),
        })
    }

    /// Dials by TCP where only a proxy knows the relay's name; none if there is no proxy, or it may not be asked.
    pub(super) async fn by_proxy(&self, url: &RelayUrl) -> Option<Result<Connected, RelayError>> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], url.port()));
        let streams = self.streams.as_ref()?;
        if self.is_stranger || !streams.has_proxy(url, nowhere) {
            return None;
        }
        let place = Place {
            at: nowhere,
            real: nowhere,
        };
        Some(self.by_tcp(place, url).await)
    }

    /// Dials by UDP alone.
    pub(super) async fn by_udp(
        &self,
        place: Place,
        url: &RelayUrl,
    ) -> Result<Connected, RelayError> {
        self.dial_udp(place, url, 1).await
    }

    /// Dials by UDP alone, up to so often. When that takes long, looks for what is in the way.
    async fn dial_udp(
        &self,
        place: Place,
        url: &RelayUrl,
        dials: usize,
    ) -> Result<Connected, RelayError> {
        let mut connecting = pin!(self.quic_again(place.at, url, dials));
        let own = self.endpoint.local_addr().ok().map(|addr| addr.ip());
        let from = own.filter(|ip| !ip.is_unspecified());
        let mut looking = pin!(async {
            sleep(LOOK_AFTER).await;
            trouble::look(place.real, from).await
        });
        let mut found = None;
        loop {
            tokio::select! {
                connected = &mut connecting => return match (connected, found) {
                    (Err(RelayError::Timeout), Some(found)) => Err(RelayError::Trouble(found)),
                    (connected, _) => connected.map(|connection| Connected {
                        connection,
                        stream: None,
                    }),
                },
                trouble = &mut looking, if found.is_none() => found = Some(trouble),
            }
        }
    }

    /// Dials up to so often; the first connection is taken.
    async fn quic_again(
        &self,
        addr: SocketAddr,
        url: &RelayUrl,
        dials: usize,
    ) -> Result<Connection, RelayError> {
        let mut dialling = FuturesUnordered::from_iter([self.quic(addr, url)]);
        let mut left = dials.saturating_sub(1);
        let mut next = pin!(sleep(REDIAL_AFTER));
        loop {
            tokio::select! {
                Some(done) = dialling.next() => match done {
                    Err(error) if !dialling.is_empty() && !error.is_busy() => {}
                    done => return done,
                },
                () = &mut next, if left > 0 => {
                    dialling.push(self.quic(addr, url));
                    left -= 1;
                    next.set(sleep(REDIAL_AFTER));
                }
            }
        }
    }

    async fn quic(&self, addr: SocketAddr, url: &RelayUrl) -> Result<Connection, RelayError> {
        let connect = async {
            let name = tls::server_name(url.key());
            let connecting = (self.endpoint).connect_with(self.config.clone(), addr, &name)?;
            Ok(connecting.await?)
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
pub(super) struct ControlConnection {
    connection: Connection,
    stream: Option<Stream>,
    send: SendStream,
    recv: RecvStream,
    frames: FrameReader<ToClient>,
}

impl ControlConnection {
    /// Says who we are, as far as HELLO, and takes the answer.
    pub(super) async fn register(
        connected: Connected,
        greeting: &[ToRelay],
    ) -> Result<(Self, Welcome), RelayError> {
        timeout(WELCOME_TIMEOUT, Self::greet(connected, greeting))
            .await
            .unwrap_or(Err(RelayError::Timeout))
    }

    async fn greet(
        connected: Connected,
        greeting: &[ToRelay],
    ) -> Result<(Self, Welcome), RelayError> {
        let Connected { connection, stream } = connected;
        let (send, recv) = connection.open_bi().await?;
        let mut session = Self {
            connection,
            stream,
            send,
            recv,
            frames: FrameReader::default(),
        };
        session.write(greeting).await?;
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

    /// By what the relay is reached.
    pub(super) fn over(&self) -> Over {
        self.stream
            .as_ref()
            .map_or(Over::Udp, |stream| stream.over.clone())
    }

    pub(super) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    pub(super) fn goodbye(&self) {
        let reason = CloseReason::Goodbye;
        self.connection
            .close(reason.code().into(), reason.text().as_bytes());
    }

    pub(super) async fn write(&mut self, frames: &[ToRelay]) -> Result<(), RelayError> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.emit(&mut bytes));
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
            let read = tokio::select! {
                read = self.recv.read(&mut buffer) => read,
                error = broken(self.stream.as_ref()) => return Err(error.into()),
            };
            match read {
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

/// Waits for the end of the stream that the connection runs over, if it runs over one.
async fn broken(stream: Option<&Stream>) -> StreamError {
    match stream {
        Some(stream) => stream.ended().await,
        None => std::future::pending().await,
    }
}
