//! Worlds of members in virtual time.

mod articles;
mod directories;
mod removal;
mod shunned;
mod threads;
mod world;

use std::{collections::BTreeSet, time::Duration};

use peerway::services::invite::Invitation;

use self::world::{World, secret};
use super::{
    super::{
        invite::GroupInvite,
        message::{Item, Message},
        op::{Body, Role},
    },
    *,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn reached(world: &World, post: PostId) -> usize {
    world.alive().filter(|at| world.has(*at, post)).count()
}

/// Everybody alive has all of these.
fn all_have(world: &World, posts: &[PostId]) -> bool {
    let alive: BTreeSet<_> = world.alive().collect();
    posts
        .iter()
        .all(|post| reached(world, *post) == alive.len())
}

#[test]
fn what_one_posts_all_read_within_a_second_in_a_small_group() {
    let mut world = World::of(6, 1);
    world.run(5 * SECOND);
    let post = world.post(2, "hello");
    world.run(SECOND);
    assert!(all_have(&world, &[post]));
    for at in 0..6 {
        assert_eq!(world.text(at, post).as_deref(), Some("hello"));
        assert_eq!(world.node(at).linked().count(), 5);
    }
}

#[test]
fn in_a_group_of_a_hundred_all_hear_it_and_hardly_anybody_twice() {
    let mut world = World::of(100, 2);
    world.run(30 * SECOND);
    let first: Vec<_> = (0..20)
        .map(|at| {
            let post = world.post(at * 5, "settling");
            world.run(SECOND);
            post
        })
        .collect();
    world.run(2 * SECOND);
    let before = world.copies();
    let later: Vec<_> = (0..20)
        .map(|_| {
            let post = world.post(7, "settled");
            world.run(2 * SECOND);
            post
        })
        .collect();
    assert!(all_have(&world, &first) && all_have(&world, &later));
    let copies = (world.copies() - before) as f64 / (20.0 * 99.0);
    assert!(copies < 1.4, "{copies} copies for each");
    let idle = world.idle_rate(3 * MINUTE);
    assert!(idle < 100.0, "{idle} bytes a second for nothing");
}

#[test]
fn a_partition_heals_and_both_sides_read_what_the_other_wrote() {
    for (minutes, size) in [(1, 40), (60, 20)] {
        let mut world = World::of(size, 3);
        world.run(20 * SECOND);
        world.cut(size / 2);
        world.run(minutes * MINUTE);
        let posts = [world.post(0, "here"), world.post(size - 1, "there")];
        world.run(5 * SECOND);
        assert_eq!(reached(&world, posts[0]), size / 2);
        world.heal();
        let wait = world.run_until(3 * MINUTE, |world| all_have(world, &posts));
        assert!(wait <= 90 * SECOND, "whole again after {wait:?}");
    }
}

#[test]
fn who_is_left_when_a_third_is_gone_at_once_goes_on() {
    let mut world = World::of(100, 4);
    world.run(30 * SECOND);
    for at in 0..30 {
        world.kill(at * 3);
    }
    world.run(5 * SECOND);
    let post = world.post(1, "who is there?");
    let wait = world.run_until(3 * MINUTE, |world| all_have(world, &[post]));
    assert!(wait <= MINUTE, "all after {wait:?}");
}

#[test]
fn who_was_away_or_joins_late_reads_what_was_written_before() {
    let mut world = World::of(5, 5);
    world.run(5 * SECOND);
    world.kill(4);
    world.run(5 * SECOND);
    let posts: Vec<_> = (0..300)
        .map(|at| {
            let post = world.post(at % 4, "while you were away");
            world.run(SECOND / 10);
            post
        })
        .collect();
    world.revive(4);
    let wait = world.run_until(2 * MINUTE, |world| all_have(world, &posts));
    assert!(wait <= 15 * SECOND, "{wait:?}");
    // And a new one, by an invite.
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
    let newcomer = world.join(&invite, 3).expect("let in by whoever is there");
    let wait = world.run_until(MINUTE, |world| all_have(world, &posts));
    assert!(wait <= 3 * SECOND, "{wait:?}");
    assert_eq!(
        world.text(newcomer, posts[9]).as_deref(),
        Some("while you were away")
    );
    assert_eq!(world.join(&invite, 2), Err(RedeemError::UsedUp), "once");
}

#[test]
fn who_names_a_member_and_has_no_invite_is_told_nothing() {
    let mut world = World::of(3, 15);
    world.run(5 * SECOND);
    let invited = Invitation::generate().unwrap();
    let key = invited.key().id();
    let body = |invite, expires_ms| Body::Invite {
        invite,
        role: Role::Member,
        uses: 1,
        expires_ms,
    };
    world.write(0, body(key, u64::MAX));
    let invite = GroupInvite::new(world.group(), invited, Vec::new());
    let newcomer = secret(world.join(&invite, 0).unwrap()).id();
    world.run(SECOND);
    let proof = invite.prove(newcomer);
    let again = world.redeem(0, key, (newcomer, proof));
    assert!(
        again.is_ok(),
        "its answer was lost, and the invite is used up"
    );
    let founder = secret(0).id();
    let refused = Err(RedeemError::NoInvite);
    let own = invite.prove(founder);
    assert_eq!(world.redeem(0, key, (founder, own)), refused, "used up");
    let stranger = Invitation::generate().unwrap();
    let foreign = stranger.key().id();
    for (member, proof) in [(founder, proof), (newcomer, proof)] {
        assert_eq!(world.redeem(0, foreign, (member, proof)), refused);
    }
    let made_up = GroupInvite::new(world.group(), stranger, Vec::new());
    let proof = made_up.prove(founder);
    assert_eq!(world.redeem(0, foreign, (founder, proof)), refused);
    world.write(0, body(foreign, u64::MAX));
    assert!(world.redeem(0, foreign, (founder, proof)).is_ok(), "open");
    let wrong = made_up.prove(newcomer);
    assert_eq!(world.redeem(0, foreign, (founder, wrong)), refused);
}

#[test]
fn a_newcomer_meets_who_was_away_when_it_was_let_in_and_who_let_it_in_is_gone() {
    let mut world = World::of(3, 6);
    world.run(5 * SECOND);
    world.kill(2);
    let added = secret(3).id();
    world.write(
        0,
        Body::Add {
            member: added,
            role: Role::Member,
        },
    );
    world.run(SECOND);
    let newcomer = world.begin_from(0, 3);
    world.run(10 * SECOND);
    world.kill(0);
    world.kill(1);
    world.revive(2);
    world.run(2 * MINUTE);
    let post = world.post(newcomer, "I am one of you");
    world.run(10 * SECOND);
    assert!(world.has(2, post), "it has shown that it is a member");
}

#[test]
fn who_was_removed_reads_nothing_more_even_of_who_has_not_heard_of_it() {
    let mut world = World::of(6, 7);
    world.run(5 * SECOND);
    let old = world.post(0, "for all");
    world.run(SECOND);
    assert_eq!(world.text(5, old).as_deref(), Some("for all"));
    // Members 4 and 5 are apart from the rest when it happens.
    world.cut(4);
    world.run(5 * SECOND);
    world.remove(0, 5);
    world.run(SECOND);
    let secret = world.post(1, "not for five");
    world.run(5 * SECOND);
    assert!(all_have_but(&world, secret, &[4, 5]));
    world.heal();
    world.run(3 * MINUTE);
    assert_eq!(world.text(4, secret).as_deref(), Some("not for five"));
    assert_eq!(world.text(5, secret), None);
    assert_eq!(world.node(5).linked().count(), 0, "nobody talks to it");
    assert!(world.node(5).refused() > 0, "and it is told why");
    assert!(world.all_agree_but(&[5]));
}

fn all_have_but(world: &World, post: PostId, others: &[usize]) -> bool {
    world
        .alive()
        .all(|at| world.has(at, post) != others.contains(&at))
}

#[test]
fn when_somebody_leaves_one_admin_makes_a_new_key_and_all_get_it() {
    let mut world = World::of(9, 8);
    world.run(10 * SECOND);
    let before = world.epoch(0);
    world.write(8, Body::Leave);
    world.run(30 * SECOND);
    assert_ne!(world.epoch(0), before);
    let post = world.post(3, "after it left");
    world.run(3 * SECOND);
    for at in 0..8 {
        assert_eq!(
            world.text(at, post).as_deref(),
            Some("after it left"),
            "{at}"
        );
    }
    assert_eq!(world.text(8, post), None);
}

#[test]
fn one_wrong_clock_silences_nobody() {
    for skew in [600_000, -600_000] {
        let mut world = World::of(12, 9);
        world.skew(5, skew);
        world.run(20 * SECOND);
        let posts = [
            world.post(5, "by the wrong clock"),
            world.post(2, "by a right one"),
        ];
        world.run(5 * SECOND);
        assert!(all_have(&world, &posts), "{skew}");
    }
}

#[test]
fn forgers_floods_and_mute_members_do_not_keep_the_others_from_it() {
    let mut world = World::of(40, 10);
    world.run(20 * SECOND);
    for liar in 0..4 {
        world.corrupt(liar * 10 + 3);
    }
    world.run(30 * SECOND);
    let posts: Vec<_> = (0..10)
        .map(|at| {
            let post = world.post(at * 4, "true");
            world.run(3 * SECOND);
            post
        })
        .collect();
    world.run(MINUTE);
    let honest: Vec<_> = world.alive().filter(|at| at % 10 != 3).collect();
    let each = posts
        .iter()
        .flat_map(|post| honest.iter().map(move |at| (*at, *post)));
    let missed = each.filter(|(at, post)| !world.has(*at, *post)).count();
    assert_eq!(missed, 0, "of {}", posts.len() * honest.len());
    for at in honest {
        assert!(
            world.node(at).kept().count() < 100,
            "forged ones are not kept"
        );
    }
}

#[test]
fn a_neighbour_that_says_too_much_is_let_go() {
    let mut world = World::of(3, 11);
    world.run(5 * SECOND);
    for _ in 0..6_000 {
        world.say(1, 0, Message::Prune);
    }
    world.run(SECOND);
    assert_eq!(world.node(0).linked().collect::<Vec<_>>(), [secret(2).id()]);
}

#[test]
fn a_flood_of_one_author_is_handed_on_only_so_far() {
    let mut world = World::of(8, 12);
    world.run(5 * SECOND);
    let tried = (0..500)
        .filter(|_| world.try_post(0, "again").is_ok())
        .count();
    assert!((100..=110).contains(&tried), "{tried}");
}

#[test]
fn posts_from_the_future_are_not_kept_and_no_reason_to_leave() {
    let mut world = World::of(3, 13);
    world.run(5 * SECOND);
    let forged = world.forge(1, 600_000, "tomorrow");
    world.say(1, 0, Message::New(Box::new(Item::Post(forged.clone()))));
    world.run(SECOND);
    assert!(!world.has(0, forged.id()));
    assert_eq!(world.node(0).linked().count(), 2);
}

#[test]
#[ignore = "a minute: `.ci/run` does it"]
fn a_thousand_members_hear_each_other_through_loss_of_members_and_partitions() {
    let mut world = World::of(1_000, 14);
    world.run(MINUTE);
    let posts: Vec<_> = (0..20)
        .map(|at| {
            let post = world.post(at * 50, "one of a thousand");
            world.run(2 * SECOND);
            post
        })
        .collect();
    world.run(5 * SECOND);
    let reach = posts
        .iter()
        .map(|post| reached(&world, *post))
        .min()
        .unwrap_or(0);
    assert!(reach >= 995, "{reach}");
    let idle = world.idle_rate(MINUTE);
    assert!(idle < 100.0, "{idle} bytes a second for nothing");
    for at in 0..300 {
        world.kill(at * 3);
    }
    world.run(5 * SECOND);
    let post = world.post(1, "who is there?");
    let wait = world.run_until(3 * MINUTE, |world| all_have(world, &[post]));
    assert!(wait <= 2 * MINUTE, "all after {wait:?}");
    world.cut(500);
    world.run(5 * MINUTE);
    let sides = [world.post(1, "here"), world.post(998, "there")];
    world.run(10 * SECOND);
    world.heal();
    let wait = world.run_until(5 * MINUTE, |world| all_have(world, &sides));
    assert!(wait <= 3 * MINUTE, "whole again after {wait:?}");
}
