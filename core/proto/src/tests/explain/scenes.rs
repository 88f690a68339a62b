//! Situations, each seen from one of its nodes.

use super::Scene;
use crate::{
    Access, Cause, How, NatBehavior, PairAction, PathPolicy, PeerState,
    Side::{Here, There},
    io::{Input, OfPair},
    tests::world::{Absence, Home, Plan, Ports, Setup, Style, World, ms},
};

const EASY: Home = Home::PortRestricted;

const TOO_NARROW: Cause = Cause::PathNarrow {
    carries: 1000,
    needs: 1228,
};

/// Name, cause and scene, two of each cause at the least.
#[rustfmt::skip]
pub(super) const SCENES: &[(&str, Cause, Scene)] = &[
    ("two computers of one home", Cause::Direct { how: How::Lan }, || (neighbours(), 0, 1)),
    ("two computers of one home, the one that was called", Cause::Direct { how: How::Lan }, || (neighbours(), 1, 0)),
    ("two homes with IPv6 alone", Cause::Direct { how: How::Ipv6 }, || dialled(Home::Six, Home::Six)),
    ("two homes with both", Cause::Direct { how: How::Ipv6 }, || dialled(Home::Dual, Home::Dual)),
    ("a home calls a server", Cause::Direct { how: How::Public }, || dialled(EASY, Home::Public)),
    ("a server is called", Cause::Direct { how: How::Public }, || called(Home::Symmetric, Home::Public)),
    ("our router forwards a port", Cause::Direct { how: How::Mapped }, || dialled(Home::SymmetricMapped, Home::Symmetric)),
    ("the peer's router forwards a port", Cause::Direct { how: How::Mapped }, || called(Home::SymmetricMapped, Home::Symmetric)),
    ("two ordinary routers", Cause::Direct { how: How::Punched }, || dialled(EASY, EASY)),
    ("two ordinary routers, one of them behind another", Cause::Direct { how: How::Punched }, || called(Home::Double, EASY)),
    ("our router counts", Cause::Direct { how: How::Predicted }, || dialled(Home::Counting, EASY)),
    ("the peer's router counts", Cause::Direct { how: How::Predicted }, || called(Home::Counting, EASY)),
    ("our router is random", Cause::Direct { how: How::Birthday }, || guessed(0)),
    ("the peer's router is random", Cause::Direct { how: How::Birthday }, || guessed(1)),
    ("a call on its way", Cause::Calling, || (after(10, World::pair(EASY, EASY)), 0, 1)),
    ("a call that is not taken", Cause::Calling, || (after(4000, deaf()), 0, 1)),
    ("nobody is let in", Cause::NoAnswer, || (after(9100, deaf()), 0, 1)),
    ("the relay loses everything", Cause::NoAnswer, || { let mut world = World::pair(EASY, EASY); world.lose_signals = 1000; (after(9100, world), 0, 1) }),
    ("the peer is switched off", Cause::PeerOffline, || (after(3000, absent()), 0, 1)),
    ("the peer has been switched off for long", Cause::PeerOffline, || (after(120_000, absent()), 0, 1)),
    ("the peer was killed", Cause::PeerSilent, || (killed(true, 12_000), 0, 1)),
    ("the peer was killed while nobody used the link", Cause::PeerSilent, || (killed(false, 40_000), 0, 1)),
    ("everybody calls the peer", Cause::PeerBusy, || (crowded(0), 0, 1)),
    ("everybody has called the peer for long", Cause::PeerBusy, || (crowded(120_000), 0, 1)),
    ("the peer's router has forgotten it", Cause::PeerUnreached, || (after(4000, forgotten(20_000)), 0, 1)),
    ("the peer has lost its network", Cause::PeerUnreached, || (after(24_100, forgotten(60_000)), 0, 1)),
    ("no relay takes us", Cause::NoRelay, || (after(9100, cast_out()), 0, 1)),
    ("no relay has taken us for long", Cause::NoRelay, || (after(100_000, cast_out()), 0, 1)),
    ("an id alone", Cause::NoAddress, || (lost(10), 0, 1)),
    ("an id alone, a minute later", Cause::NoAddress, || (lost(60_000), 0, 1)),
    ("the first probes are out", Cause::Trying, || (after(90, World::pair(EASY, EASY)), 0, 1)),
    ("the first probes of the one who was called", Cause::Trying, || (after(60, World::pair(EASY, EASY)), 1, 0)),
    ("we want relays only", Cause::RelayOnly { side: Here }, || (relay_only(0), 0, 1)),
    ("the peer wants relays only", Cause::RelayOnly { side: There }, || (relay_only(1), 0, 1)),
    ("relays only for this peer", Cause::Policy { policy: PathPolicy::RelayOnly }, || (told(PathPolicy::RelayOnly, EASY), 0, 1)),
    ("the addresses dropped by hand", Cause::Dropped, || (dropped(EASY), 0, 1)),
    ("the addresses of both families dropped", Cause::Dropped, || (dropped(Home::Dual), 0, 1)),
    ("direct paths only for this peer", Cause::Policy { policy: PathPolicy::DirectOnly }, || (told(PathPolicy::DirectOnly, Home::Symmetric), 0, 1)),
    ("a cable was pulled just now", Cause::PathSilent, || (pulled(700), 0, 1)),
    ("the peer's cable was pulled just now", Cause::PathSilent, || (pulled(900), 1, 0)),
    ("a cable was pulled", Cause::PathLost, || (pulled(10_000), 0, 1)),
    ("a cable was pulled a minute ago", Cause::PathLost, || (pulled(60_000), 1, 0)),
    ("a tunnel lies on the direct way", TOO_NARROW, || (narrow(1000, 8000), 0, 1)),
    ("a tunnel lies on the direct way, for some time", Cause::PathNarrow { carries: 1200, needs: 1228 }, || (narrow(1227, 40_000), 1, 0)),
    ("a cable is back", Cause::PathOnTrial, || (back(0, 1), 0, 1)),
    ("the peer's cable is back", Cause::PathOnTrial, || (back(1, 0), 1, 0)),
    ("a line is full", Cause::RelayFaster, || (slow(), 0, 1)),
    ("a line has been full for some time", Cause::RelayFaster, || { let mut world = slow(); world.connected(0, 1); world.talk(0, 1); (after(1500, world), 0, 1) }),
    ("the peer has a port of another service", Cause::NothingToProbe, || (low_port(), 0, 1)),
    ("the peer has a port of another service, and is called again", Cause::NothingToProbe, || (after(9000, low_port()), 0, 1)),
    ("we have IPv6 alone", Cause::NoCommonFamily, || (settled(Home::Six, EASY), 0, 1)),
    ("we have IPv4 alone", Cause::NoCommonFamily, || (settled(Home::Six, EASY), 1, 0)),
    ("two random routers", Cause::BothRandom, || (settled(Home::Symmetric, Home::Symmetric), 0, 1)),
    ("a random router and a block of ports", Cause::BothRandom, || (settled(Home::Symmetric, Home::Block), 1, 0)),
    ("ours is random, the peer's counts", Cause::RandomAndSequential { random: Here }, || (settled(Home::Symmetric, Home::Counting), 0, 1)),
    ("ours counts, the peer's is random", Cause::RandomAndSequential { random: There }, || (settled(Home::Symmetric, Home::Counting), 1, 0)),
    ("we do not guess", Cause::GuessingOff { side: Here }, || (unwilling(0), 0, 1)),
    ("the peer does not guess", Cause::GuessingOff { side: There }, || (unwilling(0), 1, 0)),
    ("the peer's port is being guessed", Cause::Guessing, || (after(700, barred(EASY, Home::Symmetric)), 0, 1)),
    ("our port is being guessed", Cause::Guessing, || (after(700, barred(EASY, Home::Symmetric)), 1, 0)),
    ("we guess for somebody else", Cause::GuessingWaits, || (crowd(), 0, 2)),
    ("the peer guesses for somebody else", Cause::GuessingWaits, || (crowd(), 2, 0)),
    ("the peer's port was not hit", Cause::GuessingFailed, || (settled_in(barred(EASY, Home::Symmetric)), 0, 1)),
    ("our port was not foretold", Cause::GuessingFailed, || (settled_in(barred(Home::Counting, EASY)), 0, 1)),
    ("our router is behind another one", Cause::MappingSilent { side: Here }, || (inner_mapping(), 0, 1)),
    ("a firewall stands before the peer's forwarded port", Cause::MappingSilent { side: There }, || (walled_mapping(), 0, 1)),
    ("one carrier keeps two homes apart", Cause::SameRouter, || (carrier(false), 0, 1)),
    ("one carrier keeps two homes apart, from the other", Cause::SameRouter, || (carrier(false), 1, 0)),
    ("the peer is in a guest network", Cause::UdpBlocked { side: There }, || (guest(), 0, 1)),
    ("we are in a guest network", Cause::UdpBlocked { side: Here }, || (guest(), 1, 0)),
    ("our firewall drops", Cause::Firewall { side: Here }, || (firewall(), 0, 1)),
    ("the peer's firewall drops", Cause::Firewall { side: There }, || (firewall(), 1, 0)),
    ("our router was not measured", Cause::NatUnknown { side: Here }, || (unmeasured(), 0, 1)),
    ("the peer's router was not measured", Cause::NatUnknown { side: There }, || (unmeasured(), 1, 0)),
    ("nothing comes through", Cause::Silent, || (settled_in(barred(EASY, EASY)), 0, 1)),
    ("nothing comes through for a minute", Cause::Silent, || (after(60_000, settled_in(barred(EASY, EASY))), 1, 0)),
];

