//! `peerway why`: why the link to a peer is as it is.

use peerway::{
    Cause, Evidence, Explanation, PathInfo, PeerId, PeerSnapshot, PeerState, SideEvidence,
};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    args::{Globals, Why},
    failure::Failure,
    node, operate, out, words,
};
use crate::operations::{self, Ask, Step};

pub(super) async fn run(globals: &Globals, args: &Why, started_at: Instant) -> Result<(), Failure> {
    let ask = Ask::Why(operations::Why {
        ticket: node::meet(globals, &args.peer).await?,
        timeout_ms: args.timeout.map(operations::whole_ms),
    });
    let print = |step| {
        let Step::Explained { peer } = step else {
            return Ok(());
        };
        // Without one it is not told.
        let Some(why) = &peer.why else { return Ok(()) };
        if globals.json {
            out::json(&Report::of(&peer, why))?;
        } else {
            out::text(text(&peer, why))?;
        }
        Ok(())
    };
    let ended = operate::carry_out(globals, ask, started_at, print).await?;
    ended.ok_or(Failure::Interrupted)
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
