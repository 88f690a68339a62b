//! Who is a directory, and who knows it.

use super::{
    super::super::{
        message::{Item, Message},
        notice::Notice,
    },
    *,
};

/// The members that know another one as a directory.
fn knowing(world: &World, directory: usize) -> usize {
    let knows = |at: &usize| {
        let known = world.node(*at).directories();
        known.iter().any(|it| it.peer == secret(directory).id())
    };
    world.alive().filter(knows).count()
}

#[test]
fn all_hear_at_once_who_begins_to_be_a_directory_and_a_newcomer_when_it_is_linked() {
    let mut world = World::of(30, 21);
    world.run(30 * SECOND);
    world.be_directory(3);
    world.run(3 * SECOND);
    assert_eq!(knowing(&world, 3), 30);
    // Long after that, and before it says so again.
    world.run(5 * MINUTE);
    let invitation = Invitation::generate().unwrap();
    let invite = Body::Invite {
        invite: invitation.key().id(),
        role: Role::Member,
        uses: 1,
        expires_ms: u64::MAX,
    };
    world.write(0, invite);
    world.run(SECOND);
    let invite = GroupInvite::new(world.group(), invitation, Vec::new());
    world.join(&invite, 5).unwrap();
    let wait = world.run_until(MINUTE, |world| knowing(world, 3) == 31);
    assert!(wait <= 5 * SECOND, "{wait:?}");
}

#[test]
fn one_that_falls_silent_is_known_no_more_after_half_an_hour_and_one_that_speaks_is() {
    let mut world = World::of(12, 22);
    world.run(30 * SECOND);
    world.be_directory(3);
    world.be_directory(4);
    world.run(MINUTE);
    assert_eq!((knowing(&world, 3), knowing(&world, 4)), (12, 12));
    world.kill(3);
    world.run(20 * MINUTE);
    assert_eq!(knowing(&world, 3), 11, "two notices may be lost");
    world.run(10 * MINUTE);
    assert_eq!((knowing(&world, 3), knowing(&world, 4)), (0, 11));
}

#[test]
fn one_that_begins_anew_says_since_when_and_who_is_removed_is_none() {
    let mut world = World::of(6, 23);
    world.run(10 * SECOND);
    world.be_directory(3);
    world.run(SECOND);
    let since = |world: &World| world.node(5).directories().first().map(|it| it.since_ms);
    let before = since(&world);
    world.run(MINUTE);
    world.be_directory(3);
    world.run(SECOND);
    assert!(since(&world) > before && before.is_some());
    world.remove(0, 3);
    world.run(5 * SECOND);
    assert_eq!(knowing(&world, 3), 0);
}

#[test]
fn nobody_makes_another_member_a_directory() {
    let mut world = World::of(6, 24);
    world.run(10 * SECOND);
    let now_ms = world.unix_ms(4);
    let forger = secret(4);
    let forged = Notice::sign(
        world.group(),
        secret(2).id(),
        (now_ms, now_ms),
        |purpose, message| forger.sign(purpose, message),
    );
    world.say(4, 5, Message::New(Box::new(Item::Directory(forged))));
    world.run(5 * SECOND);
    assert_eq!(knowing(&world, 2), 0);
    assert!(!world.node(5).linked().any(|peer| peer == forger.id()));
}
