//! The open channels: who opened which, who answered, and who gives way where there is no room.
//!
//! A channel counts against whoever opened it and against their network. As long as the other end has said nothing it
//! *waits*: it ends when its opener does not signal for a while, and gives way to callers from networks with fewer
//! waiting. One that was answered is closed only when a client leaves, or, where room is needed, after long disuse.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use peerway_proto::wire::lane::Channel;

use super::{
    Bucket, ClientId, ClientPath, Limits, Rate, lane::LANE_BURST, network::Network, shares::Shares,
};

/// A channel that nobody answers ends this long after its opener last signalled: callers repeat theirs after three seconds.
const WAITING_FOR: Duration = Duration::from_secs(15);
/// An answered channel unused for this long gives way where another one has no room.
const IDLE_ENOUGH: Duration = Duration::from_secs(60);
/// How long packets may be on their way, or come, from where an end was before it moved.
const MOVES_FOR: Duration = Duration::from_secs(2);
/// How far ahead of its rate a channel that waits may be.
const WAITING_BURST: Duration = Duration::from_secs(8);
/// Channels that are looked at for one that is unused, before there is none.
const LOOKS: usize = 4;

/// One end of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) client: ClientId,
    pub(super) route: ClientPath,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct OpenChannel {
    opener: Member,
    callee: Member,
    answered: bool,
    budget: Bucket,
    /// Signals of the opener, and of the callee.
    signals: [Bucket; 2],
    last_used: Instant,
    /// Bytes of the opener and of the callee that nobody was charged for yet.
    sent: [u64; 2],
    /// An end that moved.
    former: Option<Former>,
    /// Under which time it is filed: that of its last signal while it waits, a former `last_used` later.
    filed: Instant,
}

/// Where an end was until it registered elsewhere.
#[derive(Clone, Copy, Debug)]
struct Former {
    remote: SocketAddr,
    client: ClientId,
    until: Instant,
}

impl OpenChannel {
    /// The client at `src`, and the way to the other one.
    pub(super) fn ends_for(&self, now: Instant, src: SocketAddr) -> Option<(ClientId, ClientPath)> {
        let former = self.former.filter(|it| it.remote == src && now < it.until);
        let is_at = |end: &Member| {
            src == end.route.remote || former.is_some_and(|former| former.client == end.client)
        };
        if is_at(&self.opener) {
            Some((self.opener.client, self.callee.route))
        } else if is_at(&self.callee) {
            Some((self.callee.client, self.opener.route))
        } else {
            None
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// The way to the other one from this client, if it is at one end.
    pub(super) fn way_from(&self, client: ClientId) -> Option<ClientPath> {
        if self.opener.client == client {
            Some(self.callee.route)
        } else {
            (self.callee.client == client).then_some(self.opener.route)
        }
    }

    /// From when on more may go, once it is answered.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        self.budget.ready_at(LANE_BURST, now)
    }

    /// Counts what goes, once it is answered.
    pub(super) fn charge(&mut self, rate: Rate, now: Instant, len: usize) {
        self.last_used = now;
        self.budget.charge(rate, now, len);
    }

    /// Counts who sent it. True if nothing was sent since that was last asked for.
    pub(super) fn note_sent(&mut self, from: ClientId, len: usize) -> bool {
        let is_first = self.sent == [0; 2];
        let [openers, callees] = &mut self.sent;
        let sent = if self.opener.client == from {
            openers
        } else {
            callees
        };
        *sent = sent.saturating_add(len as u64);
        is_first
    }

    /// Whether a word of this client would be the answer.
    pub(super) fn awaits(&self, client: ClientId) -> bool {
        !self.answered && self.callee.client == client
    }

    /// The network that the channel counts against.
    fn network(&self) -> Network {
        Network::of(self.opener.route.remote)
    }

    /// Counts a signal of `client`; false if it signals too often.
    pub(super) fn take_signal(
        &mut self,
        now: Instant,
        client: ClientId,
        rate: Rate,
        burst: Duration,
    ) -> bool {
        let [openers, callees] = &mut self.signals;
        let bucket = if self.opener.client == client {
            openers
        } else {
            callees
        };
        bucket.take_within(burst, rate, now, 1)
    }
}

/// Channels that wait for an answer.
#[derive(Debug, Default)]
struct Waiting {
    shares: Shares,
    by_network: BTreeMap<Network, Callers>,
}

/// Those from one network.
#[derive(Debug, Default)]
struct Callers {
    /// By when their openers last signalled.
    channels: BTreeSet<(Instant, Channel)>,
    /// What they send on them before anybody wants it.
    lane: Bucket,
}

impl Waiting {
    fn insert(&mut self, network: Network, since: Instant, channel: Channel) {
        let callers = self.by_network.entry(network).or_default();
        if callers.channels.insert((since, channel)) {
            self.shares.add(network, 1);
        }
    }

