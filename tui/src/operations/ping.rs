//! Round trips to a peer, and how the path to it changes.

use std::{
    future::Future,
    num::NonZeroU32,
    pin::{Pin, pin},
    time::Duration,
};

use peerway::{
    Cause, Connection, Endpoint, PathInfo, PathPolicy,
    services::ping::{self, Reply},
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Dialling, OperationError, Ping, Step, Teller, ms, patience};

/// Pings where neither their number nor a direct path is asked for.
const DEFAULT_COUNT: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);
/// While waiting for a direct path, and for so many pings: what takes longer needs no such hurry.
const QUICK_INTERVAL: Duration = Duration::from_millis(200);
const QUICK_PINGS: u32 = 50;
/// What the first reply, or a direct path, may take unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// A ping without an answer for so long is lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(
    endpoint: &Endpoint,
    ask: &Ping,
    started_at: Instant,
    teller: &Teller,
) -> Result<(), OperationError> {
    let hint = |text: &str| teller.hint(text);
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    dialling.settled().await;
    teller.tell(Step::Online {
        online_ms: ms(started_at.elapsed()),
    });
    let dialled_at = Instant::now();
    let given = patience(ask.timeout_ms);
    let waits = given.unwrap_or(PATIENCE);
    let connection = dialling
        .dial_until(&ask.ticket, ping::ALPN, given, started_at + waits)
        .await?;
    let counts_from = match given {
        Some(_) => dialled_at,
        None => Instant::now(),
    };
    teller.tell(Step::Connected {
        connected_ms: ms(dialled_at.elapsed()),
    });
    let mut session = Pinging {
        ask,
        teller,
        dialled_at,
        deadline: counts_from + waits,
        sent: 0,
        received: 0,
        is_direct: false,
    };
    let result = session.ping_until_done(&connection).await;
    session.note_path(connection.path().as_ref());
    teller.tell(Step::Path {
        path: connection.path(),
    });
    connection.close(0, b"done");
    result
}

struct Pinging<'a> {
    ask: &'a Ping,
    teller: &'a Teller,
    dialled_at: Instant,
    /// For the first reply, or for a direct path.
    deadline: Instant,
    sent: u32,
    received: u32,
    /// Whether it was told that the path has turned direct.
    is_direct: bool,
}

