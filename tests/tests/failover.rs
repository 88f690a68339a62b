//! Links outlive their path, their relay and their routers' memory: real programs and real kernel NATs.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is all test code, and the lab's time is real"
)]

mod download;
mod faults;
mod link;
pub(crate) mod program;
mod progress;
mod relays;
mod transfer;

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use peerway::{EventKind, PeerState};
use peerway_lab::{self as lab, Fault, Lab, LabError, Line, NatKind};
use peerway_tests::PROGRAMS;

use download::{Download, Tunnel};
use link::{Flow, Link};
use program::{Place, Program};

const BUDGET: Duration = Duration::from_secs(300);
/// Longer than a relay that died unnoticed, or a path that died, takes to be tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// 80 ms between homes.
const FAR: Line = Line::delayed(Duration::from_millis(20));
/// What is asked of every switch here; what it really takes is printed.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// The same for a relay that is back at once: without a check of the silent relay it would be half a minute.
const LONGEST_ABSENCE: Duration = Duration::from_secs(10);

#[test]
fn a_download_goes_on_over_the_relay_while_the_direct_path_is_cut() {
    in_lab(|mut lab| {
        let tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        download.advance();
        cut_and_restore(&lab, &tunnel, &download);
        download.finish();
    });
}

#[test]
fn a_download_does_not_notice_that_the_relay_is_killed_and_can_fall_back_to_its_successor() {
    in_lab(|mut lab| {
        let mut tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        download.longest_gap();
        tunnel.relay.kill();
        download.advance();
        let gap = download.longest_gap();
        println!("longest gap while the relay was killed: {gap:?}");
        assert!(gap < LONGEST_GAP);
        tunnel.relay = tunnel.place.relay(&lab);
        let start = Instant::now();
        let back = tunnel.exposing.wait_for(|line| {
            assert_ne!(line["event"], "path_changed", "{line}");
            line["event"] == "relay_up"
        });
        println!("registered again {:?} later: {back}", start.elapsed());
        cut_and_restore(&lab, &tunnel, &download);
        download.finish();
    });
}

#[test]
fn a_download_falls_back_to_a_relay_whose_restart_nobody_noticed_yet() {
    in_lab(|mut lab| {
        let mut tunnel = Tunnel::new(&mut lab);
        let download = tunnel.download();
        tunnel.exposing.wait_for_path("direct");
        tunnel.relay.kill();
        tunnel.relay = tunnel.place.relay(&lab);
        cut_and_restore(&lab, &tunnel, &download);
        download.finish();
    });
}

#[test]
fn datagrams_pause_only_shortly_when_the_path_or_a_router_forgets_them() {
    in_lab(|mut lab| {
        let relay = Place::new(&lab);
        let _program = relay.relay(&lab);
        let a = lab.home_on("a", NatKind::PortRestricted, FAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, FAR).unwrap();
        let link = Link::new(&a, &b, &relay.url);
        link.wait_for(PeerState::Direct);
        let flow = Flow::of_datagrams(&a, &b, &link);

        println!("undisturbed: {:?}", flow.gap_of(200));
        for (what, homes) in [("one router", &[&a][..]), ("both routers", &[&a, &b])] {
            for home in homes {
                home.flush_conntrack().unwrap();
            }
            let gap = flow.gap_of(300);
            println!("conntrack of {what} flushed: {gap:?}");
            assert!(gap < LONGEST_GAP);
        }
        for (what, act) in [("cut", Lab::begin as Act), ("restored", Lab::end)] {
            act(&lab, Fault::Cut(&a, &b)).unwrap();
            let start = Instant::now();
            link.wait_for(if what == "cut" {
                PeerState::Relayed
            } else {
                PeerState::Direct
            });
            let (settled, gap) = (start.elapsed(), flow.gap_of(100));
            println!("direct path {what}: {gap:?}, settled after {settled:?}");
            assert!(gap < LONGEST_GAP);
        }
    });
}

type Act = fn(&Lab, Fault<'_>) -> Result<(), LabError>;

#[test]
fn a_link_that_carries_nothing_stays_as_it_is() {
    in_lab(|mut lab| {
        let relay = Place::new(&lab);
        let _program = relay.relay(&lab);
        let a = lab.home_on("a", NatKind::PortRestricted, FAR).unwrap();
        let b = lab.home_on("b", NatKind::PortRestricted, FAR).unwrap();
        let link = Link::new(&a, &b, &relay.url);
        link.wait_for(PeerState::Direct);
        let mut events = [link.from.events(), link.to.events()];
        thread::sleep(Duration::from_secs(1));
        for events in &mut events {
            while events.try_recv().is_ok() {}
        }
        // Longer than the pause between QUIC's keep-alives.
        thread::sleep(Duration::from_secs(20));
        for events in &mut events {
            while let Ok(event) = events.try_recv() {
                assert!(
                    !matches!(event.kind, EventKind::PeerState { .. }),
                    "{event:?}"
                );
            }
        }
    });
}

#[test]
fn a_relayed_stream_goes_on_when_its_relay_is_back() {
    in_lab(|mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let a = lab.home_on("a", NatKind::Symmetric, FAR).unwrap();
        let b = lab.home_on("b", NatKind::Symmetric, FAR).unwrap();
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Relayed);
        let flow = Flow::of_a_stream(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        for end in [Program::kill, Program::terminate] {
            let start = Instant::now();
            end(&mut relay);
            relay = place.relay(&lab);
            let down = start.elapsed();
            let gap = flow.gap_of(200);
            println!("relay away for {down:?}: {gap:?}");
            assert!(gap < LONGEST_ABSENCE);
        }
    });
}

fn in_lab<F: FnOnce(Lab)>(body: F) {
    LazyLock::force(&PROGRAMS);
    lab::test(BUDGET, body);
}

/// Cuts the direct path and waits until the download goes on without it; lifts the cut and waits for the path to be back.
fn cut_and_restore(lab: &Lab, tunnel: &Tunnel, download: &Download) {
    download.longest_gap();
    lab.begin(Fault::Cut(&tunnel.a, &tunnel.b)).unwrap();
    tunnel.exposing.wait_for_path("relay");
    download.advance();
    let gap = download.longest_gap();
    lab.end(Fault::Cut(&tunnel.a, &tunnel.b)).unwrap();
    let start = Instant::now();
    tunnel.exposing.wait_for_path("direct");
    println!(
        "direct path cut: longest gap {gap:?}; direct again {:?} after the cut was lifted",
        start.elapsed()
    );
    assert!(gap < LONGEST_GAP);
    download.advance();
}
