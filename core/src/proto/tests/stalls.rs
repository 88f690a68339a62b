//! Busy computers, where a node gets no time for a while in the midst of a dial.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::world::{Absence, Home, World, ms};
use crate::PeerState;

/// A path has to be direct this long after both had their last stall.
const SOON: Duration = ms(1500);
/// The same where stalls are so long that a path may be given up for them, and stands trial once or twice.
const AFTER_TRIALS: Duration = ms(6000);

/// Stalls of either node: when, whose, how long.
fn stalls(rng: &mut ChaCha20Rng, longest: Duration) -> Vec<(Duration, usize, Duration)> {
    let mut all = Vec::new();
    for at in [0, 1] {
        let mut from = ms(rng.random_range(0..400));
        for _ in 0..rng.random_range(0..4) {
            let time = rng.random_range(ms(200)..longest);
            all.push((from, at, time));
            from += time + ms(rng.random_range(1..600));
        }
    }
    all.sort();
    all
}

/// How long after the last stall a dial is direct; none if it takes more than a minute.
fn dial(homes: [Home; 2], longest: Duration, seed: u64) -> Option<Duration> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut world = World::new(seed);
    for home in homes {
        world.add(home);
    }
    let stalls = stalls(&mut rng, longest);
    let start = world.elapsed();
    world.connect(0, 1);
    world.talk(0, 1);
    for (from, at, time) in &stalls {
        world.run((start + *from).saturating_sub(world.elapsed()));
        world.hold(0, 1);
        world.absent(*at, *time, Absence::Stalled);
    }
    let end = stalls.iter().map(|(from, _, time)| start + *from + *time);
    let end = end.max().unwrap_or(start);
    world.run(end.saturating_sub(world.elapsed()));
    world.hold(0, 1);
    let direct = world.run_while(ms(60_000), |world| !world.both(PeerState::Direct));
    direct.then(|| world.elapsed() - end)
}

#[test]
fn a_dial_on_busy_computers_is_direct_soon_after_the_last_stall() {
    let homes = [Home::Public, Home::PortRestricted, Home::Double];
    let mut late = Vec::new();
    let mut count = 0;
    for from in homes {
        for to in homes {
            for seed in 0..60 {
                for (longest, limit) in [(ms(1200), SOON), (ms(3000), AFTER_TRIALS)] {
                    count += 1;
                    let took = dial([from, to], longest, seed);
                    if took.is_none_or(|took| took > limit) {
                        late.push((from, to, longest, seed, took));
                    }
                }
            }
        }
    }
    assert!(late.is_empty(), "{} of {count}: {late:?}", late.len());
}
