//! The relays that a node is registered with, or wants to be: which names stand for one relay, which links need it and for how
//! long after, in which family it is dialled, and what is to be thought of whoever answers there.

mod echo;
mod home;
pub mod keepalive;
mod moved;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use self::{
    echo::Echo,
    home::{Home, RoundTrips},
    moved::{Moved, Word},
    told::Told,
};
use crate::{
    EventKind, HomeReason, PeerId, RelayRole, RelayState, RelayUrl,
    local::Local,
    timing::{LEAVE_AFTER, UNUSED_RELAY},
};

/// See the [module](self).
pub struct Relays {
    /// Our own relays as they were [set](Self::set_home).
    chosen: Vec<RelayUrl>,
    moved: Moved,
    home: Home,
    relays: BTreeMap<RelayUrl, Relay>,
    /// All links, and the relays at which their peers are or may be met.
    links: BTreeMap<PeerId, BTreeSet<RelayUrl>>,
    /// Of these, those that a relay carries, and which.
    carried: BTreeMap<PeerId, RelayUrl>,
    orders: VecDeque<Order>,
    rng: ChaCha20Rng,
}

/// A relay, as far as we know.
pub struct Relay {
    pub state: RelayState,
    /// Where it is dialled, once its name was resolved.
    pub addr: Option<SocketAddr>,
    /// Round-trip time to it, as last measured.
    pub rtt: Option<Duration>,
    /// Whether it is one of ours.
    pub home: bool,
    /// Whether somebody without its key answered in its place.
    pub impostor: bool,
    /// By what it was reached last.
    pub over: Over,
    /// Whether it is about to stop, and carries on until then.
    pub is_draining: bool,
    /// It was named for another's place, and is not any more: nothing but the links that it carries needs it.
    is_given_up: bool,
    /// When it is left because of either, unless it carries a link.
    leave_at: Option<Instant>,
    /// Whether it has proved since it was dialled there that it is the relay that its URL names.
    proven: bool,
    /// Where it saw us when we registered, and where it has seen us since.
    registered_at: Option<SocketAddr>,
    seen_at: Option<SocketAddr>,
    echo: Option<Echo>,
    told: Told,
    round_trips: RoundTrips,
    /// Since when no link needs it.
    unused: Option<Instant>,
}

/// By what a relay is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// UDP, at its address.
    #[default]
    Udp,
    /// A stream.
    Tcp {
        /// What stands for the stream in place of the relay's address.
        stream: SocketAddr,
        /// The relay's port.
        port: u16,
        /// The proxy on the way, without passwords.
        proxy: Option<String>,
    },
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Find out where the relay is, and stay registered with it.
    Register { relay: RelayUrl },
    /// Be registered as one whose own relay it is, not as its visitor any more.
    Settle { relay: RelayUrl },
    /// Be registered with it no more.
    Deregister { relay: RelayUrl },
    /// Leave it as it asked for, to be back when it is.
    Leave { relay: RelayUrl },
    /// Dial the relay at this address, and no more where it was before.
    Dial {
        relay: RelayUrl,
        addr: SocketAddr,
        before: Option<SocketAddr>,
    },
    /// Ask by STUN, with this transaction id, where we are seen.
    AskStun { to: SocketAddr, tx: [u8; 12] },
    /// The NAT can be measured through this address, of a relay that is [trusted with that](Relays::trusted_with_nat).
    Measure { through: SocketAddr },
    /// Whoever answers at this address is not known to be the relay that it was taken for: what it said of our NAT may be false.
    Distrust { addr: SocketAddr },
    /// Routers may have forgotten what they granted.
    DoubtMappings,
    /// Tell whoever listens.
    Event(EventKind),
}

