//! `peerway ping`: round trips to a peer, and how the path to it changes.

use std::{future::Future, pin::pin, time::Duration};

use peerway::{
    Connection, PathInfo,
    services::ping::{self, Reply},
};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    args::{Globals, Ping},
    failure::Failure,
    node::{self, Node, relays_for},
    out, words,
};

/// Pings without `-c` and `--until-direct`.
const DEFAULT_COUNT: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);
/// While waiting for a direct path, and for so many pings: what takes longer needs no such hurry.
const QUICK_INTERVAL: Duration = Duration::from_millis(200);
const QUICK_PINGS: u32 = 50;
/// What the first reply, or a direct path, may take unless the user says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// A ping without an answer for so long is lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(
    globals: &Globals,
    args: &Ping,
    started_at: Instant,
) -> Result<(), Failure> {
    let peer = node::meet(globals, &args.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let mut session = Pinging {
        json: globals.json,
        args,
        dialled_at: started_at,
        deadline: started_at,
        summary: Summary::default(),
    };
    let body = async {
        node.settled().await;
        session.summary.online_ms = words::ms(started_at.elapsed());
        session.dialled_at = Instant::now();
        let patience = args.timeout.unwrap_or(PATIENCE);
        let connection = node
            .dial_until(&peer, ping::ALPN, args.timeout, started_at + patience)
            .await?;
        let counts_from = match args.timeout {
            Some(_) => session.dialled_at,
            None => Instant::now(),
        };
        session.deadline = counts_from + patience;
        session.summary.connected_ms = Some(words::ms(session.dialled_at.elapsed()));
        let result = session.ping_until_done(&connection).await;
        session.note_path(connection.path().as_ref());
        connection.close(0, b"done");
        result
    };
    let ended = node.run(body).await;
    session.print_summary(&ended)?;
    match ended? {
        None if session.summary.received == 0 => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

struct Pinging<'a> {
    json: bool,
    args: &'a Ping,
    dialled_at: Instant,
    /// For the first reply, or for a direct path.
    deadline: Instant,
    summary: Summary,
}

impl Pinging<'_> {
    async fn ping_until_done(&mut self, connection: &Connection) -> Result<(), Failure> {
        if self.args.until_direct {
            let done = timeout_at(self.deadline, self.pings(connection)).await;
            return match done {
                Ok(Err(failure)) => Err(failure),
                _ if self.summary.received == 0 => Err(no_reply(connection)),
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) | Err(_) => Err(relayed_only(connection)),
            };
        }
        self.pings(connection).await?;
        match self.summary.received {
            0 => Err(no_reply(connection)),
            _ => Ok(()),
        }
    }

    /// Whether the last reply came over a direct path.
    async fn pings(&mut self, connection: &Connection) -> Result<bool, Failure> {
        let mut direct = pin!(direct(connection));
        for seq in 1..=self.count() {
            let sent_at = Instant::now();
            self.summary.sent = seq;
            let reply = ping::ping(connection, seq, REPLY_TIMEOUT);
            let reply = self.note_direct(reply, direct.as_mut()).await?;
            let is_direct = self.note_reply(seq, reply)?;
            if self.args.until_direct && is_direct {
                return Ok(true);
            }
            let nobody = self.summary.received == 0 && Instant::now() >= self.deadline;
            if nobody || seq == self.count() {
                return Ok(is_direct);
            }
            self.pause(sent_at, direct.as_mut()).await;
        }
        Ok(false)
    }

    fn count(&self) -> u32 {
        let default = if self.args.until_direct {
            u32::MAX
        } else {
            DEFAULT_COUNT
        };
        self.args.count.unwrap_or(default)
    }

    /// Waits for `work`, noting when the path turns direct meanwhile.
    async fn note_direct<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut direct: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = &mut direct, if self.summary.direct_ms.is_none() => self.turned_direct(),
            }
        }
    }

    fn turned_direct(&mut self) {
        let elapsed = || words::ms(self.dialled_at.elapsed());
        self.summary.direct_ms.get_or_insert_with(elapsed);
    }

    /// The path as it is seen now. It may have turned within the same moment in which a reply came.
    fn note_path(&mut self, path: Option<&PathInfo>) -> bool {
        self.summary.path_kind = words::kind(path);
        let is_direct = matches!(path, Some(PathInfo::Direct { .. }));
        if is_direct {
            self.turned_direct();
        }
        is_direct
    }

    /// Waits for the next ping's time, or, with `--until-direct`, for the path to turn direct.
    async fn pause(
        &mut self,
        sent_at: Instant,
        direct: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) {
        if self.args.until_direct && self.summary.direct_ms.is_none() {
            let is_quick = self.summary.sent < QUICK_PINGS;
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

    fn note_reply(&mut self, seq: u32, reply: Option<Reply>) -> Result<bool, Failure> {
        let Some(Reply { rtt, path, .. }) = reply else {
            if !self.json {
                out::text(format!("{seq}: no reply"))?;
            }
            return Ok(false);
        };
        self.summary.received += 1;
        if self.summary.first_reply_ms.is_none() {
            self.summary.first_reply_ms = Some(words::ms(self.dialled_at.elapsed()));
        }
        let rtt_ms = words::ms(rtt);
        let is_direct = self.note_path(path.as_ref());
        if self.json {
            out::json(&Record::Reply { seq, rtt_ms, path })?;
        } else {
            let path = words::path(path.as_ref());
            out::text(format!("{seq}: {rtt_ms:.1} ms, {path}"))?;
        }
        Ok(is_direct)
    }

    fn print_summary<T>(&self, ended: &Result<T, Failure>) -> Result<(), Failure> {
        let summary = &self.summary;
        if self.json {
            out::json(&Record::Summary(summary))?;
        } else if ended.is_ok() {
            let direct = summary
                .direct_ms
                .map_or_else(String::new, |ms| format!(", direct after {ms:.0} ms"));
            out::text(format!(
                "{} of {} answered{direct}",
                summary.received, summary.sent
            ))?;
        }
        Ok(())
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

fn no_reply(connection: &Connection) -> Failure {
    let why = why(connection).unwrap_or_else(|| "the link ended".to_owned());
    Failure::NoReply { why }
}

fn relayed_only(connection: &Connection) -> Failure {
    let why = why(connection).unwrap_or_else(|| "it takes longer than --timeout".to_owned());
    Failure::RelayedOnly { why }
}

/// Why the link is as it is, as `peerway why` begins, and what would help.
fn why(connection: &Connection) -> Option<String> {
    let why = connection.status().why?;
    let action = why.action.map(|action| format!(". {action}"));
    Some(why.line() + &action.unwrap_or_default())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Reply {
        seq: u32,
        rtt_ms: f64,
        path: Option<PathInfo>,
    },
    Summary(&'a Summary),
}

/// `online_ms` counts from the start of the process, the other clocks from the dial.
#[derive(Debug, Serialize)]
struct Summary {
    online_ms: f64,
    connected_ms: Option<f64>,
    first_reply_ms: Option<f64>,
    direct_ms: Option<f64>,
    path_kind: &'static str,
    sent: u32,
    received: u32,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            online_ms: 0.0,
            connected_ms: None,
            first_reply_ms: None,
            direct_ms: None,
            path_kind: words::kind(None),
            sent: 0,
            received: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{
        super::{args::PeerName, documented::assert_keys},
        *,
    };

    #[test]
    fn the_reply_line_keeps_its_keys() {
        let path = Some(PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        });
        let line = Record::Reply {
            seq: 1,
            rtt_ms: 81.2,
            path,
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"event":"reply","seq":1,"rtt_ms":81.2,"path":{"kind":"direct","remote":"192.0.2.1:5000","lan":false,"tcp":false}}"#
        );
        assert_keys("ping", &line);
        assert_keys("ping", &Record::Summary(&Summary::default()));
    }

    #[test]
    fn a_path_that_is_direct_has_a_time_at_which_it_turned() {
        let args = Ping {
            peer: PeerName::Ticket(SecretKey::from_seed(&[1; 32]).id().into()),
            count: None,
            until_direct: false,
            timeout: Some(INTERVAL),
        };
        let mut session = Pinging {
            json: true,
            args: &args,
            dialled_at: Instant::now(),
            deadline: Instant::now(),
            summary: Summary::default(),
        };
        assert!(!session.note_path(None));
        assert_eq!(session.summary.direct_ms, None);
        let direct = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        };
        assert!(session.note_path(Some(&direct)));
        let turned = session.summary.direct_ms;
        assert!(turned.is_some());
        session.note_path(None);
        session.note_path(Some(&direct));
        assert_eq!(session.summary.direct_ms, turned, "the first time counts");
    }

    #[test]
    fn the_summary_line_has_every_key_even_when_nothing_was_reached() {
        assert_eq!(
            serde_json::to_string(&Record::Summary(&Summary::default())).unwrap(),
            concat!(
                r#"{"event":"summary","online_ms":0.0,"connected_ms":null,"first_reply_ms":null,"#,
                r#""direct_ms":null,"path_kind":"none","sent":0,"received":0}"#
            )
        );
    }
}
