//! What is known of a peer and of an event, for a filter.

use std::collections::{BTreeMap, BTreeSet};

use peerway::{
    Event, EventKind, FlowSnapshot, PathInfo, PathKind, PeerId, PeerSnapshot, PeerState, Presence,
    Traffic,
};

use peerway_swarm::{groups::PostView, share::Kind};

use super::{Facts, Number, Word};
use crate::dash::{
    columns::Column,
    contents::{self, Content},
    exposed,
    group::{Member, Pair},
    joined::{Fellow, Tie},
    look::UNICODE,
    model::{Data, Model},
    trail::Trails,
    transfers,
    words::{Address, Measured, Standing, Twins, Words, is_warning, nat_class},
};
use crate::{
    kept::State,
    printable::printable,
    servers::Served,
    transfers::{Direction, Transfer},
};

/// For those who print: peers are called as the address book calls them, and nothing is hidden.
pub(crate) struct Plain {
    names: BTreeMap<PeerId, String>,
    trails: Trails,
    blocked: BTreeSet<PeerId>,
    twins: Twins,
}

impl Plain {
    pub(crate) fn new(names: BTreeMap<PeerId, String>) -> Self {
        Self {
            names,
            trails: Trails::default(),
            blocked: BTreeSet::new(),
            twins: Twins::default(),
        }
    }

    pub(crate) fn peer(&self, peer: &PeerSnapshot) -> Facts {
        of_peer(peer, &self.words())
    }

    /// What stands in a column of a peer, if anything does.
    pub(crate) fn cell(&self, column: Column, peer: &PeerSnapshot) -> Option<String> {
        column
            .text(peer, &self.words())
            .filter(|text| !text.is_empty())
    }

    pub(crate) fn event(&self, event: &Event) -> Facts {
        of_event(event, &self.words())
    }

    fn words(&self) -> Words<'_> {
        Words {
            names: &self.names,
            glyphs: &UNICODE,
            trails: &self.trails,
            blocked: &self.blocked,
            twins: &self.twins,
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
    if let (Some(rtt), true) = (Measured::rtt(peer), kind.is_reached()) {
        facts.number(Number::Rtt, rtt.as_secs_f64() * 1e3);
        facts.number(Number::Loss, peer.loss * 100.0);
    }
    both(&mut facts, peer.traffic);
    facts.number(Number::Age, peer.state_age.as_secs_f64());
    facts
}

/// Of something that happened.
pub(in crate::dash) fn of_event(event: &Event, words: &Words<'_>) -> Facts {
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
    facts.word(Word::Event, kind(&event.kind));
    if let Some(peer) = event.kind.peer() {
        name(&mut facts, &peer, words);
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
        | EventKind::RelayMoved { .. }
        | EventKind::PublicAddress { .. }
        | EventKind::PortMapped { .. }
        | EventKind::NetworkChanged { .. }
        | EventKind::Connected { .. }
        | EventKind::Disconnected { .. }
        | _ => {}
    }
    facts
}

/// As the JSON of the event calls it.
fn kind(event: &EventKind) -> &'static str {
    match event {
        EventKind::PeerState { .. } => "peer_state",
        EventKind::Explained { .. } => "explained",
        EventKind::PathChanged { .. } => "path_changed",
        EventKind::PairReleased { .. } => "pair_released",
        EventKind::RelayUp { .. } => "relay_up",
        EventKind::RelayDown { .. } => "relay_down",
        EventKind::RelayMoved { .. } => "relay_moved",
        EventKind::PublicAddress { .. } => "public_address",
        EventKind::PortMapped { .. } => "port_mapped",
        EventKind::NetworkChanged { .. } => "network_changed",
        EventKind::Connected { .. } => "connected",
        EventKind::Disconnected { .. } => "disconnected",
        EventKind::TurnedAway { .. } => "turned_away",
        EventKind::Received { .. } => "received",
        EventKind::Sent { .. } => "sent",
        EventKind::Unknown | _ => "unknown",
    }
}

