//! What a node is asked to find out for as long as somebody listens: `ping`, `why`, `speed`, `netcheck`, `services`.
//!
//! An [`Ask`] says what; the [`Steps`] that come of it are data, and the same whether a command runs the node itself or the one that
//! runs here does it for it over the control socket. Who drops them ends the work.

mod dialling;
mod netcheck;
mod ping;
mod services;
mod speed;
mod waiting;
mod why;

use std::{num::NonZeroU32, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{
    Endpoint, NodeSnapshot, PathInfo, PeerSnapshot, Ticket,
    quic::{ConnectionError, close},
    services::{ping::PingError, speed::SpeedError},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};

use crate::forwarding::ForwardingError;

pub(crate) use dialling::{
    DialError, Dialling, Patience, dial, dial_kind, may_pass, no_relay, reachable,
};
pub(crate) use why::blindness;

/// Nobody waits longer, whatever is asked for.
const MAX_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What is asked of a node.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Ping(Ping),
    Why(Why),
    Speed(Speed),
    Netcheck,
    Services(Services),
}

/// Round trips to a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ping {
    pub(crate) ticket: Ticket,
    /// 10, or no limit with `until_direct`.
    #[serde(default)]
    pub(crate) count: Option<NonZeroU32>,
    /// Ends with the first reply over a direct path.
    #[serde(default)]
    pub(crate) until_direct: bool,
    /// For the first reply or the direct path.
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
}

/// Why the link to a peer is as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    pub(crate) ticket: Ticket,
    /// For the link to settle.
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
}

/// Throughput to and from a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Speed {
    pub(crate) ticket: Ticket,
    /// Of each direction; 5 s, at most a minute.
    #[serde(default)]
    pub(crate) duration_ms: Option<u64>,
}

/// What a peer exposes to this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Services {
    pub(crate) ticket: Ticket,
}

impl Ask {
    /// The peer that it is about.
    pub(crate) fn peer(&self) -> Option<&Ticket> {
        match self {
            Self::Ping(ping) => Some(&ping.ticket),
            Self::Why(why) => Some(&why.ticket),
            Self::Speed(speed) => Some(&speed.ticket),
            Self::Services(services) => Some(&services.ticket),
            Self::Netcheck => None,
        }
    }

    /// Begins; the clock of `online_ms` has run since `started_at`.
    pub(crate) fn begin(self, endpoint: Endpoint, started_at: Instant) -> Steps {
        match self {
            Self::Ping(ask) => steps(async move |teller: Teller| {
                ping::run(&endpoint, &ask, started_at, &teller).await
            }),
            Self::Why(ask) => {
                steps(async move |teller: Teller| why::run(&endpoint, &ask, &teller).await)
            }
            Self::Speed(ask) => {
                steps(async move |teller: Teller| speed::run(&endpoint, &ask, &teller).await)
            }
            Self::Services(ask) => {
                steps(async move |teller: Teller| services::run(&endpoint, &ask, &teller).await)
            }
            Self::Netcheck => {
                steps(async move |teller: Teller| netcheck::run(&endpoint, &teller).await)
            }
        }
    }
}

/// One after the other; the last is [`Step::Done`] or [`Step::Failed`].
pub(crate) type Steps = BoxStream<'static, Step>;

/// How far it is. `*_ms` are milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// What whoever waits may want to know.
    Hint {
        text: String,
    },
    /// The node is at its relays, or will not be soon.
    Online {
        online_ms: f64,
    },
    /// The peer took the connection, so long after the dial; so the times that follow.
    Connected {
        connected_ms: f64,
    },
    /// The path has turned direct.
    Direct {
        after_ms: f64,
    },
    Reply {
        seq: u32,
        rtt_ms: f64,
        path: Option<PathInfo>,
        after_ms: f64,
    },
    /// A ping that was not answered in time.
    Lost {
        seq: u32,
    },
    /// By which path the last of it went.
    Path {
        path: Option<PathInfo>,
    },
    Downloaded {
        down_mbps: f64,
    },
    Measured {
        down_mbps: f64,
        up_mbps: f64,
        path: Option<PathInfo>,
    },
    /// The peer, with the reason why its link is as it is.
    Explained {
        peer: Box<PeerSnapshot>,
    },
    /// The node once it knows the network around it.
    Network {
        node: Box<NodeSnapshot>,
    },
    /// What the peer exposes to this node.
    Services {
        services: Vec<ServiceLine>,
    },
    Done,
    Failed(Failed),
}

/// A service, and what it takes: `tcp` or `udp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceLine {
    pub(crate) service: String,
    pub(crate) transport: String,
}

/// Why nothing, or not all, came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Failed {
    pub(crate) kind: FailureKind,
    /// In one line.
    pub(crate) error: String,
}

