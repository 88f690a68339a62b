//! Members of a group tell each other how they are linked, so that each sees the whole of it.
//!
//! A group is a name and the ids of its members, as each of them has it in its own book: there is no other authority. What a member
//! says is a signed [`Status`](crate::wire::status::Status): its version, NAT and, of each link to another member, what kind of path carries it, by which relay, why,
//! how fast; no addresses. It goes over links that there are anyway, each of which gets one more connection for as long as something
//! else uses it, and members hand it on to those who have no link to its author, if its author has them in its group too. Who is
//! no member gets no answer, and what is said by one is not believed.
//!
//! A status is sent when something of it has changed, but for rates and times, at most every 5 s, and every 30 s. Each member
//! holds the newest of each other, for ten minutes at most. [`Swarm::snapshot`] shows them.
//!
//! ```no_run
//! # async fn example(nas: peerway::PeerId, laptop: peerway::PeerId) -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Endpoint, Router, services::swarm::{self, Group, Swarm}};
//!
//! let endpoint = Endpoint::builder().bind().await?;
//! let swarm = Swarm::new(endpoint.clone());
//! swarm.share([Group::new("home", [nas, laptop])?])?;
//! let served = swarm.clone();
//! let router = Router::new(endpoint).accept(swarm::ALPN, move |connection| served.clone().serve(connection));
//! tokio::join!(router.run(), swarm.run());
//! # Ok(())
//! # }
//! ```
//!
//! On the stream that the dialler opens, each side sends statuses, each behind its length (u16, big endian).

mod draft;
mod machine;
mod session;
mod show;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{Connection, Endpoint, PeerId, SwarmSnapshot, quic::close, wire::status::MAX_MEMBERS};

use self::machine::{Machine, Now};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/swarm/1";

/// Groups of a node that share.
pub const MAX_GROUPS: usize = 16;
/// Bytes of a group's name.
const MAX_NAME: usize = 128;
/// How long a dial over a link that there is may take.
const DIAL_PATIENCE: Duration = Duration::from_secs(15);

/// A name and the members that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    name: String,
    members: BTreeSet<PeerId>,
}

impl Group {
    /// A group of these members; whether this node is among them makes no difference. Others take it for the same where it has the
    /// same name.
    ///
    /// # Errors
    /// [`GroupError::Name`] and [`GroupError::Members`].
    pub fn new(
        name: impl Into<String>,
        members: impl IntoIterator<Item = PeerId>,
    ) -> Result<Self, GroupError> {
        let (name, members) = (name.into(), members.into_iter().collect::<BTreeSet<_>>());
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(GroupError::Name);
        }
        if members.len() > MAX_MEMBERS {
            let found = members.len();
            return Err(GroupError::Members { name, found });
        }
        Ok(Self { name, members })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why groups cannot share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Of 1 to 128 bytes.
    #[error("the name of a group has 1 to 128 bytes")]
    Name,
    /// Everybody tells everybody, which is too much in larger ones.
    #[error("{name} has {found} members, and a group that shares its links at most 64")]
    Members {
        /// The group.
        name: String,
        /// Members that it was to have.
        found: usize,
    },
    /// As it says.
    #[error("at most 16 groups can share their links, and these are {found}")]
    Groups {
        /// Groups that there were to be.
        found: usize,
    },
    /// They would be the same to others.
    #[error("two groups are called {0}")]
    Twice(String),
}

/// The groups that a node shares with, and what it knows of them. Cheap to clone.
#[derive(Clone)]
pub struct Swarm(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    machine: Mutex<Machine>,
    /// Wakes who has something to send.
    changed: watch::Sender<()>,
}

impl fmt::Debug for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Swarm").field(&self.0.endpoint.id()).finish()
    }
}

impl Swarm {
    /// Shares nothing yet, and does so only while it [runs](Self::run).
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let machine = Mutex::new(Machine::new(endpoint.id()));
        let (changed, _) = watch::channel(());
        Self(Arc::new(Inner {
            endpoint,
            machine,
            changed,
        }))
    }

    /// Shares with these groups from now on, and with no others any more: their members are told.
    ///
    /// # Errors
    /// [`GroupError::Groups`], [`GroupError::Twice`], and [`GroupError::Members`] of a group that has 64 without this node; nothing
    /// changes then.
    pub fn share(&self, groups: impl IntoIterator<Item = Group>) -> Result<(), GroupError> {
        let groups: Vec<_> = groups.into_iter().collect();
        if groups.len() > MAX_GROUPS {
            let found = groups.len();
            return Err(GroupError::Groups { found });
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = groups.iter().find(|group| !names.insert(&group.name)) {
            return Err(GroupError::Twice(twice.name.clone()));
        }
        let own = self.0.endpoint.id();
        let size = |group: &Group| 1 + group.members.iter().filter(|id| **id != own).count();
        if let Some(large) = groups.iter().find(|group| size(group) > MAX_MEMBERS) {
            let (name, found) = (large.name.clone(), size(large));
            return Err(GroupError::Members { name, found });
        }
        let now = self.now();
        let sign = self.signer();
        self.machine().share(groups, now, sign);
        self.wake();
        Ok(())
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> SwarmSnapshot {
        let now = self.now();
        self.machine().snapshot(now)
    }

    /// A value that changes whenever something was heard or said, to wait on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Shares until the node ends.
    pub async fn run(&self) {
        let mut snapshots = self.0.endpoint.snapshots();
        let mut sessions = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                next = snapshots.changed() => if next.is_err() {
                    return;
                },
                Some(()) = sessions.next() => continue,
            }
            let node = snapshots.borrow_and_update().clone();
            let now = Now {
                at: Instant::now().into_std(),
                unix_ms: node.at_ms,
            };
            let looked = self.machine().look(&node, now, self.signer());
            if looked.says {
                self.wake();
            }
            for peer in looked.dial {
                sessions.push(self.dial(peer));
            }
        }
    }

    /// Exchanges statuses with a member until the connection ends: a handler for a [`Router`](crate::Router).
    pub async fn serve(self, connection: Connection) {
        session::run(&self, connection, false).await;
    }

    async fn dial(&self, peer: PeerId) {
        let dial = timeout(DIAL_PATIENCE, self.0.endpoint.connect(peer, ALPN)).await;
        if let Ok(Ok(connection)) = dial {
            session::run(self, connection, true).await;
        }
        let now = self.now();
        self.machine().dialled(peer, now.at);
    }

    fn signer(&self) -> impl Fn(&str, &[u8]) -> [u8; 64] {
        |purpose, message| self.0.endpoint.sign(purpose, message)
    }

    /// The time, to the second where it is the wall's.
    fn now(&self) -> Now {
        Now {
            at: Instant::now().into_std(),
            unix_ms: self.0.endpoint.snapshot().at_ms,
        }
    }

    fn wake(&self) {
        self.0.changed.send_replace(());
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0
            .machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller hears who is no member, whether anything is shared here or not.
fn refuse(connection: &Connection) {
    connection.close(close::NO_SERVICE, b"nothing is shared with you here");
}
