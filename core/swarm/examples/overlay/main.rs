//! Why peers are looked up in a Kademlia, as the Mainline DHT is one, and in no ring: Chord and Kademlia beside each other in a virtual
//! world, hops against nodes, while nodes die and others join. `cargo run -p peerway-swarm --example overlay [NODES…]`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

mod chord;
mod kademlia;
mod lookup;
mod table;
mod world;

use std::{env::args, error::Error, time::Duration};

use self::{
    chord::Chord,
    kademlia::Kademlia,
    table::Table,
    world::{Outcome, Setting, run},
};

const MINUTE: Duration = Duration::from_secs(60);
/// How long nodes live in a world where they die.
const LIFE: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    println!(
        "overlay   nodes      life  hops 50/99%  goal    found    ms 50/99%  asked  silent  known    upkeep"
    );
    for nodes in sizes {
        for life in [None, Some(LIFE)] {
            row::<Chord>(nodes, life);
            row::<Kademlia>(nodes, life);
        }
    }
    println!(
        "asked: nodes per search, of which silent had died; known: nodes in a table; upkeep: questions of a node a minute"
    );
    Ok(())
}

fn setting(nodes: usize, life: Option<Duration>) -> Setting {
    Setting {
        nodes,
        life,
        searches: 1_000,
        during: 10 * MINUTE,
        seed: 1,
    }
}

fn row<T: Table>(nodes: usize, life: Option<Duration>) {
    let outcome = run::<T>(setting(nodes, life));
    let each = (outcome.hops.len() + outcome.failed) as f64;
    let life = life.map_or_else(
        || "for ever".to_owned(),
        |life| format!("{} min", life.as_secs() / 60),
    );
    println!(
        "{:8} {nodes:>6} {life:>9}  {:>8} /{:>2} {:>5.1} {:>6.1} %  {:>5} /{:>5} {:>6.1} {:>7.2}  {:>5.0} {:>9.1}",
        T::NAME,
        share(&outcome.hops, 0.5),
        share(&outcome.hops, 0.99),
        T::goal(nodes as f64),
        100.0 * success(&outcome),
        share(&outcome.times, 0.5).as_millis(),
        share(&outcome.times, 0.99).as_millis(),
        outcome.asked as f64 / each,
        outcome.silent as f64 / each,
        outcome.known,
        outcome.upkeep,
    );
}

/// So much of all is no larger.
fn share<V: Copy + Default + Ord>(values: &[V], part: f64) -> V {
    let mut values = values.to_vec();
    values.sort_unstable();
    let at = (values.len() as f64 * part) as usize;
    values.get(at).copied().unwrap_or_default()
}

fn success(outcome: &Outcome) -> f64 {
    let found = outcome.hops.len() as f64;
    found / (found + outcome.failed as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Median of hops, and the part of the searches that found the right node.
    fn figures<T: Table>(nodes: usize, life: Option<Duration>) -> (u32, f64) {
        let outcome = run::<T>(setting(nodes, life));
        (share(&outcome.hops, 0.5), success(&outcome))
    }

    fn keeps_its_goals<T: Table>(nodes: usize, life: Option<Duration>) {
        let (hops, found) = figures::<T>(nodes, life);
        let most = T::goal(nodes as f64);
        assert!(
            f64::from(hops) <= most,
            "{}: {hops} hops, at most {most} among {nodes}",
            T::NAME
        );
        assert!(found >= 0.99, "{}: {found} found among {nodes}", T::NAME);
    }

    #[test]
    fn hops_grow_by_the_logarithm_of_the_nodes_and_all_is_found() {
        for nodes in [100, 1_000] {
            keeps_its_goals::<Chord>(nodes, None);
            keeps_its_goals::<Kademlia>(nodes, None);
        }
    }

    #[test]
    fn all_is_found_while_nodes_live_for_an_hour() {
        for nodes in [100, 1_000] {
            keeps_its_goals::<Chord>(nodes, Some(LIFE));
            keeps_its_goals::<Kademlia>(nodes, Some(LIFE));
        }
    }

    #[test]
    #[ignore = "a minute: `.ci/run` does it"]
    fn among_ten_thousand_it_is_the_same() {
        for life in [None, Some(LIFE)] {
            keeps_its_goals::<Chord>(10_000, life);
            keeps_its_goals::<Kademlia>(10_000, life);
        }
    }

    #[test]
    fn the_right_node_answers_in_half_the_time_and_hops_in_kademlia() {
        for life in [None, Some(LIFE)] {
            let chord = run::<Chord>(setting(1_000, life));
            let kademlia = run::<Kademlia>(setting(1_000, life));
            assert!(share(&kademlia.times, 0.5) * 2 <= share(&chord.times, 0.5));
            assert!(share(&kademlia.hops, 0.5) * 2 <= share(&chord.hops, 0.5));
        }
    }

    #[test]
    fn a_world_is_decided_by_its_seed() {
        let one = run::<Kademlia>(setting(100, Some(LIFE)));
        let same = run::<Kademlia>(setting(100, Some(LIFE)));
        assert_eq!((one.times, one.asked), (same.times, same.asked));
        let other = run::<Kademlia>(Setting {
            seed: 2,
            ..setting(100, Some(LIFE))
        });
        assert_ne!(one.hops, other.hops);
    }
}
