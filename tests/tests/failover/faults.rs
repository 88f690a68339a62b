//! The faults that a link has to outlive, each in the midst of a transfer; the numbers are those of the design's list.

use std::{
    thread,
    time::{Duration, Instant},
};

use peerway::PeerState;
use peerway_tests::pair;
use peerway_tui::lab::{self, Access, Fault, Home, Lab, NatKind};

use crate::{BUDGET, FAR, download::Tunnel, in_lab, link::Link, transfer::Transfer};

/// Enough that a busy computer with a debug build keeps it under load; what a fault really takes is printed.
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// Data is to flow again 300 ms and a round trip of the relay after a move; half of the moves on a busy computer may take
/// twice as long.
const MEDIAN_MOVE: Duration = Duration::from_millis(2 * (300 + 80));
/// The same for a path over TCP instead of UDP, and for the way back.
const LONGEST_WITHOUT_UDP: Duration = Duration::from_secs(3);
const SOONEST_BACK: Duration = Duration::from_secs(60);
const SLEEP: Duration = Duration::from_secs(10);

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
        let mut b = lab.home_on("b", dual(strict), FAR).unwrap();
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
        let moves = places.map(|access| (true, access));
        let back = [strict.into(), dual(strict)].map(|access| (false, access));
        let mut gaps = Vec::new();
        for (number, (dialler, access)) in moves.into_iter().chain(back).enumerate() {
            transfer.settle();
            let home = if dialler { &mut a } else { &mut b };
            let (from, place) = (home.access(), format!("place{number}"));
            lab.relocate(home, &place, access, FAR).unwrap();
            let start = Instant::now();
            let who = if dialler { "dialler" } else { "other" };
            let what = format!("{who} moved from {from} to {access}");
            link.wait_for(PeerState::Direct);
            println!("{what}: direct after {} ms", start.elapsed().as_millis());
            gaps.push(report(&what, &transfer, LONGEST_GAP));
        }
        gaps.sort_unstable();
        assert!(gaps[gaps.len() / 2] < MEDIAN_MOVE, "{gaps:?}");
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
        download.longest_gap();
        tunnel.forwarding.freeze();
        thread::sleep(SLEEP);
        tunnel.forwarding.thaw();
        download.advance();
        let gap = download.longest_gap();
        println!("longest gap with a sleep of {SLEEP:?} in it: {gap:?}");
        assert!(gap < SLEEP + LONGEST_GAP);
        download.finish();
    });
}

#[test]
fn f22_a_transfer_goes_on_over_tcp_while_udp_is_blocked() {
    lab::test(BUDGET, |mut lab| {
        let (a, b, link) = direct_pair(&mut lab, [NatKind::PortRestricted, NatKind::Public]);
        let transfer = Transfer::start(&a, &b, &link);
        report("undisturbed", &transfer, LONGEST_GAP);
        lab.begin(Fault::NoUdp(&a)).unwrap();
        report("no UDP", &transfer, LONGEST_WITHOUT_UDP);
        link.wait_for_direct(true);
        transfer.settle();
        lab.end(Fault::NoUdp(&a)).unwrap();
        let start = Instant::now();
        link.wait_for_direct(false);
        let back = start.elapsed();
        println!(
            "direct over UDP {} ms after it was allowed",
            back.as_millis()
        );
        assert!(back < SOONEST_BACK);
        report("UDP again", &transfer, LONGEST_GAP);
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

fn report(what: &str, transfer: &Transfer, limit: Duration) -> Duration {
    let gap = transfer.gap();
    println!("{what}: {gap}");
    assert!(gap.longest() < limit, "{what}");
    gap.longest()
}

fn kind(fault: Fault<'_>) -> &'static str {
    match fault {
        Fault::OneWay(from, to) if from.public_addr() < to.public_addr() => "black hole one way",
        Fault::OneWay(..) => "black hole the other way",
        Fault::Cut(..) => "black hole both ways",
        Fault::Narrow(..) | Fault::NoUdp(_) => "another fault",
    }
}