impl Pinging<'_> {
    async fn ping_until_done(&mut self, connection: &Connection) -> Result<(), OperationError> {
        if self.ask.until_direct {
            let done = timeout_at(self.deadline, self.pings(connection)).await;
            return match done {
                Ok(Err(failure)) => Err(failure),
                _ if self.received == 0 => Err(no_reply(connection)),
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) | Err(_) => Err(relayed_only(connection)),
            };
        }
        self.pings(connection).await?;
        match self.received {
            0 => Err(no_reply(connection)),
            _ => Ok(()),
        }
    }

    /// Whether the last reply came over a direct path.
    async fn pings(&mut self, connection: &Connection) -> Result<bool, OperationError> {
        let mut direct = pin!(direct(connection));
        for seq in 1..=self.count() {
            let sent_at = Instant::now();
            self.sent = seq;
            let reply = ping::ping(connection, seq, REPLY_TIMEOUT);
            let reply = self.note_direct(reply, direct.as_mut()).await?;
            let is_direct = self.note_reply(seq, reply.as_ref());
            if self.ask.until_direct && is_direct {
                return Ok(true);
            }
            if self.ask.until_direct && reply.is_some() && is_forbidden(connection) {
                return Ok(false);
            }
            let nobody = self.received == 0 && Instant::now() >= self.deadline;
            if nobody || seq == self.count() {
                return Ok(is_direct);
            }
            self.pause(sent_at, direct.as_mut()).await;
        }
        Ok(false)
    }

    fn count(&self) -> u32 {
        let default = if self.ask.until_direct {
            u32::MAX
        } else {
            DEFAULT_COUNT
        };
        self.ask.count.map_or(default, NonZeroU32::get)
    }

    /// Waits for `work`, noting when the path turns direct meanwhile.
    async fn note_direct<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut direct: Pin<&mut impl Future<Output = ()>>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = &mut direct, if !self.is_direct => self.turned_direct(),
            }
        }
    }

    fn turned_direct(&mut self) {
        if !std::mem::replace(&mut self.is_direct, true) {
            let after_ms = ms(self.dialled_at.elapsed());
            self.teller.tell(Step::Direct { after_ms });
        }
    }

    /// The path as it is seen now. It may have turned within the same moment in which a reply came.
    fn note_path(&mut self, path: Option<&PathInfo>) -> bool {
        let is_direct = matches!(path, Some(PathInfo::Direct { .. }));
        if is_direct {
            self.turned_direct();
        }
        is_direct
    }

    /// Waits for the next ping's time or, if a direct path is waited for, until there is one.
    async fn pause(&mut self, sent_at: Instant, direct: Pin<&mut impl Future<Output = ()>>) {
        if self.ask.until_direct && !self.is_direct {
            let is_quick = self.sent < QUICK_PINGS;
            let interval = if is_quick { QUICK_INTERVAL } else { INTERVAL };
            tokio::select! {
                () = sleep_until(sent_at + interval) => {}
                () = direct => self.turned_direct(),
            }
        } else {
            self.note_direct(sleep_until(sent_at + INTERVAL), direct)
                .await;
        }
    }

    fn note_reply(&mut self, seq: u32, reply: Option<&Reply>) -> bool {
        let Some(Reply { rtt, path, .. }) = reply else {
            self.teller.tell(Step::Lost { seq });
            return false;
        };
        self.received += 1;
        let is_direct = self.note_path(path.as_ref());
        self.teller.tell(Step::Reply {
            seq,
            rtt_ms: ms(*rtt),
            path: path.clone(),
            after_ms: ms(self.dialled_at.elapsed()),
        });
        is_direct
    }
}

/// Ends when the path is direct.
async fn direct(connection: &Connection) {
    let mut status = connection.watch_status();
    let is_direct = status
        .wait_for(|status| matches!(status.path, Some(PathInfo::Direct { .. })))
        .await
        .is_ok();
    if !is_direct {
        // The link has ended, and with it every hope.
        std::future::pending().await
    }
}

fn no_reply(connection: &Connection) -> OperationError {
    let why = why(connection).unwrap_or_else(|| "the link ended".to_owned());
    OperationError::NoReply { why }
}

fn relayed_only(connection: &Connection) -> OperationError {
    let why = why(connection).unwrap_or_else(|| "it takes longer than --timeout".to_owned());
    OperationError::RelayedOnly { why }
}

/// Whether a side keeps the link to relays, so that no direct path comes about however long one waits.
fn is_forbidden(connection: &Connection) -> bool {
    let cause = connection.status().why.map(|why| why.cause);
    matches!(
        cause,
        Some(
            Cause::RelayOnly { .. }
                | Cause::Policy {
                    policy: PathPolicy::RelayOnly
                }
        )
    )
}

/// Why the link is as it is, as `peerway why` begins, and what would help.
fn why(connection: &Connection) -> Option<String> {
    let why = connection.status().why?;
    let action = why.action.map(|action| format!(". {action}"));
    Some(why.line() + &action.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_path_that_is_direct_has_a_time_at_which_it_turned() {
        let ask = Ping {
            ticket: SecretKey::from_seed(&[1; 32]).id().into(),
            count: None,
            until_direct: false,
            timeout_ms: None,
        };
        let (sender, mut told) = mpsc::unbounded_channel();
        let mut session = Pinging {
            ask: &ask,
            teller: &Teller(sender),
            dialled_at: Instant::now(),
            deadline: Instant::now(),
            sent: 0,
            received: 0,
            is_direct: false,
        };
        assert!(!session.note_path(None));
        assert!(told.try_recv().is_err());
        let direct = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        };
        assert!(session.note_path(Some(&direct)));
        assert!(matches!(told.try_recv(), Ok(Step::Direct { .. })));
        session.note_path(None);
        session.note_path(Some(&direct));
        assert!(told.try_recv().is_err(), "the first time counts");
    }
}
