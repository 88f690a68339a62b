//! What a directory keeps and gives up.

use peerway::SecretKey;

use super::{super::wire::Hit, *};
use crate::share::{Hash, Kind};

const TODAY: u32 = 20_000;
const SECOND: Duration = Duration::from_secs(1);

fn key(seed: u16) -> SecretKey {
    let mut bytes = [3; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(&bytes)
}

fn group(seed: u8) -> GroupId {
    GroupId::from_bytes([seed; 32])
}

fn hit(name: &str) -> Hit {
    Hit::new((Hash::of(name.as_bytes()), 7), Kind::File, name, true)
}

fn signed(by: u16, name: &str) -> Document {
    let key = key(by);
    Document::sign(group(1), hit(name), TODAY, |purpose, message| {
        key.sign(purpose, message)
    })
}

/// Whatever the time.
fn keep(directory: &mut Directory, by: u16, names: impl IntoIterator<Item = String>) {
    let documents = names
        .into_iter()
        .map(|name| Document::sign(group(1), hit(&name), TODAY, |_, _| [0; 64]));
    directory.keep(
        (group(1), key(by).id()),
        documents.collect(),
        Duration::ZERO,
    );
}

fn names(directory: &mut Directory, query: &str, now: Duration) -> BTreeSet<String> {
    let found = directory.find(group(1), &query.parse().unwrap(), now);
    let names = found.documents.into_iter().map(|it| it.document.hit.name);
    names.collect()
}

#[test]
fn what_is_published_is_found_in_its_group_until_it_is_withdrawn_or_a_day_has_passed() {
    let mut directory = Directory::default();
    let author = (group(1), key(1).id());
    let documents = vec![signed(1, "a film"), signed(1, "b film")];
    let taken = directory.take(author, documents, &[], (Duration::ZERO, TODAY));
    assert_eq!(taken, Ok(()));
    let both = BTreeSet::from(["a film".to_owned(), "b film".to_owned()]);
    assert_eq!(names(&mut directory, "film", SECOND), both);
    let elsewhere = directory.find(group(2), &"film".parse().unwrap(), SECOND);
    assert_eq!(elsewhere.total, 0);

    let gone = DocumentId::of(&hit("a film"));
    // Nobody else withdraws it.
    let other = (group(1), key(2).id());
    assert_eq!(
        directory.take(other, Vec::new(), &[gone], (SECOND, TODAY)),
        Ok(())
    );
    assert_eq!(directory.len(), 2);
    let again = vec![signed(1, "b film")];
    let at = 10 * 3_600 * SECOND;
    assert_eq!(directory.take(author, again, &[gone], (at, TODAY)), Ok(()));
    assert_eq!(directory.len(), 1);
    assert_eq!(names(&mut directory, "film", at + KEPT - SECOND).len(), 1);
    assert!(names(&mut directory, "film", at + KEPT).is_empty());
    assert!(directory.len() == 0 && directory.bytes() == 0);
    assert!(directory.groups[&group(1)].postings.is_empty());
}

#[test]
fn nobody_publishes_in_anothers_name_or_faster_than_all_may() {
    let mut directory = Directory::default();
    let author = (group(1), key(1).id());
    let forged = vec![signed(1, "mine"), signed(2, "not mine")];
    let at = (Duration::ZERO, TODAY);
    assert_eq!(
        directory.take(author, forged, &[], at),
        Err(NotTaken::Forged)
    );
    assert!(directory.len() == 0);
    let taken = (0..20).filter(|number| {
        let documents = vec![signed(1, &format!("film {number}"))];
        directory.take(author, documents, &[], at).is_ok()
    });
    assert_eq!(
        taken.count(),
        4,
        "five messages at once, one of which was forged"
    );
    let later = directory.take(author, Vec::new(), &[], at);
    assert_eq!(later, Err(NotTaken::Later(SECOND)));
    let other = (group(1), key(2).id());
    let documents = vec![signed(2, "other")];
    assert_eq!(directory.take(other, documents, &[], at), Ok(()));
}

#[test]
fn who_fills_a_directory_loses_its_own_and_nobody_elses() {
    let mut directory = Directory::of(2 << 20);
    keep(&mut directory, 1, (0..50).map(|it| format!("honest {it}")));
    keep(
        &mut directory,
        2,
        (0..9_000).map(|it| format!("flood {it}")),
    );
    assert!(directory.bytes() <= 2 << 20);
    assert!(directory.evicted() > 1_000, "{}", directory.evicted());
    let shelf = &directory.groups[&group(1)];
    assert_eq!(shelf.publishers[&key(1).id()].documents.len(), 50);
    let kept: usize = shelf.documents.values().map(|it| it.bytes).sum();
    assert_eq!((kept, shelf.bytes), (directory.bytes(), directory.bytes()));
    assert_eq!(shelf.ends.len(), shelf.documents.len());
    // Its newest are there.
    assert_eq!(names(&mut directory, "\"flood 8999\"", SECOND).len(), 1);
    assert!(names(&mut directory, "\"flood 0\"", SECOND).is_empty());
}

#[test]
fn one_publisher_has_room_for_so_many_documents() {
    let mut directory = Directory::default();
    let many = MAX_PUBLISHED_OF_ONE + 3;
    keep(&mut directory, 1, (0..many).map(|it| format!("film {it}")));
    assert_eq!(
        (directory.len(), directory.evicted()),
        (MAX_PUBLISHED_OF_ONE, 3)
    );
}

#[test]
fn who_was_removed_from_the_group_is_found_no_more() {
    let mut directory = Directory::default();
    keep(&mut directory, 1, ["a film".to_owned()]);
    keep(&mut directory, 2, ["b film".to_owned()]);
    let stays = key(2).id();
    directory.retain(group(1), |peer| peer == stays);
    assert_eq!(
        names(&mut directory, "film", SECOND),
        BTreeSet::from(["b film".to_owned()])
    );
    directory.retain_groups(|_| false);
    assert!(directory.len() == 0 && directory.bytes() == 0);
}

#[test]
fn each_publisher_has_its_turn_and_each_content_is_told_before_a_second_who_has_it() {
    let mut directory = Directory::default();
    keep(
        &mut directory,
        1,
        (0..200).map(|it| format!("film spam {it}")),
    );
    for by in 2..30 {
        keep(
            &mut directory,
            by,
            ["film of all".to_owned(), format!("film {by}")],
        );
    }
    let found = directory.find(group(1), &"film".parse().unwrap(), SECOND);
    assert_eq!(found.total, 229);
    let of = |by: u16| {
        let documents = found.documents.iter();
        documents.filter(|it| it.publisher == key(by).id()).count()
    };
    assert_eq!(of(1), MAX_HITS);
    assert!((2..30).all(|by| of(by) >= 1));
    let popular = found.documents.iter();
    let popular = popular.filter(|it| it.document.hit.name == "film of all");
    assert_eq!(popular.count(), MAX_PUBLISHERS);
}
