use super::*;
use crate::SecretKey;

fn peer(seed: u8) -> PeerId {
    SecretKey::from_seed(&[seed; 32]).id()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|it| it.parse().unwrap()).collect()
}

/// With `networks` here and `accepted`.
fn planned(advertised: &[&str], networks: &[&str], accepted: &[&str]) -> Plan {
    let (networks, accepted) = (nets(networks), nets(accepted));
    let other = Route {
        peer: peer(2),
        net: "172.20.0.0/16".parse().unwrap(),
        seen_as: "172.20.0.0/16".parse().unwrap(),
    };
    let needed = Needed {
        what: "the relay",
        addr: "203.0.113.5".parse().unwrap(),
    };
    let here = Here {
        networks: &networks,
        routes: &[other],
        needed: &[needed],
        accepted: &accepted,
    };
    plan(
        peer(1),
        &["100.64.0.9".parse().unwrap()],
        &nets(advertised),
        here,
    )
}

fn refusal(advertised: &str) -> Option<Refusal> {
    let plan = planned(&[advertised], &["192.168.1.0/24"], &[advertised]);
    plan.refused.into_iter().next().map(|(_, why)| why)
}

#[test]
fn what_is_advertised_is_reached_where_it_is_accepted() {
    let plan = planned(
        &["192.168.7.0/24", "10.0.0.0/8", "192.168.8.0/24"],
        &["192.168.1.0/24"],
        &["192.168.0.0/21", "10.2.0.0/16"],
    );
    let reached: Vec<_> = plan.routes.iter().map(|route| route.net).collect();
    assert_eq!(
        reached,
        nets(&["100.64.0.9/32", "192.168.7.0/24", "10.2.0.0/16"])
    );
    assert!(plan.routes.iter().all(|route| route.net == route.seen_as));
    let [(net, Refusal::NotAccepted { .. })] = plan.refused[..] else {
        panic!("{plan:?}");
    };
    assert_eq!(net, nets(&["192.168.8.0/24"])[0]);
}

#[test]
fn a_range_that_is_here_too_is_stood_for_by_another() {
    let plan = planned(
        &["192.168.1.0/24"],
        &["192.168.0.0/16"],
        &["192.168.1.0/24"],
    );
    let route = plan.routes[1];
    assert!(is_free(
        route.seen_as,
        &nets(&["192.168.0.0/16", "172.20.0.0/16"])
    ));
    assert_eq!(route.seen_as.prefix_len(), 24);
    assert!(route.to_string().contains("(there 192.168.1.0/24)"));
    let same = planned(
        &["192.168.1.0/24"],
        &["192.168.0.0/16"],
        &["192.168.1.0/24"],
    );
    assert_eq!(same, plan);
    let large = planned(&["10.0.0.0/8"], &["10.1.0.0/16"], &["10.0.0.0/8"]);
    assert!(matches!(large.refused[..], [(_, Refusal::NoRoom { .. })]));
}

#[test]
fn a_peers_address_that_is_here_too_is_stood_for_as_well() {
    let plan = planned(&[], &["100.64.0.0/24"], &[]);
    assert_ne!(plan.routes[0].net, plan.routes[0].seen_as);
    let [all] = nets(&["100.64.0.0/10"])[..] else {
        unreachable!()
    };
    assert!(all.contains(&plan.routes[0].seen_as));
}

#[test]
fn the_default_route_stays_what_it_is() {
    for net in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1"] {
        assert_eq!(refusal(net), Some(Refusal::Default), "{net}");
    }
    for net in ["127.0.0.0/8", "224.0.0.0/4", "fe80::/64", "169.254.0.0/16"] {
        assert_eq!(refusal(net), Some(Refusal::Special), "{net}");
    }
}

#[test]
fn the_way_to_the_relay_does_not_lead_through_the_link() {
    assert!(matches!(
        refusal("203.0.113.0/24"),
        Some(Refusal::WayThere {
            what: "the relay",
            ..
        })
    ));
    assert_eq!(refusal("203.0.112.0/24"), None);
}

#[test]
fn two_peers_have_no_range_together() {
    for net in ["172.20.0.0/16", "172.16.0.0/12", "172.20.5.0/24"] {
        assert!(matches!(refusal(net), Some(Refusal::Taken { .. })), "{net}");
    }
}
