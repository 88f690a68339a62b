//! What nodes write in JSON: it stays as it is, and programs read what newer versions write.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Action, Carrier, Cause, Event, EventKind, Guessing, HomeReason, How, MappingProtocol,
    NatBehavior, NextReason, NodeSnapshot, PairAction, PairKind, PairState, PathInfo, PathPolicy,
    PeerState, PortAllocation, RefusalReason, RelayRole, RelayState, RelayUrl, SecretKey, Side,
    Ticket,
};

fn written(text: &str) -> Value {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
    let ticket = Ticket::new(id, vec![relay.clone()], Vec::new());
    let text = text
        .replace("\"ID\"", &format!("\"{id}\""))
        .replace("RELAY", &relay.to_string())
        .replace("TICKET", &ticket.to_string());
    serde_json::from_str(&text).unwrap()
}

fn snapshot() -> Value {
    written(include_str!("json/snapshot.json"))
}

fn events() -> Vec<Value> {
    let events = written(include_str!("json/events.json"));
    events.as_array().unwrap().clone()
}

fn again<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    let read: T = serde_json::from_value(value.clone()).unwrap();
    serde_json::to_value(read).unwrap()
}

#[test]
fn snapshots_and_events_are_written_as_they_always_were() {
    assert_eq!(again::<NodeSnapshot>(&snapshot()), snapshot());
    for event in events() {
        assert_eq!(again::<Event>(&event), event);
    }
}

#[test]
fn what_only_newer_versions_know_leaves_the_rest_of_a_snapshot_readable() {
    let newer = json!("newer");
    let of_kind = json!({"kind": "newer", "side": "elsewhere", "remote": 7});
    for (place, value, becomes) in [
        ("/network/nat/mapping", &newer, json!("unknown")),
        ("/network/nat/filtering", &newer, json!("unknown")),
        (
            "/network/nat/allocation",
            &of_kind,
            json!({"kind": "unknown"}),
        ),
        ("/network/port_mapping/protocol", &newer, json!("unknown")),
        ("/network/port_refusal/protocol", &newer, json!("unknown")),
        ("/network/port_refusal/reason", &newer, json!("other")),
        ("/relays/0/state", &newer, json!("unknown")),
        ("/relays/0/carrier", &newer, json!("unknown")),
        ("/relays/0/role", &newer, json!("unknown")),
        ("/relays/0/home_reason", &newer, json!("unknown")),
        ("/peers/0/state", &newer, json!("unknown")),
        ("/peers/0/policy", &newer, json!("unknown")),
        ("/peers/0/path", &of_kind, json!({"kind": "unknown"})),
        ("/peers/0/pairs/0/kind", &newer, json!("unknown")),
        ("/peers/0/pairs/0/state", &newer, json!("unknown")),
        ("/peers/0/why/cause", &of_kind, json!({"kind": "unknown"})),
        ("/peers/0/why/cause/how", &newer, json!("unknown")),
        ("/peers/0/why/action", &of_kind, json!({"kind": "unknown"})),
        ("/peers/0/why/next_try/reason", &newer, json!("unknown")),
        (
            "/peers/0/why/evidence/tried/guessing",
            &json!({"state": "newer", "guesses": []}),
            json!({"state": "unknown"}),
        ),
    ] {
        let (mut theirs, mut ours) = (snapshot(), snapshot());
        *theirs.pointer_mut(place).unwrap() = value.clone();
        theirs["new"] = json!({"key": 1});
        *ours.pointer_mut(place).unwrap() = becomes;
        assert_eq!(again::<NodeSnapshot>(&theirs), ours, "{place}");
    }
}

#[test]
fn an_event_that_only_newer_versions_know_is_read_as_such() {
    let read = |event: Value| serde_json::from_value::<Event>(event).unwrap();
    let newer = read(json!({"at_ms": 7, "event": "newer", "peer": {"id": []}, "to": 1}));
    assert_eq!(newer, Event::new(7, EventKind::Unknown));
    let mut state = events().swap_remove(5);
    state["to"] = json!("newer");
    state["why"]["cause"] = json!({"kind": "newer"});
    let EventKind::PeerState { to, why, .. } = read(state).kind else {
        panic!("it is still the event that it was");
    };
    assert_eq!(
        (to, why.unwrap().cause),
        (PeerState::Unknown, Cause::Unknown)
    );
}

/// All variants of an enum, with their names in JSON; does not compile if one is missing.
macro_rules! all {
    ($of:ident: $($name:literal $variant:ident $({ $($field:ident: $value:expr),* })?),* $(,)?) => {{
        let _complete = |value: &$of| match value { $($of::$variant { .. } => ()),* };
        vec![$(($name, $of::$variant $({ $($field: $value),* })?)),*]
    }};
}

/// Each has its name, under `tag` if it is an object, and what is written is read as the same.
fn keeps_its_names<T>(tag: Option<&str>, all: &[(&str, T)])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    for (name, value) in all {
        let json = serde_json::to_value(value).unwrap();
        let found = tag.map_or(&json, |tag| &json[tag]);
        assert_eq!(found, name);
        assert_eq!(serde_json::from_value::<T>(json).unwrap(), *value);
    }
}

