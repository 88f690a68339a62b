//! The faults that a link has to outlive, each in the midst of a transfer; the numbers are those of the design's list.

use std::{thread, time::Duration};

use peerway::PeerState;
use peerway_tests::pair;
use peerway_tui::lab::{self, Access, Fault, Home, Lab, NatKind};

use crate::{BUDGET, FAR, download::Tunnel, in_lab, link::Link, transfer::Transfer};

/// Enough that a busy computer with a debug build keeps it under load; what a fault really takes is printed.
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// The same with an absence of all paths of 8 s.
const LONGEST_ABSENCE: Duration = Duration::from_secs(30);

#[test]
fn f7_a_transfer_goes_on_when_a_host_moves_to_another_network() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::named_relay(&lab);
        let dual = |nat| Access {
            ipv6: true,
            ..Access::from(nat)
        };
        let strict = NatKind::PortRestricted;
        let mut a = lab.home_on("a", strict, FAR).unwrap();
        let b = lab.home_on("b", dual(strict), FAR).unwrap();
        let link = Link::new(&a, &b, &relay);
        link.wait_for(PeerState::Direct);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        let places = [
            strict.into(),
            dual(NatKind::Symmetric),
            Access::IPV6_ONLY,
            strict.into(),
        ];
        for (number, access) in places.into_iter().enumerate() {
            transfer.settle();
            let from = a.access();
            lab.relocate(&mut a, &format!("place{number}"), access, FAR)
                .unwrap();
            report(
                &format!("moved from {from} to {access}"),
                &transfer,
                LONGEST_GAP,
            );
            link.wait_for(PeerState::Direct);
        }
        transfer.finish(&a, &b);
    });
}

#[test]
fn f9_a_transfer_goes_on_when_the_nat_changes_the_port() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::Symmetric, NatKind::Public]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        a.flush_conntrack().unwrap();
        report("port changed", &transfer, LONGEST_GAP);
        transfer.finish(&a, &b);
    });
}

#[test]
fn f10_a_transfer_goes_on_when_both_routers_forget_everything() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::PortRestricted; 2]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        for home in [&a, &b] {
            home.flush_conntrack().unwrap();
        }
        report("both routers flushed", &transfer, LONGEST_GAP);
        transfer.finish(&a, &b);
    });
}

#[test]
fn f11_a_transfer_goes_on_when_the_direct_path_is_a_black_hole() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::PortRestricted; 2]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        for fault in [
            Fault::OneWay(&a, &b),
            Fault::OneWay(&b, &a),
            Fault::Cut(&a, &b),
        ] {
            transfer.settle();
            lab.begin(fault).unwrap();
            link.wait_for(PeerState::Relayed);
            report(&format!("{} began", kind(fault)), &transfer, LONGEST_GAP);
            lab.end(fault).unwrap();
            link.wait_for(PeerState::Direct);
            report(&format!("{} ended", kind(fault)), &transfer, LONGEST_GAP);
        }
        transfer.finish(&a, &b);
    });
}

#[test]
fn f16_a_transfer_goes_on_when_large_packets_vanish_on_the_direct_path() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::PortRestricted; 2]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        lab.begin(Fault::Narrow(&a, &b)).unwrap();
        report("1,280 bytes at most", &transfer, LONGEST_GAP);
        transfer.finish(&a, &b);
    });
}

#[test]
fn f20_a_download_goes_on_when_a_node_slept() {
    in_lab(|mut lab| {
        let tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        download.advance();
        tunnel.forwarding.freeze();
        thread::sleep(Duration::from_secs(10));
        download.longest_gap();
        tunnel.forwarding.thaw();
        download.advance();
        println!("thawed: {:?}", download.longest_gap());
        download.finish();
    });
}

#[test]
fn f22_a_transfer_goes_on_when_udp_is_allowed_again() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::PortRestricted; 2]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        lab.begin(Fault::NoUdp(&a)).unwrap();
        thread::sleep(Duration::from_secs(8));
        lab.end(Fault::NoUdp(&a)).unwrap();
        report("8 s without UDP", &transfer, LONGEST_ABSENCE);
        link.wait_for(PeerState::Direct);
        transfer.finish(&a, &b);
    });
}

fn direct_pair(lab: &mut Lab, kinds: [NatKind; 2]) -> (Home, Home, Link) {
    let relay = pair::relay(lab);
    let [a, b] = [("a", kinds[0]), ("b", kinds[1])]
        .map(|(name, kind)| lab.home_on(name, kind, FAR).unwrap());
    let link = Link::new(&a, &b, &relay);
    link.wait_for(PeerState::Direct);
    (a, b, link)
}

fn report(what: &str, transfer: &Transfer, limit: Duration) {
    let gap = transfer.gap();
    println!("{what}: longest gap {gap:?}");
    assert!(gap < limit, "{what}");
}

fn kind(fault: Fault<'_>) -> &'static str {
    match fault {
        Fault::OneWay(from, to) if from.public_addr() < to.public_addr() => "black hole one way",
        Fault::OneWay(..) => "black hole the other way",
        Fault::Cut(..) => "black hole both ways",
        Fault::Narrow(..) | Fault::NoUdp(_) => "another fault",
    }
}
