//! What a node keeps of what it fetched, as it is told to people and programs.

use peerway::Ticket;
use peerway_swarm::{
    share::{Hash, Kind, Link},
    store::{Pin, Room},
};
use serde::{Deserialize, Serialize};

/// Content that is kept, and the link by which it is had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinLine {
    pub(crate) name: String,
    pub(crate) hash: Hash,
    pub(crate) kind: Kind,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) public: bool,
    /// Until when, in milliseconds since 1970; none for as long as nobody takes it away.
    pub(crate) until_ms: Option<u64>,
    /// Whether all of it is there.
    pub(crate) whole: bool,
    pub(crate) link: Link,
}

/// What the store has and may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreLine {
    pub(crate) bytes: u64,
    pub(crate) pinned: u64,
    pub(crate) quota: u64,
}

/// All that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinLines {
    pub(crate) pins: Vec<PinLine>,
    pub(crate) store: StoreLine,
}

/// What was freed, and what there is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freed {
    pub(crate) contents: u64,
    pub(crate) freed: u64,
    #[serde(flatten)]
    pub(crate) store: StoreLine,
}

impl PinLine {
    /// Whether somebody who writes this means it: its name, or the first eight digits of its hash or more.
    pub(crate) fn is_meant_by(&self, which: &str) -> bool {
        crate::shares::is_meant(&self.name, self.hash, which)
    }

    /// With the node that serves it, if one runs.
    pub(crate) fn of(pin: Pin, node: Option<Ticket>) -> Self {
        Self {
            link: pin.link(node),
            name: pin.name,
            hash: pin.hash,
            kind: pin.kind,
            files: pin.files,
            bytes: pin.bytes,
            public: pin.public,
            until_ms: pin.until.map(|until| until.saturating_mul(1000)),
            whole: pin.whole,
        }
    }
}

impl From<Room> for StoreLine {
    fn from(room: Room) -> Self {
        Self {
            bytes: room.bytes,
            pinned: room.pinned,
            quota: room.quota,
        }
    }
}
