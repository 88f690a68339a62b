//! One client's control connection: reads its frames, writes those for it.

use std::{pin::pin, sync::Arc, time::Duration};

use peerway_keys::tls;
use peerway_proto::wire::relay::{
    CloseReason, Frame, FrameReader, MAX_BODY, ToClient, ToRelay, VERSION,
};
use quinn::{Connection, RecvStream, SendStream};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    faults,
    hub::{Hub, close},
    server::{ClientId, Route},
};

/// Within this time a connection must say HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Within this time a client must take what is written to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// A client must be heard within this time after something was written to it, or within three round trips if that is longer.
const HEARD_WITHIN: Duration = Duration::from_millis(1500);
/// How often is looked whether a silent client is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bytes from which on no further frame joins a write.
const WRITE_BATCH: usize = 16 << 10;
/// Upper bound of the random time after which a client of a stopping relay is to come back.
const DRAIN_JITTER_MS: u32 = 1000;

/// Serves a client until its connection ends.
///
/// Nearly all clients wait nearly all the time, so only what that takes is part of the future; the rest is boxed.
pub(crate) async fn serve(
    hub: &Hub,
    connection: &Connection,
    route: Route,
    draining: &mut watch::Receiver<bool>,
) {
    let end = match Box::pin(Session::open(hub, connection, route)).await {
        Ok(mut session) => session.run(draining).await,
        Err(end) => end,
    };
    match end {
        End::Ours(reason) => close(connection, reason),
        End::Theirs => {}
    }
}

/// Who ended the connection.
enum End {
    Ours(CloseReason),
    Theirs,
}

/// A registered client.
struct Session<'a> {
    hub: &'a Hub,
    connection: &'a Connection,
    registration: Registration<'a>,
    wake: Arc<Notify>,
    frames: FrameReader<ToRelay>,
    send: SendStream,
    recv: RecvStream,
    hearing: Hearing,
}

/// Whether a client acknowledges what is written to it.
#[derive(Default)]
struct Hearing {
    /// Datagrams that had come from it when that was last looked at.
    datagrams: u64,
    /// When to look again.
    look: Option<Instant>,
}

impl<'a> Session<'a> {
    async fn open(hub: &'a Hub, connection: &'a Connection, route: Route) -> Result<Self, End> {
        let Some(key) = tls::peer_id(connection) else {
            return Err(End::Ours(CloseReason::Protocol));
        };
        let mut frames = FrameReader::default();
        let hello = async {
            let (send, mut recv) = connection.accept_bi().await.map_err(|_| End::Theirs)?;
            let first = next_frame(&mut recv, &mut frames).await?;
            Ok((send, recv, first))
        };
        let (send, recv, first) = timeout(HELLO_TIMEOUT, hello)
            .await
            .unwrap_or(Err(End::Ours(CloseReason::Protocol)))?;
        if first != (ToRelay::Hello { version: VERSION }) {
            return Err(End::Ours(CloseReason::Protocol));
        }
        let (id, wake) = hub.register(key, route, connection.clone());
        info!(client = %key.short(), "registered");
        Ok(Self {
            hub,
            connection,
            registration: Registration { hub, id },
            wake,
            frames,
            send,
            recv,
            hearing: Hearing::default(),
        })
    }

    async fn run(&mut self, draining: &mut watch::Receiver<bool>) -> End {
        loop {
            let mut bytes = Vec::new();
            let due = (self.hub).take_frames(self.registration.id, WRITE_BATCH, &mut bytes);
            if !bytes.is_empty() {
                if let Err(end) = Box::pin(self.write(&bytes)).await {
                    return end;
                }
                continue;
            }
            // One clock for both: a client keeps no more than it must.
            let look = self.hearing.look.map(Instant::into_std);
            let next = due.into_iter().chain(look).min();
            tokio::select! {
                () = self.wake.notified() => {}
                () = at(next) => self.look_if_due(),
                frame = next_frame(&mut self.recv, &mut self.frames) => match frame {
                    Ok(frame) => {
                        if let ToRelay::Signal { payload, .. } = &frame {
                            faults::trip(payload.as_bytes());
                        }
                        let from = self.connection.remote_address();
                        self.hub.handle_frame(self.registration.id, from, frame);
                    }
                    Err(end) => return end,
                },
                () = requested(draining) => {
                    return Box::pin(self.drain()).await;
                }
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.hearing.look.is_none() {
            let within = HEARD_WITHIN.max(self.connection.rtt() * 3);
            self.hearing = Hearing {
                datagrams: datagrams(self.connection),
                look: Some(Instant::now() + within),
            };
        }
        let (connection, id) = (self.connection, self.registration.id);
        let so_far = datagrams(connection);
        let mut writing = pin!(self.send.write_all(bytes));
        loop {
            match timeout(WRITE_TIMEOUT, &mut writing).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => return Err(End::Theirs),
                // It is not slow, but away: QUIC ends the connection if that lasts.
                Err(_) if datagrams(connection) == so_far => self.hub.note_hearing(id, false),
                Err(_) => return Err(End::Ours(CloseReason::TooSlow)),
            }
        }
    }

    /// Looks from time to time whether anything came from the client since something was written to it.
    fn look_if_due(&mut self) {
        if self.hearing.look.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let datagrams = datagrams(self.connection);
        let heard = datagrams != self.hearing.datagrams;
        let look = (!heard).then(|| Instant::now() + LOOK_EVERY);
        self.hearing = Hearing { datagrams, look };
        self.hub.note_hearing(self.registration.id, heard);
    }

    /// Asks the client to come back later, and waits for it to leave.
    async fn drain(&mut self) -> End {
        let jitter = getrandom::u32().unwrap_or_default() % (DRAIN_JITTER_MS + 1);
        let mut bytes = Vec::new();
        let frame = ToClient::Drain {
            reconnect_in_ms: jitter,
        };
        frame.emit(&mut bytes);
        if let Err(end) = self.write(&bytes).await {
            return end;
        }
        self.connection.closed().await;
        End::Theirs
    }
}

/// Datagrams that came from a client so far.
fn datagrams(connection: &Connection) -> u64 {
    connection.stats().udp_rx.datagrams
}

/// Waits until the relay is to drain, or is gone.
pub(crate) async fn requested(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

async fn at(time: Option<std::time::Instant>) {
    match time {
        Some(time) => Box::pin(sleep_until(Instant::from_std(time))).await,
        None => std::future::pending().await,
    }
}

/// Ends with the client's task, however that ends.
struct Registration<'a> {
    hub: &'a Hub,
    id: ClientId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        debug!(client = ?self.id, "gone");
        self.hub.unregister(self.id);
    }
}

/// The next frame; may be dropped and called again without losing any.
async fn next_frame(
    recv: &mut RecvStream,
    frames: &mut FrameReader<ToRelay>,
) -> Result<ToRelay, End> {
    loop {
        match frames.poll() {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(error) => {
                debug!(%error, "a client broke the protocol");
                return Err(End::Ours(CloseReason::Protocol));
            }
        }
        // A buffer would be part of every client's task.
        match recv.read_chunk(MAX_BODY, true).await {
            Ok(Some(chunk)) => frames.push(&chunk.bytes),
            Ok(None) => return Err(End::Ours(CloseReason::Goodbye)),
            Err(_) => return Err(End::Theirs),
        }
    }
}
