//! How much memory a peer takes. That it is never too much is watched in all worlds.

use super::world::{Home, World, ms};

/// The most that the dialler of this pair of homes ever needs for the other, with data flowing.
fn largest(a: Home, b: Home, minutes: usize) -> usize {
    let mut world = World::pair(a, b);
    world.link(0, 1);
    world.chat_every = ms(1000);
    let sizes = (0..minutes * 600).map(|_| {
        world.run(ms(100));
        world.nodes[0].machine.size()
    });
    sizes.max().unwrap()
}

#[test]
fn guesses_are_the_most_that_a_peer_takes_memory_for() {
    let plain = largest(Home::PortRestricted, Home::PortRestricted, 1);
    let guesses = largest(Home::PortRestricted, Home::Symmetric, 1);
    assert!(plain <= 16 * 1024, "{plain}");
    assert!(guesses > plain + 4096, "{guesses} are counted");
}

#[test]
fn hours_of_rounds_in_vain_take_no_more_memory_than_the_first() {
    let (first, all) = [2, 240]
        .map(|minutes| largest(Home::Symmetric, Home::Symmetric, minutes))
        .into();
    assert!(all <= first + 4096, "{first}, then {all}");
}
