//! Where a peer may be met: relays, addresses, and what relays say of it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    RelayUrl,
    io::{Failure, Pair},
    local::Local,
};

/// Relays that are remembered per peer.
const MAX_RELAYS: usize = 4;
/// Addresses that are remembered per peer.
const MAX_ADDRS: usize = 8;
/// Addresses at which a peer may be found at the same time.
const MAX_FOUND: usize = 8;

#[derive(Default)]
pub(super) struct Contact {
    /// Relays at which the peer may be met, best first.
    relays: Vec<RelayUrl>,
    /// The relay that carries this link.
    via: Option<RelayUrl>,
    /// The relay that is about to stop, and carries the data until the peer is heard by [`Self::via`].
    leaving: Option<RelayUrl>,
    /// Relays that said that the peer is not there, since it was last called.
    absent_at: Vec<RelayUrl>,
    /// Relays that let no more calls through to it, since then.
    busy_at: Vec<RelayUrl>,
    /// Addresses at which it was dialled.
    addrs: Vec<SocketAddr>,
    /// Where it was found on our own network.
    found: Vec<SocketAddr>,
    /// None of these is to be used now.
    by_relays_alone: bool,
    /// Where a relay sees it, and which.
    attested: Option<(RelayUrl, SocketAddr)>,
    /// Where its last direct hello says that it came from.
    claimed: Option<IpAddr>,
    /// Round trip between INTRO and its answer through the relay.
    relay_rtt: Option<Duration>,
}

/// Where a message of the handshake came from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Through a relay, which sees the sender at this address, or is to tell nobody where.
    Relay {
        relay: RelayUrl,
        attested: Option<SocketAddr>,
    },
    /// Directly, on this pair.
    Direct(Pair),
}

/// Why a relay did not pass a hello on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// It does not know the peer.
    Absent,
    /// It lets no more calls through to it.
    Busy,
}

/// Where a peer is on the internet, as far as that is known: its share of what we have depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// It answered from there.
    Proven(IpAddr),
    /// A relay sees it there.
    Attested {
        /// Who says so.
        relay: RelayUrl,
        /// The address that it sees.
        ip: IpAddr,
    },
    /// A hello of it says that it came from there.
    Claimed(IpAddr),
}

impl Contact {
    /// Whether anything says where the peer is.
    pub(super) fn is_placed(&self, local: &Local) -> bool {
        !self.relays.is_empty() || self.has_addrs(local)
    }

    /// Why nothing that may be used says where the peer is.
    pub(super) fn nowhere(&self) -> Failure {
        if self.by_relays_alone {
            Failure::Policy
        } else {
            Failure::NoAddress
        }
    }

    /// Whether addresses are to be used, or relays alone.
    pub(super) fn use_addrs(&mut self, yes: bool) {
        self.by_relays_alone = !yes;
    }

    /// It may be met at these relays, rather than at those that were known.
    pub(super) fn meet_at(&mut self, relays: Vec<RelayUrl>) {
        for relay in relays.into_iter().rev() {
            self.relays.retain(|known| *known != relay);
            self.relays.insert(0, relay);
        }
        self.relays.truncate(MAX_RELAYS);
    }

    /// Another relay has the place of one at which it may be met.
    pub(super) fn follow(&mut self, relay: &RelayUrl, to: &RelayUrl) {
        if self.concerns(relay) {
            self.meet_at(vec![to.clone()]);
        }
    }

    /// Our own user dials these addresses.
    pub(super) fn dial_at(&mut self, addrs: Vec<SocketAddr>) {
        for addr in addrs {
            if !self.addrs.contains(&addr) {
                self.addrs.insert(0, addr);
            }
        }
        self.addrs.truncate(MAX_ADDRS);
    }

    /// Where our own user dialled it.
    pub(super) fn dialled_addrs(&self) -> &[SocketAddr] {
        if self.by_relays_alone {
            return &[];
        }
        &self.addrs
    }

    /// The peer was found on our network, at these addresses and nowhere else; none if it left. Returns whether one is new. Anybody
    /// on the network can claim to have seen it anywhere, so what is done about it is bounded, and stays on the network.
    pub(super) fn find_at(&mut self, local: &Local, mut addrs: Vec<SocketAddr>) -> bool {
        addrs.retain(|addr| local.is_neighbour(*addr));
        addrs.truncate(MAX_FOUND);
        let is_news = addrs.iter().any(|addr| !self.found.contains(addr));
        self.found = addrs;
        is_news
    }

