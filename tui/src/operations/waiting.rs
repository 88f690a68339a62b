//! What a dial that takes long waits for, in words.

use peerway::{NodeSnapshot, RelaySnapshot, RelayState, Ticket};

use super::dialling::is_linked;

/// Relays that are named.
const NAMED: usize = 3;

/// Which relays have not taken this node yet; none if one has, or there are none.
pub(super) fn for_relays(snapshot: &NodeSnapshot) -> Option<String> {
    let mut relays = snapshot.relays.iter();
    if relays.any(|relay| relay.state == RelayState::Up) {
        return None;
    }
    let named = snapshot.relays.iter().take(NAMED).map(named);
    let named: Vec<_> = named.collect();
    (!named.is_empty()).then(|| format!("not reached yet, trying on: {}", named.join(", ")))
}

/// Where a peer is looked for that has not answered yet, and what was heard there.
pub(super) fn for_peer(snapshot: &NodeSnapshot, peer: &Ticket) -> String {
    if is_linked(snapshot, peer.id()) {
        return "the peer is linked and has not answered what it was asked, trying on".to_owned();
    }
    let is_asked =
        |relay: &&RelaySnapshot| peer.relays().is_empty() || peer.relays().contains(&relay.url);
    let relays = snapshot.relays.iter().filter(is_asked).take(NAMED);
    let mut asked: Vec<_> = relays.map(named).collect();
    match peer.addrs() {
        [] => {}
        [addr] => asked.push(format!("the address {addr}")),
        several => asked.push(format!("{} addresses", several.len())),
    }
    if asked.is_empty() {
        return "the peer does not answer yet, trying on: it is looked for by its id".to_owned();
    }
    format!(
        "the peer does not answer yet, trying on: {}",
        asked.join(", ")
    )
}

fn named(relay: &RelaySnapshot) -> String {
    let how = match (relay.state, &relay.error) {
        (RelayState::Up, _) => "which this node has reached",
        (RelayState::Down, Some(error)) => error,
        (RelayState::Connecting | RelayState::Down | RelayState::Unknown | _, _) => {
            "which has not answered"
        }
    };
    format!("the relay {} ({how})", relay.url.place())
}

#[cfg(test)]
mod tests {
    use peerway::{PeerSnapshot, PeerState, RelayUrl, SecretKey};

    use super::*;

    fn node(relays: &[(&str, RelayState, Option<&str>)]) -> NodeSnapshot {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let mut node = NodeSnapshot::empty(id);
        for (host, state, error) in relays {
            let url = RelayUrl::new(id, host, 4433).unwrap();
            let mut relay = RelaySnapshot::new(url, *state);
            relay.error = error.map(ToOwned::to_owned);
            node.relays.push(relay);
        }
        node
    }

    #[test]
    fn what_each_relay_said_is_told_until_one_of_them_is_up() {
        let down = ("a.example", RelayState::Down, Some("connection refused"));
        let silent = ("b.example", RelayState::Connecting, None);
        assert_eq!(
            for_relays(&node(&[down, silent])).unwrap(),
            "not reached yet, trying on: the relay a.example:4433 (connection refused), \
             the relay b.example:4433 (which has not answered)"
        );
        assert_eq!(
            for_relays(&node(&[down, ("b.example", RelayState::Up, None)])),
            None
        );
        assert_eq!(for_relays(&node(&[])), None);
    }

    #[test]
    fn a_peer_is_told_of_with_the_relays_and_addresses_of_its_ticket_alone() {
        let up = ("a.example", RelayState::Up, None);
        let other = ("b.example", RelayState::Up, None);
        let node = node(&[up, other]);
        let id = SecretKey::from_seed(&[2; 32]).id();
        let relays = vec![node.relays[0].url.clone()];
        let addrs = vec!["192.0.2.1:7".parse().unwrap()];
        assert_eq!(
            for_peer(&node, &Ticket::new(id, relays, addrs)),
            "the peer does not answer yet, trying on: the relay a.example:4433 (which this node has reached), \
             the address 192.0.2.1:7"
        );
        let alone = for_peer(&NodeSnapshot::empty(id), &Ticket::from(id));
        assert!(alone.ends_with("looked for by its id"), "{alone}");
        let everywhere = for_peer(&node, &Ticket::from(id));
        assert!(everywhere.contains("b.example"), "{everywhere}");
    }

    #[test]
    fn a_linked_peer_is_not_said_to_be_looked_for() {
        let id = SecretKey::from_seed(&[2; 32]).id();
        let peer = Ticket::from(id);
        for (state, is_linked) in [
            (PeerState::Relayed, true),
            (PeerState::Direct, true),
            (PeerState::Intro, false),
        ] {
            let mut node = node(&[]);
            node.peers.push(PeerSnapshot::new(id, state));
            let told = for_peer(&node, &peer);
            assert_eq!(told.starts_with("the peer is linked"), is_linked, "{told}");
        }
    }
}
