//! Searches in groups that have directories.

use super::{
    super::{
        directory::Directory,
        document::{Document, Published},
        form::Form,
        publishing::{Outcome as Told, Publication, Publishing, wanted},
        wire::MAX_LISTED,
    },
    *,
};
use crate::group::{Advertised, GroupId};

const TODAY: u32 = 20_000;
const SECOND: Duration = Duration::from_secs(1);
/// Within which everybody has noticed what has changed, and published anew.
const REPUBLISHED: Duration = Duration::from_secs(12 * 3_600 + 60);

/// How directories answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Honest,
    Dead,
    /// It says of others that they have what is asked for.
    Forges,
    /// It tells something else.
    Wanders,
}

/// A group of which some members are directories.
struct Group {
    world: World,
    id: GroupId,
    places: BTreeMap<PeerId, usize>,
    directories: BTreeMap<PeerId, (Directory, Conduct)>,
    publishing: Vec<Publishing>,
    /// Whether signatures are made when they are asked for: they take longer than all else where there are many.
    signs_late: bool,
    now: Duration,
}

impl Group {
    /// The first so many members are directories.
    fn of(world: World, directories: usize, signs_late: bool) -> Self {
        let id = GroupId::from_bytes([9; 32]);
        let places = world.members.iter().enumerate();
        let places = places.map(|(at, it)| (it.id, at)).collect();
        let chosen: Vec<_> = world.members[..directories]
            .iter()
            .map(|member| Advertised::new(member.id, 1))
            .collect();
        let publishing = world.members.iter().map(|member| {
            let mut publishing = Publishing::new(id, member.id);
            publishing.offer(wanted(member.index.public().cloned()));
            publishing.advertised(&chosen);
            publishing
        });
        let mut group = Self {
            publishing: publishing.collect(),
            directories: chosen
                .iter()
                .map(|it| (it.peer, (Directory::default(), Conduct::Honest)))
                .collect(),
            world,
            id,
            places,
            signs_late,
            now: Duration::from_secs(100),
        };
        group.publish();
        group
    }

    /// So many directories are so from now on.
    fn make(&mut self, count: usize, conduct: Conduct) {
        let some = self.directories.values_mut().take(count);
        some.for_each(|it| it.1 = conduct);
    }

    /// Everybody publishes what is due.
    fn publish(&mut self) {
        for at in 0..self.publishing.len() {
            let begun = self.now;
            loop {
                while let Some(publication) = self.publishing[at].poll(self.now) {
                    let to = (publication.to, publication.number);
                    let told = self.take(at, publication);
                    self.publishing[at].done(to, told, self.now);
                }
                match self.publishing[at].deadline(self.now) {
                    Some(due) if due <= begun + 30 * SECOND => self.now = due.max(self.now),
                    Some(_) | None => break,
                }
            }
            self.now = begun;
        }
    }

    fn take(&mut self, at: usize, publication: Publication) -> Told {
        let (directory, conduct) = self.directories.get_mut(&publication.to).unwrap();
        if *conduct == Conduct::Dead {
            return Told::Failed;
        }
        let member = &self.world.members[at];
        let author = (self.id, member.id);
        let key = secret(at);
        let documents = publication.hits.into_iter().map(|hit| {
            Document::sign(self.id, hit, TODAY, |purpose, message| {
                match self.signs_late {
                    true => [0; 64],
                    false => key.sign(purpose, message),
                }
            })
        });
        let documents = documents.collect();
        if self.signs_late {
            directory.keep(author, documents, self.now);
            return Told::Taken;
        }
        let taken = directory.take(author, documents, &publication.withdrawn, (self.now, TODAY));
        assert_eq!(taken, Ok(()), "as the pace of publishers is a directory's");
        Told::Taken
    }

