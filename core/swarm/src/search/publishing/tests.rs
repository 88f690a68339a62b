//! Who has what, and since when.

use peerway::SecretKey;

use super::*;
use crate::share::{Hash, Kind};

const SECOND: Duration = Duration::from_secs(1);

fn id(seed: u16) -> PeerId {
    let mut bytes = [5; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(&bytes).id()
}

fn hits(count: usize) -> Vec<Hit> {
    let names = (0..count).map(|at| format!("film {at}"));
    let hit = |name: String| Hit::new((Hash::of(name.as_bytes()), 7), Kind::File, &name, true);
    names.map(hit).collect()
}

fn member(me: u16) -> Publishing {
    Publishing::new(GroupId::from_bytes([1; 32]), id(me))
}

fn directories(seeds: impl IntoIterator<Item = u16>) -> Vec<Advertised> {
    let each = seeds.into_iter();
    each.map(|seed| Advertised::new(id(seed), 1)).collect()
}

/// Says all that is due for so long; to whom how many documents went, and how many were withdrawn.
fn run(
    publishing: &mut Publishing,
    (from, until): (Duration, Duration),
    outcome: impl Fn(PeerId) -> Outcome,
) -> BTreeMap<PeerId, (usize, usize)> {
    let (mut told, mut now) = (BTreeMap::<_, (usize, usize)>::new(), from);
    loop {
        while let Some(publication) = publishing.poll(now) {
            let to = publication.to;
            let told = told.entry(to).or_default();
            told.0 += publication.hits.len();
            told.1 += publication.withdrawn.len();
            publishing.done((to, publication.number), outcome(to), now);
        }
        match publishing.deadline(now) {
            Some(due) if due <= until => now = due.max(now + SECOND / 1_000),
            Some(_) | None => return told,
        }
    }
}

#[test]
fn what_is_offered_goes_to_two_directories_at_twenty_a_second_and_again_after_twelve_hours() {
    let mut publishing = member(0);
    publishing.offer(wanted(hits(50)));
    publishing.advertised(&directories(1..8));
    let first = run(&mut publishing, (Duration::ZERO, SECOND), |_| {
        Outcome::Taken
    });
    assert_eq!(first.values().collect::<Vec<_>>(), [&(40, 0), &(40, 0)]);
    let rest = run(&mut publishing, (SECOND, 60 * SECOND), |_| Outcome::Taken);
    assert_eq!(rest.values().collect::<Vec<_>>(), [&(10, 0), &(10, 0)]);
    assert!(first.keys().eq(rest.keys()));
    let (day, again) = ((60 * SECOND, AGAIN - SECOND), (AGAIN, AGAIN + 60 * SECOND));
    assert!(run(&mut publishing, day, |_| Outcome::Taken).is_empty());
    let later = run(&mut publishing, again, |_| Outcome::Taken);
    assert_eq!(later.values().collect::<Vec<_>>(), [&(50, 0), &(50, 0)]);
}

#[test]
fn what_is_shared_no_more_is_withdrawn_from_whoever_has_it() {
    let mut publishing = member(0);
    publishing.offer(wanted(hits(3)));
    publishing.advertised(&directories([1, 2]));
    run(&mut publishing, (Duration::ZERO, SECOND), |_| {
        Outcome::Taken
    });
    publishing.offer(wanted(hits(1)));
    // Those that are chosen now have nothing yet.
    publishing.advertised(&directories(1..20));
    let later = (SECOND, 60 * SECOND);
    let told = run(&mut publishing, later, |_| Outcome::Taken);
    let withdrawn: Vec<_> = told.iter().filter(|it| it.1.1 > 0).collect();
    assert_eq!(withdrawn.len(), 2);
    assert!(withdrawn.iter().all(|it| it.1.1 == 2));
}

#[test]
fn one_that_fails_is_left_alone_for_a_while_and_its_share_goes_to_the_next() {
    let mut publishing = member(0);
    publishing.offer(wanted(hits(3)));
    publishing.advertised(&directories(1..5));
    let before = publishing.chosen(Duration::ZERO);
    let dead = *before.first().unwrap();
    let outcome = |peer| match peer == dead {
        true => Outcome::Failed,
        false => Outcome::Taken,
    };
    let told = run(&mut publishing, (Duration::ZERO, SECOND), outcome);
    assert_eq!(
        told.len(),
        3,
        "the dead one, the other and the next: {told:?}"
    );
    assert!(!publishing.chosen(SECOND).contains(&dead));
    // It is tried again, less and less often.
    let (mut tries, mut now) = (Vec::new(), SECOND);
    while now < 3_600 * SECOND {
        if run(&mut publishing, (now, now), outcome).contains_key(&dead) {
            tries.push(now);
        }
        now += SECOND;
    }
    assert!((6..=8).contains(&tries.len()), "{tries:?}");
    let told = run(&mut publishing, (now, now + BACK_OFF.1), |_| Outcome::Taken);
    assert_eq!(told, BTreeMap::from([(dead, (3, 0))]));
    assert_eq!(publishing.chosen(now + BACK_OFF.1), before);
}

#[test]
fn one_that_a_query_did_not_reach_is_chosen_no_more_at_once() {
    let mut publishing = member(0);
    publishing.offer(wanted(hits(3)));
    publishing.advertised(&directories(1..5));
    run(&mut publishing, (Duration::ZERO, SECOND), |_| {
        Outcome::Taken
    });
    let dead = *publishing.chosen(SECOND).first().unwrap();
    publishing.failed(dead, 2 * SECOND);
    let told = run(&mut publishing, (2 * SECOND, 2 * SECOND), |_| {
        Outcome::Taken
    });
    assert_eq!(told.values().collect::<Vec<_>>(), [&(3, 0)]);
    assert!(!told.contains_key(&dead));
}

#[test]
fn one_that_was_started_anew_is_told_all_again() {
    let mut publishing = member(0);
    publishing.offer(wanted(hits(3)));
    publishing.advertised(&directories([1]));
    run(&mut publishing, (Duration::ZERO, SECOND), |_| {
        Outcome::Taken
    });
    publishing.advertised(&directories([1]));
    let later = (SECOND, 60 * SECOND);
    assert!(run(&mut publishing, later, |_| Outcome::Taken).is_empty());
    publishing.advertised(&[Advertised::new(id(1), 2)]);
    let told = run(&mut publishing, later, |_| Outcome::Taken);
    assert_eq!(told, BTreeMap::from([(id(1), (3, 0))]));
}

#[test]
fn what_came_of_an_exchange_with_one_says_nothing_of_it_once_it_was_started_anew() {
    for late in [Outcome::Taken, Outcome::Failed] {
        let mut publishing = member(0);
        publishing.offer(wanted(hits(3)));
        publishing.advertised(&directories([1]));
        let former = publishing.poll(SECOND).unwrap();
        publishing.advertised(&[Advertised::new(id(1), 2)]);
        let new = publishing.poll(SECOND).unwrap();
        publishing.done((id(1), former.number), late, SECOND);
        assert_eq!(publishing.poll(SECOND), None, "one after the other");
        publishing.done((id(1), new.number), Outcome::Later(SECOND), SECOND);
        let told = run(&mut publishing, (2 * SECOND, 3 * SECOND), |_| {
            Outcome::Taken
        });
        assert_eq!(told, BTreeMap::from([(id(1), (3, 0))]), "{late:?}");
    }
}

#[test]
fn shares_are_even_and_one_directory_that_goes_moves_only_its_own() {
    let all = directories(1_000..1_010);
    let (mut loads, mut moved) = (BTreeMap::<_, usize>::new(), 0);
    for me in 0..1_000 {
        let mut publishing = member(me);
        publishing.advertised(&all);
        let before = publishing.chosen(Duration::ZERO);
        before
            .iter()
            .for_each(|peer| *loads.entry(*peer).or_default() += 1);
        publishing.advertised(&all[1..]);
        let after = publishing.chosen(Duration::ZERO);
        let kept = before.intersection(&after).count();
        assert_eq!(kept, 2 - usize::from(before.contains(&all[0].peer)));
        moved += 2 - kept;
    }
    assert!(
        loads.values().all(|load| (140..260).contains(load)),
        "{loads:?}"
    );
    assert!((140..260).contains(&moved));
}