    fn remove(&mut self, network: Network, since: Instant, channel: Channel) {
        let Some(callers) = self.by_network.get_mut(&network) else {
            return;
        };
        if callers.channels.remove(&(since, channel)) {
            self.shares.remove(network, 1);
        }
        if callers.channels.is_empty() {
            self.by_network.remove(&network);
        }
    }

    /// The channel that gives way to a newcomer from `network`: the oldest of the network that has most.
    fn yielding_to(&self, network: Network) -> Option<Channel> {
        let greediest = self.shares.yielding_to(network)?;
        let (_, oldest) = self.by_network.get(&greediest)?.channels.first()?;
        Some(*oldest)
    }

    /// Whether callers from `network` may send so many more bytes.
    fn take_lane(&mut self, network: Network, rate: Rate, now: Instant, len: usize) -> bool {
        let rate = rate.shared_by(self.by_network.len());
        let callers = self.by_network.get_mut(&network);
        callers.is_some_and(|callers| callers.lane.take(rate, now, len))
    }
}

/// All open channels, found by channel and by client.
#[derive(Debug)]
pub(super) struct Channels {
    limits: Limits,
    by_channel: HashMap<Channel, OpenChannel>,
    by_client: HashMap<ClientId, BTreeSet<Channel>>,
    /// The answered ones by who opened them and in all, those unused for longest first as far as that is known.
    opened: HashMap<ClientId, Opened>,
    answered: BTreeSet<(Instant, Channel)>,
    /// The others by who is called, and in all.
    called: HashMap<ClientId, Waiting>,
    waiting: Waiting,
    expiry: BTreeSet<(Instant, Channel)>,
    /// Those on which something was sent that nobody was charged for yet.
    busy: Vec<Channel>,
}

#[derive(Debug, Default)]
struct Opened {
    answered: BTreeSet<(Instant, Channel)>,
    waiting: usize,
}

impl Opened {
    fn len(&self) -> usize {
        self.answered.len() + self.waiting
    }
}

impl Channels {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_channel: HashMap::new(),
            by_client: HashMap::new(),
            opened: HashMap::new(),
            answered: BTreeSet::new(),
            called: HashMap::new(),
            waiting: Waiting::default(),
            expiry: BTreeSet::new(),
            busy: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_channel.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_channel.is_empty()
            && self.by_client.is_empty()
            && self.opened.is_empty()
            && self.answered.is_empty()
            && self.called.is_empty()
            && self.waiting.by_network.is_empty()
            && self.expiry.is_empty()
    }

    pub(super) fn get(&self, channel: Channel) -> Option<&OpenChannel> {
        self.by_channel.get(&channel)
    }

    pub(super) fn get_mut(&mut self, channel: Channel) -> Option<&mut OpenChannel> {
        self.by_channel.get_mut(&channel)
    }

    /// Something was sent on the channel for the first time since [`Self::take_busy`].
    pub(super) fn note_busy(&mut self, channel: Channel) {
        self.busy.push(channel);
    }

    /// The channels on which something was sent since the last call.
    pub(super) fn take_busy(&mut self) -> Vec<Channel> {
        std::mem::take(&mut self.busy)
    }

