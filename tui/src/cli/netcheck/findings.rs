//! What a node's view of its network means.

use std::net::{IpAddr, SocketAddr};

use peerway::{
    Carrier, NatBehavior, NatEvidence, NetworkSnapshot, NodeSnapshot, Observed, PortAllocation,
    RefusalReason, RelayState,
};
use serde::Serialize;

use crate::{cli::words, dash::words::nat_class};

/// A statement, and what was measured for it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) says: String,
    pub(super) evidence: String,
}

/// All that can be said of the network, what matters most first.
pub(super) fn findings(snapshot: &NodeSnapshot) -> Vec<Finding> {
    let network = &snapshot.network;
    let mut all = Vec::new();
    if !snapshot.relays.is_empty() {
        all.push(udp(snapshot));
    }
    if let Some(observed) = observed(network) {
        all.push(observed);
    } else if network
        .public_v4
        .is_some_and(|addr| addr.ip().is_loopback())
    {
        all.push(Finding {
            about: "router",
            says:
                "The relay is on this computer: it cannot tell how this network looks from outside."
                    .to_owned(),
            evidence: "it sees a loopback address".to_owned(),
        });
    } else if let Some(public) = network.public_v4 {
        all.push(ports(network, public));
        all.extend(filter(network, public));
        all.push(mapping(network, public));
    }
    all.push(ipv6(network));
    all.extend(lan(network));
    all.extend(publishing(network));
    all
}

/// What strangers say of a node that no relay sees.
fn observed(network: &NetworkSnapshot) -> Option<Finding> {
    let (says, evidence) = match network.observed {
        Observed::Same => (
            "Without a relay, peers whose routers are ordinary ones find this node by the Mainline DHT and are linked directly.",
            network.public_v4.map_or_else(
                || "its nodes agree where they see this computer".to_owned(),
                |public| format!("three of its nodes see this computer at {public}"),
            ),
        ),
        Observed::Varies => (
            "Your router gives every destination another port, so a relay is needed to meet peers that are not open themselves: name one with --relay URL.",
            "nodes of the Mainline DHT do not agree where they see this computer".to_owned(),
        ),
        Observed::Silent => (
            "UDP may be blocked on this network, so a relay is needed, which is reached over TCP too: name one with --relay URL.",
            "no node of the Mainline DHT answers".to_owned(),
        ),
        Observed::Untold => (
            "Whether peers can be met without a relay is not known yet.",
            "too few nodes of the Mainline DHT say where they see this computer".to_owned(),
        ),
        Observed::Unasked | Observed::Asking | Observed::Unknown | _ => return None,
    };
    Some(Finding {
        about: "dht-address",
        says: says.to_owned(),
        evidence,
    })
}

fn udp(snapshot: &NodeSnapshot) -> Finding {
    let up = snapshot.relays.iter();
    let up = up.filter(|relay| relay.state == RelayState::Up).count();
    if up == 0 {
        return unusable(snapshot);
    }
    let nearest = snapshot.relays.iter().filter_map(|relay| relay.rtt);
    let nearest = nearest.min();
    let nearest = nearest.map_or_else(String::new, |rtt| {
        format!(", the nearest in {:.1} ms", words::ms(rtt))
    });
    let evidence = format!("{up} of {} relays answered{nearest}", snapshot.relays.len());
    let carriers = || snapshot.relays.iter().filter_map(|relay| relay.carrier);
    if carriers().next().is_some() && carriers().all(|carrier| carrier == Carrier::Tcp) {
        let ports = snapshot.relays.iter().filter_map(|relay| relay.tcp_port);
        let port = ports.max().unwrap_or_default();
        return Finding {
            about: "udp",
            says: format!(
                "UDP is blocked on this network: relays are reached over TCP {port}. Peers with a public address are linked directly, the others through a relay."
            ),
            evidence: format!("{evidence}, none of them by UDP"),
        };
    }
    Finding {
        about: "udp",
        says: "UDP works here, at least to a relay.".to_owned(),
        evidence,
    }
}