/// As the exit codes of commands tell failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    Failed,
    /// It cannot be asked for so.
    Usage,
    /// Reached, but by a relay alone.
    RelayedOnly,
    /// The peer or its relay was not reached.
    Unreachable,
    Busy,
    /// The peer does not want it.
    Refused,
    /// The system does not let this program do it.
    NotPermitted,
}

#[derive(Debug, thiserror::Error)]
enum OperationError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the peer took the connection, but answered no ping: {why}")]
    NoReply { why: String },
    #[error("there is no direct path, only the relay: {why}")]
    RelayedOnly { why: String },
    #[error(transparent)]
    Ping(#[from] PingError),
    #[error(transparent)]
    Speed(#[from] SpeedError),
    #[error(transparent)]
    Forwarding(#[from] ForwardingError),
}

impl OperationError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Dial(error) => error.kind(),
            Self::Forwarding(error) => error.kind(),
            Self::NoReply { .. } => FailureKind::Unreachable,
            Self::RelayedOnly { .. } => FailureKind::RelayedOnly,
            Self::Ping(PingError::Connection(error))
            | Self::Speed(SpeedError::Connection(error)) => ended_kind(error),
            Self::Ping(_) | Self::Speed(_) => FailureKind::Failed,
        }
    }
}

/// What kind of failure it is that a connection ended so.
fn ended_kind(error: &ConnectionError) -> FailureKind {
    let ConnectionError::ApplicationClosed(closed) = error else {
        return FailureKind::Failed;
    };
    match u32::try_from(closed.error_code.into_inner()) {
        Ok(close::NOT_LET_IN) => FailureKind::Refused,
        Ok(close::BUSY) => FailureKind::Busy,
        Ok(_) | Err(_) => FailureKind::Failed,
    }
}

/// Where the work tells how far it is.
#[derive(Clone, Debug)]
struct Teller(mpsc::UnboundedSender<Step>);

impl Teller {
    fn tell(&self, step: Step) {
        // Whoever does not listen any more has dropped the work too.
        let _ = self.0.send(step);
    }

    fn hint(&self, text: &str) {
        let text = text.to_owned();
        self.tell(Step::Hint { text });
    }
}

/// What some work tells, and last what became of it. The work goes on while it is listened to, so that no more is ever waiting than
/// it tells at a time.
fn steps<W, F>(work: W) -> Steps
where
    W: FnOnce(Teller) -> F,
    F: Future<Output = Result<(), OperationError>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let teller = Teller(sender);
    let work = work(teller.clone());
    let work = async move {
        teller.tell(match work.await {
            Ok(()) => Step::Done,
            Err(error) => Step::Failed(Failed {
                kind: error.kind(),
                error: error.to_string(),
            }),
        });
    };
    let told = stream::poll_fn(move |context| receiver.poll_recv(context));
    let work = stream::once(work).filter_map(async |()| None);
    stream::select(told, work).boxed()
}

/// Milliseconds with two decimals.
pub(crate) fn ms(duration: Duration) -> f64 {
    two_decimals(duration.as_secs_f64() * 1e3)
}

pub(crate) fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// As it is told of to a node: no less than one.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

/// As asked for, if it was, within what is sensible.
fn patience(timeout_ms: Option<u64>) -> Option<Duration> {
    timeout_ms.map(|ms| Duration::from_millis(ms).min(MAX_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_told_comes_in_order_and_the_end_last() {
        let told = steps(async |teller: Teller| {
            for seq in 1..=3 {
                teller.tell(Step::Lost { seq });
                tokio::task::yield_now().await;
            }
            teller.hint("enough");
            Err(OperationError::NoReply {
                why: "it sleeps".to_owned(),
            })
        });
        let told: Vec<_> = told.collect().await;
        let told: Vec<_> = told
            .iter()
            .map(|step| serde_json::to_string(step).unwrap())
            .collect();
        assert_eq!(
            told,
            [
                r#"{"event":"lost","seq":1}"#,
                r#"{"event":"lost","seq":2}"#,
                r#"{"event":"lost","seq":3}"#,
                r#"{"event":"hint","text":"enough"}"#,
                r#"{"event":"failed","kind":"unreachable","error":"the peer took the connection, but answered no ping: it sleeps"}"#,
            ]
        );
    }

    #[tokio::test]
    async fn who_stops_listening_ends_the_work() {
        let (kept, mut dropped) = tokio::sync::oneshot::channel::<()>();
        let mut told = steps(async move |teller: Teller| {
            let _kept = kept;
            teller.tell(Step::Lost { seq: 1 });
            std::future::pending().await
        });
        assert!(matches!(told.next().await, Some(Step::Lost { seq: 1 })));
        assert!(
            dropped
                .try_recv()
                .is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty)
        );
        drop(told);
        assert!(dropped.await.is_err());
    }
}