    /// What a directory answers; none if it does not.
    fn listed(&mut self, directory: PeerId, query: &Query) -> Option<(Vec<Published>, u32)> {
        let (kept, conduct) = self.directories.get_mut(&directory)?;
        let found = kept.find(self.id, query, self.now);
        let (mut documents, total) = (found.documents, found.total);
        let forged = |name: &str| {
            let key = secret(self.places[&directory]);
            let sign = |purpose: &str, message: &[u8]| key.sign(purpose, message);
            Document::sign(self.id, hit(name), TODAY, sign)
        };
        match conduct {
            Conduct::Dead => return None,
            Conduct::Honest if self.signs_late => {
                for it in &mut documents {
                    let key = secret(self.places[&it.publisher]);
                    let sign = |purpose: &str, message: &[u8]| key.sign(purpose, message);
                    it.document = Document::sign(self.id, it.document.hit.clone(), TODAY, sign);
                }
            }
            Conduct::Honest => {}
            Conduct::Forges => {
                documents = vec![Published {
                    publisher: self.world.members[30].id,
                    document: forged(query.text()),
                }];
            }
            Conduct::Wanders => {
                documents = vec![Published {
                    publisher: directory,
                    document: forged("something else"),
                }];
            }
        }
        let told = super::super::wire::Told::Listed {
            documents: documents.clone(),
            total,
        };
        assert!(frame::encode(&told, MAX_LISTED).is_ok());
        Some((documents, total))
    }

    fn search(&mut self, text: &str, form: Form) -> Outcome {
        let query: Query = text.parse().unwrap();
        let members = self.world.members.iter();
        let mut targets = Vec::new();
        if form.asks_members() {
            targets.extend(members.clone().map(|it| Target::new(it.id, false, true)));
        }
        let directories = self.directories.keys();
        let directories = directories.map(|peer| Target::new(*peer, false, true));
        targets.extend(directories.map(|it| it.as_directory(self.id)));
        let begun = self.now;
        let mut now = begun;
        let all = members.map(|it| (it.id, false)).collect();
        let asking = Asking::new(query.clone(), targets, PATIENCE, now);
        let mut asking = asking.with_members(self.id, all);
        let mut coming: BTreeSet<(Duration, usize, bool)> = BTreeSet::new();
        let mut outcome = Outcome::default();
        loop {
            while let Some(step) = asking.poll(now) {
                match step {
                    Step::Ask(peer) => self.begin(now, peer, false, &mut coming),
                    Step::AskDirectory(peer, _) => self.begin(now, peer, true, &mut coming),
                    Step::Row(row) => outcome.rows.push((now - begun, row)),
                    Step::Unanswered(peer, why) | Step::DirectoryUnanswered(peer, _, why) => {
                        outcome.unanswered.insert(peer, why);
                    }
                    Step::Done(summary) => {
                        (outcome.summary, outcome.ended) = (summary, now - begun);
                        return outcome;
                    }
                }
            }
            let due = asking.deadline(now);
            now = coming.first().map_or(due, |next| next.0.min(due)).max(now);
            while let Some((_, place, is_directory)) =
                coming.first().copied().filter(|it| it.0 <= now)
            {
                coming.pop_first();
                let peer = self.world.members[place].id;
                if !is_directory {
                    let answer = self.world.members[place].answer(place, &query);
                    asking.answered(peer, Ok(answer), now);
                } else if let Some(listed) = self.listed(peer, &query) {
                    asking.listed((peer, self.id), Ok(listed), (now, TODAY));
                }
            }
        }
    }

    fn begin(
        &self,
        now: Duration,
        peer: PeerId,
        is_directory: bool,
        coming: &mut BTreeSet<(Duration, usize, bool)>,
    ) {
        let place = self.places[&peer];
        let member = &self.world.members[place];
        if is_directory || !matches!(member.manner, Manner::Away | Manner::Mute) {
            coming.insert((now + member.round_trip, place, is_directory));
        }
    }

