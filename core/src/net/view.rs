//! What a node shows of itself, and when.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{gathering::Gathering, nat::Nat, relay::Registrations};
use crate::{
    Carrier, NetworkSnapshot, NodeSnapshot, PeerId, PeerSnapshot, PeerState, RelayRole,
    RelaySnapshot, RelayState, RelayUrl, Ticket,
    addr::Scope,
    proto::{
        local::Local,
        relays::{Over, Relay},
    },
};

/// Snapshots are at least this far apart, however much happens.
const GAP: Duration = Duration::from_millis(20);

/// Says of a peer that was called by other means that this is what is waited for, as long as it is.
pub(super) fn explain_call(peer: &mut PeerSnapshot) {
    let state = peer.state;
    peer.why = peer.why.take().map(|why| why.of_called(state));
}

/// Whether what is shown is out of date, in which of its peers, and since when it stands.
#[derive(Debug)]
pub(super) struct View {
    is_stale: bool,
    changed: BTreeSet<PeerId>,
    shown: Instant,
}

impl View {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_stale: true,
            changed: BTreeSet::new(),
            shown: now,
        }
    }

    /// Something is other than it is shown.
    pub(super) fn touch(&mut self) {
        self.is_stale = true;
    }

    /// These peers are.
    pub(super) fn touch_peers(&mut self, peers: impl IntoIterator<Item = PeerId>) {
        self.changed.extend(peers);
    }

    /// When it is to be shown.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.is_stale.then(|| self.shown + GAP)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|at| at <= now)
    }

    /// It is shown now; the peers that are to be looked at for that.
    pub(super) fn show(&mut self, now: Instant) -> BTreeSet<PeerId> {
        (self.is_stale, self.shown) = (false, now);
        std::mem::take(&mut self.changed)
    }
}

/// Puts peers that changed, or are no more, into what is shown after so long a time.
pub(super) fn replace_peers(
    shown: &mut NodeSnapshot,
    changed: Vec<(PeerId, Option<PeerSnapshot>)>,
    uptime: Duration,
) {
    shown.grow_older(uptime);
    for (id, peer) in changed {
        let place = shown.peers.binary_search_by_key(&id, |peer| peer.id);
        match (place, peer) {
            (Ok(at), Some(peer)) => shown.peers[at] = peer,
            (Err(at), Some(peer)) => shown.peers.insert(at, peer),
            (Ok(at), None) => drop(shown.peers.remove(at)),
            (Err(_), None) => {}
        }
    }
    shown.traffic = shown.peers.iter().map(|peer| peer.traffic).sum();
}

/// Peers that are not as they will stay until something happens: why they are not direct changes with time alone.
pub(super) fn unsettled(shown: &NodeSnapshot) -> impl Iterator<Item = PeerId> {
    let is_settled = |state| matches!(state, PeerState::Direct | PeerState::Idle);
    let unsettled = shown.peers.iter().filter(move |it| !is_settled(it.state));
    unsettled.map(|peer| peer.id)
}

/// The network: where we are, what lies between, and what our neighbours and routers are good for.
pub(super) fn network(local: &Local, nat: &Nat, gathering: &Gathering) -> NetworkSnapshot {
    let mut network = NetworkSnapshot::default();
    network.local = local.hosts();
    network.public_v4 = local.public(true);
    network.public_v6 = local.public(false);
    network.observed = nat.observers.observed();
    network.nat = local.nat;
    network.nat_evidence = nat.schedule.evidence().clone();
    network.nat64 = local.nat64.is_some();
    network.port_mapping = gathering.mapping;
    network.port_refusal = gathering.refusal();
    network.interfaces_unread = gathering.interfaces.unread;
    network.lan_trouble = gathering.lan_trouble().map(|error| error.to_string());
    network.lan_off = gathering.is_lan_off();
    network.checked_at_ms = nat.checked_at_ms;
    network
}

/// The node's ticket. It has addresses only where no relay tells them to those who are meant to know.
pub(super) fn ticket(id: PeerId, relays: &[RelayUrl], local: &Local) -> Ticket {
    let mut addrs = Vec::new();
    if relays.is_empty() {
        addrs = local.hosts();
        // A ticket has room for a few.
        addrs.sort_by_key(|addr| Scope::of(addr.ip()) != Scope::Global);
    }
    Ticket::new(id, relays.to_vec(), addrs)
}

/// All relays, the home relay first, then the others of ours.
pub(super) fn relays(now: Instant, registrations: &Registrations) -> Vec<RelaySnapshot> {
    let all = &registrations.relays;
    let shown = |(url, known)| {
        let error = registrations.error(url).map(ToString::to_string);
        let mut shown = relay(url, known, error);
        shown.role = all.role(url);
        shown.in_place_of = all.in_place_of(url).cloned();
        if shown.role == Some(RelayRole::Home) {
            shown.home_reason = all.home_reason(now);
        }
        shown
    };
    let mut relays: Vec<_> = all.iter().map(shown).collect();
    relays.sort_by_key(|relay| {
        let rank = all.home().iter().position(|ours| *ours == relay.url);
        rank.unwrap_or(usize::MAX)
    });
    relays
}

/// A relay; `error` says why it is down.
fn relay(url: &RelayUrl, relay: &Relay, error: Option<String>) -> RelaySnapshot {
    let mut snapshot = RelaySnapshot::new(url.clone(), relay.state);
    snapshot.rtt = relay.rtt;
    snapshot.home = relay.home;
    snapshot.draining = relay.is_draining;
    snapshot.error = error;
    snapshot.impostor = relay.impostor;
    if relay.state == RelayState::Up {
        match &relay.over {
            Over::Tcp { port, proxy, .. } => {
                snapshot.carrier = Some(Carrier::Tcp);
                (snapshot.tcp_port, snapshot.proxy) = (Some(*port), proxy.clone());
            }
            Over::Udp | _ => snapshot.carrier = Some(Carrier::Udp),
        }
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn however_much_happens_it_is_shown_once_in_twenty_milliseconds_and_not_without_a_cause() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut view = View::new(start);
        let mut shown = 0;
        for ms in 0..100 {
            let now = start + Duration::from_millis(ms);
            view.touch();
            if view.is_due(now) {
                view.show(now);
                shown += 1;
            }
        }
        assert_eq!(shown, 4);
        view.show(start);
        assert_eq!(view.poll_timeout(), None);
        let peer = SecretKey::from_seed(&[1; 32]).id();
        view.touch_peers([peer, peer]);
        assert_eq!(view.show(start), [peer].into());
        assert!(view.show(start).is_empty());
    }
}