    /// Whether it was found on a network of ours, also if we have left that since.
    pub(super) fn was_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Where it was found on a network that we are still in.
    fn neighbours(&self, local: &Local) -> impl Iterator<Item = SocketAddr> {
        let found = self.found.iter().copied();
        found.filter(|addr| local.is_neighbour(*addr))
    }

    /// Addresses to say hello to without a relay.
    pub(super) fn addrs(&self, local: &Local) -> Vec<SocketAddr> {
        if self.by_relays_alone {
            return Vec::new();
        }
        let found = self.neighbours(local);
        let found = found.filter(|addr| !self.addrs.contains(addr));
        self.addrs.iter().copied().chain(found).collect()
    }

    pub(super) fn has_addrs(&self, local: &Local) -> bool {
        !self.by_relays_alone && (!self.addrs.is_empty() || self.neighbours(local).next().is_some())
    }

    /// The relay of this link.
    pub(super) fn via(&self) -> Option<&RelayUrl> {
        self.via.as_ref()
    }

    /// The relay of this link, if we are registered there.
    pub(super) fn live_via(&self, local: &Local) -> Option<RelayUrl> {
        self.via
            .clone()
            .filter(|relay| local.relays.contains_key(relay))
    }

    /// The relay of this link, if it is about to stop.
    pub(super) fn via_that_stops(&self, local: &Local) -> Option<RelayUrl> {
        let view = |relay: &RelayUrl| local.relays.get(relay).is_some_and(|it| it.is_draining);
        self.via.clone().filter(view)
    }

    pub(super) fn is_via(&self, relay: &RelayUrl) -> bool {
        self.via.as_ref() == Some(relay)
    }

    /// Whether the peer may be met at this relay, or its link is there.
    pub(super) fn concerns(&self, relay: &RelayUrl) -> bool {
        self.relays.contains(relay) || self.is_via(relay)
    }

    /// Whether it may be met at a relay that we are registered with.
    pub(super) fn has_live_relay(&self, local: &Local) -> bool {
        let mut relays = self.relays.iter();
        relays.any(|relay| local.relays.contains_key(relay))
    }

    /// As [`Self::has_live_relay`], where it is not about to stop.
    pub(super) fn has_lasting_relay(&self, local: &Local) -> bool {
        self.relays.iter().any(|relay| lasts(local, relay))
    }

    /// The relay that the data goes by.
    pub(super) fn carrier(&self) -> Option<&RelayUrl> {
        self.leaving.as_ref().or(self.via.as_ref())
    }

    /// The relay of this link is about to stop: another one is to be chosen.
    pub(super) fn begin_to_leave(&mut self) {
        self.leaving = self.via.take();
    }

    /// This relay carries nothing any more. Returns whether it was the one that is being left.
    pub(super) fn has_left(&mut self, relay: &RelayUrl) -> bool {
        self.leaving.take_if(|leaving| leaving == relay).is_some()
    }

    pub(super) fn leave_all_relays(&mut self) {
        (self.via, self.leaving) = (None, None);
    }

    pub(super) fn go_via(&mut self, relay: &RelayUrl) {
        self.via = Some(relay.clone());
    }

    pub(super) fn leave_relay(&mut self) {
        self.via = None;
    }

    /// Takes the first relay at which the peer may be and that we are registered with; returns those to ask for if there is none.
    pub(super) fn choose_relay(&mut self, local: &Local) -> Vec<RelayUrl> {
        if self.live_via(local).is_some() {
            return Vec::new();
        }
        let is_live = |relay: &&RelayUrl| local.relays.contains_key(*relay);
        let lasting = self.relays_left().find(|relay| lasts(local, relay));
        let live = lasting.or_else(|| self.relays_left().find(is_live));
        self.via = live.cloned();
        match self.via {
            Some(_) => Vec::new(),
            None => self.relays_left().take(2).cloned().collect(),
        }
    }