    /// How much of all that is there is found, and how long the longest search took.
    fn recall(&mut self, questions: usize, form: Form) -> (f64, Duration) {
        let (mut found, mut there, mut longest) = (0, 0, Duration::ZERO);
        for _ in 0..questions {
            let (text, expected) = self.world.question();
            let outcome = self.search(&text, form);
            let rows: BTreeSet<_> = outcome.rows.iter().map(|(_, row)| row.hash).collect();
            assert!(rows.is_subset(&expected), "{text}");
            found += rows.len();
            there += expected.len();
            longest = longest.max(outcome.ended);
        }
        (found as f64 / there as f64, longest)
    }
}

fn secret(at: usize) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&(at as u16).to_be_bytes());
    SecretKey::from_seed(&bytes)
}

/// Of so many members, each with so many documents, ten are directories, of which two are dead.
fn is_found_though_two_of_ten_are_dead(members: u16, documents: usize, questions: usize) {
    let mut group = Group::of(world(members, documents, 11), 10, true);
    let kept: usize = group.directories.values().map(|it| it.0.len()).sum();
    let offered = group.world.members.iter().map(|it| it.index.public());
    let distinct: usize = offered
        .map(|hits| hits.map(|hit| &hit.name).collect::<BTreeSet<_>>().len())
        .sum();
    assert_eq!(kept, 2 * distinct, "each at two directories");
    group.make(2, Conduct::Dead);
    let form = Form::of(usize::from(members), 10);
    assert_eq!(form, Form::Directories);
    let (recall, longest) = group.recall(questions, form);
    assert!(recall >= 0.95, "{recall}");
    assert!(longest <= PATIENCE, "{longest:?}");
    // What was at both of them moves to others.
    group.now += REPUBLISHED;
    group.publish();
    let (recall, _) = group.recall(questions, form);
    assert!(recall >= 0.999, "{recall}");
}

#[test]
fn nearly_all_is_found_at_a_thousand_members_with_two_of_ten_directories_dead() {
    is_found_though_two_of_ten_are_dead(1_000, 10, 20);
}

#[test]
#[ignore = "ten seconds: `.ci/test` does it"]
fn nearly_all_is_found_at_ten_thousand_members_with_two_of_ten_directories_dead() {
    is_found_though_two_of_ten_are_dead(10_000, 5, 20);
}

#[test]
fn no_search_takes_longer_than_it_may_while_one_of_two_directories_is_killed() {
    let mut group = Group::of(world(60, 20, 12), 2, false);
    let (recall, longest) = group.recall(20, Form::Directories);
    assert!(recall >= 0.95 && longest < SECOND, "{recall} {longest:?}");
    group.make(1, Conduct::Dead);
    let (recall, longest) = group.recall(20, Form::Directories);
    assert!(recall >= 0.95, "{recall}");
    assert!(longest <= PATIENCE, "{longest:?}");
    // It returns with nothing.
    let dead = group.directories.values_mut().next().unwrap();
    *dead = (Directory::default(), Conduct::Honest);
    let advertised = group.directories.keys().enumerate();
    let advertised: Vec<_> = advertised
        .map(|(at, peer)| Advertised::new(*peer, if at == 0 { 2 } else { 1 }))
        .collect();
    group.now += REPUBLISHED;
    for publishing in &mut group.publishing {
        publishing.advertised(&advertised);
    }
    group.publish();
    let lengths: BTreeSet<_> = group.directories.values().map(|it| it.0.len()).collect();
    assert_eq!(lengths.len(), 1, "both have all: {lengths:?}");
}

#[test]
fn what_lay_at_two_dead_directories_is_found_after_one_republish() {
    let mut members = world(60, 5, 13);
    for (at, member) in members.members.iter_mut().enumerate() {
        let alone = hit(&format!("find{at}x"));
        member.index.add(Hash::of(b"alone"), [alone]);
    }
    let mut group = Group::of(members, 3, false);
    // How many are found of what one member alone has, within the time that a search may take.
    let found = |group: &mut Group| {
        let each = (0..60).filter(|at| {
            let outcome = group.search(&format!("find{at}x"), Form::Directories);
            assert!(outcome.ended <= PATIENCE);
            outcome.rows.len() == 1
        });
        each.count()
    };
    assert_eq!(found(&mut group), 60);
    group.make(2, Conduct::Dead);
    let left = found(&mut group);
    assert!((30..50).contains(&left), "a third lay at both: {left}");
    group.now += REPUBLISHED;
    group.publish();
    assert_eq!(found(&mut group), 60);
}

