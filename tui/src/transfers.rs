//! Files that a node sends to peers and takes from them, for whoever has it do so.
//!
//! The [`Steps`] of both are data, and the same whether a command runs the node itself or the one that runs here does it for it over
//! the control socket. Who drops them ends the work.

mod contact;
mod desk;
mod journal;
mod running;
mod send;

use std::{path::PathBuf, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{
    ConnectError, Connection, PeerId, Ticket,
    quic::{ConnectionError, close},
    services::files::{Offer, Problem, Progress, ReceiveError, Refusal, Report, SendError},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::sleep};

pub(crate) use desk::{Crowded, Desk, Whom};
#[cfg(unix)]
pub(crate) use journal::without_names;
pub(crate) use journal::{Journal, Transfers};
pub use running::Order;
#[cfg(unix)]
pub(crate) use running::OrderError;
pub(crate) use running::{Direction, Holds, Running, Transfer, What};
pub(crate) use send::{Recipient, send, send_on};

use contact::Contact;

use crate::operations::{DialError, FailureKind};

/// What waits for whoever listens.
const AHEAD: usize = 64;
/// How often is told how far a transfer is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Files of one transfer that are named with the reason why they did not arrive.
const NAMED: usize = 1_000;

/// What is to be sent, and to whom.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendAsk {
    pub(crate) ticket: Ticket,
    pub(crate) paths: Vec<PathBuf>,
}

/// Where to put what comes.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiveAsk {
    pub(crate) folder: PathBuf,
    #[serde(default)]
    pub(crate) overwrite: bool,
    /// From nobody else.
    #[serde(default)]
    pub(crate) from: Option<PeerId>,
    /// Whether each offer waits for an answer.
    #[serde(default)]
    pub(crate) ask: bool,
}

/// Whether an offer is taken.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) take: bool,
}

/// One after the other. Of sending, the last is [`Step::Sent`] or [`Step::Failed`]; receiving goes on.
pub(crate) type Steps = BoxStream<'static, Step>;

/// How far it is, and what came of it. `transfer` numbers those that a node receives at the same time; of sending it is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// What whoever waits may want to know.
    Hint { text: String },
    /// From now on what comes is put there.
    Receiving { folder: PathBuf },
    /// The peer is reached and asked whether it takes this.
    Offering {
        peer: PeerId,
        name: String,
        #[serde(flatten)]
        offer: Offers,
    },
    /// A peer asks whether this is taken.
    Offered {
        transfer: u64,
        peer: PeerId,
        name: String,
        #[serde(flatten)]
        offer: Offers,
    },
    /// It does not ask any more.
    Withdrawn { transfer: u64 },
    /// It was not taken.
    Declined { transfer: u64 },
    Progress {
        transfer: u64,
        #[serde(flatten)]
        moved: Moved,
    },
    Sent {
        peer: PeerId,
        name: String,
        #[serde(flatten)]
        end: End,
    },
    Received {
        transfer: u64,
        peer: PeerId,
        name: String,
        folder: PathBuf,
        #[serde(flatten)]
        end: End,
    },
    Failed {
        transfer: u64,
        /// None if none was reached.
        peer: Option<PeerId>,
        kind: FailureKind,
        /// In one line.
        error: String,
    },
}

/// What is offered. The names are somebody else's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offers {
    pub(crate) names: Vec<String>,
    pub(crate) selected: u32,
    pub(crate) files: u32,
    /// None if not known.
    pub(crate) bytes: Option<u64>,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    pub(crate) files: u64,
    pub(crate) files_done: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_held: u64,
}

/// What became of a transfer that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) resumed: u64,
    /// Files that did not arrive.
    pub(crate) missing: u64,
    /// The first of them.
    pub(crate) problems: Vec<Missing>,
}

/// A file that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// As its sender named it.
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl From<&Offer> for Offers {
    fn from(offer: &Offer) -> Self {
        Self {
            names: offer.names.clone(),
            selected: offer.selected,
            files: offer.files,
            bytes: offer.bytes,
        }
    }
}

impl From<Report> for End {
    fn from(report: Report) -> Self {
        let missing = report.problems.len() as u64;
        let named = report.problems.into_iter().take(NAMED);
        let problems = named.map(|Problem { path, reason, .. }| Missing { path, reason });
        Self {
            files: report.files,
            bytes: report.bytes,
            resumed: report.resumed,
            missing,
            problems: problems.collect(),
        }
    }
}

