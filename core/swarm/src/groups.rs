//! The groups that a node belongs to, as long as it runs: what the machines of [`group`](crate::group) decide is done here.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use peerway::{Endpoint, Router};
//! use peerway_swarm::{group::Role, groups::{self, Groups}};
//!
//! let endpoint = Endpoint::builder().bind().await?;
//! let groups = Groups::open("state".as_ref(), endpoint.clone(), Endpoint::builder())?;
//! let served = groups.clone();
//! let router = Router::new(endpoint).accept(groups::ALPN, move |connection| served.clone().serve(connection));
//! let group = groups.create("home")?;
//! println!("join with {}", groups.invite(group, Role::Member, 1, std::time::Duration::from_secs(3600))?);
//! groups.post(group, "hello")?;
//! tokio::join!(router.run(), groups.run());
//! # Ok(())
//! # }
//! ```

mod directories;
mod join;
mod members;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use peerway::{Builder, Endpoint, PeerId, Ticket, services::invite::Invitation};
use rand::{Rng, SeedableRng, rngs::StdRng};
use thiserror::Error;
use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::{Instant, sleep_until, timeout},
};

pub use self::{
    join::JoinError,
    store::{StoreError, kept_in},
    view::{FormerView, GroupView, MemberView, PostView},
};
use self::{
    session::{Job, Session},
    store::Store,
};
use crate::{
    Shunned,
    group::{
        Body, DOORS, EpochKey, Event, GroupId, GroupInvite, Known, Log, Machine, Now, OpError,
        Output, OwnOp, PostError, PostId, Record, Role, Signer, door, is_name,
    },
};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/group/1";

/// Groups of a node.
pub const MAX_GROUPS: usize = 64;
/// How long an invite may be good.
pub const MAX_EXPIRY: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a dial may take.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);
/// How long neighbours have to hear that this node leaves a group.
const GOODBYE: Duration = Duration::from_secs(1);
/// What was not written to the disk at once is after so long.
const FLUSH: Duration = Duration::from_secs(2);
/// The same where that failed the last time.
const FLUSH_AGAIN: Duration = Duration::from_secs(20);
/// Things that happened which a slow listener may be behind.
const EVENTS: usize = 256;

/// Why something was not done in a group.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// As it says.
    #[error("a group's name has 1 to 64 bytes and no control characters")]
    Name,
    /// As it says.
    #[error("a node is in {MAX_GROUPS} groups at most: leave one first")]
    TooMany,
    /// Of this id.
    #[error("this node is in a group of that name already, {0:.8}: name the new one otherwise")]
    Taken(String),
    /// It may have been left.
    #[error("this node is in no group of that name: `peerway group` lists those that it is in")]
    Unknown,
    /// Several have that name.
    #[error("several groups are called so: name one by its id, which `peerway group` shows")]
    Ambiguous,
    /// An admin's doing.
    #[error("only an admin of the group may do that")]
    NoAdmin,
    /// Whom it is about.
    #[error("that is no member of the group")]
    NoMember,
    /// The founder stays.
    #[error("nobody removes the founder or takes its role")]
    Founder,
    /// Of the membership log.
    #[error(transparent)]
    Log(#[from] OpError),
    /// Of a post.
    #[error(transparent)]
    Post(#[from] PostError),
    /// Of the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that happened in a group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GroupEvent {
    /// Somebody posted something; it may be old, and found only now.
    Posted(GroupId, PostView),
    /// Its members, its name or its invites are others.
    Changed(GroupId),
    /// This node was removed from it.
    Removed(GroupId),
}

/// The groups of a node. Cheap to clone.
#[derive(Clone)]
pub struct Groups(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    /// Of the endpoints of an invite's doors.
    builder: Builder,
    store: Store,
    /// Held while something of this node's own is written, from when it is decided until it is on the disk and told.
    writing: Mutex<()>,
    shunned: OnceLock<Shunned>,
    begun: Instant,
    live: Mutex<Live>,
    dials: mpsc::UnboundedSender<(GroupId, PeerId)>,
    dialled: Mutex<Option<mpsc::UnboundedReceiver<(GroupId, PeerId)>>>,
    /// A deadline may have changed.
    woken: Notify,
    events: broadcast::Sender<GroupEvent>,
}

#[derive(Default)]
struct Live {
    groups: BTreeMap<GroupId, Member>,
    serial: u64,
    /// Doors by which somebody is coming in: they are let in until all is told, though the invite is taken back by then.
    shown: Vec<PeerId>,
    /// Of the invites that may be shown; each takes some time to be computed.
    doors: BTreeMap<PeerId, Vec<PeerId>>,
    /// Since when this node is a directory of all of them, in milliseconds since the Unix epoch.
    directory_since_ms: Option<u64>,
}

/// This node in one group.
struct Member {
    machine: Machine,
    sessions: BTreeMap<PeerId, Session>,
    is_removed: bool,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Groups")
            .field(&self.0.endpoint.id())
            .finish()
    }
}