#[test]
fn the_first_row_is_there_a_tenth_of_a_second_after_the_first_directory_has_answered() {
    let mut group = Group::of(world(100, 20, 14), 4, false);
    for _ in 0..20 {
        let (text, _) = group.world.question();
        let outcome = group.search(&text, Form::Directories);
        let query: Query = text.parse().unwrap();
        let peers: Vec<_> = group.directories.keys().copied().collect();
        let with_hit = peers.iter().filter(|peer| {
            let listed = group.listed(**peer, &query);
            listed.is_some_and(|it| !it.0.is_empty())
        });
        let with_hit: Vec<_> = with_hit.collect();
        let trips = with_hit.iter().map(|peer| {
            let place = group.places[*peer];
            group.world.members[place].round_trip
        });
        let nearest = trips.min().unwrap();
        let first = outcome.rows[0].0;
        assert!(first <= nearest + SECOND / 10, "{first:?} {nearest:?}");
        let summary = outcome.summary;
        assert_eq!((summary.asked, summary.directories), (0, 4));
        assert_eq!(summary.directories_answered, 4);
    }
}

#[test]
fn the_rare_find_is_among_the_first_ten_rows_at_directories_though_every_tenth_spams() {
    for is_same in [false, true] {
        let mut members = world(300, 10, 15);
        for (at, member) in members.members.iter_mut().enumerate().step_by(10) {
            let of = if is_same { 9_999 } else { at };
            let spam = (0..200).map(|it| hit(&format!("rare find {of} {it}")));
            member
                .index
                .add(Hash::of(b"spam"), spam.collect::<Vec<_>>());
        }
        members.members[37]
            .index
            .add(Hash::of(b"rare"), [hit("rare find")]);
        let mut group = Group::of(members, 5, false);
        let outcome = group.search("rare find", Form::Directories);
        let mut names = outcome.rows.iter().map(|(_, row)| &row.names[0]);
        let place = names.position(|name| name == "rare find");
        assert!(place.is_some_and(|it| it < 10), "{is_same} {place:?}");
    }
}

#[test]
fn a_directory_that_forges_or_wanders_hurts_only_itself() {
    for conduct in [Conduct::Forges, Conduct::Wanders] {
        let mut group = Group::of(world(60, 10, 16), 3, false);
        group.make(1, conduct);
        let (text, expected) = group.world.question();
        let outcome = group.search(&text, Form::Directories);
        let rows: BTreeSet<_> = outcome.rows.iter().map(|(_, row)| row.hash).collect();
        assert_eq!(rows, expected, "{conduct:?}");
        let wrong = outcome
            .unanswered
            .values()
            .filter(|it| **it == NoAnswer::Wrong);
        assert_eq!(wrong.count(), usize::from(conduct == Conduct::Forges));
        let other = usize::from(conduct == Conduct::Wanders) as u64;
        assert_eq!(outcome.summary.dropped.other, other);
    }
}

#[test]
fn what_those_have_who_are_away_is_found_at_directories_and_said_to_be_so() {
    let mut members = world(40, 5, 17);
    members.members[20]
        .index
        .add(Hash::of(b"rare"), [hit("rare find")]);
    members.members[20].manner = Manner::Away;
    let (away, there) = (members.members[20].id, members.members[21].id);
    members.members[21]
        .index
        .add(Hash::of(b"rare"), [hit("rare find here")]);
    let mut group = Group::of(members, 2, false);
    let form = Form::of(40, 2);
    assert_eq!(form, Form::Both);
    let outcome = group.search("rare find", form);
    let rows: Vec<_> = outcome.rows.iter().map(|(_, row)| row).collect();
    let of = |peer| rows.iter().find(|row| row.publishers == [peer]).unwrap();
    assert!(of(away).by_directory && !of(there).by_directory);
    assert_eq!(rows.len(), 2);
    assert!(matches!(outcome.unanswered[&away], NoAnswer::Unlinked(_)));
}

