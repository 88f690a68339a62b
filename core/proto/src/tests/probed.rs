//! The addresses of a peer's that a snapshot shows.

use super::world::{Home, World, ms};
use crate::{PairState, PathInfo, PeerState};

fn linked(home: Home) -> World {
    let mut world = World::new(1);
    world.add(home);
    world.add(home);
    world.connect(0, 1);
    world.run(ms(5000));
    world
}

#[test]
fn the_pair_that_carries_the_data_is_the_first_and_said_to_be_in_use() {
    let world = linked(Home::PortRestricted);
    for (at, with) in [(0, 1), (1, 0)] {
        let view = world.view(at, with);
        let Some(PathInfo::Direct { remote, .. }) = view.path else {
            panic!("{:?}", view.path);
        };
        let first = view.pairs.first().expect("the path itself");
        assert_eq!((first.remote, first.state), (remote, PairState::Used));
        assert!(first.rtt.is_some());
        let used = view
            .pairs
            .iter()
            .filter(|pair| pair.state == PairState::Used);
        assert_eq!(used.count(), 1);
    }
}

#[test]
fn the_addresses_of_a_relayed_peer_are_there_with_what_was_sent_to_them() {
    let world = linked(Home::Symmetric);
    for (at, with) in [(0, 1), (1, 0)] {
        let view = world.view(at, with);
        assert_eq!(view.state, PeerState::Relayed);
        assert!(
            view.pairs
                .iter()
                .all(|pair| pair.rtt.is_none() && pair.state > PairState::Standby)
        );
        let silent = view
            .pairs
            .iter()
            .filter(|pair| pair.state == PairState::Silent);
        assert!(
            silent.map(|pair| pair.sent).sum::<u32>() > 0,
            "{:?}",
            view.pairs
        );
    }
}
