//! A node in one line, for status bars.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
};

use peerway::{NodeSnapshot, PeerId};

use super::{
    format,
    look::Look,
    trail::Trails,
    words::{Standing, Twins, Words, own_nat_class},
};

/// `● 7fk2q9xa ↓14.2M ↑1.1M  ●9 ◐2  nat port-restricted  relay fra1 18 ms  ! build-box: hard NATs`, in glyphs that the locale has.
pub(crate) fn line(snapshot: &NodeSnapshot, names: &BTreeMap<PeerId, String>) -> String {
    let look = Look::resolve(&super::Options::default(), |name| env::var(name).ok());
    of(snapshot, names, look)
}

/// Where no node runs.
#[cfg(unix)]
pub(crate) fn of_none() -> String {
    let look = Look::resolve(&super::Options::default(), |name| env::var(name).ok());
    format!("{} peerway does not run", look.glyphs.unreachable)
}

fn of(snapshot: &NodeSnapshot, names: &BTreeMap<PeerId, String>, look: Look) -> String {
    let (glyphs, trails) = (look.glyphs, Trails::default());
    let words = Words {
        names,
        glyphs,
        trails: &trails,
        blocked: &BTreeSet::new(),
        twins: &Twins::of(snapshot),
        masked: false,
    };
    let mut counts = BTreeMap::<Standing, usize>::new();
    for peer in &snapshot.peers {
        *counts.entry(words.kind(peer)).or_default() += 1;
    }
    let network = &snapshot.network;
    let is_up = |relay: &&peerway::RelaySnapshot| relay.state == peerway::RelayState::Up;
    let health = if snapshot.relays.is_empty() || snapshot.relays.iter().any(|it| is_up(&it)) {
        glyphs.direct
    } else {
        glyphs.unreachable
    };
    let traffic = snapshot.traffic;
    let mut parts = vec![format!(
        "{health} {} {}{} {}{}",
        snapshot.id.short(),
        glyphs.down,
        format::short(traffic.rx_rate),
        glyphs.up,
        format::short(traffic.tx_rate)
    )];
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(kind, count)| format!("{}{count}", kind.glyph(glyphs)))
        .collect();
    parts.push(counts.join(" "));
    parts.push(format!("nat {}", own_nat_class(network)));
    let relays = || snapshot.relays.iter();
    parts.push(
        match relays().find(|it| it.home).or_else(|| relays().next()) {
            None => "no relay".to_owned(),
            Some(relay) if !is_up(&relay) => {
                format!("relay {} down", words.relay_label(&relay.url))
            }
            Some(relay) => {
                let rtt = relay.rtt.map(|rtt| format!(" {}", format::rtt(rtt)));
                let name = words.relay_label(&relay.url);
                format!("relay {name}{}", rtt.unwrap_or_default())
            }
        },
    );
    // One says that there is something to look at.
    let fault = snapshot
        .peers
        .iter()
        .find(|peer| words.kind(peer).is_fault() && !words.short_reason(peer).is_empty());
    if let Some(peer) = fault {
        let (name, why) = (words.name(&peer.id), words.short_reason(peer));
        parts.push(format!("{} {name}: {why}", glyphs.warning));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dash::{
        Options,
        tests::fixtures::{names, node, snapshot, twelve},
    };

    #[test]
    fn a_line_says_what_a_status_bar_has_room_for() {
        let options = |ascii| Options {
            ascii,
            ..Options::default()
        };
        let of = |node, ascii| {
            let look = Look::resolve(&options(ascii), |_| None);
            of(&snapshot(&node), &names(), look)
        };
        let id = crate::dash::tests::fixtures::id(0).short();
        assert_eq!(
            of(node(twelve()), false),
            format!(
                "● {id} ↓14.3M ↑1.1M  ●3 !1 ◐3 ◌1 ○3 ✗1  nat port-restricted  relay fra1 18 ms  ! old-phone: offline"
            )
        );
        let line = of(node(vec![]), true);
        assert_eq!(
            line,
            format!("* {id} v0 ^0  nat port-restricted  relay fra1 18 ms")
        );
        assert!(line.is_ascii());
    }
}