impl Relays {
    /// With no relays yet; the seed has to be unknown to others.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            chosen: Vec::new(),
            moved: Moved::default(),
            home: Home::default(),
            relays: BTreeMap::new(),
            links: BTreeMap::new(),
            carried: BTreeMap::new(),
            orders: VecDeque::new(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Our own relays: the home relay, then the others.
    pub fn home(&self) -> &[RelayUrl] {
        self.home.ranked()
    }

    /// Our own relays as they were [set](Self::set_home).
    pub fn configured(&self) -> &[RelayUrl] {
        &self.chosen
    }

    /// What a relay of ours that we are registered with is to us.
    pub fn role(&self, url: &RelayUrl) -> Option<RelayRole> {
        self.home.role(url, &self.relays)
    }

    /// Why the home relay is the one that it is, if we are registered with it.
    pub fn home_reason(&self, now: Instant) -> Option<HomeReason> {
        self.home.reason(now, &self.relays)
    }

    /// Registers with the relays that are ours from now on, of which those that are about as near come in this order. The others are left when no link needs them any more.
    pub fn set_home(&mut self, now: Instant, home: Vec<RelayUrl>) {
        self.chosen = home;
        self.moved.retain(&self.chosen);
        self.take_home(now);
    }

    /// Looks again which relays are ours.
    fn take_home(&mut self, now: Instant) {
        let ours = self.moved.ours(&self.chosen);
        let named = self.moved.named().filter(|named| !ours.contains(named));
        let wanted: Vec<RelayUrl> = ours.iter().chain(named).cloned().collect();
        self.home.configure(ours);
        for (url, relay) in &mut self.relays {
            let was_home = std::mem::replace(&mut relay.home, wanted.contains(url));
            if was_home && relay.unused.is_some() {
                relay.unused = Some(now);
            }
            if relay.home && !was_home {
                relay.keep();
                let told = wanted.iter().find(|wanted| *wanted == url);
                let relay = told.unwrap_or(url).clone();
                self.orders.push_back(Order::Settle { relay });
            }
        }
        for url in wanted {
            self.need(now, url);
        }
        self.home.choose(now, &self.relays);
    }

    /// Has the relay of ours with this key be the home relay whenever it can be used; with none it is the nearest again.
    pub fn prefer_home(&mut self, now: Instant, relay: Option<PeerId>) {
        self.home.prefer(relay);
        self.home.choose(now, &self.relays);
    }

    /// The name by which we know a relay already: another one for the same would have it replace our registration again and
    /// again. Of a relay that is not ours and does not answer, another name may be the right one.
    pub fn known<'a>(&'a self, url: &'a RelayUrl) -> &'a RelayUrl {
        let known = self.relays.iter().find(|(known, relay)| {
            known.key() == url.key() && (relay.home || relay.state != RelayState::Down)
        });
        known.map_or(url, |(known, _)| known)
    }

    /// Registers with a relay, unless that is under way already.
    pub fn need(&mut self, now: Instant, url: RelayUrl) {
        if self.relays.contains_key(&url) || *self.known(&url) != url {
            return;
        }
        let relay = Relay {
            state: RelayState::Connecting,
            addr: None,
            rtt: None,
            home: self.home().contains(&url) || self.moved.named().any(|named| *named == url),
            impostor: false,
            over: Over::Udp,
            is_draining: false,
            is_given_up: false,
            leave_at: None,
            proven: false,
            registered_at: None,
            seen_at: None,
            echo: None,
            told: Told::default(),
            round_trips: RoundTrips::default(),
            unused: (!is_needed(&self.links, &url)).then_some(now),
        };
        self.relays.insert(url.clone(), relay);
        self.orders.push_back(Order::Register { relay: url });
    }

    /// There is a link to the peer.
    pub fn on_link(&mut self, peer: PeerId) {
        self.links.entry(peer).or_default();
    }

    /// The link's peer is or may be met at this relay: if we register there, it is for as long as the link is.
    pub fn on_link_needs(&mut self, peer: PeerId, url: &RelayUrl) {
        if let Some(relay) = self.relays.get_mut(url) {
            relay.unused = None;
        }
        let relays = self.links.entry(peer).or_default();
        if !relays.contains(url) {
            relays.insert(url.clone());
            if let Some(relay) = self.relays.get_mut(url) {
                relay.keep();
            }
        }
    }

    /// The link is no more.
    pub fn on_link_over(&mut self, now: Instant, peer: PeerId) {
        self.on_route(now, peer, None);
        for url in self.links.remove(&peer).unwrap_or_default() {
            if let Some(relay) = self.relays.get_mut(&url)
                && !is_needed(&self.links, &url)
            {
                relay.unused = Some(now);
            }
        }
    }

    /// The link goes by this relay from now on, or by none.
    pub fn on_route(&mut self, now: Instant, peer: PeerId, relay: Option<&RelayUrl>) {
        let before = match relay {
            Some(relay) if self.carried.get(&peer) == Some(relay) => return,
            Some(relay) => self.carried.insert(peer, relay.clone()),
            None => self.carried.remove(&peer),
        };
        let left = before.and_then(|before| self.relays.get_mut(&before));
        if let Some(left) = left.filter(|left| left.leave_at.is_some()) {
            // What is on the way from the peer still comes through it.
            left.leave_at = Some(now + LEAVE_AFTER);
        }
    }

    /// The relays at which the link's peer is or may be met.
    pub fn of_link(&self, peer: PeerId) -> impl Iterator<Item = &RelayUrl> {
        self.links.get(&peer).into_iter().flatten()
    }

    /// The relay of this name.
    pub fn get(&self, url: &RelayUrl) -> Option<&Relay> {
        self.relays.get(url)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&RelayUrl, &Relay)> {
        self.relays.iter()
    }

    /// A relay's name stands for this address and, maybe, one of the other family: dials where a route leads. A translator to
    /// IPv4 turns their order round.
    pub fn on_resolved(
        &mut self,
        now: Instant,
        url: &RelayUrl,
        mut addr: SocketAddr,
        other: Option<SocketAddr>,
        local: &Local,
    ) {
        let mut other = other.filter(|other| other.is_ipv4() != addr.is_ipv4());
        if let Some(other) = &mut other
            && (local.nat64.is_some() || !local.reaches(addr))
            && local.reaches(*other)
        {
            std::mem::swap(other, &mut addr);
        }
        if !self.chosen.contains(url) {
            other = other.filter(|other| self.moved.may_be_at(url, other.ip()));
            if !self.moved.may_be_at(url, addr.ip()) {
                return self.refuse(now, url.clone());
            }
        }
        let Some(relay) = self.relays.get_mut(url) else {
            return;
        };
        let before = relay.addr.replace(addr);
        relay.proven &= before == Some(addr);
        relay.echo = other.map(|other| Echo::new(now, other));
        self.orders.push_back(Order::Dial {
            relay: url.clone(),
            addr,
            before,
        });
        if relay.state == RelayState::Connecting {
            // It answers before we are registered, so that the first INTRO can say how our NAT behaves.
            self.measure(addr);
        }
    }

    /// Registered with a relay, which sees us there. Returns where it is reached.
    pub fn on_up(
        &mut self,
        now: Instant,
        url: &RelayUrl,
        rtt: Duration,
        observed: SocketAddr,
        over: Over,
    ) -> Option<SocketAddr> {
        let is_udp = over == Over::Udp;
        let is_known = |relay: &Relay| relay.registered_at == Some(observed);
        let is_news = is_udp && !self.relays.values().any(is_known);
        let relay = self.relays.get_mut(url)?;
        let returns = relay.state == RelayState::Down;
        (relay.state, relay.rtt) = (RelayState::Up, Some(rtt));
        // A stream says nothing of who answers by UDP.
        (relay.proven, relay.impostor) = (is_udp, false);
        relay.over = over;
        relay.drain_is_over(now);
        relay.round_trips.note(now, rtt);
        relay.told = Told::default();
        relay.registered_at = Some(observed);
        relay.seen_at = Some(observed);
        let real = relay.real_addr();
        let addr = relay.addr;
        if returns {
            self.orders.push_back(Order::DoubtMappings);
        }
        if is_news {
            self.tell(EventKind::PublicAddress { addr: observed });
        }
        let relay = url.clone();
        self.tell(EventKind::RelayUp { relay, rtt });
        if let Some(through) = addr.filter(|_| is_udp) {
            self.measure(through);
        }
        self.home.choose(now, &self.relays);
        self.note_moved(now, url, true);
        real
    }

    /// The way to a relay that we are registered with and back took so long.
    pub fn on_rtt(&mut self, now: Instant, url: &RelayUrl, rtt: Duration) {
        let Some(relay) = self.relays.get_mut(url) else {
            return;
        };
        relay.rtt = Some(rtt);
        relay.round_trips.note(now, rtt);
        self.home.choose(now, &self.relays);
    }

    /// A relay sees us there; that it saw us elsewhere before is a sign that our router began anew.
    pub fn on_observed(&mut self, url: &RelayUrl, addr: SocketAddr) {
        let Some(relay) = self.relays.get_mut(url) else {
            return;
        };
        let before = relay.seen_at.filter(|_| relay.state == RelayState::Up);
        relay.seen_at = Some(addr);
        if before.is_some_and(|before| before != addr) {
            self.orders.push_back(Order::DoubtMappings);
        }
    }

    /// A relay that we are registered with is about to stop. It is left as soon as it carries no link, unless none of ours would
    /// be left.
    pub fn on_draining(&mut self, now: Instant, url: &RelayUrl) {
        let relay = self.relays.get_mut(url);
        let Some(relay) = relay.filter(|relay| relay.state == RelayState::Up) else {
            return;
        };
        (relay.is_draining, relay.leave_at) = (true, Some(now + LEAVE_AFTER));
        self.home.choose(now, &self.relays);
    }

    /// A relay that we are registered with is taken out of service, and names another one, which is believed as far as its own place
    /// is concerned: it is given up when we are registered with the other, and whoever is met there may be met at the other.
    /// One that we know by such words alone may be in the internet, or on such a network as the relays are that named it. Returns by
    /// which name it is known, unless the word is not believed.
    pub fn on_moved(&mut self, now: Instant, url: &RelayUrl, to: &RelayUrl) -> Option<RelayUrl> {
        let relay = self.relays.get(url);
        let relay = relay.filter(|relay| relay.state == RelayState::Up)?;
        let from = relay.addr.map(|addr| addr.ip());
        let known = self.known(to);
        // Of those that are equal, what we were told has the invitation.
        let to = if known == to { to } else { known }.clone();
        let is_ours = self.moved.has_place(&self.chosen, url);
        let word = Word {
            by: url,
            from,
            to: &to,
            was_known: self.relays.contains_key(&to),
        };
        let dropped = self.moved.name(now, &self.chosen, &word).ok()?;
        let is_usable = |relay: &Relay| (relay.home || !is_ours) && relay.lasts();
        let is_up = self.relays.get(&to).is_some_and(is_usable);
        if is_ours {
            let (relay, to) = (url.clone(), to.clone());
            self.tell(EventKind::RelayMoved { relay, to });
            self.take_home(now);
        }
        for dropped in dropped {
            self.give_up(now, url, dropped);
        }
        if let Some(named) = self.relays.get_mut(&to) {
            named.keep();
        }
        for met_at in self.links.values_mut().filter(|it| it.contains(url)) {
            met_at.insert(to.clone());
        }
        if is_needed(&self.links, &to) {
            self.need(now, to.clone());
        }
        self.note_moved(now, &to, is_up);
        Some(to)
    }

    /// Where somebody is to be asked for who is said to be at this relay, by the names that we know: also at the one that has its place.
    pub fn met_at<'a>(&'a self, url: &'a RelayUrl) -> impl Iterator<Item = &'a RelayUrl> {
        let known = self.known(url);
        self.moved.successor_of(known).into_iter().chain([known])
    }

    /// The relay of ours in whose place this one is, as an operator said.
    pub fn in_place_of(&self, url: &RelayUrl) -> Option<&RelayUrl> {
        self.moved.place_of(url)
    }

    /// Whether we know a relay only as others named it: it may be nowhere but where [they speak for](Self::on_moved).
    pub fn is_stranger(&self, url: &RelayUrl) -> bool {
        !self.chosen.contains(url) && self.moved.is_stranger(url)
    }

    /// The last try to register failed, because of somebody without the relay's key if it is an impostor.
    pub fn on_down(&mut self, now: Instant, url: &RelayUrl, reason: String, impostor: bool) {
        let Some(relay) = self.relays.get_mut(url) else {
            return;
        };
        (relay.state, relay.impostor) = (RelayState::Down, impostor);
        relay.drain_is_over(now);
        let is_news = relay.told.is_news(now, &reason);
        let unproven = relay.addr.filter(|_| !relay.proven);
        if is_news {
            let relay = url.clone();
            self.tell(EventKind::RelayDown { relay, reason });
        }
        if let Some(addr) = unproven {
            self.orders.push_back(Order::Distrust { addr });
        }
        self.home.choose(now, &self.relays);
        self.note_moved(now, url, false);
        self.forget_replaced();
    }

    /// The network is another one: asks anew where relays see us in the family that we are not registered in, and forgets how
    /// far they were.
    pub fn on_network_changed(&mut self, now: Instant) {
        for relay in self.relays.values_mut() {
            relay.round_trips.forget();
            if let Some(echo) = &mut relay.echo {
                echo.begin_anew(now);
            }
        }
        self.home.begin_anew(now);
    }

    /// Takes the answer to [`Order::AskStun`]: returns the relay that gave it, or nothing if it is none.
    pub fn on_stun(&mut self, now: Instant, from: SocketAddr, tx: [u8; 12]) -> Option<RelayUrl> {
        let (url, echo) = self.relays.iter_mut().find_map(|(url, relay)| {
            let echo = relay.echo.as_mut()?;
            echo.is_asked(from, tx).then_some((url, echo))
        })?;
        echo.on_answer(now);
        Some(url.clone())
    }

    /// Somebody else answers in the place of this relay of the link's.
    pub fn impostor_of_link(&self, peer: PeerId) -> Option<&RelayUrl> {
        let mut relays = self.of_link(peer);
        relays.find(|url| self.relays.get(*url).is_some_and(|relay| relay.impostor))
    }

    /// Whether somebody else answers in the place of each relay of the link's: waiting will not mend that.
    pub fn is_hopeless(&self, peer: PeerId) -> bool {
        let is_impostor = |url| self.relays.get(url).is_some_and(|relay| relay.impostor);
        self.of_link(peer).next().is_some() && self.of_link(peer).all(is_impostor)
    }

    /// The relays that are asked about the NAT: a peer's, which may lie about it, only if there is none of ours.
    pub fn trusted_with_nat(&self) -> Vec<SocketAddr> {
        let usable = self
            .relays
            .values()
            .filter(|relay| relay.state != RelayState::Down && relay.addr.is_some());
        let some_ours = usable.clone().any(|relay| relay.home);
        let asked = usable.filter(|relay| relay.home || !some_ours);
        asked.filter_map(|relay| relay.addr).collect()
    }

    /// Where a peer counts as being that a relay attests at `ip`. Only our own relays are believed; whoever is met at another
    /// counts as being where that relay is.
    pub fn believed(&self, url: &RelayUrl, ip: IpAddr) -> IpAddr {
        match self.relays.get(url) {
            Some(relay) if relay.home => ip,
            Some(Relay {
                addr: Some(addr), ..
            }) => addr.ip(),
            Some(_) | None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// When [`Self::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let in_use = !self.links.is_empty();
        let due = |(url, relay): (&RelayUrl, &Relay)| {
            let left = relay.left_at();
            let asked = relay.echo_due(in_use);
            let leaves = self.leaves_at(url, relay);
            [left, asked, leaves].into_iter().flatten().min()
        };
        self.relays.iter().filter_map(due).min()
    }

    /// Leaves the relays that no link has needed for a while, and those that are about to stop. Asks the others where they see us in the other family, as often as it
    /// takes to know it and, while there are links, to keep it so.
    pub fn handle_timeout(&mut self, now: Instant) {
        let unused = self
            .relays
            .extract_if(.., |_, relay| relay.left_at().is_some_and(|at| at <= now));
        let left = unused.map(|(relay, _)| Order::Deregister { relay });
        self.orders.extend(left);
        self.forget_words();
        self.leave_draining(now);
        let in_use = !self.links.is_empty();
        for relay in self.relays.values_mut() {
            if relay.echo_due(in_use).is_some_and(|at| at <= now)
                && let Some(echo) = &mut relay.echo
            {
                let (to, tx) = echo.ask(now, &mut self.rng);
                self.orders.push_back(Order::AskStun { to, tx });
            }
        }
    }

    /// What is to be done next.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    fn leave_draining(&mut self, now: Instant) {
        let is_due = |(url, relay): &(&RelayUrl, &Relay)| {
            self.leaves_at(url, relay).is_some_and(|at| at <= now)
        };
        let due = self.relays.iter().filter(is_due);
        let due: Vec<RelayUrl> = due.map(|(url, _)| url.clone()).collect();
        for relay in due {
            let left = self.relays.get(&relay);
            if left.is_some_and(|left| {
                !left.home && (left.is_given_up || self.moved.has_replaced(&relay))
            }) {
                self.forget(relay);
                continue;
            }
            if let Some(left) = self.relays.get_mut(&relay) {
                left.leave_at = None;
            }
            self.orders.push_back(Order::Leave { relay });
        }
    }

    /// A relay that may have been named for another's place is up, or not any more.
    fn note_moved(&mut self, now: Instant, url: &RelayUrl, is_up: bool) {
        if self.moved.note(url, is_up) {
            self.take_home(now);
            self.forget_replaced();
        }
    }

    /// A relay that was named may not be where it is.
    fn refuse(&mut self, now: Instant, relay: RelayUrl) {
        self.moved.refuse(&relay);
        self.tell(EventKind::RelayDown {
            relay: relay.clone(),
            reason: "it is on a network for which the relay that named it in its place does not speak: to use it all the same, name it yourself".to_owned(),
        });
        self.take_home(now);
        self.forget(relay);
    }

    /// Forgets the relays whose places others have, once they are gone.
    fn forget_replaced(&mut self) {
        let is_gone = |(url, relay): &(&RelayUrl, &Relay)| {
            !relay.home && relay.state != RelayState::Up && self.moved.has_replaced(url)
        };
        let gone = self.relays.iter().filter(is_gone);
        let gone: Vec<RelayUrl> = gone.map(|(url, _)| url.clone()).collect();
        for url in gone {
            self.forget(url);
        }
    }

    /// A relay was named by another, and is not any more: it is left, unless peers are met there of which that one knows nothing, and
    /// not before it carries no link.
    fn give_up(&mut self, now: Instant, by: &RelayUrl, relay: RelayUrl) {
        let carries = self.carried.values().any(|carrier| *carrier == relay);
        let mut links = self.links.values();
        if links.any(|met_at| met_at.contains(&relay) && !met_at.contains(by)) {
            for (peer, met_at) in &mut self.links {
                if met_at.contains(by) && self.carried.get(peer) != Some(&relay) {
                    met_at.remove(&relay);
                }
            }
            return;
        }
        match self.relays.get_mut(&relay).filter(|_| carries) {
            Some(left) => (left.is_given_up, left.leave_at) = (true, Some(now + LEAVE_AFTER)),
            None => self.forget(relay),
        }
    }

    /// Gives a relay up though peers were met there.
    fn forget(&mut self, relay: RelayUrl) {
        self.relays.remove(&relay);
        for met_at in self.links.values_mut() {
            met_at.remove(&relay);
        }
        self.forget_words();
        self.orders.push_back(Order::Deregister { relay });
    }

    /// Forgets what relays said of others of which none is needed.
    fn forget_words(&mut self) {
        self.moved
            .retain_needed(|relay| self.relays.contains_key(relay));
    }

    /// When a relay is left that is about to stop: not while it carries a link, or is the last of ours.
    fn leaves_at(&self, url: &RelayUrl, relay: &Relay) -> Option<Instant> {
        let at = relay.leave_at?;
        let is_last = relay.home
            && !self
                .relays
                .values()
                .any(|other| other.home && other.lasts());
        let is_needed = is_last || self.carried.values().any(|by| by == url);
        (!is_needed).then_some(at)
    }

    fn measure(&mut self, through: SocketAddr) {
        if self.trusted_with_nat().contains(&through) {
            self.orders.push_back(Order::Measure { through });
        }
    }

    fn tell(&mut self, event: EventKind) {
        self.orders.push_back(Order::Event(event));
    }
}

impl Relay {
    /// Where it is reached: its address, with its TCP port if that is what is used.
    fn real_addr(&self) -> Option<SocketAddr> {
        match self.over {
            Over::Udp => self.addr,
            Over::Tcp { stream, port, .. } => {
                Some(SocketAddr::new(stream.ip().to_canonical(), port))
            }
        }
    }

