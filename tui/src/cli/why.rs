//! `peerway why`: why the link to a peer is as it is.

use std::time::Duration;

use peerway::{
    Cause, ConnectError, Connection, Evidence, Explanation, NextReason, PathInfo, PeerId,
    PeerSnapshot, PeerState, SideEvidence, services::ping,
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{
    args::{Globals, Why},
    failure::Failure,
    node::{self, Node, Patience, relays_for},
    out, words,
};

/// Rounds go on only for links that carry data.
/// How long a link may take to settle.
const PATIENCE: Duration = Duration::from_secs(20);
const PING_EVERY: Duration = Duration::from_millis(200);
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How long a link that nothing can be sent on is looked at.
const UNUSED: Duration = Duration::from_secs(5);
const VERDICT: Duration = Duration::from_secs(1);

pub(super) async fn run(globals: &Globals, args: &Why) -> Result<(), Failure> {
    let target = node::meet(globals, &args.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &target)).await?;
    let body = async {
        node.settled().await;
        let dialled = node
            .dial(&target, ping::ALPN, Patience::within(args.timeout))
            .await;
        // The peer's word may be faster than what the link is told by.
        let answered = matches!(
            dialled,
            Ok(_) | Err(Failure::NoDiagnostics | Failure::Connect(ConnectError::Closed(_)))
        );
        if answered || words::link(&node.endpoint.snapshot(), target.id()).is_some() {
            // What is known when the time is up is the answer.
            let settled = settle(&node, target.id(), dialled.as_ref().ok());
            let _ = timeout(args.timeout.unwrap_or(PATIENCE), settled).await;
        } else {
            // The node may go on calling; what it found out comes a moment after the dial's own error.
            let _ = timeout(VERDICT, failed(&node, target.id())).await;
        }
        let snapshot = node.endpoint.snapshot();
        let peer = snapshot.peer(target.id());
        let Some((peer, why)) = peer.and_then(|peer| Some((peer, peer.why.as_ref()?))) else {
            return dialled.map(drop);
        };
        let is_linked = words::link(&snapshot, target.id()).is_some();
        if globals.json {
            out::json(&Report::of(peer, why))?;
        } else {
            out::text(text(peer, why))?;
        }
        let settled = matches!(why.cause, Cause::Direct { .. } | Cause::RelayOnly { .. });
        if let Some(blindness) = words::blindness(&snapshot.network).filter(|_| !settled) {
            out::hint(blindness);
        }
        match dialled {
            // The link is explained, whatever runs over it.
            Err(failure) if is_linked => {
                out::hint(failure.to_string());
                Ok(())
            }
            other => other.map(drop),
        }
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// Waits until the link is direct, or until nothing more is to be learnt of why it is not.
async fn settle(node: &Node, peer: PeerId, connection: Option<&Connection>) {
    let pings = async {
        let Some(connection) = connection else {
            // Such a link is kept for some seconds.
            return sleep(UNUSED).await;
        };
        for seq in 0.. {
            // Lost or not, it was traffic.
            let _ = ping::ping(connection, seq, PING_PATIENCE).await;
            sleep(PING_EVERY).await;
        }
    };
    let mut snapshots = node.endpoint.snapshots();
    let settled = snapshots.wait_for(|snapshot| {
        let it = |known: &&PeerSnapshot| known.id == peer;
        snapshot.peers.iter().find(it).is_some_and(is_settled)
    });
    tokio::select! {
        _ = settled => {}
        () = pings => {}
    }
}

/// Waits until the snapshot says what came of the call.
async fn failed(node: &Node, peer: PeerId) {
    let mut snapshots = node.endpoint.snapshots();
    let is_failed = |one: &PeerSnapshot| one.id == peer && one.state == PeerState::Failed;
    // An error means that the node has ended, and nothing more comes.
    let _ = snapshots
        .wait_for(|all| all.peers.iter().any(is_failed))
        .await;
}

fn is_settled(peer: &PeerSnapshot) -> bool {
    let Some(why) = &peer.why else { return false };
    let runs = why
        .next_try
        .is_some_and(|next| matches!(next.reason, NextReason::Running | NextReason::Width));
    // What the peer has heard of our probes it tells in the second attempt.
    let vague = matches!(
        why.cause,
        Cause::Silent | Cause::MappingSilent { .. } | Cause::PathLost | Cause::GuessingWaits
    );
    let relayed = peer.state == PeerState::Relayed;
    let told = !vague || why.evidence.tried.rounds > 1;
    !runs && (peer.state == PeerState::Direct || relayed && told)
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
struct Report<'a> {
    peer: PeerId,
    state: PeerState,
    path: Option<&'a PathInfo>,
    line: String,
    paragraph: String,
    #[serde(flatten)]
    why: &'a Explanation,
}

impl<'a> Report<'a> {
    fn of(peer: &'a PeerSnapshot, why: &'a Explanation) -> Self {
        Self {
            peer: peer.id,
            state: peer.state,
            path: peer.path.as_ref(),
            line: why.line(),
            paragraph: why.paragraph(),
            why,
        }
    }
}

fn text(peer: &PeerSnapshot, why: &Explanation) -> String {
    let headline = match (peer.state, why.cause) {
        (PeerState::Direct, _) => why.line(),
        (_, Cause::PeerOffline) => format!("offline: {}", why.line()),
        (_, Cause::PeerSilent) => format!("no answer: {}", why.line()),
        (state, _) => format!("{state}: {}", why.line()),
    };
    let mut lines = vec![headline, String::new(), words::wrap(&why.paragraph(), "")];
    lines.push(String::new());
    lines.extend(evidence(&why.evidence));
    let advice = why.action.map(|action| format!("> {action}"));
    let next = why.next_try.map(|next| next.to_string());
    if advice.is_some() || next.is_some() {
        lines.push(String::new());
    }
    lines.extend(advice.map(|advice| words::wrap(&advice, "  ")));
    lines.extend(next);
    lines.join("\n")
}

/// What both sides are like and what was tried, a fact a line.
fn evidence(evidence: &Evidence) -> Vec<String> {
    let tried = &evidence.tried;
    let mut facts: Vec<(&str, String)> = Vec::new();
    facts.extend(side(&evidence.here).map(|fact| ("here", fact)));
    match &evidence.there {
        Some(there) => facts.extend(side(there).map(|fact| ("peer", fact))),
        None => facts.push(("peer", "has said nothing of itself".to_owned())),
    }
    facts.push((
        "tried",
        format!(
            "INTROs {}, attempts {}; probes {}, addresses {}, answers {}; guesses {}",
            tried.hellos,
            tried.rounds,
            tried.sent,
            tried.probed.total(),
            tried.answered,
            tried.guesses()
        ),
    ));
    let mut last = "";
    facts
        .into_iter()
        .map(|(subject, fact)| {
            let shown = if subject == last { "" } else { subject };
            last = subject;
            words::wrap(&format!("{shown:<8}{fact}"), "        ")
        })
        .collect()
}

fn side(side: &SideEvidence) -> [String; 3] {
    let mut families = Vec::new();
    families.extend(side.ipv4.then_some("IPv4"));
    families.extend(side.ipv6.then_some("IPv6"));
    let families = match families.is_empty() {
        true => "none".to_owned(),
        false => families.join(" and "),
    };
    let yes = |yes| if yes { "allowed" } else { "not allowed" };
    [
        format!("router {}", side.nat),
        format!(
            "addresses: {} of its own, {} forwarded, {} seen by relays; {families}",
            side.offers.host, side.offers.mapped, side.offers.reflexive
        ),
        format!(
            "direct paths {}, guessing {}; {} probes came in",
            yes(side.direct),
            yes(side.guess),
            side.heard
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    fn relayed() -> Explanation {
        serde_json::from_value(serde_json::json!({
            "cause": {"kind": "both_random"},
            "action": {"kind": "map_port", "side": null},
            "next_try": {"in_ms": 12_000, "reason": "round"},
            "evidence": {
                "here": {
                    "nat": {
                        "mapping": "address-and-port-dependent",
                        "filtering": "address-and-port-dependent",
                        "allocation": {"kind": "random", "first": 1024, "last": 65535},
                    },
                    "offers": {"host": 1, "mapped": 0, "reflexive": 1},
                    "ipv4": true,
                    "direct": true,
                    "guess": true,
                },
                "tried": {"took_ms": 3200, "hellos": 1, "rounds": 1, "sent": 29},
            },
        }))
        .unwrap()
    }

    #[test]
    fn an_explanation_survives_json() {
        let json = serde_json::to_string(&relayed()).unwrap();
        assert_eq!(
            serde_json::from_str::<Explanation>(&json).unwrap(),
            relayed()
        );
    }

    #[test]
    fn a_peer_that_is_not_there_is_said_to_be_offline() {
        let why = serde_json::json!({"cause": {"kind": "peer_offline"}, "evidence": {}});
        let traffic = serde_json::json!({"rx_bytes": 0, "tx_bytes": 0, "rx_rate": 0, "tx_rate": 0});
        for state in ["failed", "relayed"] {
            let peer: PeerSnapshot = serde_json::from_value(serde_json::json!({
                "id": peerway::SecretKey::from_seed(&[1; 32]).id(),
                "state": state,
                "why": why,
                "state_age_ms": 0,
                "loss": 0.0,
                "connections": 0,
                "traffic": traffic,
                "probes_sent": 0,
                "probes_answered": 0,
            }))
            .unwrap();
            let why = peer.why.as_ref().unwrap();
            assert_keys("why", &Report::of(&peer, why));
            let text = text(&peer, why);
            assert!(text.starts_with("offline: "), "{text}");
        }
    }

    #[test]
    fn the_evidence_has_a_line_for_each_fact_of_each_side() {
        assert_eq!(
            evidence(&relayed().evidence).join("\n"),
            "here    router gives every destination another port, at random between 1024 and
        65535
        addresses: 1 of its own, 0 forwarded, 1 seen by relays; IPv4
        direct paths allowed, guessing allowed; 0 probes came in
peer    has said nothing of itself
tried   INTROs 1, attempts 1; probes 29, addresses 0, answers 0; guesses 0"
        );
    }
}