    /// Closes those channels of a client whose other end is one of which this is false.
    pub(super) fn retain_of(&mut self, id: ClientId, stays: impl Fn(ClientId) -> bool) {
        for channel in self.of(id) {
            let pair = self.by_channel.get(&channel);
            let ends = pair.map(|pair| [pair.opener.client, pair.callee.client]);
            if ends.is_some_and(|ends| !ends.into_iter().any(|end| end != id && stays(end))) {
                self.close(channel);
            }
        }
    }

    /// The ends of a channel, its opener first, and what each sent since the last call.
    pub(super) fn take_sent(&mut self, channel: Channel) -> Option<([ClientId; 2], [u64; 2])> {
        let pair = self.by_channel.get_mut(&channel)?;
        let sent = std::mem::take(&mut pair.sent);
        Some(([pair.opener.client, pair.callee.client], sent))
    }

    /// The channels of a client.
    pub(super) fn of(&self, id: ClientId) -> Vec<Channel> {
        let channels = self.by_client.get(&id).into_iter().flatten();
        channels.copied().collect()
    }

    /// Opens a channel that is not open; false if there is no room for it.
    pub(super) fn open(
        &mut self,
        now: Instant,
        channel: Channel,
        opener: Member,
        callee: Member,
    ) -> bool {
        let network = Network::of(opener.route.remote);
        let has_room = self.make_room_of_opener(now, opener.client)
            && self.make_room_in_all(now, network)
            && self.make_room_at_callee(callee.client, network);
        if has_room {
            let pair = OpenChannel {
                opener,
                callee,
                answered: false,
                budget: Bucket::default(),
                signals: [Bucket::default(); 2],
                last_used: now,
                sent: [0; 2],
                former: None,
                filed: now,
            };
            self.insert(channel, pair);
        }
        has_room
    }

    /// One end signalled on an open channel: it is answered, or goes on waiting.
    pub(super) fn on_signal(&mut self, now: Instant, channel: Channel, from: ClientId) {
        let Some(pair) = self.by_channel.get_mut(&channel) else {
            return;
        };
        pair.last_used = now;
        if !pair.answered && pair.opener.client == from {
            self.refile(channel, |pair| pair.filed = now);
        }
        self.on_answer(now, channel, from);
    }

    /// One end said something on an open channel. If it is the one that was called, that is its answer.
    pub(super) fn on_answer(&mut self, now: Instant, channel: Channel, from: ClientId) {
        let pair = self.by_channel.get(&channel);
        if pair.is_some_and(|pair| pair.awaits(from)) {
            self.refile(channel, |pair| {
                (pair.answered, pair.filed, pair.last_used) = (true, now, now);
                pair.budget = Bucket::default();
            });
        }
    }

    /// Whether so much may go on a channel that waits: as much as takes a handshake to begin.
    pub(super) fn take_waiting(&mut self, now: Instant, channel: Channel, len: usize) -> bool {
        let Some(pair) = self.by_channel.get_mut(&channel) else {
            return false;
        };
        let limits = &self.limits;
        let (callee, network) = (pair.callee.client, pair.network());
        pair.budget
            .take_within(WAITING_BURST, limits.waiting_rate, now, len)
            && self.called.get_mut(&callee).is_some_and(|waiting| {
                waiting.take_lane(network, limits.waiting_rate_in_all, now, len)
            })
    }

    /// Closes all channels of a client.
    pub(super) fn remove_client(&mut self, id: ClientId) {
        for channel in self.by_client.get(&id).cloned().unwrap_or_default() {
            self.close(channel);
        }
    }

    /// Hands all channels of client `old` to `new`. What it sent before it heard of that still counts as its own.
    pub(super) fn move_client(&mut self, now: Instant, old: ClientId, new: Member) {
        for channel in self.by_client.get(&old).cloned().unwrap_or_default() {
            self.refile(channel, |pair| {
                for end in [&mut pair.opener, &mut pair.callee] {
                    if end.client == old {
                        pair.former = Some(Former {
                            remote: end.route.remote,
                            client: new.client,
                            until: now + MOVES_FOR,
                        });
                        *end = new;
                    }
                }
            });
        }
    }

