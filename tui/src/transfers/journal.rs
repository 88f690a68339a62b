//! What was transferred so far, for who asks what came and went.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use peerway::{Endpoint, Event, EventKind, PeerId, Transferred};
use serde::{Deserialize, Serialize};

use super::{End, Running, Transfer};

/// Transfers that are kept.
const KEPT: usize = 32;

/// Keeps what a node transferred, and tells those who listen to its events. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    endpoint: Endpoint,
    lines: Arc<Mutex<Transfers>>,
    running: Running,
}

/// What was transferred since a node began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transfers {
    /// How many came, and went.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// The last of both, the latest last.
    pub(crate) last: VecDeque<Event>,
    /// Those that go on, the oldest first.
    #[serde(default)]
    pub(crate) now: Vec<Transfer>,
}

impl Journal {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            lines: Arc::default(),
            running: Running::default(),
        }
    }

    /// What goes on now.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    pub(super) fn received(&self, peer: PeerId, what: Transferred) {
        let event = self.endpoint.tell(EventKind::Received { peer, what });
        let mut lines = self.lines();
        lines.received += 1;
        lines.keep(event);
    }

    pub(super) fn sent(&self, peer: PeerId, what: Transferred) {
        let event = self.endpoint.tell(EventKind::Sent { peer, what });
        let mut lines = self.lines();
        lines.sent += 1;
        lines.keep(event);
    }

    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
    pub(crate) fn transfers(&self) -> Transfers {
        Transfers {
            now: self.running.all(),
            ..self.lines().clone()
        }
    }

    fn lines(&self) -> MutexGuard<'_, Transfers> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfers {
    fn keep(&mut self, event: Event) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }
}

impl End {
    /// What is noted of it: `name` is that of the first file, `folder` where it came to.
    pub(super) fn noted(&self, name: Option<String>, folder: Option<&Path>) -> Transferred {
        Transferred {
            name,
            folder: folder.map(|folder| folder.display().to_string()),
            files: self.files,
            bytes: self.bytes,
            missing: self.missing,
        }
    }
}

/// The same for who is not at the computer: that files were transferred, and not what they are called and where they are.
#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to ask at"))]
pub(crate) fn without_names(mut event: Event) -> Event {
    if let EventKind::Received { what, .. } | EventKind::Sent { what, .. } = &mut event.kind {
        (what.name, what.folder) = (None, None);
    }
    event
}
