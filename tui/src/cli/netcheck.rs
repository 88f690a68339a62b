//! `peerway netcheck`: what this network allows, in plain words with what was measured under them.

mod findings;

use std::{net::SocketAddr, time::Duration};

use peerway::{
    Carrier, HomeReason, MappingProtocol, NatEvidence, NatReport, NodeSnapshot, Observed,
    RelayRole, RelayState, RelayUrl,
};
use serde::Serialize;
use tokio::time::Instant;

use self::findings::{Finding, findings};
use super::{args::Globals, failure::Failure, operate, out, status, words};
use crate::{
    dash::format,
    operations::{Ask, Step},
};

/// What is older is said to be.
const STALE_MS: u64 = 60_000;

pub(super) async fn run(globals: &Globals, started_at: Instant) -> Result<(), Failure> {
    let print = |step| {
        let Step::Network { node } = step else {
            return Ok(());
        };
        let observed = node.network.observed;
        if node.relays.is_empty() && matches!(observed, Observed::Unasked | Observed::Asking) {
            out::hint(
                "without a relay nobody can tell how this computer looks from outside but nodes of the Mainline DHT, which the node of `up` asks: add --relay URL",
            );
        }
        let report = Report::of(&node);
        if globals.json {
            out::json(&report)?;
        } else {
            out::text(text(&report, &node))?;
        }
        if let Some(age) = node
            .network
            .checked_at_ms
            .map(|at| node.at_ms.saturating_sub(at))
            && age > STALE_MS
        {
            let age = format::age(Duration::from_millis(age));
            out::hint(format!(
                "the router was measured {age} ago, by the node that runs here"
            ));
        }
        Ok(())
    };
    let ended = operate::carry_out(globals, Ask::Netcheck, started_at, print).await?;
    ended.ok_or(Failure::Interrupted)
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether datagrams went to a relay and back.
    udp: bool,
    ipv4: Option<Address>,
    ipv6: Option<Address>,
    nat64: bool,
    nat: NatReport,
    nat_evidence: NatEvidence,
    port_mapping: Option<Mapping>,
    relays: Vec<Relay>,
    findings: Vec<Finding>,
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
struct Address {
    public: SocketAddr,
}

#[derive(Debug, Serialize)]
struct Mapping {
    protocol: MappingProtocol,
    external: SocketAddr,
}

#[derive(Debug, Serialize)]
struct Relay {
    url: RelayUrl,
    rtt_ms: Option<f64>,
    role: Option<RelayRole>,
    home_reason: Option<HomeReason>,
    carrier: Option<Carrier>,
    tcp_port: Option<u16>,
    proxy: Option<String>,
}

impl Report {
    fn of(snapshot: &NodeSnapshot) -> Self {
        let network = &snapshot.network;
        let address = |public| Address { public };
        let mapping = network.port_mapping.map(|mapping| Mapping {
            protocol: mapping.protocol,
            external: mapping.external,
        });
        let relays = snapshot.relays.iter().map(|relay| Relay {
            url: relay.url.clone(),
            rtt_ms: relay.rtt.map(words::ms),
            role: relay.role,
            home_reason: relay.home_reason,
            carrier: relay.carrier,
            tcp_port: relay.tcp_port,
            proxy: relay.proxy.clone(),
        });
        Self {
            udp: snapshot
                .relays
                .iter()
                .any(|relay| relay.state == RelayState::Up && relay.carrier != Some(Carrier::Tcp)),
            ipv4: network.public_v4.map(address),
            ipv6: network.public_v6.map(address),
            nat64: network.nat64,
            nat: network.nat,
            nat_evidence: network.nat_evidence.clone(),
            port_mapping: mapping,
            relays: relays.collect(),
            findings: findings(snapshot),
            advice: network.advice().map(words::advice),
        }
    }
}

fn text(report: &Report, snapshot: &NodeSnapshot) -> String {
    let mut lines = Vec::new();
    for finding in &report.findings {
        lines.push(words::wrap(&finding.says, ""));
        lines.push(words::wrap(&format!("  {}", finding.evidence), "  "));
        lines.push(String::new());
    }
    if let Some(advice) = &report.advice {
        lines.push(words::wrap(&format!("> {advice}"), "  "));
        lines.push(String::new());
    }
    for relay in &snapshot.relays {
        lines.push(format!("relay {}", status::relay_line(relay)));
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_object_keeps_its_keys() {
        let report = Report {
            udp: true,
            ipv4: Some(Address {
                public: "192.0.2.1:5000".parse().unwrap(),
            }),
            ipv6: None,
            nat64: false,
            nat: NatReport::default(),
            nat_evidence: NatEvidence::default(),
            port_mapping: Some(Mapping {
                protocol: MappingProtocol::NatPmp,
                external: "192.0.2.1:6000".parse().unwrap(),
            }),
            relays: Vec::new(),
            findings: vec![Finding {
                about: "udp",
                says: "a".to_owned(),
                evidence: "b".to_owned(),
            }],
            advice: None,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"udp":true,"ipv4":{"public":"192.0.2.1:5000"},"ipv6":null,"nat64":false,"#,
                r#""nat":{"mapping":"unknown","filtering":"unknown","allocation":{"kind":"unknown"}},"#,
                r#""nat_evidence":{"asked":0,"answered":0,"two_ports":0,"ports":[]},"#,
                r#""port_mapping":{"protocol":"nat-pmp","external":"192.0.2.1:6000"},"relays":[],"#,
                r#""findings":[{"about":"udp","says":"a","evidence":"b"}],"advice":null}"#
            )
        );
        assert_keys("netcheck", &report);
    }
}
