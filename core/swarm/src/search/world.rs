//! Searches among many members in virtual time.

mod directories;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::{PeerId, SecretKey};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    asking::{Asking, MAX_ASKED, NoAnswer, Step, Summary, Target},
    index::{Index, Seen},
    query::Query,
    rows::Row,
    wire::{Hit, MAX_ANSWER, MAX_HITS, Told},
};
use crate::{
    frame,
    share::{Hash, Kind},
};

const PATIENCE: Duration = Duration::from_secs(3);

/// What a member answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// There is no link to it, and none comes about.
    Away,
    /// It is linked and says nothing.
    Mute,
    /// Ten things of its own that are called what is asked for.
    Spam,
    /// Ten things that are called so, the same as all that do this.
    Conspiracy,
}

struct Member {
    id: PeerId,
    index: Index,
    round_trip: Duration,
    manner: Manner,
}

struct World {
    members: Vec<Member>,
    names: BTreeSet<String>,
    random: StdRng,
}

/// Members with documents of two to five words, of which some are far more common than others, and some documents too.
fn world(count: u16, documents: usize, seed: u64) -> World {
    let mut random = StdRng::seed_from_u64(seed);
    let skewed = |random: &mut StdRng, of: usize| {
        let at: f64 = random.random();
        ((of as f64).powf(at) as usize).min(of - 1)
    };
    let pool: Vec<String> = (0..documents * usize::from(count) / 4)
        .map(|at| {
            let words = (0..random.random_range(2..6)).map(|_| skewed(&mut random, 3_000));
            let words: Vec<_> = words.map(|word| format!("w{word}w")).collect();
            format!("{}_{at}.mp4", words.join(" "))
        })
        .collect();
    let mut names = BTreeSet::new();
    let members = (0..count).map(|number| {
        let mut index = Index::default();
        let own = (0..documents).map(|_| {
            let at = if random.random_bool(0.5) {
                random.random_range(0..pool.len())
            } else {
                skewed(&mut random, pool.len())
            };
            names.insert(pool[at].clone());
            hit(&pool[at])
        });
        index.add(Hash::of(b"all"), own.collect::<Vec<_>>());
        Member {
            id: id(number),
            index,
            round_trip: Duration::from_millis(random.random_range(20..180)),
            manner: Manner::Honest,
        }
    });
    let members = members.collect();
    World {
        members,
        names,
        random,
    }
}

fn id(number: u16) -> PeerId {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    SecretKey::from_seed(&bytes).id()
}

fn hit(name: &str) -> Hit {
    Hit::new((Hash::of(name.as_bytes()), 7), Kind::File, name, true)
}

/// What came of a search, and when.
#[derive(Debug, Default)]
struct Outcome {
    rows: Vec<(Duration, Row)>,
    unanswered: BTreeMap<PeerId, NoAnswer>,
    summary: Summary,
    ended: Duration,
}

impl World {
    /// Makes every so-manieth of them so.
    fn make(&mut self, every: usize, manner: Manner) {
        let some = self.members.iter_mut().step_by(every);
        some.for_each(|member| member.manner = manner);
    }

    fn search(&self, text: &str, is_linked: bool) -> Outcome {
        let query: Query = text.parse().unwrap();
        let targets = self.members.iter().map(|member| Target {
            peer: member.id,
            is_known: false,
            is_linked,
            directory: None,
        });
        let mut now = Duration::from_secs(100);
        let begun = now;
        let mut asking = Asking::new(query.clone(), targets.collect(), PATIENCE, now);
        let mut coming: BTreeSet<(Duration, usize, bool)> = BTreeSet::new();
        let places: BTreeMap<_, _> = self
            .members
            .iter()
            .enumerate()
            .map(|(at, it)| (it.id, at))
            .collect();
        let mut outcome = Outcome::default();
        loop {
            while let Some(step) = asking.poll(now) {
                match step {
                    Step::Ask(peer) => {
                        let (place, member) = (places[&peer], &self.members[places[&peer]]);
                        let dial = if is_linked {
                            Duration::ZERO
                        } else {
                            2 * member.round_trip
                        };
                        if member.manner != Manner::Away {
                            coming.insert((now + dial, place, false));
                        }
                        if !matches!(member.manner, Manner::Away | Manner::Mute) {
                            coming.insert((now + dial + member.round_trip, place, true));
                        }
                    }
                    Step::Row(row) => outcome.rows.push((now - begun, row)),
                    Step::Unanswered(peer, why) => drop(outcome.unanswered.insert(peer, why)),
                    Step::AskDirectory(..) | Step::DirectoryUnanswered(..) => {}
                    Step::Done(summary) => {
                        (outcome.summary, outcome.ended) = (summary, now - begun);
                        return outcome;
                    }
                }
            }
            let next = coming.first().map(|it| it.0);
            let due = asking.deadline(now);
            now = next.map_or(due, |next| next.min(due)).max(now);
            while let Some((_, place, is_answer)) = coming.first().copied().filter(|it| it.0 <= now)
            {
                coming.pop_first();
                let member = &self.members[place];
                if is_answer {
                    asking.answered(member.id, Ok(member.answer(place, &query)), now);
                } else {
                    asking.linked(member.id, None);
                }
            }
        }
    }