fn after(millis: u64, mut world: World) -> World {
    if world.elapsed() == ms(0) {
        world.connect(0, 1);
    }
    world.run(ms(millis));
    world
}

fn dialled(a: Home, b: Home) -> (World, usize, usize) {
    (after(2500, World::pair(a, b)), 0, 1)
}

fn called(a: Home, b: Home) -> (World, usize, usize) {
    (after(2500, World::pair(a, b)), 1, 0)
}

/// A link that is used, on the relay for as long as a first and a second attempt take.
pub(in super::super) fn settled(a: impl Into<Setup>, b: impl Into<Setup>) -> World {
    settled_in(World::pair(a, b))
}

pub(super) fn settled_in(mut world: World) -> World {
    world.link(0, 1);
    world.run(ms(12_500));
    world
}

pub(super) fn neighbours() -> World {
    let mut world = World::new(1);
    world.add(EASY);
    world.add(Setup {
        with: Some(0),
        ..EASY.into()
    });
    after(500, world)
}

fn guessed(at: usize) -> (World, usize, usize) {
    let homes = [EASY, Home::Symmetric];
    let mut world = World::pair(homes[1 - at], homes[at]);
    world.connect(0, 1);
    world.run_while(ms(12_000), |world| !world.both(PeerState::Direct));
    (world, 0, 1)
}

