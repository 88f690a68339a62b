//! One connection over which statuses go.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{Connection, PeerId, RecvStream, SendStream, wire::status::MAX_LEN};

use super::{Swarm, machine::Next, refuse};

/// How long a caller may take to say something, and who is left to hear it.
const PATIENCE: Duration = Duration::from_secs(15);
/// The program's own code: what came is no status, or a forged one.
const NO_STATUS: u32 = 1;

/// Until the connection ends.
pub(super) async fn run(swarm: &Swarm, connection: Connection, is_ours: bool) {
    let Some(session) = Session::join(swarm, &connection, is_ours) else {
        return refuse(&connection);
    };
    let Some((send, recv)) = stream(&connection, is_ours).await else {
        return;
    };
    tokio::select! {
        () = session.write(send) => connection.close(0, b"nothing more to share"),
        () = session.read(recv) => connection.close(NO_STATUS, b"what came is no status of its author"),
        _ = connection.closed() => {}
    }
}

async fn stream(connection: &Connection, is_ours: bool) -> Option<(SendStream, RecvStream)> {
    let opened = if is_ours {
        timeout(PATIENCE, connection.open_bi()).await
    } else {
        timeout(PATIENCE, connection.accept_bi()).await
    };
    opened.ok()?.ok()
}

/// The machine knows of it for as long as it lives.
struct Session<'a> {
    swarm: &'a Swarm,
    peer: PeerId,
    serial: u64,
}

impl<'a> Session<'a> {
    fn join(swarm: &'a Swarm, connection: &Connection, is_ours: bool) -> Option<Self> {
        let peer = connection.peer();
        let serial = swarm
            .machine()
            .join(peer, is_ours, Instant::now().into_std())?;
        // What served both before ends.
        swarm.wake();
        Some(Self {
            swarm,
            peer,
            serial,
        })
    }

    /// Ends when there is nothing more to say, now or ever.
    async fn write(&self, mut send: SendStream) {
        let mut changed = self.swarm.changes();
        loop {
            changed.borrow_and_update();
            let next = self
                .swarm
                .machine()
                .next(self.peer, self.serial, Instant::now().into_std());
            match next {
                Next::Send(status) => {
                    if write(&mut send, &status).await.is_none() {
                        return;
                    }
                }
                Next::Wait(until) => {
                    let due = async {
                        match until {
                            Some(until) => sleep_until(until.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        _ = changed.changed() => {}
                        () = due => {}
                    }
                }
                Next::Close => {
                    // The last to be said has to arrive before the connection ends.
                    let _ = send.finish();
                    let _ = timeout(PATIENCE, send.stopped()).await;
                    return;
                }
            }
        }
    }

    /// Ends when what comes is no status.
    async fn read(&self, mut recv: RecvStream) {
        while let Some(status) = read(&mut recv).await {
            let now = self.swarm.now();
            let heard = match status {
                Ok(status) => {
                    let mut machine = self.swarm.machine();
                    machine.heard(self.peer, &status, now)
                }
                Err(TooLong) => Err(self.swarm.machine().malformed(self.peer, now.at)),
            };
            self.swarm.wake();
            let Ok(pause) = heard else { return };
            // It waits, and so does whoever sends too much.
            sleep(pause).await;
        }
        // The other side has said all; it closes.
        std::future::pending().await
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let now = Instant::now().into_std();
        self.swarm.machine().leave(self.peer, self.serial, now);
    }
}

async fn write(send: &mut SendStream, status: &[u8]) -> Option<()> {
    let length = u16::try_from(status.len()).ok()?;
    let frame = [&length.to_be_bytes(), status].concat();
    // Who takes nothing for so long ends it.
    timeout(PATIENCE, send.write_all(&frame)).await.ok()?.ok()
}

struct TooLong;

/// The next status; none at the end of the stream.
async fn read(recv: &mut RecvStream) -> Option<Result<Vec<u8>, TooLong>> {
    let mut length = [0; 2];
    recv.read_exact(&mut length).await.ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_LEN {
        return Some(Err(TooLong));
    }
    let mut status = vec![0; length];
    recv.read_exact(&mut status).await.ok()?;
    Some(Ok(status))
}
