//! `peerway watch`: how the node that runs here, or that of a peer, changes, a line for each thing that is another than before.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use peerway::{Names as _, NodeSnapshot, PeerSnapshot, PeerState};

use super::{
    afar,
    args::{Globals, WatchArgs},
    attach,
    failure::Failure,
    out,
    state::StateDir,
    status, words,
};
use crate::{book::Book, control::Client};

pub(super) async fn run(globals: &Globals, args: &WatchArgs) -> Result<(), Failure> {
    match &args.peer {
        None => follow(globals, attach::needed(globals).await?).await,
        Some(peer) => afar::ask(globals, peer, |afar| follow(globals, afar.node)).await,
    }
}

async fn follow(globals: &Globals, node: Client) -> Result<(), Failure> {
    let mut snapshots = node.snapshots().await?;
    let state = StateDir::open(globals)?;
    let mut before = BTreeMap::new();
    while let Some(snapshot) = snapshots.next().await {
        let snapshot = snapshot?;
        if globals.json {
            out::aside(move || out::json(&*snapshot)).await?;
            continue;
        }
        let now = facts(&snapshot, &state.names());
        let lines = changes(&before, &now);
        before = now;
        out::aside(move || lines.iter().try_for_each(out::text)).await?;
    }
    out::hint("the node has ended");
    Ok(())
}

/// What is told of a part of the node, and what has to be another than before for it to be told again.
#[derive(Clone, Debug, Eq)]
struct Fact {
    text: String,
    steady: String,
}

impl PartialEq for Fact {
    fn eq(&self, other: &Self) -> bool {
        self.steady == other.steady
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self {
            steady: text.clone(),
            text,
        }
    }
}

type Facts = BTreeMap<String, Fact>;

/// What stays as it is until something happens, of each part of the node.
fn facts(snapshot: &NodeSnapshot, book: &Book) -> Facts {
    let network = &snapshot.network;
    let public = [network.public_v4, network.public_v6];
    let public: Vec<_> = public.iter().flatten().map(ToString::to_string).collect();
    let nat = format!(
        "mapping {}, filtering {}",
        network.nat.mapping, network.nat.filtering
    );
    let mut facts = BTreeMap::from([
        ("NAT".to_owned(), nat.into()),
        (
            "public".to_owned(),
            status::or_none(&public.join(", ")).to_owned().into(),
        ),
        (
            "port mapping".to_owned(),
            words::mapping(network.port_mapping.as_ref()).into(),
        ),
    ]);
    for relay in &snapshot.relays {
        let mut steady = relay.clone();
        steady.rtt = None;
        let line = status::relay_line(&steady);
        let place = relay.url.place();
        let fact = line.strip_prefix(&place).unwrap_or(&line).trim_start();
        facts.insert(format!("relay {place}"), fact.to_owned().into());
    }
    for peer in &snapshot.peers {
        facts.insert(format!("peer {}", book.peer(&peer.id)), link(peer));
    }
    for caller in &snapshot.turned_away {
        let who = book.peer(&caller.id);
        facts.insert(format!("caller {who}"), "not let in".to_owned().into());
    }
    facts
}

fn link(peer: &PeerSnapshot) -> Fact {
    let path = peer.path.as_ref().map(|path| words::path(Some(path)));
    let link = match path {
        // A path says itself that it is direct.
        Some(path) if peer.state == PeerState::Direct => path,
        Some(path) => format!("{}, {path}", peer.state),
        None => peer.state.to_string(),
    };
    let Some(why) = &peer.why else {
        return link.into();
    };
    Fact {
        // What it says beside the cause, how long and by how many packets, grows.
        steady: format!("{link}: {:?}", why.cause),
        text: format!("{link}: {}", why.line()),
    }
}

/// What is new, another, or gone.
fn changes(before: &Facts, now: &Facts) -> Vec<String> {
    let changed = now
        .iter()
        .filter(|(what, fact)| before.get(*what) != Some(fact));
    let changed = changed.map(|(what, fact)| format!("{what}: {}", fact.text));
    let gone = before.keys().filter(|what| !now.contains_key(*what));
    changed
        .chain(gone.map(|what| format!("{what}: gone")))
        .collect()
}

#[cfg(test)]
mod tests {
    use peerway::{RelaySnapshot, RelayState, RelayUrl, SecretKey};

    use super::*;

    #[test]
    fn a_line_is_told_for_each_thing_that_is_another_than_before() {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(what, fact)| ((*what).to_owned(), (*fact).to_owned().into()))
                .collect()
        };
        let before = map(&[("NAT", "x"), ("peer a", "direct"), ("peer b", "idle")]);
        let now = map(&[("NAT", "x"), ("peer a", "relayed"), ("peer c", "direct")]);
        let told = changes(&before, &now);
        assert_eq!(told, ["peer a: relayed", "peer c: direct", "peer b: gone"]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn a_peer_that_stays_silent_is_told_of_once() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let traffic = serde_json::json!({"rx_bytes": 0, "tx_bytes": 0, "rx_rate": 0, "tx_rate": 0});
        let after = |silent_ms: u64, kind: &str| {
            let peer = serde_json::json!({
                "id": id, "state": "relayed", "state_age_ms": silent_ms, "loss": 0.0, "connections": 0,
                "why": {"cause": {"kind": kind}, "evidence": {"silent_ms": silent_ms}},
                "traffic": traffic, "probes_sent": 0, "probes_answered": 0,
            });
            let mut snapshot = NodeSnapshot::empty(id);
            snapshot.peers = vec![serde_json::from_value(peer).unwrap()];
            facts(&snapshot, &Book::default())
        };
        let (first, later) = (after(2000, "peer_silent"), after(3000, "peer_silent"));
        let text = |facts: &Facts| facts[&format!("peer {}", id.short())].text.clone();
        assert_ne!(text(&first), text(&later), "it says how long");
        assert_eq!(changes(&first, &later), Vec::<String>::new());
        assert_eq!(changes(&first, &after(3000, "peer_offline")).len(), 1);
    }

    #[test]
    fn what_is_measured_anew_each_second_is_no_change() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let mut snapshot = NodeSnapshot::empty(id);
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        snapshot.relays = vec![RelaySnapshot::new(relay, RelayState::Up)];
        let before = facts(&snapshot, &Book::default());
        assert_eq!(before["relay relay.example.org:4433"].text, "up");
        snapshot.at_ms += 1000;
        snapshot.relays[0].rtt = Some(std::time::Duration::from_millis(7));
        assert_eq!(facts(&snapshot, &Book::default()), before);
        snapshot.relays[0].state = RelayState::Connecting;
        assert_ne!(facts(&snapshot, &Book::default()), before);
    }
}