    /// What its lanes are sent to and come from.
    pub fn lane_addr(&self) -> Option<SocketAddr> {
        match self.over {
            Over::Udp => self.addr,
            Over::Tcp { stream, .. } => Some(stream),
        }
    }

    /// Whether we are registered with it, and it is not about to stop.
    fn lasts(&self) -> bool {
        self.state == RelayState::Up && !self.is_draining
    }

    /// It is about to stop no more, or has stopped.
    fn drain_is_over(&mut self, now: Instant) {
        self.is_draining = false;
        self.leave_at = self.is_given_up.then(|| now + LEAVE_AFTER);
    }

    /// It is needed again.
    fn keep(&mut self) {
        if std::mem::take(&mut self.is_given_up) && !self.is_draining {
            self.leave_at = None;
        }
    }

    /// When it is to be left.
    fn left_at(&self) -> Option<Instant> {
        let unused = self.unused.filter(|_| !self.home)?;
        Some(unused + UNUSED_RELAY)
    }

    /// When it is to be asked where it sees us in the other family.
    fn echo_due(&self, in_use: bool) -> Option<Instant> {
        let is_up = self.state == RelayState::Up;
        self.echo.as_ref().filter(|_| is_up)?.due(in_use)
    }
}

/// Whether any link needs the relay.
fn is_needed(links: &BTreeMap<PeerId, BTreeSet<RelayUrl>>, url: &RelayUrl) -> bool {
    links.values().any(|relays| relays.contains(url))
}

#[cfg(test)]
mod tests;