impl Groups {
    /// Those that are kept in this folder, which no other node may use at the same time. `builder` is for the endpoints that show
    /// invites: what it says of the network holds for those too.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(folder: &Path, endpoint: Endpoint, builder: Builder) -> Result<Self, StoreError> {
        let store = Store::open(folder)?;
        let known = store.groups()?;
        let (dials, dialled) = mpsc::unbounded_channel();
        let groups = Self(Arc::new(Inner {
            endpoint,
            builder,
            store,
            writing: Mutex::default(),
            shunned: OnceLock::new(),
            begun: Instant::now(),
            live: Mutex::default(),
            dials,
            dialled: Mutex::new(Some(dialled)),
            woken: Notify::new(),
            events: broadcast::channel(EVENTS).0,
        }));
        for (id, known) in known {
            groups.begin(id, known);
        }
        Ok(groups)
    }

    /// Has nothing to do with these peers, members or not, and goes on to do so as the list changes: they are neither dialled nor asked, and
    /// a link that there is ends. To be called before anything else; a second list is not heeded.
    #[must_use]
    pub fn shunning(self, shunned: &Shunned) -> Self {
        let shunned = self.0.shunned.get_or_init(|| shunned.clone()).watch();
        self.each(|machine, now| machine.shun(&shunned.borrow(), now));
        self
    }

    fn shunned(&self) -> Shunned {
        self.0.shunned.get().cloned().unwrap_or_default()
    }

    fn begin(&self, id: GroupId, known: Known) {
        let endpoint = self.0.endpoint.clone();
        let me = endpoint.id();
        let is_removed = known.log.state().role(me).is_none();
        let sign: Signer =
            Arc::new(move |purpose: &str, message: &[u8]| endpoint.sign(purpose, message));
        let seed = StdRng::from_os_rng().random();
        let mut machine = Machine::new(me, sign, known, seed, self.now());
        machine.met_at(&self.0.endpoint.ticket(), self.now());
        let member = Member {
            machine,
            sessions: BTreeMap::new(),
            is_removed,
        };
        let directory_since_ms = {
            let mut live = self.live();
            live.groups.insert(id, member);
            live.directory_since_ms
        };
        let shunned = self.shunned().watch();
        self.change(id, |machine, now| {
            machine.shun(&shunned.borrow(), now);
            if let Some(since_ms) = directory_since_ms {
                machine.be_directory(since_ms, now);
            }
        });
    }

    /// Makes a group, of which this node is the founder. Of the groups that it belongs to no other may have the name; those that it joins are
    /// called as their founders wish.
    ///
    /// # Errors
    /// [`GroupError::Name`], [`GroupError::Taken`], [`GroupError::TooMany`] and those of the disk.
    pub fn create(&self, name: &str) -> Result<GroupId, GroupError> {
        if !is_name(name) {
            return Err(GroupError::Name);
        }
        let _writing = self.writing();
        {
            let live = self.live();
            let is_named_so = |it: &Member| !it.is_removed && it.machine.log().state().name == name;
            let mut groups = live.groups.iter();
            if let Some((id, _)) = groups.find(|(_, it)| is_named_so(it)) {
                return Err(GroupError::Taken(id.to_string()));
            }
            if live.groups.len() >= MAX_GROUPS {
                return Err(GroupError::TooMany);
            }
        }
        let mut secrets = StdRng::from_os_rng();
        let (nonce, key) = (secrets.random(), EpochKey::from_bytes(secrets.random()));
        let endpoint = &self.0.endpoint;
        let log = Log::found(
            endpoint.id(),
            name.to_owned(),
            (nonce, key.commitment()),
            self.now().unix_ms,
            |purpose, message| endpoint.sign(purpose, message),
        )?;
        let keys = vec![(log.state().epoch, key)];
        self.keep_new(log.group(), Known::of(log, Vec::new(), keys))
    }

    /// Has a new group in the store and among those that live, in the place of what there was of a time before; as long as the disk does not
    /// take it, that stays.
    fn keep_new(&self, id: GroupId, known: Known) -> Result<GroupId, GroupError> {
        let ops = known.log.ops().map(|(_, op)| Record::Op(op.clone()));
        let cards = known.cards.iter().cloned().map(Record::Card);
        let keys = known
            .keys
            .iter()
            .cloned()
            .map(|(epoch, key)| Record::Key(epoch, key));
        let records: Vec<_> = ops.chain(cards).chain(keys).collect();
        self.0.store.renew(id, &records)?;
        self.begin(id, known);
        self.tell(GroupEvent::Changed(id));
        Ok(id)
    }

    /// The group of this name, or whose id begins so.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], [`GroupError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<GroupId, GroupError> {
        let live = self.live();
        let named = live
            .groups
            .iter()
            .filter(|(_, it)| it.machine.log().state().name == name);
        let mut named: Vec<_> = named.map(|(id, _)| *id).collect();
        if named.is_empty() && name.len() >= 8 {
            let start = name.to_ascii_lowercase();
            let ids = live
                .groups
                .keys()
                .filter(|id| id.to_string().starts_with(&start));
            named = ids.copied().collect();
        }
        match named[..] {
            [one] => Ok(one),
            [] => Err(GroupError::Unknown),
            _ => Err(GroupError::Ambiguous),
        }
    }

    /// Gives an invite away, which `uses` new members may show to any that is there, for so long.
    ///
    /// # Errors
    /// [`GroupError::NoAdmin`], [`GroupError::Unknown`] and those of the log.
    pub fn invite(
        &self,
        group: GroupId,
        role: Role,
        uses: u32,
        expires: Duration,
    ) -> Result<GroupInvite, GroupError> {
        let invitation = Invitation::generate().map_err(|_| GroupError::Log(OpError::Unsound))?;
        let expires_ms = expires.min(MAX_EXPIRY).as_millis() as u64;
        let invite = invitation.key().id();
        self.as_admin(group, |machine, now| {
            let body = Body::Invite {
                invite,
                role,
                uses,
                expires_ms: now.unix_ms.saturating_add(expires_ms),
            };
            Ok(Some(machine.draft_op(body, now)?))
        })?;
        let own = self.0.endpoint.ticket();
        let others = self.with(group, |member| {
            let linked = member.machine.linked();
            linked
                .map(|peer| member.machine.ticket(peer))
                .collect::<Vec<_>>()
        })?;
        let members = std::iter::once(own).chain(others).collect();
        Ok(GroupInvite::new(group, invitation, members))
    }

    /// Changes what a member may do, or makes somebody one whose id is known, who comes in by an invite then, whatever that says of
    /// the role.
    ///
    /// # Errors
    /// [`GroupError::NoAdmin`], [`GroupError::Founder`] and those of the log.
    pub fn add(&self, group: GroupId, member: PeerId, role: Role) -> Result<(), GroupError> {
        self.as_admin(group, |machine, now| {
            let body = match machine.log().state().role(member) {
                Some(Role::Founder) => return Err(GroupError::Founder),
                Some(known) if known == role => return Ok(None),
                Some(_) => Body::SetRole { member, role },
                None => Body::Add { member, role },
            };
            Ok(Some(machine.draft_op(body, now)?))
        })
    }

    /// Ends a membership: whoever it was reads nothing that is posted from then on.
    ///
    /// # Errors
    /// [`GroupError::NoAdmin`], [`GroupError::NoMember`], [`GroupError::Founder`] and those of the log.
    pub fn remove(&self, group: GroupId, member: PeerId) -> Result<(), GroupError> {
        self.as_admin(group, |machine, now| {
            match machine.log().state().role(member) {
                Some(Role::Founder) => return Err(GroupError::Founder),
                None => return Err(GroupError::NoMember),
                Some(_) => {}
            }
            Ok(Some(machine.draft_removal(member, now)?))
        })
    }

    /// Posts a text, which is on the disk after that; nobody hears of it if it cannot be kept.
    ///
    /// # Errors
    /// [`GroupError::Post`] and those of the disk.
    pub fn post(&self, group: GroupId, text: &str) -> Result<PostId, GroupError> {
        self.write_post(group, text, |_| Ok(None))
    }

    /// Posts a text as the answer to a post, of which the beginning of its id is enough: eight letters or more. It is on the disk after
    /// that; nobody hears of it if it cannot be kept.
    ///
    /// # Errors
    /// [`GroupError::Post`] and those of the disk.
    pub fn reply(&self, group: GroupId, text: &str, to: &str) -> Result<PostId, GroupError> {
        self.write_post(group, text, |machine| {
            let parent = machine.kept().called(to);
            Ok(Some(parent.ok_or(PostError::NoParent)?))
        })
    }

    fn write_post(
        &self,
        group: GroupId,
        text: &str,
        parent: impl FnOnce(&Machine) -> Result<Option<PostId>, PostError>,
    ) -> Result<PostId, GroupError> {
        let _writing = self.writing();
        let drafted = self.change(group, |machine, now| {
            let parent = parent(machine)?;
            machine.draft(text, parent, now)
        });
        let post = drafted.ok_or(GroupError::Unknown)??;
        let id = post.id();
        let records = [Record::Post(post.clone())];
        self.0.store.keep_own(group, &records)?;
        self.change(group, |machine, now| machine.publish(post, now));
        Ok(id)
    }

    /// Leaves a group, and drops all that is kept of it. Who is linked hears of it.
    ///
    /// # Errors
    /// [`GroupError::Unknown`] and those of the disk.
    pub async fn leave(&self, group: GroupId) -> Result<(), GroupError> {
        let is_linked = self.with(group, |member| !member.sessions.is_empty())?;
        self.change(group, |machine, now| machine.leave(now));
        if is_linked {
            // What was said last is on its way.
            tokio::time::sleep(GOODBYE).await;
        }
        let writing = self.writing();
        self.live().groups.remove(&group);
        let dropped = self.0.store.drop_group(group);
        drop(writing);
        // Whatever the disk says, it is not among the groups any more.
        self.tell(GroupEvent::Removed(group));
        Ok(dropped?)
    }

    /// Everything that happens from now on; who is slow misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<GroupEvent> {
        self.0.events.subscribe()
    }

    /// Whom the node has to let in for its groups: members, and the doors of invites.
    #[must_use]
    pub fn guests(&self) -> Vec<PeerId> {
        let (me, now_ms) = (self.0.endpoint.id(), self.now().unix_ms);
        let mut live = self.live();
        let states = live.groups.values().filter(|it| !it.is_removed);
        let (mut guests, mut invites) = (live.shown.clone(), BTreeSet::new());
        for member in states {
            let state = member.machine.log().state();
            guests.extend(state.members.keys().copied());
            invites.extend(state.answered_invites(now_ms));
        }
        live.doors.retain(|invite, _| invites.contains(invite));
        for invite in invites {
            let doors = (live.doors.entry(invite))
                .or_insert_with(|| (0..DOORS).map(|at| door(invite, at).id()).collect());
            guests.extend(doors.iter().copied());
        }
        guests.retain(|peer| *peer != me);
        guests
    }

    /// Lives in the groups until the node ends. Only one may run at a time; another returns at once.
    pub async fn run(&self) {
        let dialled = self
            .0
            .dialled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut dialled) = dialled else { return };
        let mut snapshots = self.0.endpoint.snapshots();
        let shunned = self.shunned();
        let mut shunning = shunned.watch();
        // It may have, before this ran.
        shunning.mark_changed();
        let mut sessions = FuturesUnordered::new();
        let mut flush_at = Instant::now() + FLUSH;
        let mut ticket = Ticket::from(self.0.endpoint.id());
        loop {
            let due = self.deadline().min(flush_at);
            tokio::select! {
                Some((group, peer)) = dialled.recv() => sessions.push(self.dial(group, peer)),
                Some(()) = sessions.next() => {}
                () = sleep_until(due) => {}
                () = self.0.woken.notified() => {}
                Ok(()) = shunning.changed() => {
                    let shunned = shunning.borrow_and_update().clone();
                    self.each(|machine, now| machine.shun(&shunned, now));
                }
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
            }
            let met_at = snapshots.borrow_and_update().ticket.clone();
            if met_at != ticket {
                ticket = met_at;
                self.each(|machine, now| {
                    machine.met_at(&ticket, now);
                    machine.moved(now);
                });
            }
            if Instant::now() >= flush_at {
                // Why not is logged there, and shown.
                let flushed = self.0.store.flush();
                let wait = flushed.map_or(FLUSH_AGAIN, |()| FLUSH);
                flush_at = Instant::now() + wait;
            }
            self.look();
        }
    }

    /// Whether it is lived in the groups.
    fn is_running(&self) -> bool {
        let dialled = &self.0.dialled;
        let waiting = dialled.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_none()
    }

    /// Has each machine do what is due.
    fn look(&self) {
        let now = self.now();
        let live = self.live();
        let due = live
            .groups
            .iter()
            .filter(|(_, it)| !it.is_removed && it.machine.deadline() <= now.at);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        drop(live);
        for group in due {
            self.rotate(group);
            self.change(group, Machine::timeout);
        }
    }

    /// Begins an epoch of a group if one is due: its key is on the disk before anything is sealed by it.
    fn rotate(&self, group: GroupId) {
        let now = self.now();
        let is_due = self.with(group, |member| member.machine.is_rotation_due(now));
        if !matches!(is_due, Ok(true)) {
            return;
        }
        let _writing = self.writing();
        let drafted = self.change(group, |machine, now| machine.draft_rotation(now));
        let Some(own) = drafted.flatten() else { return };
        let kept = self.0.store.keep_own(group, &own.records());
        self.change(group, |machine, now| match kept {
            Ok(()) => {
                // A log that is full by now goes on with the epoch that there is.
                let _ = machine.publish_op(own, now);
            }
            // Why not is logged there, and shown.
            Err(_) => machine.put_off_rotation(now),
        });
    }

    fn deadline(&self) -> Instant {
        let live = self.live();
        let each = live.groups.values().filter(|it| !it.is_removed);
        let first = each.map(|it| it.machine.deadline()).min();
        self.0.begun + first.unwrap_or(Duration::from_secs(1 << 30))
    }

    fn each(&self, act: impl Fn(&mut Machine, Now)) {
        let groups: Vec<_> = self.live().groups.keys().copied().collect();
        for group in groups {
            self.change(group, &act);
        }
    }

    /// Writes to a group's log what an admin does, if there is anything to write.
    fn as_admin(
        &self,
        group: GroupId,
        act: impl FnOnce(&mut Machine, Now) -> Result<Option<OwnOp>, GroupError>,
    ) -> Result<(), GroupError> {
        let _writing = self.writing();
        let me = self.0.endpoint.id();
        let drafted = self.change(group, |machine, now| {
            if machine.log().state().role(me) < Some(Role::Admin) {
                return Err(GroupError::NoAdmin);
            }
            act(machine, now)
        });
        let Some(own) = drafted.ok_or(GroupError::Unknown)?? else {
            return Ok(());
        };
        self.0.store.keep_own(group, &own.records())?;
        let published = self.change(group, |machine, now| machine.publish_op(own, now));
        Ok(published.ok_or(GroupError::Unknown)??)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        let writing = &self.0.writing;
        writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, group: GroupId, look: impl FnOnce(&Member) -> T) -> Result<T, GroupError> {
        self.live()
            .groups
            .get(&group)
            .map(look)
            .ok_or(GroupError::Unknown)
    }

    /// Has a machine act, and does what it says; none if there is none.
    fn change<T>(&self, group: GroupId, act: impl FnOnce(&mut Machine, Now) -> T) -> Option<T> {
        let now = self.now();
        let mut live = self.live();
        let member = live.groups.get_mut(&group)?;
        let done = act(&mut member.machine, now);
        let (mut records, mut forgotten, mut told) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(output) = member.machine.poll() {
            match output {
                Output::Dial(peer) => {
                    // Nobody dials any more once the node has ended.
                    let _ = self.0.dials.send((group, peer));
                }
                Output::Send(peer, message) => member.queue(peer, Job::Say(message)),
                Output::Serve(peer, posts) => member.queue(peer, Job::Serve(posts)),
                Output::HangUp(peer) => {
                    member.queue(peer, Job::End);
                    member.sessions.remove(&peer);
                }
                Output::Keep(record) => records.push(record),
                Output::Forget(posts) => forgotten.extend(posts),
                Output::Tell(Event::Posted(post)) => {
                    told.push(GroupEvent::Posted(
                        group,
                        PostView::of(&member.machine, &post),
                    ));
                }
                Output::Tell(Event::Changed | Event::Unsealed) => {
                    told.push(GroupEvent::Changed(group))
                }
                Output::Tell(Event::Removed) => {
                    member.is_removed = true;
                    told.push(GroupEvent::Removed(group));
                }
            }
        }
        // In this order. What the disk does not take waits there, where it is logged and shown why.
        if !records.is_empty() {
            let _ = self.0.store.keep(group, records);
        }
        if !forgotten.is_empty() {
            let _ = self.0.store.forget(group, &forgotten);
        }
        drop(live);
        told.into_iter().for_each(|event| self.tell(event));
        self.0.woken.notify_one();
        Some(done)
    }

    async fn dial(&self, group: GroupId, peer: PeerId) {
        let ticket = self.with(group, |member| member.machine.ticket(peer));
        let Ok(ticket) = ticket else { return };
        let connect = async {
            // It was not when the machine chose it.
            if self.shunned().contains(peer) {
                return None;
            }
            self.0.endpoint.connect(ticket, ALPN).await.ok()
        };
        let talked = match timeout(DIAL_PATIENCE, connect).await {
            Ok(Some(connection)) => self.talk(group, connection, true).await,
            Ok(None) | Err(_) => false,
        };
        if !talked {
            self.change(group, |machine, now| machine.unreached(peer, now));
        }
    }

    fn tell(&self, event: GroupEvent) {
        // Nobody may be listening.
        let _ = self.0.events.send(event);
    }

    #[expect(clippy::disallowed_methods, reason = "the shell")]
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            at: self.0.begun.elapsed(),
            unix_ms: unix.unwrap_or_default().as_millis() as u64,
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