    /// The relay of this link did not pass our hello on. Returns whether there are others to ask.
    pub(super) fn turn_away(&mut self, why: TurnedAway) -> bool {
        let by = match why {
            TurnedAway::Absent => &mut self.absent_at,
            TurnedAway::Busy => &mut self.busy_at,
        };
        by.extend(self.via.clone());
        self.relays_left().next().is_some()
    }

    /// Asks relays again that turned us away.
    pub(super) fn ask_all(&mut self) {
        self.absent_at.clear();
        self.busy_at.clear();
    }

    /// Why relays did not pass the hello on, if any did not. One where the peer is says more than those where it is not.
    pub(super) fn turned_away_by(&self) -> Option<Failure> {
        let busy = self.busy_at.first().cloned().map(Failure::Busy);
        busy.or_else(|| self.absent_at.first().cloned().map(Failure::Offline))
    }

    /// The peer's relays that did not turn us away.
    fn relays_left(&self) -> impl Iterator<Item = &RelayUrl> {
        let is_left =
            |relay: &&RelayUrl| !self.absent_at.contains(relay) && !self.busy_at.contains(relay);
        self.relays.iter().filter(is_left)
    }

    /// Remembers where a relay sees the peer, if it can be there; forgets it once the peer hides.
    pub(super) fn note_attested(&mut self, local: &Local, source: &Source) {
        let Source::Relay { relay, attested } = source else {
            return;
        };
        match attested {
            Some(addr) if local.is_plausible(relay, *addr) => {
                self.attested = Some((relay.clone(), *addr));
            }
            Some(_) => {}
            None => self.attested = None,
        }
    }

    /// A hello or its answer came from there. It is answered through the relay that it came through, unless a path was found by
    /// way of another.
    pub(super) fn note_source(&mut self, local: &Local, source: &Source, has_path: bool) {
        self.note_attested(local, source);
        match source {
            Source::Relay { relay, .. } => {
                self.meet_at(vec![relay.clone()]);
                // It is there, where we may have called it.
                self.leaving.take_if(|leaving| leaving != relay);
                if self.live_via(local).is_none() || !has_path {
                    self.go_via(relay);
                }
            }
            Source::Direct(pair) => self.claimed = Some(pair.addr.ip()),
        }
    }

    /// Where a relay sees the peer.
    pub(super) fn attested(&self) -> Option<SocketAddr> {
        self.attested.as_ref().map(|(_, addr)| *addr)
    }

    /// The IP addresses that relays attest for the peer.
    pub(super) fn attested_ips(&self) -> Vec<IpAddr> {
        self.attested().iter().map(SocketAddr::ip).collect()
    }

    /// Where the peer is, by the best evidence there is.
    pub(super) fn whereabouts(&self, proven: Option<IpAddr>) -> Option<Whereabouts> {
        let attested = self.attested.as_ref().map(|(relay, addr)| {
            let (relay, ip) = (relay.clone(), addr.ip());
            Whereabouts::Attested { relay, ip }
        });
        let claimed = || self.claimed.map(Whereabouts::Claimed);
        proven
            .map(Whereabouts::Proven)
            .or(attested)
            .or_else(claimed)
    }

    pub(super) fn relay_rtt(&self) -> Option<Duration> {
        self.relay_rtt
    }

    pub(super) fn measured(&mut self, rtt: Duration) {
        self.relay_rtt = Some(rtt);
    }

    /// What the peer says, who need not measure it as we do.
    pub(super) fn told_rtt(&mut self, rtt: Duration) {
        self.relay_rtt.get_or_insert(rtt);
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        use super::footprint::of;
        let attested = self.attested.iter().map(|(relay, _)| relay);
        let relays = self
            .relays
            .iter()
            .chain(&self.via)
            .chain(&self.leaving)
            .chain(attested)
            .chain(&self.absent_at)
            .chain(&self.busy_at);
        let names: usize = relays.map(|relay| relay.host().len()).sum();
        names
            + of(&self.relays)
            + of(&self.absent_at)
            + of(&self.busy_at)
            + of(&self.addrs)
            + of(&self.found)
    }
}

/// Whether we are registered with the relay, and it is neither about to stop nor silent.
fn lasts(local: &Local, relay: &RelayUrl) -> bool {
    local
        .relays
        .get(relay)
        .is_some_and(|view| !view.is_draining && !view.is_silent)
}