    /// Two words of some document, if no more than a list holds is found by them; and what that is.
    fn question(&mut self) -> (String, BTreeSet<Hash>) {
        loop {
            let at = self.random.random_range(0..self.names.len());
            let name = self.names.iter().nth(at).unwrap();
            let text: Vec<_> = name.split([' ', '_']).take(2).collect();
            let text = text.join(" ");
            let query: Query = text.parse().unwrap();
            let found = self
                .names
                .iter()
                .filter(|name| query.takes(name, Kind::File, 7));
            let found: BTreeSet<_> = found.map(|name| Hash::of(name.as_bytes())).collect();
            if found.len() <= 50 {
                return (text, found);
            }
        }
    }

    fn recall(&mut self, questions: usize, is_linked: bool) -> f64 {
        let (mut found, mut there) = (0, 0);
        for _ in 0..questions {
            let (text, expected) = self.question();
            let outcome = self.search(&text, is_linked);
            let rows: BTreeSet<_> = outcome.rows.iter().map(|(_, row)| row.hash).collect();
            assert!(rows.is_subset(&expected), "{text}");
            found += rows.len();
            there += expected.len();
        }
        found as f64 / there as f64
    }
}

impl Member {
    fn answer(&self, place: usize, query: &Query) -> (Vec<Hit>, u32) {
        let spam =
            |of: usize| (0..MAX_HITS).map(move |at| hit(&format!("{} {of} {at}", query.text())));
        let (hits, total) = match self.manner {
            Manner::Honest | Manner::Away | Manner::Mute => {
                let found = self.index.find(query, Seen::Public);
                (found.hits, found.total)
            }
            Manner::Spam => (spam(place).collect(), 1_000),
            Manner::Conspiracy => (spam(9_999).collect(), 1_000),
        };
        let told = frame::encode(
            &Told::Found {
                hits: hits.clone(),
                total,
            },
            MAX_ANSWER,
        );
        assert!(told.is_ok());
        (hits, total)
    }
}

#[test]
fn the_first_row_is_there_a_tenth_of_a_second_after_the_first_answer_at_a_hundred_members() {
    let mut world = world(100, 50, 1);
    for _ in 0..20 {
        let (text, _) = world.question();
        let outcome = world.search(&text, true);
        let query: Query = text.parse().unwrap();
        let with_hit = world
            .members
            .iter()
            .filter(|it| !it.answer(0, &query).0.is_empty());
        let nearest = with_hit.map(|it| it.round_trip).min().unwrap();
        let first = outcome.rows[0].0;
        assert!(
            first <= nearest + Duration::from_millis(100),
            "{first:?} {nearest:?}"
        );
        assert!(
            outcome.ended <= Duration::from_millis(300),
            "{:?}",
            outcome.ended
        );
        assert_eq!(
            (outcome.summary.asked, outcome.summary.answered),
            (100, 100)
        );
    }
}

#[test]
fn nearly_all_is_found_at_three_hundred_members_though_some_do_not_answer() {
    let mut world = world(300, 50, 2);
    assert_eq!(world.recall(40, true), 1.0);
    world.make(50, Manner::Mute);
    world.members.reverse();
    world.make(50, Manner::Away);
    for is_linked in [true, false] {
        let recall = world.recall(40, is_linked);
        assert!(recall >= 0.95, "{recall}");
    }
}

#[test]
fn who_does_not_answer_is_named_with_the_reason_when_the_time_is_up() {
    let mut world = world(20, 10, 3);
    world.members[3].manner = Manner::Away;
    world.members[4].manner = Manner::Mute;
    let (text, _) = world.question();
    let outcome = world.search(&text, true);
    assert_eq!(outcome.ended, PATIENCE);
    assert_eq!(outcome.unanswered.len(), 2);
    assert_eq!(outcome.unanswered[&id(3)], NoAnswer::Unlinked(PATIENCE));
    assert_eq!(outcome.unanswered[&id(4)], NoAnswer::Silent(PATIENCE));
    assert_eq!((outcome.summary.asked, outcome.summary.answered), (20, 18));
}