/// Each has words of its own.
fn has_words<T>(all: &[(&str, T)], words: impl Fn(&T) -> String) {
    let different: BTreeSet<String> = all.iter().map(|(_, value)| words(value)).collect();
    assert_eq!(different.len(), all.len(), "{different:#?}");
    assert!(!different.contains(""));
}

#[test]
fn the_lists_of_a_snapshot_are_complete_and_each_entry_has_its_name_and_words() {
    let states = all!(PeerState:
        "direct" Direct, "suspect" Suspect, "relayed" Relayed, "punch" Punch, "intro" Intro,
        "failed" Failed, "idle" Idle, "unknown" Unknown);
    keeps_its_names(None, &states);
    has_words(&states, PeerState::to_string);
    let policies = all!(PathPolicy:
        "auto" Auto, "relay_only" RelayOnly, "direct_only" DirectOnly, "unknown" Unknown);
    keeps_its_names(None, &policies);
    has_words(&policies, PathPolicy::to_string);
    let actions = all!(PairAction: "probe" Probe, "force" Force, "release" Release, "drop" Drop,
        "unknown" Unknown);
    keeps_its_names(None, &actions);
    let relays = all!(RelayState: "connecting" Connecting, "up" Up, "down" Down, "unknown" Unknown);
    keeps_its_names(None, &relays);
    let carriers = all!(Carrier: "udp" Udp, "tcp" Tcp, "unknown" Unknown);
    keeps_its_names(None, &carriers);
    let roles = all!(RelayRole: "home" Home, "standby" Standby, "unknown" Unknown);
    keeps_its_names(None, &roles);
    let reasons = all!(HomeReason:
        "preferred" Preferred, "only" Only, "nearest" Nearest, "near_enough" NearEnough, "changed_lately" ChangedLately,
        "unknown" Unknown);
    keeps_its_names(None, &reasons);
    has_words(&reasons, HomeReason::to_string);
    let addr = "192.0.2.1:5000".parse().unwrap();
    let relay = RelayUrl::new(SecretKey::from_seed(&[1; 32]).id(), "192.0.2.9", 4433).unwrap();
    let paths = all!(PathInfo:
        "direct" Direct { remote: addr, lan: false, tcp: false },
        "relay" Relay { remote: relay },
        "unknown" Unknown);
    keeps_its_names(Some("kind"), &paths);
    has_words(&paths, PathInfo::to_string);
    let kinds = all!(PairKind:
        "host" Host, "mapped" Mapped, "reflexive" Reflexive, "peer_reflexive" PeerReflexive,
        "tcp" Tcp, "named" Named, "unknown" Unknown);
    keeps_its_names(None, &kinds);
    has_words(&kinds, PairKind::to_string);
    let states = all!(PairState:
        "used" Used, "standby" Standby, "probing" Probing, "silent" Silent, "waiting" Waiting,
        "dropped" Dropped, "unknown" Unknown);
    keeps_its_names(None, &states);
    has_words(&states, PairState::to_string);
    let behaviours = all!(NatBehavior:
        "endpoint-independent" EndpointIndependent, "address-dependent" AddressDependent,
        "address-and-port-dependent" AddressAndPortDependent, "unknown" Unknown);
    keeps_its_names(None, &behaviours);
    has_words(&behaviours, NatBehavior::to_string);
    let allocations = all!(PortAllocation:
        "sequential" Sequential { step: -1 }, "random" Random { first: 1, last: 2 },
        "unknown" Unknown);
    keeps_its_names(Some("kind"), &allocations);
    let protocols =
        all!(MappingProtocol: "upnp" Upnp, "pcp" Pcp, "nat-pmp" NatPmp, "unknown" Unknown);
    keeps_its_names(None, &protocols);
    has_words(&protocols, MappingProtocol::to_string);
    let refusals = all!(RefusalReason:
        "no-public-address" NoPublicAddress, "forbidden" Forbidden, "no-free-port" NoFreePort,
        "other" Other);
    keeps_its_names(None, &refusals);
}

