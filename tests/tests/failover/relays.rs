//! Relays that end and return, with and without another one; the numbers are those of the design's list.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use peerway::{Carrier, Endpoint, EventKind, PeerState, RelaySnapshot, RelayUrl};
use peerway_lab::{self as lab, Home, Lab, NatKind};
use tokio::time::timeout;

use super::{
    FAR, PATIENCE, in_lab,
    link::{ALPN, Flow, Link, wait_for_relays},
    program::Place,
};

/// How long data may wait by the design's list. Debug builds on a busy computer take longer; what it really was is printed.
const RESTARTED: Duration = Duration::from_secs(2);
const KILLED: Duration = Duration::from_millis(3500);
const RETURNED: Duration = Duration::from_secs(11);
/// For so long a relay is away that is restarted.
const AWAY: Duration = Duration::from_secs(1);
/// For so long one is away that somebody had to look after: by then pauses between tries are the longest.
const LONG_AWAY: Duration = Duration::from_secs(45);
/// As long as it takes to notice and to mend a machine.
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// By when a dial says that nothing comes of it.
const DIAL_FAILS: Duration = Duration::from_secs(10);
const TRIES: usize = 3;

/// Two homes that can only meet by a relay.
fn homes(lab: &mut Lab) -> [Home; 2] {
    ["a", "b"].map(|name| lab.home_on(name, NatKind::Symmetric, FAR).unwrap())
}

#[test]
fn f1_a_direct_link_does_not_notice_that_its_relay_is_restarted() {
    in_lab(|mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let [a, b] =
            ["a", "b"].map(|name| lab.home_on(name, NatKind::PortRestricted, FAR).unwrap());
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Direct);
        let flow = Flow::of_datagrams(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        for _ in 0..TRIES {
            let mut events = link.from.events();
            relay.terminate();
            thread::sleep(AWAY);
            relay = place.relay(&lab);
            let start = Instant::now();
            a.block_on(async {
                while !matches!(events.recv().await.unwrap().kind, EventKind::RelayUp { .. }) {}
            });
            let back = start.elapsed();
            let gap = flow.gap_of(100);
            println!("restarted: {gap:?}, registered {back:?} after it was ready");
            assert!(gap < AWAY / 2 && back < 2 * RESTARTED);
        }
    });
}

#[test]
fn f2_a_relayed_stream_goes_on_when_its_relay_is_restarted() {
    in_lab(|mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let [a, b] = homes(&mut lab);
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Relayed);
        let flow = Flow::of_a_stream(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        for _ in 0..TRIES {
            relay.terminate();
            thread::sleep(AWAY);
            relay = place.relay(&lab);
            let gap = flow.gap_of(200);
            println!("restarted: {gap:?}, goal {RESTARTED:?}");
            assert!(gap < 2 * RESTARTED);
        }
    });
}