    /// Closes the channels that nobody answered in time.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(since, channel)) = self.expiry.first()
            && since + WAITING_FOR <= now
        {
            self.close(channel);
        }
    }

    fn make_room_of_opener(&mut self, now: Instant, opener: ClientId) -> bool {
        let Some(opened) = self.opened.get(&opener) else {
            return true;
        };
        if opened.len() < self.limits.channels_per_client {
            return true;
        }
        let oldest = |channels: &Self| channels.opened.get(&opener)?.answered.first().copied();
        self.close_unused(now, oldest)
    }

    fn make_room_in_all(&mut self, now: Instant, network: Network) -> bool {
        if self.len() < self.limits.channels
            || self.close_unused(now, |channels| channels.answered.first().copied())
        {
            return true;
        }
        let yielding = self.waiting.yielding_to(network);
        yielding.is_some_and(|channel| self.close(channel))
    }

    fn make_room_at_callee(&mut self, callee: ClientId, network: Network) -> bool {
        let Some(waiting) = self.called.get(&callee) else {
            return true;
        };
        if waiting.shares.total() < self.limits.waiting_per_client {
            return true;
        }
        let yielding = waiting.yielding_to(network);
        yielding.is_some_and(|channel| self.close(channel))
    }

    /// Closes the `oldest` answered channel that is unused for long. Where channels are filed is only put right here, as they
    /// are used far more often.
    fn close_unused(
        &mut self,
        now: Instant,
        oldest: impl Fn(&Self) -> Option<(Instant, Channel)>,
    ) -> bool {
        for _ in 0..LOOKS {
            let Some((filed, channel)) = oldest(self) else {
                return false;
            };
            if now.saturating_duration_since(filed) < IDLE_ENOUGH {
                return false;
            }
            let last_used = self.by_channel.get(&channel).map(|pair| pair.last_used);
            match last_used {
                Some(used) if now.saturating_duration_since(used) < IDLE_ENOUGH => {
                    self.refile(channel, |pair| pair.filed = used);
                }
                _ => return self.close(channel),
            }
        }
        false
    }

    fn close(&mut self, channel: Channel) -> bool {
        self.remove(channel).is_some()
    }

    fn refile(&mut self, channel: Channel, change: impl FnOnce(&mut OpenChannel)) {
        if let Some(mut pair) = self.remove(channel) {
            change(&mut pair);
            self.insert(channel, pair);
        }
    }

    fn insert(&mut self, channel: Channel, pair: OpenChannel) {
        let (opener, callee, filed) = (pair.opener.client, pair.callee.client, pair.filed);
        for client in [opener, callee] {
            self.by_client.entry(client).or_default().insert(channel);
        }
        let opened = self.opened.entry(opener).or_default();
        if pair.answered {
            opened.answered.insert((filed, channel));
            self.answered.insert((filed, channel));
        } else {
            opened.waiting += 1;
            let network = pair.network();
            let called = self.called.entry(callee).or_default();
            called.insert(network, filed, channel);
            self.waiting.insert(network, filed, channel);
            self.expiry.insert((filed, channel));
        }
        self.by_channel.insert(channel, pair);
    }

    fn remove(&mut self, channel: Channel) -> Option<OpenChannel> {
        let pair = self.by_channel.remove(&channel)?;
        let (opener, callee, filed) = (pair.opener.client, pair.callee.client, pair.filed);
        for client in [opener, callee] {
            if let Some(channels) = self.by_client.get_mut(&client) {
                channels.remove(&channel);
                if channels.is_empty() {
                    self.by_client.remove(&client);
                }
            }
        }
        if let Some(opened) = self.opened.get_mut(&opener) {
            if pair.answered {
                opened.answered.remove(&(filed, channel));
            } else {
                opened.waiting -= 1;
            }
            if opened.len() == 0 {
                self.opened.remove(&opener);
            }
        }
        self.answered.remove(&(filed, channel));
        if !pair.answered {
            let network = pair.network();
            if let Some(called) = self.called.get_mut(&callee) {
                called.remove(network, filed, channel);
                if called.by_network.is_empty() {
                    self.called.remove(&callee);
                }
            }
            self.waiting.remove(network, filed, channel);
            self.expiry.remove(&(filed, channel));
        }
        Some(pair)
    }
}
