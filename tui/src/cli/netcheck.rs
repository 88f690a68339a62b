//! `peerway netcheck`: what this network allows.

use std::net::SocketAddr;

use peerway::{MappingProtocol, NatReport, NodeSnapshot, RelayState, RelayUrl};
use serde::Serialize;

use super::{
    args::Globals,
    failure::Failure,
    node::{Node, no_relay},
    out, status, words,
};

pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    if globals.relays.is_empty() {
        out::hint("without a relay nobody can tell us how we look from outside: add --relay URL");
    }
    let node = Node::dialling(globals, globals.relays.clone()).await?;
    let body = async {
        let snapshot = node.report().await;
        let report = Report::of(&snapshot);
        if globals.json {
            out::json(&report)?;
        } else {
            out::text(text(&report, &snapshot))?;
        }
        if report.udp || snapshot.relays.is_empty() {
            Ok(())
        } else {
            Err(no_relay(&snapshot))
        }
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether datagrams went to a relay and back.
    udp: bool,
    ipv4: Option<Address>,
    ipv6: Option<Address>,
    nat: NatReport,
    port_mapping: Option<Mapping>,
    relays: Vec<Relay>,
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
            rtt_ms: relay.rtt_ms.map(words::two_decimals),
        });
        Self {
            udp: snapshot
                .relays
                .iter()
                .any(|relay| relay.state == RelayState::Up),
            ipv4: network.public_v4.map(address),
            ipv6: network.public_v6.map(address),
            nat: network.nat,
            port_mapping: mapping,
            relays: relays.collect(),
        }
    }
}

fn text(report: &Report, snapshot: &NodeSnapshot) -> String {
    let address = |address: &Option<Address>| {
        address
            .as_ref()
            .map_or_else(|| "none".to_owned(), |address| address.public.to_string())
    };
    let udp = if report.udp { "works" } else { "no answer" };
    let mapping = words::mapping(snapshot.network.port_mapping.as_ref());
    let mut lines = vec![
        format!("UDP           {udp}"),
        format!("public IPv4   {}", address(&report.ipv4)),
        format!("public IPv6   {}", address(&report.ipv6)),
        format!("NAT mapping   {}", words::nat(report.nat.mapping)),
        format!("NAT filtering {}", words::nat(report.nat.filtering)),
        format!("port mapping  {mapping}"),
    ];
    for relay in &snapshot.relays {
        lines.push(format!("relay         {}", status::relay_line(relay)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use peerway::NatBehavior;

    use super::*;

    #[test]
    fn the_object_keeps_its_keys() {
        let report = Report {
            udp: true,
            ipv4: Some(Address {
                public: "192.0.2.1:5000".parse().unwrap(),
            }),
            ipv6: None,
            nat: NatReport {
                mapping: NatBehavior::EndpointIndependent,
                filtering: NatBehavior::Unknown,
                ..NatReport::default()
            },
            port_mapping: Some(Mapping {
                protocol: MappingProtocol::NatPmp,
                external: "192.0.2.1:6000".parse().unwrap(),
            }),
            relays: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"udp":true,"ipv4":{"public":"192.0.2.1:5000"},"ipv6":null,"#,
                r#""nat":{"mapping":"endpoint-independent","filtering":"unknown"},"#,
                r#""port_mapping":{"protocol":"nat-pmp","external":"192.0.2.1:6000"},"relays":[]}"#
            )
        );
    }
}