fn forgotten(millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    world.router_forgets(1, ms(millis));
    world
}

fn deaf() -> World {
    let nobody = Setup {
        access: Access::Only(Vec::new()),
        ..EASY.into()
    };
    World::pair(EASY, nobody)
}

pub(super) fn absent() -> World {
    let mut world = World::pair(EASY, EASY);
    world.unregister(1);
    world
}

fn crowded(millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    world.relays[0].busy = usize::MAX;
    let mut world = after(millis, world);
    world.run_while(ms(40_000), |world| {
        world.cause(0, 1) != Some(Cause::PeerBusy)
    });
    world
}

pub(super) fn cast_out() -> World {
    let mut world = World::pair(EASY, EASY);
    world.relay_dies();
    world
}

pub(super) fn lost(millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    let peer = world.nodes[1].id;
    world.feed(
        0,
        Input::Connect {
            peer,
            relays: Vec::new(),
            addrs: Vec::new(),
        },
    );
    world.run(ms(millis));
    world
}

/// Which paths are wanted was said while the link was in use.
pub(super) fn told(policy: PathPolicy, home: Home) -> World {
    let mut world = settled(home, home);
    let peer = world.nodes[1].id;
    world.feed(0, Input::Policy { peer, policy });
    world.run(ms(1000));
    world
}

/// All addresses were dropped while the link was in use.
pub(super) fn dropped(home: Home) -> World {
    let mut world = settled(home, home);
    let peer = world.nodes[1].id;
    for _ in 0..4 {
        for pair in world.view(0, 1).pairs {
            let (remote, tcp, action) = (pair.remote, pair.is_tcp(), PairAction::Drop);
            let input = Input::Pair(OfPair {
                peer,
                remote,
                tcp,
                action,
            });
            world.feed(0, input);
        }
        world.run(ms(10_000));
    }
    world
}

