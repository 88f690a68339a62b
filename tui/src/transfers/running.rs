//! Transfers that go on now: how far each is, and what pauses, resumes and cancels it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use peerway::{PeerId, services::files::Progress};
use serde::{Deserialize, Serialize};

use super::Moved;

/// What a node transfers now, whoever has it do so. Clones are of the same node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How many there were.
    count: u64,
    of: BTreeMap<u64, (What, Progress)>,
}

/// What is transferred.
#[derive(Clone, Debug)]
pub(crate) struct What {
    pub(crate) direction: Direction,
    /// None of what comes from many.
    pub(crate) peer: Option<PeerId>,
    /// Of the first file, in somebody's words.
    pub(crate) name: Option<String>,
    /// Where it is put; none of what is sent.
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// A peer sends it.
    Receiving,
    /// A peer is sent it.
    Sending,
    /// It is fetched from all who have some of it.
    Fetching,
    /// Connections of this computer are led to a peer's server, until that is not wanted any more.
    Forwarding,
}

/// A transfer that goes on, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) id: u64,
    pub(crate) direction: Direction,
    pub(crate) peer: Option<PeerId>,
    pub(crate) name: Option<String>,
    pub(crate) folder: Option<PathBuf>,
    /// Whether it waits to be resumed.
    pub(crate) paused: bool,
    #[serde(flatten)]
    pub(crate) moved: Moved,
}

/// What is wanted of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing more moves until it is resumed.
    Pause,
    Resume,
    /// It ends, and the other side is told. What is there stays for another try.
    Cancel,
}

/// What is wanted of a transfer is not done.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// It does not go on.
    #[error("no transfer {0} goes on here: `peerway transfers` lists those that do")]
    Gone(u64),
    /// Whoever wants it would have it again.
    #[error(
        "{0} is a forward, which can be paused: to end it, end the command that began it, or use `peerway forward remove`"
    )]
    Forward(u64),
}

/// Whether a transfer was paused when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Holds(bool);

/// Ends the showing of a transfer.
#[derive(Debug)]
pub(super) struct Shown {
    running: Running,
    id: u64,
}

impl What {
    /// A service of a peer, which programs find there.
    pub(crate) fn forward(peer: PeerId, service: String, addr: &str) -> Self {
        Self {
            direction: Direction::Forwarding,
            peer: Some(peer),
            name: Some(format!("{service} at {addr}")),
            folder: None,
        }
    }
}

impl Running {
    /// A number that no other transfer has.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.state();
        state.count += 1;
        state.count
    }

    /// It is shown, and may be paused, until what is returned is dropped.
    pub(super) fn show(&self, id: u64, what: What, progress: &Progress) -> Shown {
        self.state().of.insert(id, (what, progress.clone()));
        let running = self.clone();
        Shown { running, id }
    }

    /// Shows a transfer as long as the work on it takes.
    pub(crate) async fn during<T>(
        &self,
        what: What,
        progress: &Progress,
        work: impl Future<Output = T>,
    ) -> T {
        let _shown = self.show(self.number(), what, progress);
        work.await
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Transfer> {
        let state = self.state();
        let each = state.of.iter().map(|(id, (what, progress))| {
            let What {
                direction,
                peer,
                name,
                folder,
            } = what.clone();
            Transfer {
                id: *id,
                direction,
                peer,
                name,
                folder,
                paused: progress.valve().is_paused(),
                moved: Moved::of(progress),
            }
        });
        each.collect()
    }

    /// Does what is wanted of one of them; what is so already stays so.
    pub(crate) fn order(&self, id: u64, order: Order) -> Result<(), OrderError> {
        let state = self.state();
        let (what, progress) = state.of.get(&id).ok_or(OrderError::Gone(id))?;
        if (what.direction, order) == (Direction::Forwarding, Order::Cancel) {
            return Err(OrderError::Forward(id));
        }
        let valve = progress.valve();
        match order {
            Order::Pause => valve.pause(),
            Order::Resume => valve.resume(),
            Order::Cancel => valve.cancel(),
        };
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holds {
    /// What whoever waits for the transfer is told, where that is other than before.
    pub(crate) fn news(&mut self, progress: &Progress) -> Option<&'static str> {
        let is_paused = progress.valve().is_paused();
        let was_paused = std::mem::replace(&mut self.0, is_paused);
        match (was_paused, is_paused) {
            (false, true) => {
                Some("it is paused: `peerway transfers` shows by which number it is resumed")
            }
            (true, false) => Some("it goes on"),
            (true, true) | (false, false) => None,
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.running.state().of.remove(&self.id);
    }
}

impl Direction {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Sending => "sending",
            Self::Fetching => "fetching",
            Self::Forwarding => "forwarding",
        }
    }
}

impl Order {
    /// As paths name it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

impl Transfer {
    /// How much of it is there, if it is known how much it is.
    pub(crate) fn percent(&self) -> Option<u8> {
        let Moved {
            bytes, bytes_done, ..
        } = self.moved;
        if bytes == 0 {
            return None;
        }
        let percent = u128::from(bytes_done) * 100 / u128::from(bytes);
        // 100 is for what is through.
        Some(u8::try_from(percent).unwrap_or(99).min(99))
    }

    /// What becomes of it, in a word.
    pub(crate) fn word(&self) -> &'static str {
        if self.paused {
            "paused"
        } else {
            self.direction.word()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_shown_with_what_was_wanted_of_it_until_it_is_over() {
        let (running, progress) = (Running::default(), Progress::default());
        progress.begin(2, 1000);
        progress.moved(995);
        let what = What {
            direction: Direction::Sending,
            peer: None,
            name: Some("film".to_owned()),
            folder: None,
        };
        let id = running.number();
        let shown = running.show(id, what, &progress);
        assert!(running.order(id + 1, Order::Pause).is_err());
        running.order(id, Order::Pause).unwrap();
        running.order(id, Order::Pause).unwrap();
        let all = running.all();
        let [transfer] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!((transfer.word(), transfer.percent()), ("paused", Some(99)));
        let mut holds = Holds::default();
        assert!(
            holds
                .news(&progress)
                .is_some_and(|it| it.contains("paused"))
        );
        assert_eq!(holds.news(&progress), None);
        running.order(id, Order::Resume).unwrap();
        assert_eq!(holds.news(&progress), Some("it goes on"));
        assert_eq!(running.all()[0].word(), "sending");
        drop(shown);
        assert!(running.all().is_empty() && running.order(id, Order::Cancel).is_err());
    }

    #[test]
    fn a_forward_is_paused_and_ended_only_where_it_was_begun() {
        let (running, forwarded) = (Running::default(), Progress::default());
        let peer = peerway::SecretKey::from_seed(&[1; 32]).id();
        let what = What::forward(peer, "web".to_owned(), "127.0.0.1:9000");
        let id = running.number();
        let shown = running.show(id, what, &forwarded);
        running.order(id, Order::Pause).unwrap();
        let all = running.all();
        assert_eq!((all[0].word(), all[0].percent()), ("paused", None));
        assert_eq!(all[0].name.as_deref(), Some("web at 127.0.0.1:9000"));
        let refused = running.order(id, Order::Cancel).unwrap_err().to_string();
        assert!(refused.contains("forward remove"), "{refused}");
        running.order(id, Order::Resume).unwrap();
        assert_eq!(running.all()[0].word(), "forwarding");
        drop(shown);
    }
}
