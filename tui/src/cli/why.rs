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
    node::{Node, relays_for},
    out, words,
};

/// Rounds go on only for links that carry data.
const PING_EVERY: Duration = Duration::from_millis(200);
const PING_PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(globals: &Globals, args: &Why) -> Result<(), Failure> {
    let node = Node::dialling(globals, relays_for(globals, &args.peer)).await?;
    let body = async {
        node.settled().await;
        let dialled = node.dial(&args.peer, ping::ALPN, args.timeout).await;
        if let Ok(connection) = &dialled {
            // What is known when the time is up is the answer.
            let _ = timeout(args.timeout, settle(&node, connection)).await;
        }
        let snapshot = node.endpoint.snapshot();
        let peer = snapshot.peers.iter().find(|peer| peer.id == args.peer.id);
        let Some((peer, why)) = peer.and_then(|peer| Some((peer, peer.why.as_ref()?))) else {
            return dialled.map(drop);
        };
        if globals.json {
            out::json(&Report::of(peer, why))?;
        } else {
            out::text(text(peer, why))?;
        }
        match dialled {
            // The link is explained, whatever runs over it.
            Err(Failure::Connect(
                ConnectError::NoSuchService | ConnectError::Busy | ConnectError::Closed { .. },
            )) if peer.state != PeerState::Failed => Ok(()),
            other => other.map(drop),
        }
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// Waits until the link is direct, or until nothing more is to be learnt of why it is not.
async fn settle(node: &Node, connection: &Connection) {
    let pings = async {
        for seq in 0.. {
            // Lost or not, it was traffic.
            let _ = ping::ping(connection, seq, PING_PATIENCE).await;
            sleep(PING_EVERY).await;
        }
    };
    let mut snapshots = node.endpoint.snapshots();
    let settled = snapshots.wait_for(|snapshot| {
        let peer = |peer: &&PeerSnapshot| peer.id == connection.peer();
        snapshot.peers.iter().find(peer).is_some_and(is_settled)
    });
    tokio::select! {
        _ = settled => {}
        () = pings => {}
    }
}

fn is_settled(peer: &PeerSnapshot) -> bool {
    let Some(why) = &peer.why else { return false };
    let runs = why
        .next_try
        .is_some_and(|next| next.reason == NextReason::Running);
    // What the peer has heard of our probes it tells in the second attempt.
    let vague = matches!(
        why.cause,
        Cause::Silent | Cause::MappingSilent { .. } | Cause::PathLost | Cause::GuessingWaits
    );
    let relayed = peer.state == PeerState::Relayed;
    let told = !vague || why.evidence.tried.rounds > 1;
    peer.state == PeerState::Direct || (relayed && !runs && told)
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
    let headline = if peer.state == PeerState::Direct {
        why.line()
    } else {
        format!("{}: {}", words::state(peer.state), why.line())
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
    use super::*;

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