/// No relay took us; what is known of why is said, and not guessed.
fn unusable(snapshot: &NodeSnapshot) -> Finding {
    let wrong = snapshot.relays.iter().any(|relay| relay.impostor);
    let says = if wrong {
        "A relay is another one than its URL says. Get the URL anew; if it is the same, do not trust this network."
    } else {
        "No relay answers, so who is not linked yet cannot reach this node from elsewhere. What is linked directly stays so. The reasons are below; name another relay with --relay URL if it does not come back."
    };
    let reasons = snapshot.relays.iter().map(|relay| {
        let reason = relay.error.as_deref().unwrap_or("no answer yet");
        format!("{}: {reason}", relay.url.place())
    });
    let evidence = reasons.collect::<Vec<_>>().join("; ");
    Finding {
        about: "udp",
        says: says.to_owned(),
        evidence,
    }
}

fn is_own(network: &NetworkSnapshot, public: SocketAddr) -> bool {
    network.local.iter().any(|own| own.ip() == public.ip())
}

fn ports(network: &NetworkSnapshot, public: SocketAddr) -> Finding {
    let nat = network.nat;
    let meaning = match (nat.mapping, nat.allocation) {
        _ if is_own(network, public) => {
            return Finding {
                about: "router",
                says: "This computer has a public IPv4 address of its own: everybody can be linked directly, unless a firewall is in the way.".to_owned(),
                evidence: format!("a relay sees {public}, which is an address of this computer"),
            };
        }
        (NatBehavior::Unknown, _) => {
            "Whether peers can be linked directly will show when they are dialled."
        }
        (NatBehavior::EndpointIndependent, _) => {
            "Peers can be told where to send, so nearly all are linked directly at once, and those whose routers choose random ports after some guessing."
        }
        (_, PortAllocation::Sequential { .. }) => {
            "Its next port can be foretold, so peers behind ordinary routers are linked directly, but not those whose routers choose random ports."
        }
        (_, PortAllocation::Random { .. } | PortAllocation::Unknown) => {
            "Peers behind ordinary routers have to guess the port, which takes a second or two. With peers whose router does the same, data stays on the relay."
        }
    };
    Finding {
        about: "router",
        says: format!("Your router {nat}. {meaning}"),
        evidence: match nat_class(nat) {
            "unknown" => port_evidence(&network.nat_evidence, public),
            kind => {
                let evidence = port_evidence(&network.nat_evidence, public);
                format!("NAT of the kind {kind}; {evidence}")
            }
        },
    }
}

fn port_evidence(evidence: &NatEvidence, public: SocketAddr) -> String {
    let asked = format!(
        "seen at {public}; {} of {} relays answered, {} of them at two ports",
        evidence.answered, evidence.asked, evidence.two_ports
    );
    if evidence.ports.is_empty() {
        return asked;
    }
    let ports: Vec<String> = evidence.ports.iter().map(u16::to_string).collect();
    format!("{asked}; new sockets got ports {}", ports.join(", "))
}

fn filter(network: &NetworkSnapshot, public: SocketAddr) -> Option<Finding> {
    let (says, evidence) = match network.nat.filtering {
        NatBehavior::EndpointIndependent => (
            "It lets in everybody at a port that is in use.",
            "an answer from a relay's other port, which nothing was sent to, came in",
        ),
        NatBehavior::AddressDependent => (
            "It lets in whoever was sent something, from any of their ports.",
            "answers from a relay's other port came in, but only after something was sent there",
        ),
        NatBehavior::AddressAndPortDependent => (
            "It lets in only what was asked for; both sides have to send to open it.",
            "no answer came in from a relay's other port, which nothing was sent to",
        ),
        NatBehavior::Unknown => return None,
    };
    (!is_own(network, public)).then(|| Finding {
        about: "filter",
        says: says.to_owned(),
        evidence: evidence.to_owned(),
    })
}

