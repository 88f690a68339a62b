//! Busy computers, where a node gets no time for a while in the midst of a dial.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::world::{Absence, Home, World, ms};
use crate::PeerState;

/// A path has to be direct this long after both had their last stall.
const SOON: Duration = ms(1500);
/// The same where ports have to be guessed, which takes some seconds on a computer at leisure too.
const GUESSED: Duration = ms(12_000);

/// What a dial has to get over.
#[derive(Clone, Copy, Debug)]
struct Busy {
    homes: [Home; 2],
    /// How long the stalls of each node are at most, of which there are up to three.
    longest: Duration,
    seed: u64,
}

impl Busy {
    /// Stalls of either node: when, whose, how long.
    fn stalls(&self) -> Vec<(Duration, usize, Duration)> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let mut all = Vec::new();
        for at in [0, 1] {
            let mut from = ms(rng.random_range(0..400));
            for _ in 0..rng.random_range(0..4) {
                let time = rng.random_range(ms(200)..self.longest);
                all.push((from, at, time));
                from += time + ms(rng.random_range(1..600));
            }
        }
        all.sort();
        all
    }

    /// How long after the last stall the dial is direct; none if it takes more than a minute.
    fn dial(&self) -> Option<Duration> {
        let mut world = World::new(self.seed);
        for home in self.homes {
            world.add(home);
        }
        let stalls = self.stalls();
        let start = world.elapsed();
        world.connect(0, 1);
        world.talk(0, 1);
        for (from, at, time) in &stalls {
            world.run((start + *from).saturating_sub(world.elapsed()));
            world.connected(0, 1);
            world.absent(*at, *time, Absence::Stalled);
        }
        let end = stalls.iter().map(|(from, _, time)| start + *from + *time);
        let end = end.max().unwrap_or(start);
        world.run(end.saturating_sub(world.elapsed()));
        world.connected(0, 1);
        let direct = world.run_while(ms(60_000), |world| !world.both(PeerState::Direct));
        direct.then(|| world.elapsed() - end)
    }
}

/// Asserts that none of these dials took longer than this after the last stall.
fn in_time(dials: &[Busy], limit: Duration) {
    let took = dials.iter().map(|dial| (*dial, dial.dial()));
    let late: Vec<(Busy, Option<Duration>)> = took
        .filter(|(_, took)| took.is_none_or(|took| took > limit))
        .collect();
    assert!(
        late.is_empty(),
        "{} of {}: {late:?}",
        late.len(),
        dials.len()
    );
}

#[test]
fn a_dial_on_busy_computers_is_direct_soon_after_the_last_stall() {
    let homes = [Home::Public, Home::PortRestricted, Home::Double];
    let pairs = homes.iter().flat_map(|from| homes.map(|to| [*from, to]));
    let mut dials = Vec::new();
    for homes in pairs {
        for longest in [ms(1200), ms(3000)] {
            dials.extend((0..60).map(|seed| Busy {
                homes,
                longest,
                seed,
            }));
        }
    }
    in_time(&dials, SOON);
}

#[test]
fn ports_are_guessed_on_busy_computers_too() {
    let mut dials = Vec::new();
    for homes in [
        [Home::PortRestricted, Home::Symmetric],
        [Home::Symmetric, Home::PortRestricted],
    ] {
        dials.extend((0..20).map(|seed| Busy {
            homes,
            longest: ms(3000),
            seed,
        }));
    }
    in_time(&dials, GUESSED);
}
