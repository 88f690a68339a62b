//! Whom a member has nothing to do with.

use super::*;

#[test]
fn whom_a_member_shuns_it_neither_dials_nor_stays_linked_to_and_hears_through_others() {
    let mut world = World::of(4, 5);
    world.run(5 * SECOND);
    assert_eq!(world.node(2).linked().count(), 3);
    world.shun(2, &[3]);
    let is_linked = |world: &World| {
        let ends = [(2, 3), (3, 2)];
        ends.map(|(at, peer)| world.node(at).linked().any(|it| it == secret(peer).id()))
    };
    assert!(!is_linked(&world)[0]);
    let post = world.post(3, "hello");
    // It dials no more, and what the other dials is hung up on.
    for _ in 0..30 {
        world.run(10 * SECOND);
        assert!(!is_linked(&world)[0]);
    }
    assert_eq!(world.text(2, post).as_deref(), Some("hello"));
    world.shun(2, &[]);
    world.run(2 * MINUTE);
    assert_eq!(is_linked(&world), [true, true]);
}

#[test]
fn who_shuns_the_only_other_member_dials_nobody() {
    let mut world = World::of(2, 6);
    world.shun(0, &[1]);
    world.shun(1, &[0]);
    world.run(10 * MINUTE);
    let before = world.bytes();
    world.run(10 * MINUTE);
    assert_eq!(world.bytes(), before);
    assert_eq!(world.node(0).linked().count(), 0);
}