#[test]
fn f3_a_relayed_stream_goes_on_by_the_other_relay_when_its_own_is_killed_or_stopped() {
    in_lab(|mut lab| {
        let places = [4433, 4533].map(|port| Place::at(&lab, port));
        let mut relays = places.each_ref().map(|place| place.relay(&lab));
        let urls = places.each_ref().map(|place| place.url.clone());
        let [a, b] = homes(&mut lab);
        let link = Link::by(&a, &b, &urls);
        link.wait_for(PeerState::Relayed);
        let flow = Flow::of_a_stream(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        let mut in_use = usize::from(by(&link) == urls[1]);
        for killed in [true, false].into_iter().cycle().take(2 * TRIES) {
            let relay = &mut relays[in_use];
            let (what, goal) = if killed {
                relay.kill();
                ("killed", KILLED)
            } else {
                relay.terminate();
                ("stopped", AWAY / 2)
            };
            link.wait_for_relay(&urls[1 - in_use]);
            let gap = flow.gap_of(200);
            println!("{what}: {gap:?}, goal {goal:?}");
            assert!(gap < 2 * goal);
            relays[in_use] = places[in_use].relay(&lab);
            a.block_on(wait_for_relays(&link.from));
            b.block_on(wait_for_relays(&link.to));
            in_use = 1 - in_use;
        }
    });
}

/// The relay that the link goes by.
fn by(link: &Link) -> RelayUrl {
    match link.outgoing.status().path {
        Some(peerway::PathInfo::Relay { remote }) => remote,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_drain_leads_a_relayed_stream_to_the_other_relay_over_udp_and_over_tcp() {
    in_lab(|mut lab| {
        let places = [4433, 4533].map(|port| Place::at(&lab, port));
        let urls = places.each_ref().map(|place| place.url.clone());
        for (carrier, kind) in [
            (Carrier::Udp, NatKind::Symmetric),
            (Carrier::Tcp, NatKind::Blocked),
        ] {
            let mut relays = places.each_ref().map(|place| place.relay(&lab));
            let [a, b] = ["a", "b"].map(|name| {
                let name = format!("{name}-{carrier:?}").to_lowercase();
                lab.home_on(&name, kind, FAR).unwrap()
            });
            let link = Link::by(&a, &b, &urls);
            link.wait_for(PeerState::Relayed);
            let flow = Flow::of_a_stream(&a, &b, &link);
            println!("{carrier:?}, undisturbed: {:?}", flow.gap_of(200));
            let mut in_use = usize::from(by(&link) == urls[1]);
            for _ in 0..2 {
                let over = |relay: &RelaySnapshot| relay.carrier == Some(carrier);
                assert!(link.from.snapshot().relays.iter().all(over));
                let began = Instant::now();
                places[in_use].drain(&lab);
                link.wait_for_relay(&urls[1 - in_use]);
                let moved = began.elapsed();
                relays[in_use].ended();
                let (ended, gap) = (began.elapsed(), flow.gap_of(200));
                println!(
                    "{carrier:?}: moved after {moved:?}, relay ended after {ended:?}, {gap:?}"
                );
                assert!(gap < AWAY, "it broke before it was made");
                relays[in_use] = places[in_use].relay(&lab);
                a.block_on(wait_for_relays(&link.from));
                b.block_on(wait_for_relays(&link.to));
                in_use = 1 - in_use;
            }
            for mut relay in relays {
                relay.kill();
            }
        }
    });
}

#[test]
fn a_relayed_stream_moves_to_the_relay_that_its_only_one_names_and_a_new_ticket_names_that() {
    in_lab(|mut lab| {
        let places = [4433, 4533].map(|port| Place::at(&lab, port));
        for (carrier, kind) in [
            (Carrier::Udp, NatKind::Symmetric),
            (Carrier::Tcp, NatKind::Blocked),
        ] {
            let mut relays = places.each_ref().map(|place| place.relay(&lab));
            let [a, b, c] = ["a", "b", "c"].map(|name| {
                let name = format!("{name}-{carrier:?}").to_lowercase();
                lab.home_on(&name, kind, FAR).unwrap()
            });
            let link = Link::new(&a, &b, &places[0].url);
            link.wait_for(PeerState::Relayed);
            let flow = Flow::of_a_stream(&a, &b, &link);
            println!("{carrier:?}, undisturbed: {:?}", flow.gap_of(200));
            let began = Instant::now();
            places[0].move_to(&lab, &places[1]);
            link.wait_for_relay(&places[1].url);
            let moved = began.elapsed();
            relays[0].ended();
            let (ended, gap) = (began.elapsed(), flow.gap_of(200));
            println!("{carrier:?}: moved after {moved:?}, relay ended after {ended:?}, {gap:?}");
            assert!(gap < RESTARTED, "it broke before it was made");
            for (home, node) in [(&a, &link.from), (&b, &link.to)] {
                home.block_on(has_moved(node, &places[0].url, &places[1].url));
            }
            link.be_called(&c, &b);
            relays[1].kill();
        }
    });
}

/// Waits until a node shows the one relay in the place of the other, and no other relay, and its ticket names it.
async fn has_moved(node: &Endpoint, from: &RelayUrl, to: &RelayUrl) {
    let mut snapshots = node.snapshots();
    let moved = snapshots.wait_for(|it| {
        let [relay] = &it.relays[..] else {
            return false;
        };
        relay.in_place_of.as_ref() == Some(from) && it.ticket.relays() == std::slice::from_ref(to)
    });
    let moved = timeout(PATIENCE, moved).await.map(drop);
    assert!(moved.is_ok(), "{:?}", node.snapshot().relays);
    assert_eq!(node.ticket().relays(), std::slice::from_ref(to));
}

#[test]
fn f4_a_relayed_stream_goes_on_when_its_only_relay_is_back_after_long() {
    in_lab(|mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let [a, b] = homes(&mut lab);
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Relayed);
        let flow = Flow::of_a_stream(&a, &b, &link);
        println!("undisturbed: {:?}", flow.gap_of(200));
        relay.kill();
        thread::sleep(LONG_AWAY);
        relay = place.relay(&lab);
        let start = Instant::now();
        flow.gap_of(1);
        let back = start.elapsed();
        println!("back {back:?} after the relay was, goal {RETURNED:?}");
        assert!(back < 2 * RETURNED && back < PATIENCE);
        drop(relay);
    });
}

#[test]
#[ignore = "takes twelve minutes: `.ci/nightly` does it"]
fn f4_whose_only_relay_is_away_for_ten_minutes_says_so_waits_cheaply_and_is_back_with_it() {
    lab::test(2 * TEN_MINUTES, |mut lab| {
        let place = Place::new(&lab);
        let mut relay = place.relay(&lab);
        let [a, b] = homes(&mut lab);
        let link = Link::new(&a, &b, &place.url);
        link.wait_for(PeerState::Relayed);
        let ticket = link.to.ticket();
        relay.kill();
        let killed = Instant::now();
        let ends = [(&a, &link.outgoing), (&b, &link.incoming)];
        for (home, connection) in ends {
            let error = home.block_on(async { timeout(TEN_MINUTES, connection.closed()).await });
            println!(
                "its connection ended after {:?}: {}",
                killed.elapsed(),
                error.unwrap()
            );
        }
        let (began, before) = (Instant::now(), processor_time());
        thread::sleep(TEN_MINUTES.saturating_sub(killed.elapsed()));
        let share = (processor_time() - before).as_secs_f64() / began.elapsed().as_secs_f64();
        println!("two nodes that wait take {:.2} % of a core", 100.0 * share);
        assert!(share < 0.02, "{share}");
        let dialled = Instant::now();
        let refused = a.block_on(link.from.connect(ticket, ALPN)).unwrap_err();
        println!("a dial fails after {:?}: {refused}", dialled.elapsed());
        assert!(dialled.elapsed() < 2 * DIAL_FAILS);
        relay = place.relay(&lab);
        let start = Instant::now();
        a.block_on(wait_for_relays(&link.from));
        b.block_on(wait_for_relays(&link.to));
        let back = start.elapsed();
        println!("back {back:?} after the relay was, goal {RETURNED:?}");
        assert!(back < 2 * RETURNED);
        link.be_called(&a, &b);
        drop(relay);
    });
}

/// What this process has used of processors (proc_pid_stat(5)).
fn processor_time() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let usage = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = usage.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    TICK * ticks
        .map(|ticks| ticks.parse::<u32>().unwrap())
        .sum::<u32>()
}
