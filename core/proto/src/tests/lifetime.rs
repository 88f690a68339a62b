//! How links end, linger, and begin anew.

use super::world::{Home, World, ms};
use crate::{Access, PeerState, io::Input};

const HOME: Home = Home::PortRestricted;

fn linked() -> World {
    let mut world = World::pair(HOME, HOME);
    world.link(0, 1);
    world.run(ms(3000));
    assert!(world.both(PeerState::Direct));
    world
}

#[test]
fn a_released_link_lingers_for_ten_seconds_and_then_both_sides_forget_it() {
    let mut world = linked();
    world.release(0, 1);
    world.release(1, 0);
    world.run(ms(9000));
    assert!(world.both(PeerState::Direct));
    world.run(ms(2000));
    assert!(world.both(PeerState::Idle));
    world.run(ms(20_000));
    for node in &world.nodes {
        assert_eq!(node.forgotten, 1);
        assert_eq!(node.machine.poll_timeout(), None);
    }
}

#[test]
fn whoever_called_and_left_leaves_nothing_behind_but_whom_we_called_is_remembered() {
    let mut world = linked();
    world.release(0, 1);
    world.release(1, 0);
    world.run(ms(15_000));
    assert_eq!(world.nodes[1].machine.population(), (1, 0));
    world.run(ms(20_000));
    assert_eq!(world.nodes[1].machine.population(), (0, 0));
    assert_eq!(world.nodes[0].machine.population(), (1, 0));
    world.link(0, 1);
    world.run(ms(3000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_goodbye_does_not_end_a_link_that_the_other_side_still_wants() {
    let mut world = linked();
    world.release(0, 1);
    world.run(ms(11_000));
    assert_eq!(world.state(0, 1), PeerState::Idle);
    assert_ne!(world.state(1, 0), PeerState::Idle);
}

#[test]
fn a_link_that_is_wanted_again_while_it_lingers_stays_direct() {
    let mut world = linked();
    world.release(0, 1);
    world.release(1, 0);
    world.run(ms(5000));
    let signals = world.nodes[0].signals;
    world.connect(0, 1);
    world.connected(0, 1);
    world.run(ms(20_000));
    assert!(world.both(PeerState::Direct));
    assert_eq!(world.nodes[0].signals, signals);
}

#[test]
fn a_peer_that_only_said_hello_is_let_go_of() {
    let mut world = World::pair(HOME, HOME);
    world.connect(0, 1);
    world.run(ms(1000));
    world.release(0, 1);
    world.run(ms(30_000));
    assert!(world.both(PeerState::Idle));
}

#[test]
fn a_peer_that_was_restarted_is_met_again_by_its_own_dial() {
    let mut world = linked();
    world.hush();
    world.restart(1);
    world.connect(1, 0);
    world.run(ms(4000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_peer_that_was_restarted_is_met_again_by_our_next_round() {
    let mut world = linked();
    world.restart(1);
    // Our application talks on, and nothing comes back.
    assert!(world.run_while(ms(500), |world| !matches!(
        world.state(0, 1),
        PeerState::Suspect
    )));
    assert!(world.run_while(ms(20_000), |world| !world.both(PeerState::Direct)));
}

#[test]
fn who_is_not_let_in_any_more_is_gone_at_once_and_does_not_come_back() {
    for by_name in [false, true] {
        let mut world = linked();
        let caller = world.nodes[0].id;
        let access = if by_name {
            Access::Except(vec![caller])
        } else {
            Access::Only(Vec::new())
        };
        world.feed(
            1,
            Input::Access {
                access,
                dialled: Vec::new(),
            },
        );
        assert_eq!(world.state(1, 0), PeerState::Idle);
        world.run(ms(1000));
        world.connect(0, 1);
        world.run(ms(30_000));
        assert_eq!(world.state(1, 0), PeerState::Idle);
    }
}

#[test]
fn who_is_not_among_those_kept_out_stays_linked() {
    let mut world = linked();
    let access = Access::Except(vec![world.nodes[1].id]);
    world.feed(
        1,
        Input::Access {
            access,
            dialled: Vec::new(),
        },
    );
    world.run(ms(5000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn whom_we_dialled_may_answer_though_nobody_is_let_in() {
    let mut world = linked();
    let (access, dialled) = (Access::Only(Vec::new()), vec![world.nodes[1].id]);
    world.feed(0, Input::Access { access, dialled });
    world.run(ms(5000));
    assert!(world.both(PeerState::Direct));
}

#[test]
fn a_shut_down_node_says_goodbye_and_then_nothing_more() {
    let mut world = linked();
    world.hush();
    world.release(1, 0);
    world.feed(0, Input::Shutdown);
    world.run(ms(1000));
    assert_eq!(world.state(1, 0), PeerState::Idle);
    let sent = world.nodes[0].machine.datagrams;
    world.connect(1, 0);
    world.run(ms(30_000));
    assert_eq!(world.nodes[0].machine.datagrams, sent);
}

#[test]
fn an_idle_relayed_link_is_left_alone() {
    let mut world = World::pair(Home::Symmetric, Home::Symmetric);
    world.link(0, 1);
    world.run(ms(5000));
    world.hush();
    world.run(ms(120_000));
    let before: Vec<_> = world.nodes.iter().map(|node| node.signals).collect();
    world.run(ms(600_000));
    let after: Vec<_> = world.nodes.iter().map(|node| node.signals).collect();
    assert_eq!(before, after);
}

#[test]
fn a_busy_relayed_link_is_tried_again_ever_more_rarely() {
    let mut world = World::pair(Home::Symmetric, Home::Symmetric);
    world.link(0, 1);
    world.run(ms(120_000));
    let signals = world.nodes[0].signals + world.nodes[1].signals;
    assert!((6..=24).contains(&signals), "{signals}");
    assert!(world.nodes.iter().all(|node| node.machine.datagrams <= 120));
}

#[test]
fn a_relayed_link_goes_direct_when_the_way_is_free() {
    let mut world = World::pair(HOME, HOME);
    world.cut = true;
    world.link(0, 1);
    world.run(ms(20_000));
    assert!(world.both(PeerState::Relayed));
    world.cut = false;
    assert!(world.run_while(ms(90_000), |world| !world.both(PeerState::Direct)));
}
