//! What people know of Usenet: an article reaches everybody, also who was away for days, in one order, and whoever floods holds up nobody.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Posts so many, one member after the other, over this time.
fn write(world: &mut World, authors: usize, articles: usize, over: Duration) -> Vec<PostId> {
    let wait = over / articles as u32;
    let articles = (0..articles).map(|at| {
        let post = world.post(at % authors, &format!("article {at}"));
        world.run(wait);
        post
    });
    articles.collect()
}

#[test]
fn who_was_away_for_two_days_has_all_articles_in_the_order_in_which_all_have_them() {
    const ARTICLES: usize = 1_000;
    let mut world = World::of(30, 20);
    world.run(20 * SECOND);
    (25..30).for_each(|at| world.kill(at));
    let posts = write(&mut world, 25, ARTICLES, 2 * DAY);
    (25..30).for_each(|at| world.revive(at));
    let before = world.bytes();
    let wait = world.run_until(2 * MINUTE, |world| all_have(world, &posts));
    // All that is said while they come back, by all thirty.
    let line = (world.bytes() - before) as f64 * 8.0 / 10e6 / 5.0;
    assert!(wait <= 15 * SECOND, "{wait:?}");
    assert!(line <= 10.0, "{line} s of a line of 10 Mbit/s for each");
    let order = world.node(0).kept().since(0);
    assert_eq!(order.len(), ARTICLES);
    for at in 1..30 {
        assert_eq!(world.node(at).kept().since(0), order, "{at}");
    }
}

/// How long it takes until what others post is everywhere, on average.
fn delay(world: &mut World, mut meanwhile: impl FnMut(&mut World)) -> Duration {
    let mut delays = Duration::ZERO;
    for at in 0..20 {
        let post = world.post(1 + at, "one of many");
        let begun = world.now();
        while reached(world, post) < 30 {
            meanwhile(world);
            world.run(SECOND / 50);
            assert!(world.now() < begun + MINUTE);
        }
        delays += world.now() - begun;
        for _ in 0..50 {
            meanwhile(world);
            world.run(SECOND / 50);
        }
    }
    delays / 20
}

#[test]
fn who_posts_fifty_a_second_is_held_up_and_the_others_hardly() {
    let mut world = World::of(30, 21);
    world.run(20 * SECOND);
    delay(&mut world, |_| ());
    let before = delay(&mut world, |_| ());
    let (mut tried, mut posted) = (0, 0);
    let during = delay(&mut world, |world| {
        tried += 1;
        posted += usize::from(world.try_post(0, "buy").is_ok());
    });
    assert!(during <= 2 * before, "{during:?} instead of {before:?}");
    // A hundred at once and ten a second.
    assert!(
        tried > 1_000 && posted < 100 + tried / 4,
        "{posted} of {tried}"
    );
}