/// Of a member of a group, which is called `called`.
pub(in crate::dash) fn of_member(member: &Member<'_>, called: &str, data: &Data) -> Facts {
    let mut facts = Facts::default();
    let it = member.it;
    facts.word(Word::Name, called);
    facts.word(Word::Id, &it.id.to_string());
    facts.word(Word::Group, &member.group.name);
    facts.word(Word::State, presence(it.presence));
    if it.direct > 0 {
        facts.word(Word::Path, "direct");
    }
    if it.relayed > 0 {
        facts.word(Word::Path, "relay");
    }
    if let Some(age) = member.heard(data) {
        facts.number(Number::Age, age.as_secs_f64());
    }
    if let Some(status) = &it.status {
        facts.word(Word::Nat, nat_class(status.nat));
        facts.number(Number::Down, status.rx_rate as f64);
        facts.number(Number::Up, status.tx_rate as f64);
    }
    facts
}

/// Of two members, who are called so.
pub(in crate::dash) fn of_pair(
    pair: &Pair<'_>,
    names: [String; 2],
    words: &Words<'_>,
    data: &Data,
) -> Facts {
    let mut facts = Facts::default();
    for (id, called) in pair.ends().iter().zip(names) {
        facts.word(Word::Name, &called);
        facts.word(Word::Id, &id.to_string());
        let members = pair.group.members.iter();
        for member in members.filter(|member| member.id == *id) {
            facts.word(Word::State, presence(member.presence));
        }
    }
    facts.word(Word::Group, &pair.group.name);
    let says = pair.says;
    facts.word(Word::Path, &pair.path(words, data));
    for word in path_words(says.path) {
        facts.word(Word::Path, word);
    }
    if let Some(why) = &says.why {
        facts.word(Word::Why, why.label());
    }
    if let Some(rtt) = says.rtt {
        facts.number(Number::Rtt, rtt.as_secs_f64() * 1e3);
    }
    facts.number(Number::Down, says.rx_rate as f64);
    facts.number(Number::Up, says.tx_rate as f64);
    facts
}

/// Of content that is shared, or fetched.
pub(in crate::dash) fn of_content(content: &Content<'_>, words: &Words<'_>) -> Facts {
    let mut facts = Facts::default();
    let it = content.it;
    facts.word(Word::Name, &content.name());
    facts.word(Word::Id, &it.hash.to_string());
    facts.word(Word::State, contents::word(it.state));
    let kind = if it.kind == Kind::File {
        "file"
    } else {
        "folder"
    };
    facts.word(Word::Kind, kind);
    for peer in it.peers.iter().filter(|peer| peer.is_holder()) {
        facts.word(Word::Peer, &words.name(&peer.id));
    }
    facts.number(Number::Size, it.bytes as f64);
    facts.number(Number::Done, f64::from(content.done()));
    facts.number(Number::Holders, content.holders() as f64);
    facts.number(Number::Down, content.rates.down as f64);
    facts.number(Number::Up, content.rates.up as f64);
    facts.number(Number::Total, it.received.saturating_add(it.sent) as f64);
    facts
}

/// Of who belongs to a group that was joined, or did.
pub(in crate::dash) fn of_fellow(fellow: &Fellow<'_>, called: &str, words: &Words<'_>) -> Facts {
    let mut facts = match fellow.standing {
        Tie::Peer(peer) => {
            let of_peer = of_peer(peer, words);
            let is_other = |(field, _): &(Word, String)| *field != Word::State;
            Facts {
                words: of_peer.words.into_iter().filter(is_other).collect(),
                ..of_peer
            }
        }
        Tie::Here | Tie::Heard | Tie::Unseen | Tie::Left | Tie::Removed => Facts::default(),
    };
    facts.word(Word::Name, called);
    facts.word(Word::Id, &fellow.id.to_string());
    facts.word(Word::State, fellow.standing.state());
    facts.word(Word::Role, fellow.role.word());
    facts
}

/// Of what was said in a group.
pub(in crate::dash) fn of_post(post: &PostView, is_unread: bool, called: &str) -> Facts {
    let mut facts = Facts::default();
    facts.word(Word::Name, called);
    facts.word(Word::Id, &post.author.to_string());
    facts.word(Word::Text, post.text.as_deref().unwrap_or_default());
    facts.word(Word::State, if is_unread { "unread" } else { "read" });
    facts
}

/// Of a connection, and of what it carries.
pub(in crate::dash) fn of_flow(
    peer: &PeerSnapshot,
    flow: &FlowSnapshot,
    words: &Words<'_>,
) -> Facts {
    let mut facts = Facts::default();
    carried(&mut facts, "connection", (Some(peer), Some(peer.id)), words);
    facts.word(Word::Protocol, &flow.alpn);
    facts.word(Word::State, "open");
    both(&mut facts, flow.traffic);
    facts.number(Number::Age, flow.age.as_secs_f64());
    facts
}

