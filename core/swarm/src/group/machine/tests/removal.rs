//! What becomes of who is removed, and of what it writes meanwhile.

use super::*;

/// Of the twelve in these worlds; the last is no friend of it, but may be where it is.
const REMOVED: usize = 10;

fn knows_of_it(world: &World, at: usize) -> bool {
    let state = world.node(at).log().state();
    state.role(secret(REMOVED).id()).is_none()
}

#[test]
fn who_is_removed_hears_of_it_at_once_and_writes_no_more() {
    for seed in 1..10 {
        let mut world = World::of(12, seed);
        world.run(20 * SECOND);
        // The ways by which things spread are settled: to most neighbours their names alone are told.
        for at in 0..20 {
            world.post(at % 10, "settling");
            world.run(SECOND / 2);
        }
        world.remove(0, REMOVED);
        let wait = world.run_until(MINUTE, |world| knows_of_it(world, REMOVED));
        assert!(wait <= SECOND, "world {seed}: after {wait:?}");
        let refused = world.try_post(REMOVED, "still here");
        assert_eq!(refused, Err(PostError::NoMember));
    }
}

#[test]
fn who_heard_of_a_removal_writes_nothing_that_the_removed_reads_while_the_news_spreads() {
    let mut too_late = 0;
    for seed in 1..10 {
        let mut world = World::of(12, seed);
        world.run(20 * SECOND);
        world.remove(0, REMOVED);
        // What is written in the same millisecond counts as written before.
        world.run(SECOND / 1_000);
        let (mut late, mut sealed) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            late.extend(world.try_post(REMOVED, "buy"));
            for at in (0..12).filter(|at| *at != REMOVED) {
                if knows_of_it(&world, at) {
                    sealed.extend(world.try_post(at, "not for it"));
                }
            }
            world.run(SECOND / 40);
        }
        world.run(2 * MINUTE);
        assert!(sealed.len() > 100);
        // In a world where the removed hears of it first there is none.
        too_late += late.len();
        let read = |post: &&PostId| world.text(REMOVED, **post).is_some();
        assert_eq!(sealed.iter().filter(read).count(), 0, "world {seed}");
        for at in (0..12).filter(|at| *at != REMOVED) {
            let has = |post: &&PostId| world.has(at, **post);
            assert_eq!(late.iter().filter(has).count(), 0, "world {seed}: {at}");
            assert_eq!(sealed.iter().filter(has).count(), sealed.len());
        }
    }
    assert!(too_late > 0, "some wrote before they heard of it");
}

#[test]
fn what_a_removed_member_wrote_is_dropped_by_who_took_it_before_it_heard_of_the_removal() {
    let mut world = World::of(12, 30);
    world.run(20 * SECOND);
    let before = world.post(REMOVED, "before it");
    world.run(2 * SECOND);
    // The removed and one more are apart from the rest when it happens.
    world.cut(REMOVED);
    world.run(5 * SECOND);
    world.remove(0, REMOVED);
    world.run(SECOND);
    let late = world.post(REMOVED, "after it");
    world.run(MINUTE);
    assert!(world.has(11, late), "it has not heard of the removal");
    world.heal();
    world.run(3 * MINUTE);
    for at in 0..12 {
        assert!(world.has(at, before), "{at}");
        assert!(!world.has(at, late), "{at}");
        let kept = world.node(at).kept();
        assert_eq!(kept.since(0), world.node(0).kept().since(0), "{at}");
    }
    assert!(world.all_agree_but(&[REMOVED]));
}

#[test]
fn neighbours_that_are_slow_to_answer_do_not_set_a_clock_back() {
    let mut world = World::of(12, 31);
    world.run(2 * MINUTE);
    for at in 0..12 {
        let post = world.post(at, "at this moment");
        assert_eq!(world.node(at).kept().sent_ms(post), Some(world.unix_ms(at)));
    }
}

#[test]
fn a_clock_is_set_back_only_by_more_than_neighbours_may_have_been_heard_late() {
    for (behind_ms, back_ms) in [(5_000, 0), (60_000, 60_000)] {
        let mut world = World::of(12, 32);
        for at in 1..12 {
            world.skew(at, -behind_ms);
        }
        world.run(2 * MINUTE);
        let post = world.post(0, "by the one clock that is ahead");
        let sent_ms = world.node(0).kept().sent_ms(post).unwrap() as i64;
        let by_its_clock = world.unix_ms(0) as i64;
        let back = by_its_clock - sent_ms;
        assert!((back_ms..=back_ms + 1_000).contains(&back), "{back}");
    }
}
