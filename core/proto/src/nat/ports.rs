//! How a NAT chooses ports, judged by a few that it chose one after the other.

use std::ops::RangeInclusive;

use crate::snapshot::PortAllocation;

/// With fewer samples there is no telling.
const ENOUGH: usize = 5;
/// The largest distance of two ports that were chosen one after the other.
const MAX_STEP: i32 = 8;
/// The sizes of blocks looked for, and the largest stretch that counts as one.
const BLOCKS: [u16; 5] = [256, 512, 1024, 2048, 4096];
const MAX_BLOCK: u16 = 4096;
/// What systems choose from: pf, the dynamic ports of RFC 6335, Linux, and everybody else.
const RANGES: [RangeInclusive<u16>; 4] = [
    50_001..=65_535,
    49_152..=65_535,
    32_768..=60_999,
    1024..=65_535,
];

/// Judges the ports of new mappings in the order in which they were asked for, two for each of some sockets; those that
/// nothing came back for are missing.
///
/// Ports that all but once go on by 1 to 8 in one direction (for each request in between) are sequential; the once is for
/// packets that changed places, a burst of others' mappings, or the end of the range. All others are random: in the
/// smallest block or two neighbouring blocks of 256 to 4096 ports in all, else in the smallest usual range that has them
/// all. If two sockets keep one port for both destinations, the NAT normally keeps ports, and there is nothing to guess.
///
/// With all eight samples, of allocators that are random over one of the usual ranges fewer than 2 in 10,000 are taken
/// for a block and fewer than 2 in 1000 for a narrower range; of those in a block, fewer than 2 in 100 for a block that
/// lacks a quarter of the ports or more; and of blocks of 256, the worst case, fewer than 1 in 1,000,000 for sequential.
/// With five samples these are 1, 2, 15 and 0.2 in 100.
pub(super) fn allocation(samples: &[Option<u16>]) -> PortAllocation {
    let known: Vec<(i32, u16)> = (0..)
        .zip(samples)
        .filter_map(|(position, port)| Some((position, (*port)?)))
        .collect();
    let kept = samples
        .chunks_exact(2)
        .filter(|pair| matches!(pair, [Some(here), Some(there)] if here == there));
    if known.len() < ENOUGH || kept.count() >= 2 {
        return PortAllocation::Unknown;
    }
    match step(&known) {
        Some(step) => PortAllocation::Sequential { step },
        None => random(&known),
    }
}

/// The distance of ports that count up or down.
fn step(known: &[(i32, u16)]) -> Option<i8> {
    let gaps = known.windows(2).filter_map(|pair| match pair {
        [(before, from), (after, to)] => {
            let delta = i32::from(to.wrapping_sub(*from).cast_signed());
            Some((after - before, delta))
        }
        _ => None,
    });
    [1, -1].into_iter().find_map(|sign| {
        let steps: Vec<i32> = gaps
            .clone()
            .map(|(requests, delta)| (requests, delta * sign))
            .filter(|(requests, delta)| (1..=MAX_STEP * requests).contains(delta))
            .map(|(requests, delta)| (delta / requests).max(1))
            .collect();
        let all_but_one = steps.len() + 2 >= known.len();
        let count = |step: i32| steps.iter().filter(|other| **other == step).count();
        let usual = (1..=MAX_STEP).rev().max_by_key(|step| count(*step))?;
        all_but_one.then(|| i8::try_from(usual * sign).ok())?
    })
}