/// A search for films that asks the first so many of these peers themselves, and one more as a directory; all are members, and the mark says whom
/// the address book has. That was listed.
fn searching(asked: usize, members: [(usize, bool); 2], listed: [(usize, &str); 2]) -> Asking {
    let (group, directory) = (GroupId::from_bytes([9; 32]), id(99));
    let of = |at: usize| secret(at).id();
    let peers = members[..asked].iter();
    let mut targets: Vec<_> = peers
        .map(|(at, is_known)| Target::new(of(*at), *is_known, true))
        .collect();
    targets.push(Target::new(directory, false, true).as_directory(group));
    let asking = Asking::new("film".parse().unwrap(), targets, PATIENCE, SECOND);
    let members = members.map(|(at, is_known)| (of(at), is_known));
    let mut asking = asking.with_members(group, BTreeMap::from(members));
    while asking.poll(SECOND).is_some() {}
    let documents = listed.map(|(at, name)| {
        let sign = |purpose: &str, message: &[u8]| secret(at).sign(purpose, message);
        Published {
            publisher: of(at),
            document: Document::sign(group, hit(name), TODAY, sign),
        }
    });
    let answer = Ok((documents.to_vec(), 2));
    asking.listed((directory, group), answer, (SECOND, TODAY));
    asking
}

fn rows(asking: &mut Asking) -> Vec<Row> {
    let steps = std::iter::from_fn(|| asking.poll(SECOND + PATIENCE));
    let rows = steps.filter_map(|step| match step {
        Step::Row(row) => Some(row),
        Step::Ask(_)
        | Step::AskDirectory(..)
        | Step::Unanswered(..)
        | Step::DirectoryUnanswered(..)
        | Step::Done(_) => None,
    });
    rows.collect()
}

#[test]
fn what_one_of_the_address_book_published_comes_first_though_directories_alone_are_asked() {
    for friend in [1, 2] {
        let members = [(1, friend == 1), (2, friend == 2)];
        let mut asking = searching(0, members, [(1, "film a"), (2, "film b")]);
        let rows = rows(&mut asking);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].publishers, [secret(friend).id()]);
    }
}

#[test]
fn who_refuses_to_answer_is_not_said_to_be_off() {
    let here = [
        NoAnswer::NotForUs,
        NoAnswer::Later(SECOND),
        NoAnswer::NoSearch,
        NoAnswer::Wrong,
        NoAnswer::Lied,
        NoAnswer::Shunned,
    ];
    let away = [
        NoAnswer::Unlinked(SECOND),
        NoAnswer::Silent(SECOND),
        NoAnswer::Unreached("no way".to_owned()),
    ];
    let each = here.into_iter().map(|why| (why, false));
    for (why, is_off) in each.chain(away.map(|why| (why, true))) {
        let members = [(1, false), (2, false)];
        let mut asking = searching(1, members, [(1, "film a"), (1, "film b")]);
        asking.answered(secret(1).id(), Err(why.clone()), SECOND);
        let rows = rows(&mut asking);
        assert_eq!(rows.len(), 2);
        let said = rows.iter().all(|row| row.offline == [secret(1).id()]);
        let unsaid = rows.iter().all(|row| row.offline.is_empty());
        assert_eq!((said, unsaid), (is_off, !is_off), "{why}");
    }
}

#[test]
fn what_directories_listed_of_one_that_says_itself_that_it_has_nothing_is_not_shown() {
    let members = [(1, false), (2, false)];
    let mut asking = searching(1, members, [(1, "film a"), (2, "film b")]);
    asking.answered(secret(1).id(), Ok((Vec::new(), 0)), SECOND);
    let rows = rows(&mut asking);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].publishers, [secret(2).id()]);
}