fn mapping(network: &NetworkSnapshot, public: SocketAddr) -> Finding {
    let (says, evidence) = match network.port_mapping {
        _ if is_own(network, public) => ("No router has to forward a port.", "as above".to_owned()),
        Some(mapping) if is_public(mapping.external.ip()) => (
            "Your router forwards a port to this computer, so everybody can reach it.",
            mapping.to_string(),
        ),
        Some(mapping) => (
            "Your router forwards a port to this computer, but stands behind another router that does not.",
            mapping.to_string(),
        ),
        None => unforwarded(network),
    };
    Finding {
        about: "forwarding",
        says: says.to_owned(),
        evidence,
    }
}

/// Why no port is forwarded.
fn unforwarded(network: &NetworkSnapshot) -> (&'static str, String) {
    if network.interfaces_unread {
        return (
            "Whether your router forwards ports is not known.",
            "the system does not let this program read its interfaces and routes".to_owned(),
        );
    }
    let Some(refusal) = network.port_refusal else {
        return (
            "Your router forwards no port by itself.",
            "no answer to PCP, NAT-PMP and UPnP".to_owned(),
        );
    };
    let says = match refusal.reason {
        RefusalReason::NoPublicAddress => {
            "Your router forwards no port, because it has no public address itself."
        }
        RefusalReason::Forbidden => "Your router does not let this computer open ports.",
        RefusalReason::NoFreePort => "Your router has no port left to forward.",
        RefusalReason::Other | _ => "Your router refused to forward a port.",
    };
    (
        says,
        format!(
            "it answered {} with error {}",
            refusal.protocol, refusal.code
        ),
    )
}

/// That peers on this network are not found by their id, and why.
fn lan(network: &NetworkSnapshot) -> Option<Finding> {
    let evidence = network.lan_trouble.clone()?;
    Some(Finding {
        about: "lan",
        says: "Peers on this network are not found by their id alone, nor is this node: dial by ticket."
            .to_owned(),
        evidence,
    })
}

/// How it goes with publishing where the node that runs here is.
fn publishing(network: &NetworkSnapshot) -> Option<Finding> {
    let evidence = network.publishing.clone()?;
    Some(Finding {
        about: "dht",
        says: "This node keeps in the Mainline DHT where it is, for whoever has its ticket."
            .to_owned(),
        evidence,
    })
}

fn ipv6(network: &NetworkSnapshot) -> Finding {
    let own = network
        .local
        .iter()
        .find(|addr| addr.is_ipv6() && is_public(addr.ip()));
    let (says, evidence) = match (network.public_v6, own, network.nat64) {
        (_, _, true) => (
            "There is IPv6, and a translator to IPv4 (NAT64): peers with IPv4 alone can be reached too.",
            "the network announced the translator's prefix".to_owned(),
        ),
        (Some(seen), _, _) => (
            "IPv6 works: peers that have it too are linked directly whatever the routers do.",
            format!("a relay sees {seen}"),
        ),
        (None, Some(own), _) => (
            "This computer has an IPv6 address; no relay was asked whether it works.",
            format!("{}", own.ip()),
        ),
        (None, None, _) if network.interfaces_unread => (
            "No route leads to the IPv6 internet.",
            "no socket has an address to send to it from; the interfaces could not be read"
                .to_owned(),
        ),
        (None, None, _) => (
            "There is no IPv6 here.",
            "no interface has a global IPv6 address".to_owned(),
        ),
    };
    Finding {
        about: "ipv6",
        says: says.to_owned(),
        evidence,
    }
}