/// Of a file that comes or goes, or what goes through a forward.
pub(in crate::dash) fn of_transfer(transfer: &Transfer, model: &Model) -> Facts {
    let mut facts = Facts::default();
    let (data, words) = (model.data(), model.words());
    let is_forward = transfer.direction == Direction::Forwarding;
    let kind = if is_forward { "forward" } else { "transfer" };
    let peer = transfer.peer.and_then(|id| data.snapshot.peer(id));
    carried(&mut facts, kind, (peer, transfer.peer), &words);
    facts.word(Word::Name, &transfers::shown(model, transfer));
    facts.word(Word::State, transfer.word());
    let rate = transfers::rate(data, transfer) as f64;
    let towards = match transfer.direction {
        Direction::Sending => Number::Up,
        Direction::Receiving | Direction::Fetching | Direction::Forwarding => Number::Down,
    };
    facts.number(towards, rate);
    if is_forward {
        facts.number(Number::Up, rate);
    }
    if transfer.moved.bytes > 0 {
        facts.number(Number::Size, transfer.moved.bytes as f64);
    }
    if let Some(percent) = transfer.percent() {
        facts.number(Number::Done, f64::from(percent));
    }
    facts.number(Number::Total, transfer.moved.bytes_done as f64);
    facts
}

/// Of a server that is exposed, and of who uses it.
pub(in crate::dash) fn of_server(server: &Served, model: &Model) -> Facts {
    let mut facts = Facts::default();
    for client in &server.clients {
        let peer = model.data().snapshot.peer(client.id);
        carried(
            &mut facts,
            "server",
            (peer, Some(client.id)),
            &model.words(),
        );
    }
    facts.word(Word::Kind, "server");
    facts.word(Word::Name, &printable(&server.name));
    facts.word(Word::Text, &exposed::target(model, server));
    let state = match server.state {
        None | Some(State::Ready) => "ready",
        Some(State::Waiting) => "waiting",
        Some(State::Failed) => "failed",
    };
    facts.word(Word::State, state);
    let rates = exposed::rates(model.data(), server);
    facts.number(Number::Down, rates.down as f64);
    facts.number(Number::Up, rates.up as f64);
    let total = server.received.saturating_add(server.sent);
    facts.number(Number::Total, total as f64);
    facts
}

/// How fast it goes each way, and how much went.
fn both(facts: &mut Facts, traffic: Traffic) {
    facts.number(Number::Down, traffic.rx_rate as f64);
    facts.number(Number::Up, traffic.tx_rate as f64);
    let total = traffic.rx_bytes.saturating_add(traffic.tx_bytes);
    facts.number(Number::Total, total as f64);
}

/// What is known of what is carried by who is at its other end.
fn carried(
    facts: &mut Facts,
    kind: &str,
    (peer, id): (Option<&PeerSnapshot>, Option<PeerId>),
    words: &Words<'_>,
) {
    facts.word(Word::Kind, kind);
    if let Some(id) = id {
        name(facts, &id, words);
        facts.word(Word::Peer, &words.name(&id));
    }
    let Some(peer) = peer else { return };
    facts.word(Word::Path, words.kind(peer).word());
    if let Some(path) = &peer.path {
        by(facts, path, words);
    }
    if let Some(rtt) = Measured::rtt(peer) {
        facts.number(Number::Rtt, rtt.as_secs_f64() * 1e3);
    }
}

fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Here => "here",
        Presence::Fresh => "fresh",
        Presence::Stale => "stale",
        Presence::Left => "left",
        Presence::Silent => "silent",
        Presence::Unknown | _ => "unknown",
    }
}

fn path_words(path: PathKind) -> &'static [&'static str] {
    match path {
        PathKind::Lan => &["direct", "lan"],
        PathKind::DirectV6 => &["direct", "v6"],
        PathKind::DirectV4 => &["direct", "v4"],
        PathKind::Tcp => &["direct", "tcp"],
        PathKind::Relay => &["relay"],
        PathKind::None => &["none"],
        PathKind::Unknown | _ => &[],
    }
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