pub(super) fn relay_only(at: usize) -> World {
    let mut world = World::new(1);
    for node in [0, 1] {
        world.add(Setup {
            relay_only: node == at,
            ..EASY.into()
        });
    }
    settled_in(world)
}

fn pulled(millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    world.link(0, 1);
    world.run(ms(2000));
    world.cut = true;
    world.run(ms(millis));
    world
}

/// The peer ends without a goodbye, and its relay has not noticed yet.
fn killed(is_used: bool, millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    if is_used {
        world.link(0, 1);
    } else {
        world.connect(0, 1);
        world.connected(0, 1);
    }
    world.run(ms(2000));
    world.absent(1, ms(3_600_000), Absence::Asleep);
    world.run(ms(millis));
    world
}

fn narrow(width: usize, millis: u64) -> World {
    let mut world = World::pair(EASY, EASY);
    world.width = width;
    world.link(0, 1);
    world.run(ms(millis));
    world
}

fn back(at: usize, with: usize) -> World {
    let mut world = pulled(6000);
    world.cut = false;
    world.run_while(ms(5000), |world| {
        world.cause(at, with) != Some(Cause::PathOnTrial)
    });
    world
}

/// Both lines fill up while the addresses are exchanged; the relay is reached by another way.
fn slow() -> World {
    let mut world = World::pair(EASY, EASY);
    world.connect(0, 1);
    world.run(ms(81));
    for site in &mut world.net.sites {
        site.up.delay = ms(200);
        site.down.delay = ms(200);
    }
    world.run(ms(5000));
    world
}

fn low_port() -> World {
    let ports = Ports::Random {
        first: 500,
        last: 900,
    };
    let plan = Plan::v4(vec![Style {
        ports,
        ..Style::LINUX
    }]);
    settled(EASY, plan)
}

fn unwilling(at: usize) -> World {
    let homes = [EASY, Home::Symmetric];
    let mut world = World::new(1);
    for node in [0, 1] {
        world.add(Setup {
            guess_ports: node != at,
            ..homes[node].into()
        });
    }
    settled_in(world)
}

/// No packet gets from one home to another.
fn barred(a: Home, b: Home) -> World {
    let mut world = World::pair(a, b);
    world.cut = true;
    world
}

/// One who guesses, and two whose ports have to be guessed.
fn crowd() -> World {
    let mut world = barred(EASY, Home::Symmetric);
    world.add(Home::Symmetric);
    world.link(0, 1);
    world.run(ms(500));
    world.link(0, 2);
    world.run(ms(5000));
    world
}

/// The router next to the computer forwards a port, and stands behind another one.
pub(super) fn inner_mapping() -> World {
    let inner = Style {
        forwards: true,
        ..Style::LINUX
    };
    settled(Plan::v4(vec![inner, Style::RANDOM]), Home::Symmetric)
}

pub(super) fn walled_mapping() -> World {
    let mut world = World::pair(Home::Symmetric, Home::SymmetricMapped);
    world.holes = vec![(0, 1)];
    settled_in(world)
}

pub(super) fn carrier(hairpin: bool) -> World {
    let mut world = World::new(1);
    let style = Style {
        mapping: NatBehavior::EndpointIndependent,
        hairpin,
        ..Style::LINUX
    };
    let carrier = world.net.add_carrier(style, &mut world.rng);
    for _ in [0, 1] {
        world.add(Plan {
            carrier: Some(carrier),
            ..EASY.into()
        });
    }
    settled_in(world)
}

/// Somebody whose network lets nothing through, between two whose networks do.
pub(super) fn guest() -> World {
    let mut world = World::pair(EASY, Home::Blocked);
    world.add(EASY);
    world.link(0, 2);
    world.link(1, 2);
    settled_in(world)
}

pub(super) fn firewall() -> World {
    let mut world = World::pair(EASY, EASY);
    world.holes = vec![(1, 0)];
    settled_in(world)
}

pub(super) fn unmeasured() -> World {
    let mut world = World::new(1);
    for home in [Home::Symmetric, EASY] {
        let at = world.add_stranger(home);
        if home == EASY {
            world.tell_truth(at);
        }
        world.register(at);
    }
    settled_in(world)
}