#[test]
fn what_one_member_alone_has_is_among_the_first_ten_rows_though_every_tenth_spams() {
    for manner in [Manner::Spam, Manner::Conspiracy] {
        for (count, seed) in [(100, 4), (300, 5), (300, 6)] {
            let mut world = world(count, 10, seed);
            world.make(10, manner);
            for holder in (1..usize::from(count)).step_by(37) {
                if world.members[holder].manner != Manner::Honest {
                    continue;
                }
                let name = format!("rare find {holder}");
                world.members[holder]
                    .index
                    .add(Hash::of(b"rare"), [hit(&name)]);
                let outcome = world.search("rare find", true);
                world.members[holder].index.remove(Hash::of(b"rare"));
                let names = outcome.rows.iter().map(|(_, row)| &row.names[0]);
                let place = names.enumerate().find(|(_, it)| **it == name);
                let place = place.map_or(usize::MAX, |it| it.0);
                assert!(place < 10, "{manner:?} {count} {place}");
            }
        }
    }
}

#[test]
fn many_who_are_away_do_not_keep_others_from_being_asked() {
    let mut world = world(400, 5, 7);
    // Of those who come first nobody is there.
    world.members[..200]
        .iter_mut()
        .for_each(|it| it.manner = Manner::Away);
    let (text, _) = world.question();
    let outcome = world.search(&text, false);
    assert_eq!(outcome.summary.answered, 200);
    assert_eq!(outcome.unanswered.len(), 200);
}

#[test]
fn no_more_than_a_thousand_are_asked_and_the_rest_is_named() {
    let query: Query = "film".parse().unwrap();
    let target = |number: u16| Target {
        peer: id(number),
        is_known: number == 1_040,
        is_linked: number == 1_049,
        directory: None,
    };
    // Named twice they are asked once.
    let targets = (0..1_050).chain(0..5).map(target).collect();
    let mut asking = Asking::new(query, targets, PATIENCE, Duration::ZERO);
    assert_eq!(asking.poll(Duration::ZERO), Some(Step::Ask(id(1_049))));
    assert_eq!(asking.poll(Duration::ZERO), Some(Step::Ask(id(1_040))));
    let mut steps = Vec::new();
    for now in (0..=30).map(|tick| Duration::from_millis(100 * tick)) {
        while let Some(step) = asking.poll(now) {
            if let Step::Ask(peer) = step {
                asking.answered(peer, Err(NoAnswer::NoSearch), now);
            }
            steps.push(step);
        }
    }
    let count = |why: &NoAnswer| {
        steps
            .iter()
            .filter(|it| matches!(it, Step::Unanswered(_, it) if it == why))
            .count()
    };
    assert_eq!(count(&NoAnswer::TooMany), 50);
    assert_eq!(count(&NoAnswer::NoSearch), MAX_ASKED - 2);
    assert_eq!(count(&NoAnswer::Unlinked(PATIENCE)), 2);
    assert!(matches!(steps.last(), Some(Step::Done(summary)) if summary.asked == MAX_ASKED));
}

#[test]
fn an_answer_that_is_more_than_one_may_be_or_of_something_else_counts_as_none() {
    let target = |number| Target {
        peer: id(number),
        is_known: false,
        is_linked: true,
        directory: None,
    };
    let query: Query = "film".parse().unwrap();
    let mut asking = Asking::new(
        query,
        (0..4).map(target).collect(),
        PATIENCE,
        Duration::ZERO,
    );
    while asking.poll(Duration::ZERO).is_some() {}
    let empty = Hit {
        name: String::new(),
        ..hit("film")
    };
    let answers = [
        vec![hit("film"); MAX_HITS + 1],
        vec![empty],
        vec![hit("other"), hit("film")],
    ];
    for (number, hits) in (0..).zip(answers) {
        asking.answered(id(number), Ok((hits, 1)), Duration::ZERO);
    }
    // Nobody asked this one, and one answers once.
    asking.answered(id(9), Ok((vec![hit("film 9")], 1)), Duration::ZERO);
    asking.answered(id(2), Ok((vec![hit("film 2")], 1)), Duration::ZERO);
    asking.answered(id(3), Err(NoAnswer::NotForUs), Duration::ZERO);
    let steps: Vec<_> = std::iter::from_fn(|| asking.poll(Duration::ZERO)).collect();
    let wrong = steps
        .iter()
        .filter(|it| matches!(it, Step::Unanswered(_, NoAnswer::Wrong)));
    assert_eq!(wrong.count(), 2);
    let rows: Vec<_> = steps
        .iter()
        .filter(|it| matches!(it, Step::Row(_)))
        .collect();
    assert_eq!(rows.len(), 1);
    let Some(Step::Done(summary)) = steps.last() else {
        panic!("it goes on: {steps:?}");
    };
    assert_eq!((summary.answered, summary.dropped.other), (1, 1));
}