/// Whether the address is one of the internet's, as far as the common private ranges go.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(network: &serde_json::Value) -> NodeSnapshot {
        let key = peerway::SecretKey::from_seed(&[1; 32]).id();
        let relay = peerway::RelayUrl::new(key, "192.0.2.9", 4433).unwrap();
        serde_json::from_value(serde_json::json!({
            "at_ms": 0,
            "uptime_ms": 0,
            "id": key,
            "ticket": peerway::Ticket::from(key),
            "network": network,
            "relays": [{"url": relay, "state": "up", "rtt_ms": 18.24, "home": true, "error": null}],
            "peers": [],
            "traffic": {"rx_bytes": 0, "tx_bytes": 0, "rx_rate": 0, "tx_rate": 0},
            "strangers": 0,
        }))
        .unwrap()
    }

    fn said(network: &serde_json::Value) -> String {
        let snapshot = snapshot(network);
        let lines = findings(&snapshot)
            .into_iter()
            .map(|finding| format!("{}\n  {}", finding.says, finding.evidence));
        let lines: Vec<String> = lines
            .chain(
                snapshot
                    .network
                    .advice()
                    .map(|advice| format!("> {advice}")),
            )
            .collect();
        lines.join("\n")
    }

    #[test]
    fn relays_that_cannot_be_used_are_listed_with_their_reasons() {
        let mut snapshot = snapshot(&serde_json::json!({
            "local": [],
            "public_v4": null,
            "public_v6": null,
            "nat": {"mapping": "unknown", "filtering": "unknown"},
            "port_mapping": null,
            "checked_at_ms": null,
        }));
        snapshot.relays[0].state = RelayState::Down;
        snapshot.relays[0].error = Some("this computer has no route to it".to_owned());
        let finding = udp(&snapshot);
        assert!(finding.says.starts_with("No relay answers"));
        assert_eq!(
            finding.evidence,
            "192.0.2.9:4433: this computer has no route to it"
        );
        snapshot.relays[0].impostor = true;
        let finding = udp(&snapshot);
        assert!(finding.says.starts_with("A relay is another one"));
    }

    #[test]
    fn without_a_relay_it_is_said_what_strangers_see_and_when_a_relay_is_needed() {
        let told = |observed| {
            let mut shown = snapshot(&serde_json::json!({
                "local": ["192.168.1.5:41641"],
                "public_v4": "198.51.100.7:2345",
                "public_v6": null,
                "observed": observed,
                "nat": {"mapping": "unknown", "filtering": "unknown"},
                "port_mapping": null,
                "checked_at_ms": null,
            }));
            shown.relays.clear();
            let finding = findings(&shown).remove(0);
            format!("{}: {}", finding.says, finding.evidence)
        };
        assert!(told("same").contains("see this computer at 198.51.100.7:2345"));
        for needs in ["varies", "silent"] {
            assert!(told(needs).contains("a relay is needed"), "{needs}");
        }
        assert!(!told("asking").contains("DHT"));
    }

    #[test]
    fn a_random_router_is_explained_with_the_ports_it_gave() {
        let network = serde_json::json!({
            "local": ["192.168.1.5:41641"],
            "public_v4": "198.51.100.7:2345",
            "public_v6": null,
            "nat": {
                "mapping": "address-and-port-dependent",
                "filtering": "address-and-port-dependent",
                "allocation": {"kind": "random", "first": 1024, "last": 65535},
            },
            "nat_evidence": {"asked": 1, "answered": 1, "two_ports": 1, "ports": [2345, 60000]},
            "port_mapping": null,
            "checked_at_ms": 1,
        });
        assert_eq!(
            said(&network),
            "\
UDP works here, at least to a relay.
  1 of 1 relays answered, the nearest in 18.2 ms
Your router gives every destination another port, at random between 1024 and 65535. \
Peers behind ordinary routers have to guess the port, which takes a second or two. \
With peers whose router does the same, data stays on the relay.
  NAT of the kind symmetric; seen at 198.51.100.7:2345; 1 of 1 relays answered, 1 of them at two ports; new sockets got ports 2345, 60000
It lets in only what was asked for; both sides have to send to open it.
  no answer came in from a relay's other port, which nothing was sent to
Your router forwards no port by itself.
  no answer to PCP, NAT-PMP and UPnP
There is no IPv6 here.
  no interface has a global IPv6 address
> Switch on UPnP or PCP in your router, or forward a UDP port to this computer."
        );
    }

    #[test]
    fn nothing_is_concluded_from_interfaces_that_could_not_be_read() {
        let mut network = serde_json::json!({
            "local": ["192.168.1.5:41641"],
            "public_v4": "198.51.100.7:2345",
            "public_v6": null,
            "nat": {
                "mapping": "address-and-port-dependent",
                "filtering": "unknown",
                "allocation": {"kind": "unknown"},
            },
            "port_mapping": null,
            "interfaces_unread": true,
            "lan_trouble": "they are kept secret",
            "publishing": "published at 8 nodes",
            "checked_at_ms": 1,
        });
        let blind = said(&network);
        for unfounded in ["no interface has", "There is no IPv6", "Switch on UPnP"] {
            assert!(!blind.contains(unfounded), "{blind}");
        }
        assert!(blind.contains("No route leads to the IPv6"), "{blind}");
        assert!(blind.contains("id alone, nor is this node: dial by ticket.\n  they are"));
        assert!(
            blind.contains("where it is, for whoever has its ticket.\n  published at 8"),
            "{blind}"
        );
        network["interfaces_unread"] = false.into();
        network["lan_trouble"] = serde_json::Value::Null;
        let seeing = said(&network);
        assert!(seeing.contains("There is no IPv6"), "{seeing}");
        assert!(!seeing.contains("dial by ticket"), "{seeing}");
    }

    #[test]
    fn an_ordinary_router_with_ipv6_needs_no_advice() {
        let network = serde_json::json!({
            "local": ["192.168.1.5:41641", "[2a00:10::7]:41641"],
            "public_v4": "198.51.100.7:41641",
            "public_v6": "[2a00:10::7]:41641",
            "nat": {
                "mapping": "endpoint-independent",
                "filtering": "address-and-port-dependent",
                "allocation": {"kind": "unknown"},
            },
            "port_mapping": {"protocol": "pcp", "external": "198.51.100.7:41641", "expires_in_s": 7200},
            "checked_at_ms": 1,
        });
        let said = said(&network);
        assert!(
            said.contains("Your router keeps one port for all destinations."),
            "{said}"
        );
        assert!(said.contains("PCP at 198.51.100.7:41641"), "{said}");
        assert!(said.contains("a relay sees [2a00:10::7]:41641"), "{said}");
        assert!(!said.contains("> "), "{said}");
    }

    #[test]
    fn a_router_that_says_no_is_not_called_silent() {
        let mut network = serde_json::json!({
            "local": ["192.168.1.5:41641"],
            "public_v4": "198.51.100.7:2345",
            "public_v6": null,
            "nat": {
                "mapping": "address-and-port-dependent",
                "filtering": "unknown",
                "allocation": {"kind": "unknown"},
            },
            "port_mapping": null,
            "port_refusal": {"protocol": "nat-pmp", "code": 3, "reason": "no-public-address"},
            "checked_at_ms": 1,
        });
        let without_address = said(&network);
        assert!(
            without_address
                .contains("it has no public address itself.\n  it answered NAT-PMP with error 3"),
            "{without_address}"
        );
        assert!(without_address.contains("> Ask your provider"));
        network["port_refusal"] =
            serde_json::json!({"protocol": "upnp", "code": 402, "reason": "other"});
        let refused = said(&network);
        assert!(
            refused.contains("it answered UPnP with error 402"),
            "{refused}"
        );
        assert!(refused.contains("> Allow this computer"), "{refused}");
        assert!(!refused.contains("no answer"));
    }

    #[test]
    fn a_router_behind_another_one_needs_the_provider() {
        let network = serde_json::json!({
            "local": ["192.168.1.5:41641"],
            "public_v4": "198.51.100.7:2345",
            "public_v6": null,
            "nat": {
                "mapping": "address-and-port-dependent",
                "filtering": "unknown",
                "allocation": {"kind": "sequential", "step": 1},
            },
            "port_mapping": {"protocol": "upnp", "external": "100.64.3.2:41641", "expires_in_s": null},
            "checked_at_ms": 1,
        });
        let said = said(&network);
        assert!(
            said.contains("another port, +1 from the last. Its next port can be foretold"),
            "{said}"
        );
        assert!(said.contains("stands behind another router"), "{said}");
        assert!(
            said.ends_with("> Ask your provider for IPv6 or a public IPv4 address."),
            "{said}"
        );
    }
}
