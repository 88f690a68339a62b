//! What is known of a peer and of an event, for a filter.

use std::collections::BTreeMap;

use peerway::{Event, EventKind, PathInfo, PeerId, PeerSnapshot, PeerState};

use super::{Facts, Number, Word};
use crate::dash::{
    look::UNICODE,
    trail::Trails,
    words::{Address, Standing, Words, is_warning},
};

/// For those who print: peers are called as the address book calls them, and nothing is hidden.
pub(crate) struct Plain {
    names: BTreeMap<PeerId, String>,
    trails: Trails,
}

impl Plain {
    pub(crate) fn new(names: BTreeMap<PeerId, String>) -> Self {
        Self {
            names,
            trails: Trails::default(),
        }
    }

    pub(crate) fn peer(&self, peer: &PeerSnapshot) -> Facts {
        of_peer(peer, &self.words())
    }

    pub(crate) fn event(&self, event: &Event) -> Facts {
        of_event(event, &self.words())
    }

    fn words(&self) -> Words<'_> {
        Words {
            names: &self.names,
            glyphs: &UNICODE,
            trails: &self.trails,
            masked: false,
        }
    }
}

/// Of a peer of the node.
pub(in crate::dash) fn of_peer(peer: &PeerSnapshot, words: &Words<'_>) -> Facts {
    let mut facts = Facts::default();
    let kind = words.kind(peer);
    name(&mut facts, &peer.id, words);
    facts.word(Word::State, kind.word());
    facts.word(Word::Path, kind.word());
    facts.word(Word::Path, &words.link(peer, Address::Ip));
    if let Some(path) = &peer.path {
        by(&mut facts, path, words);
    }
    facts.word(Word::Why, words.short_reason(peer));
    if let (Some(rtt), true) = (peer.rtt, kind.is_reached()) {
        facts.number(Number::Rtt, rtt.as_secs_f64() * 1e3);
        facts.number(Number::Loss, peer.loss * 100.0);
    }
    let traffic = peer.traffic;
    facts.number(Number::Down, traffic.rx_rate as f64);
    facts.number(Number::Up, traffic.tx_rate as f64);
    let total = traffic.rx_bytes.saturating_add(traffic.tx_bytes);
    facts.number(Number::Total, total as f64);
    facts.number(Number::Age, peer.state_age.as_secs_f64());
    facts
}

/// Of something that happened.
fn of_event(event: &Event, words: &Words<'_>) -> Facts {
    let mut facts = Facts::default();
    let sentence = words.sentence(&event.kind);
    facts.word(Word::Name, &sentence.subject);
    facts.word(Word::Text, &sentence.text);
    let level = if is_warning(&event.kind) {
        "warn"
    } else {
        "info"
    };
    facts.word(Word::Level, level);
    // As the JSON of the event calls it.
    if let Ok(serde_json::Value::Object(json)) = serde_json::to_value(event) {
        if let Some(kind) = json.get("event").and_then(|kind| kind.as_str()) {
            facts.word(Word::Event, kind);
        }
        let peer = json.get("peer").and_then(|peer| peer.as_str());
        if let Some(Ok(id)) = peer.map(str::parse) {
            name(&mut facts, &id, words);
        }
    }
    match &event.kind {
        EventKind::PeerState { to, why, .. } => {
            facts.word(Word::State, state(*to));
            if let Some(why) = why {
                facts.word(Word::Why, why.cause.label());
            }
        }
        EventKind::PathChanged { path, rtt, .. } => {
            if let Some(path) = path {
                by(&mut facts, path, words);
            }
            if let Some(rtt) = rtt {
                facts.number(Number::Rtt, rtt.as_secs_f64() * 1e3);
            }
        }
        EventKind::Explained { .. }
        | EventKind::RelayUp { .. }
        | EventKind::RelayDown { .. }
        | EventKind::PublicAddress { .. }
        | EventKind::PortMapped { .. }
        | EventKind::NetworkChanged { .. }
        | EventKind::Connected { .. }
        | EventKind::Disconnected { .. }
        | _ => {}
    }
    facts
}

fn name(facts: &mut Facts, id: &PeerId, words: &Words<'_>) {
    facts.word(Word::Name, &words.name(id));
    facts.word(Word::Id, &id.to_string());
}

/// How a peer is reached, as far as its state alone says.
fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Direct => Standing::Direct.word(),
        PeerState::Suspect => Standing::Suspect.word(),
        PeerState::Relayed => Standing::Relay.word(),
        PeerState::Failed => Standing::Unreachable.word(),
        PeerState::Idle => Standing::Idle.word(),
        PeerState::Punch | PeerState::Intro | _ => Standing::Connecting.word(),
    }
}

/// By what a path leads.
fn by(facts: &mut Facts, path: &PathInfo, words: &Words<'_>) {
    match path {
        PathInfo::Direct { remote, lan, tcp } => {
            facts.word(Word::Path, "direct");
            facts.word(Word::Path, if remote.is_ipv6() { "v6" } else { "v4" });
            for (is_so, word) in [(*lan, "lan"), (*tcp, "tcp")] {
                if is_so {
                    facts.word(Word::Path, word);
                }
            }
        }
        PathInfo::Relay { remote } => {
            facts.word(Word::Path, "relay");
            facts.word(Word::Path, &words.relay(remote));
        }
        PathInfo::Unknown | _ => {}
    }
}