fn random(known: &[(i32, u16)]) -> PortAllocation {
    let ports = || known.iter().map(|(_, port)| *port);
    let (lowest, highest) = (
        ports().min().unwrap_or(1),
        ports().max().unwrap_or(u16::MAX),
    );
    let block = BLOCKS.into_iter().find_map(|size| {
        let (first, last) = (lowest / size, highest / size);
        let fits = first == last || (first + 1 == last && size * 2 <= MAX_BLOCK);
        fits.then(|| (first * size, last * size + (size - 1)))
    });
    let range = RANGES
        .iter()
        .find(|range| range.contains(&lowest) && range.contains(&highest))
        .map(|range| (*range.start(), *range.end()));
    let (first, last) = block.or(range).unwrap_or((1, u16::MAX));
    // Ports that the system keeps for itself are left out, unless one was seen.
    let first = first.max(if lowest < 1024 { 1 } else { 1024 });
    PortAllocation::Random { first, last }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const TRIALS: u32 = 4000;

    /// How often, in so many trials, random ports of that range are judged as `wrong` says.
    fn misjudged(
        range: RangeInclusive<u16>,
        samples: usize,
        wrong: impl Fn(PortAllocation) -> bool,
    ) -> u32 {
        let mut rng = StdRng::seed_from_u64(u64::from(*range.start()) << 8 | samples as u64);
        let mut count = 0;
        for _ in 0..TRIALS {
            let mut ports: Vec<_> = (0..8)
                .map(|_| Some(rng.random_range(range.clone())))
                .collect();
            while ports.iter().flatten().count() > samples {
                let lost = rng.random_range(0..8);
                ports[lost] = None;
            }
            count += u32::from(wrong(allocation(&ports)));
        }
        count
    }

    /// The expected number and five times its standard deviation.
    fn at_most(probability: f64) -> u32 {
        let expected = f64::from(TRIALS) * probability;
        (expected + 5.0 * expected.sqrt()).ceil() as u32
    }

    fn is_sequential(found: PortAllocation) -> bool {
        matches!(found, PortAllocation::Sequential { .. })
    }

    fn is_block(found: PortAllocation) -> bool {
        matches!(found, PortAllocation::Random { first, last } if last - first < MAX_BLOCK)
    }

    /// More than a quarter of the ports are left out.
    fn lacks(range: RangeInclusive<u16>) -> impl Fn(PortAllocation) -> bool {
        move |found| match found {
            PortAllocation::Random { first, last } => {
                let (from, to) = (first.max(*range.start()), last.min(*range.end()));
                let ports = i32::from(to) - i32::from(from) + 1;
                ports * 4 < range.len() as i32 * 3
            }
            PortAllocation::Sequential { .. } | PortAllocation::Unknown => true,
        }
    }

    fn sequence(first: u16, deltas: [i16; 7]) -> Vec<Option<u16>> {
        let mut port = first;
        let next = deltas.into_iter().map(|delta| {
            port = port.wrapping_add_signed(delta);
            Some(port)
        });
        std::iter::once(Some(first)).chain(next).collect()
    }

    #[test]
    fn random_ports_are_not_called_sequential() {
        for range in RANGES {
            assert_eq!(misjudged(range.clone(), 8, is_sequential), 0);
            assert_eq!(misjudged(range, 5, is_sequential), 0);
        }
        assert_eq!(misjudged(5120..=5375, 8, is_sequential), 0);
        let found = misjudged(5120..=5375, 5, is_sequential);
        assert!(found <= at_most(0.002), "{found}");
    }

    #[test]
    fn random_ports_of_a_wide_range_are_not_called_a_block() {
        for range in RANGES {
            let found = misjudged(range.clone(), 8, is_block);
            assert!(found <= at_most(0.0002), "{range:?} {found}");
            let found = misjudged(range.clone(), 5, is_block);
            assert!(found <= at_most(0.01), "{range:?} {found}");
        }
    }

    #[test]
    fn the_range_has_the_ports_that_the_nat_chooses_from() {
        for range in [1024..=65_535, 32_768..=60_999, 50_001..=65_535] {
            let found = misjudged(range.clone(), 8, lacks(range.clone()));
            assert!(found <= at_most(0.002), "{range:?} {found}");
            let found = misjudged(range.clone(), 5, lacks(range.clone()));
            assert!(found <= at_most(0.03), "{range:?} {found}");
        }
    }

    #[test]
    fn the_block_has_the_ports_that_the_nat_chooses_from() {
        // Aligned, and not.
        for range in [
            4096..=4351,
            6144..=8191,
            8192..=12_287,
            3024..=5023,
            20_000..=20_511,
        ] {
            let found = misjudged(range.clone(), 8, lacks(range.clone()));
            assert!(found <= at_most(0.02), "{range:?} {found}");
            let found = misjudged(range.clone(), 5, lacks(range.clone()));
            assert!(found <= at_most(0.15), "{range:?} {found}");
            // Two pairs of equal ports by chance.
            let found = misjudged(range.clone(), 8, |found| !is_block(found));
            assert!(found <= at_most(0.0001), "{range:?} {found}");
        }
    }

    #[test]
    fn one_irregularity_does_not_hide_a_sequence() {
        for (deltas, step) in [
            ([1, 1, 1, 1, 1, 1, 1], 1),
            ([2, 2, 4, 2, 2, 6, 2], 2),
            ([-1, -1, -2, -1, -1, -1, -3], -1),
            // A burst of others, two packets that changed places, the end of the range.
            ([1, 1, 1, 400, 1, 1, 1], 1),
            ([1, 2, -1, 2, 1, 1, 1], 1),
            ([1, 1, i16::MIN, 1, 1, 1, 1], 1),
        ] {
            for first in [1024, 30_000, u16::MAX - 3] {
                assert_eq!(
                    allocation(&sequence(first, deltas)),
                    PortAllocation::Sequential { step }
                );
            }
        }
        assert!(!is_sequential(allocation(&sequence(
            2000,
            [1, 1, 300, 1, 1, 300, 1]
        ))));
    }

    #[test]
    fn up_to_three_lost_answers_do_not_hide_a_sequence_and_four_leave_it_unknown() {
        let ports = sequence(4000, [3; 7]);
        for lost in 0..=255_u8 {
            let left = |i: &usize| lost >> i & 1 == 0;
            let samples: Vec<_> = (0..8)
                .map(|i| Some(i).filter(left).and_then(|i| ports[i]))
                .collect();
            let expected = if lost.count_ones() <= 3 {
                PortAllocation::Sequential { step: 3 }
            } else {
                PortAllocation::Unknown
            };
            assert_eq!(allocation(&samples), expected, "{lost:b}");
        }
    }

    #[test]
    fn ports_that_stay_the_same_for_two_destinations_are_not_guessed() {
        let kept = [50_000, 50_000, 33_001, 33_001, 45_000, 45_000, 1500, 60_123];
        assert_eq!(allocation(&kept.map(Some)), PortAllocation::Unknown);
    }

    #[test]
    fn nothing_can_be_made_of_no_samples() {
        assert_eq!(allocation(&[]), PortAllocation::Unknown);
        assert_eq!(allocation(&[None; 8]), PortAllocation::Unknown);
    }
}