/// Why nothing was transferred.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Dial(DialError),
    #[error(
        "nobody receives files there: have `peerway receive` run there, or `peerway up --receive DIR`"
    )]
    NoReceiver,
    #[error(
        "the peer takes no files from this computer: it receives from others, or from peers of its address book alone, in which this computer is not"
    )]
    NotLetIn,
    #[error("the peer takes others' files at the moment: send once more when it has them")]
    Busy,
    #[error(transparent)]
    Send(SendError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

impl TransferError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Dial(error) => error.kind(),
            Self::Send(SendError::Connection(_))
            | Self::Receive(ReceiveError::Connection(_) | ReceiveError::Left) => {
                FailureKind::Unreachable
            }
            Self::Busy | Self::Send(SendError::Refused(Refusal::Busy)) => FailureKind::Busy,
            Self::NoReceiver
            | Self::NotLetIn
            | Self::Send(SendError::Refused(_) | SendError::CancelledThere)
            | Self::Receive(ReceiveError::Refused | ReceiveError::CancelledThere) => {
                FailureKind::Refused
            }
            Self::Send(_) | Self::Receive(_) => FailureKind::Failed,
        }
    }

    pub(crate) fn failed(&self, transfer: u64, peer: Option<PeerId>) -> Step {
        Step::Failed {
            transfer,
            peer,
            kind: self.kind(),
            error: self.to_string(),
        }
    }

    /// Of a connection that a peer has closed because it takes no files, or none of ours.
    fn refused(error: &ConnectionError) -> Option<Self> {
        let ConnectionError::ApplicationClosed(closed) = error else {
            return None;
        };
        match u32::try_from(closed.error_code.into_inner()) {
            Ok(close::NO_SERVICE) => Some(Self::NoReceiver),
            Ok(close::NOT_LET_IN) => Some(Self::NotLetIn),
            Ok(close::BUSY) => Some(Self::Busy),
            Ok(_) | Err(_) => None,
        }
    }
}

impl From<DialError> for TransferError {
    fn from(error: DialError) -> Self {
        let refused = match &error {
            DialError::Connect(ConnectError::NoSuchService) => Some(Self::NoReceiver),
            DialError::Connect(ConnectError::Closed(why)) => Self::refused(why),
            DialError::Connect(_)
            | DialError::NoRelay { .. }
            | DialError::NoDiagnostics
            | DialError::Mute { .. }
            | DialError::NoRoute { .. }
            | DialError::OtherNetwork => None,
        };
        refused.unwrap_or(Self::Dial(error))
    }
}

impl From<SendError> for TransferError {
    fn from(error: SendError) -> Self {
        let refused = if let SendError::Connection(why) = &error {
            Self::refused(why)
        } else {
            None
        };
        refused.unwrap_or(Self::Send(error))
    }
}

/// Where the work tells how far it is.
#[derive(Clone, Debug)]
struct Teller(mpsc::Sender<Step>);

impl Teller {
    fn new() -> (Self, Steps) {
        let (tell, told) = mpsc::channel(AHEAD);
        let steps = stream::unfold(told, |mut told| async {
            let step: Step = told.recv().await?;
            Some((step, told))
        });
        (Self(tell), steps.boxed())
    }

    async fn tell(&self, step: Step) {
        // Whoever does not listen any more ends the work.
        let _ = self.0.send(step).await;
    }

    fn hint(&self, text: &str) {
        let text = text.to_owned();
        // Who reads slowly hears less.
        let _ = self.0.try_send(Step::Hint { text });
    }

    /// The outcome of a transfer, which is told of meanwhile.
    async fn during<T>(
        &self,
        transfer: u64,
        (progress, connection): (&Progress, &Connection),
        work: impl Future<Output = T>,
    ) -> T {
        let telling = async {
            let (mut holds, mut contact) = (Holds::default(), Contact::default());
            loop {
                sleep(TELL_EVERY).await;
                if let Some(text) = contact.news(&connection.status()) {
                    self.hint(&text);
                }
                if let Some(text) = holds.news(progress) {
                    self.hint(text);
                }
                let _ = self.0.try_send(now(transfer, progress));
            }
        };
        let done = tokio::select! {
            done = work => done,
            never = telling => never,
        };
        if progress.files() > 0 {
            self.tell(now(transfer, progress)).await;
        }
        done
    }

    /// Waits until nobody listens any more.
    async fn closed(&self) {
        self.0.closed().await;
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

fn now(transfer: u64, progress: &Progress) -> Step {
    let moved = Moved::of(progress);
    Step::Progress { transfer, moved }
}

impl Moved {
    fn of(progress: &Progress) -> Self {
        Self {
            files: progress.files(),
            files_done: progress.files_done(),
            bytes: progress.bytes(),
            bytes_done: progress.bytes_done(),
            bytes_held: progress.bytes_held(),
        }
    }
}