#[test]
fn the_lists_of_an_explanation_are_complete_and_each_entry_has_its_name_and_words() {
    let side = Side::There;
    keeps_its_names(None, &all!(Side: "here" Here, "there" There));
    let ways = all!(How:
        "lan" Lan, "ipv6" Ipv6, "public" Public, "mapped" Mapped, "punched" Punched,
        "predicted" Predicted, "birthday" Birthday, "tcp" Tcp, "unknown" Unknown);
    keeps_its_names(None, &ways);
    has_words(&ways, How::to_string);
    let causes = all!(Cause:
        "direct" Direct { how: How::Lan }, "calling" Calling, "no_answer" NoAnswer,
        "peer_offline" PeerOffline, "peer_silent" PeerSilent, "peer_busy" PeerBusy,
        "peer_unreached" PeerUnreached, "no_relay" NoRelay, "no_address" NoAddress,
        "called" Called,
        "trying" Trying, "relay_only" RelayOnly { side: side },
        "policy" Policy { policy: PathPolicy::RelayOnly }, "dropped" Dropped, "path_silent" PathSilent,
        "path_lost" PathLost, "path_narrow" PathNarrow { carries: 1000, needs: 1228 },
        "path_on_trial" PathOnTrial, "relay_faster" RelayFaster,
        "nothing_to_probe" NothingToProbe, "no_common_family" NoCommonFamily,
        "both_random" BothRandom, "random_and_sequential" RandomAndSequential { random: side },
        "guessing_off" GuessingOff { side: side }, "guessing" Guessing,
        "guessing_waits" GuessingWaits, "guessing_failed" GuessingFailed,
        "mapping_silent" MappingSilent { side: side }, "same_router" SameRouter,
        "udp_blocked" UdpBlocked { side: side }, "firewall" Firewall { side: side },
        "nat_unknown" NatUnknown { side: side }, "silent" Silent, "unknown" Unknown);
    keeps_its_names(Some("kind"), &causes);
    has_words(&causes, |cause| {
        let mut event = events().swap_remove(6);
        event["why"]["cause"] = serde_json::to_value(cause).unwrap();
        let event: Event = serde_json::from_value(event).unwrap();
        event.kind.to_string()
    });
    let actions = all!(Action:
        "start_peer" StartPeer, "use_ticket" UseTicket, "check_relay" CheckRelay,
        "allow_direct" AllowDirect { side: side }, "allow_all" AllowAll, "retry" Retry, "allow_guessing" AllowGuessing { side: side },
        "map_port" MapPort { side: Some(side) }, "permit_mapping" PermitMapping { side: side },
        "forward_port" ForwardPort { side: side }, "public_address" PublicAddress { side: side },
        "open_port" OpenPort { side: Some(side), port: None }, "allow_udp" AllowUdp { side: side },
        "get_ipv6" GetIpv6 { side: side }, "allow_neighbours" AllowNeighbours,
        "unknown" Unknown);
    keeps_its_names(Some("kind"), &actions);
    has_words(&actions, Action::to_string);
    let guessing = all!(Guessing:
        "not_tried" NotTried, "waiting" Waiting, "running" Running { guesses: 1 },
        "failed" Failed { guesses: 1 }, "hit" Hit { guesses: 1, predicted: true },
        "unknown" Unknown);
    keeps_its_names(Some("state"), &guessing);
    let reasons = all!(NextReason:
        "running" Running, "round" Round, "redial" Redial, "trial" Trial, "cooldown" Cooldown,
        "busy" Busy, "traffic" Traffic, "width" Width, "unknown" Unknown);
    keeps_its_names(None, &reasons);
}

#[test]
fn every_event_has_its_name_and_words() {
    let read = |event| serde_json::from_value::<Event>(event).unwrap().kind;
    let mut kinds: Vec<EventKind> = events().into_iter().map(read).collect();
    kinds.push(EventKind::Unknown);
    let name = |event: &EventKind| match event {
        EventKind::RelayUp { .. } => 0,
        EventKind::RelayDown { .. } => 1,
        EventKind::PublicAddress { .. } => 2,
        EventKind::PortMapped { .. } => 3,
        EventKind::NetworkChanged { .. } => 4,
        EventKind::PeerState { .. } => 5,
        EventKind::Explained { .. } => 6,
        EventKind::PathChanged { .. } => 7,
        EventKind::Connected { .. } => 8,
        EventKind::Disconnected { .. } => 9,
        EventKind::TurnedAway { .. } => 10,
        EventKind::Received { .. } => 11,
        EventKind::Sent { .. } => 12,
        EventKind::RelayMoved { .. } => 13,
        EventKind::PairReleased { .. } => 14,
        EventKind::Unknown => 15,
    };
    let found: Vec<usize> = kinds.iter().map(name).collect();
    assert_eq!(found, (0..=15).collect::<Vec<_>>());
    let said: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    assert_eq!(said.join("\n"), EVENTS.trim_end());
}

const EVENTS: &str = include_str!("json/events.txt");

/// Two ends are all that a link will ever have.
const CLOSED: [&str; 1] = ["Side"];

#[test]
fn every_enum_that_is_read_from_json_has_room_for_what_newer_versions_write() {
    let sources = [
        include_str!("../event.rs"),
        include_str!("../explanation.rs"),
        include_str!("../policy.rs"),
        include_str!("../snapshot.rs"),
        include_str!("../snapshot/network.rs"),
    ];
    let mut found = 0;
    for part in sources.iter().flat_map(|source| source.split("\n\n")) {
        let Some((head, body)) = part.split_once("pub enum ") else {
            continue;
        };
        let name = body.split_whitespace().next().unwrap();
        if head.contains("Deserialize") && !CLOSED.contains(&name) {
            assert!(body.contains("#[serde(other)]"), "{name}");
            found += 1;
        }
    }
    assert_eq!(found, 19);
}
