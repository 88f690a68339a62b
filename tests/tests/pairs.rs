//! Every pair of NATs, with real kernel NATs: who goes direct, who stays on the relay, and how long it takes.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use peerway::{Endpoint, PeerState, RelayUrl, SecretKey, Why};
use peerway_relay::{Config, Relay};
use peerway_tui::lab::{self, Home, Lab, Line, NatKind};
use tokio::time::timeout;

const ALPN: &[u8] = b"pairs/1";
/// Runs of each pair in each role.
const RUNS: usize = 10;
const BUDGET: Duration = Duration::from_secs(1200);
/// How long a pair may take that has to go direct.
const PATIENCE: Duration = Duration::from_secs(15);
/// 80 ms between homes, through the relay as well as directly.
const DELAY: Duration = Duration::from_millis(20);

#[test]
fn every_pair_that_can_be_direct_is_direct_every_time() {
    let kinds = [
        NatKind::Public,
        NatKind::FullCone,
        NatKind::PortRestricted,
        NatKind::DoubleNat,
        NatKind::SymmetricUpnp,
    ];
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        let left = homes(&mut lab, "a", &kinds);
        let right = homes(&mut lab, "b", &kinds);
        for a in &left {
            for b in &right {
                goes_direct(a, b, &url);
            }
        }
    });
}

#[test]
fn a_router_that_accepts_input_does_not_keep_homes_apart() {
    let kinds = [NatKind::PortRestrictedAccept];
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        let a = homes(&mut lab, "a", &kinds);
        let b = homes(&mut lab, "b", &kinds);
        goes_direct(&a[0], &b[0], &url);
        goes_direct(&b[0], &a[0], &url);
    });
}

#[test]
fn a_symmetric_nat_reaches_public_hosts_directly() {
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        let symmetric = homes(&mut lab, "s", &[NatKind::Symmetric]);
        let open = homes(&mut lab, "o", &[NatKind::Public, NatKind::FullCone]);
        for other in &open {
            goes_direct(&symmetric[0], other, &url);
            goes_direct(other, &symmetric[0], &url);
        }
    });
}

#[test]
fn symmetric_nats_that_cannot_meet_work_over_the_relay_and_say_why() {
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        let symmetric = homes(&mut lab, "s", &[NatKind::Symmetric, NatKind::Symmetric]);
        stays_relayed(&symmetric[0], &symmetric[1], &url);
    });
}

#[test]
fn a_restricted_nat_finds_the_port_of_a_symmetric_one() {
    lab::test(BUDGET, |mut lab| {
        let url = relay(&lab);
        let symmetric = homes(&mut lab, "s", &[NatKind::Symmetric]);
        let restricted = homes(&mut lab, "p", &[NatKind::PortRestricted]);
        goes_direct(&symmetric[0], &restricted[0], &url);
        goes_direct(&restricted[0], &symmetric[0], &url);
    });
}

fn relay(lab: &Lab) -> RelayUrl {
    let host = lab.relay();
    let config = Config::new(
        (host.public_addr(), 4433).into(),
        SecretKey::generate().unwrap(),
    );
    let relay = Arc::new(host.block_on(Relay::bind(config)).unwrap());
    let url = relay.url();
    host.spawn(async move { relay.run().await });
    url
}

/// A home and what stands in front of it.
struct Place {
    nat: NatKind,
    home: Home,
}

fn homes(lab: &mut Lab, prefix: &str, kinds: &[NatKind]) -> Vec<Place> {
    let build = |(at, nat): (usize, &NatKind)| Place {
        nat: *nat,
        home: lab
            .home_on(&format!("{prefix}{at}"), *nat, Line::delayed(DELAY))
            .unwrap(),
    };
    kinds.iter().enumerate().map(build).collect()
}

/// A node in a home, registered with the relay.
fn node(place: &Place, relay: &RelayUrl) -> Endpoint {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(place.nat == NatKind::SymmetricUpnp);
    place.home.block_on(async {
        let node = builder.bind().await.unwrap();
        timeout(PATIENCE, node.online()).await.unwrap();
        node
    })
}

/// A node that takes connections and keeps them.
fn listener(place: &Place, relay: &RelayUrl) -> Endpoint {
    let node = node(place, relay);
    let listening = node.clone();
    place.home.spawn(async move {
        let mut kept = Vec::new();
        while let Some(connection) = listening.accept().await {
            kept.push(connection);
        }
    });
    node
}

fn goes_direct(a: &Place, b: &Place, url: &RelayUrl) {
    let mut connected = Vec::new();
    let mut direct = Vec::new();
    for run in 0..RUNS {
        let (from, to) = (node(a, url), listener(b, url));
        let ticket = to.ticket();
        let dialler = from.clone();
        let times = a.home.block_on(async move {
            let start = Instant::now();
            let connection = dialler.connect(ticket, ALPN).await.unwrap();
            let connected = start.elapsed();
            let mut path = connection.path();
            let direct = path.wait_for(|status| status.state == PeerState::Direct);
            timeout(PATIENCE, direct)
                .await
                .ok()
                .map(|_| (connected, start.elapsed()))
        });
        let Some((up, through)) = times else {
            panic!(
                "{:?} to {:?}, run {run}: {:?}",
                a.nat,
                b.nat,
                from.snapshot().peers
            );
        };
        connected.push(up);
        direct.push(through);
        a.home.block_on(from.close());
        b.home.block_on(to.close());
    }
    println!(
        "{:?} to {:?}: {RUNS} of {RUNS} direct; median connected {:?}, direct {:?}, slowest {:?}",
        a.nat,
        b.nat,
        median(&mut connected),
        median(&mut direct),
        direct.last().unwrap(),
    );
}

fn stays_relayed(a: &Place, b: &Place, url: &RelayUrl) {
    let (from, to) = (node(a, url), listener(b, url));
    let (dialler, ticket) = (from.clone(), to.ticket());
    let why = a.home.block_on(async move {
        let connection = dialler.connect(ticket, ALPN).await.unwrap();
        let mut path = connection.path();
        let settled = path.wait_for(|status| {
            status.state == PeerState::Relayed && status.why == Some(Why::HardNats)
        });
        let status = timeout(PATIENCE, settled).await.unwrap().unwrap().clone();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&[7; 100_000]).await.unwrap();
        send.finish().unwrap();
        timeout(PATIENCE, send.stopped()).await.unwrap().unwrap();
        status.why
    });
    println!("{:?} to {:?}: relayed, {why:?}", a.nat, b.nat);
    a.home.block_on(from.close());
    b.home.block_on(to.close());
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
