//! Answers, and what they answer.

use super::*;

#[test]
fn an_answer_names_what_it_answers_at_all_and_stands_behind_it_whatever_the_clocks_say() {
    let mut world = World::of(6, 40);
    // Of two it is the earlier that counts, so that neither corrects the other.
    world.skew(1, 1_500);
    world.run(5 * SECOND);
    let first = world.post(1, "by a clock that is ahead");
    world.run(SECOND);
    let answer = world.reply(2, "by one that is not", first).unwrap();
    world.run(SECOND);
    let further = world.reply(1, "and again", answer).unwrap();
    world.run(SECOND);
    for at in 0..6 {
        assert_eq!(world.parent(at, first), None);
        assert_eq!(world.parent(at, answer), Some(first), "{at}");
        assert_eq!(world.parent(at, further), Some(answer), "{at}");
        assert_eq!(
            world.text(at, answer).as_deref(),
            Some("by one that is not")
        );
        let order: Vec<_> = world.node(at).kept().since(0).into_iter().collect();
        let order: Vec<_> = order.iter().map(|(_, id)| PostId(*id)).collect();
        assert_eq!(order, [first, answer, further], "{at}");
    }
}

#[test]
fn nothing_is_answered_that_is_not_there() {
    let mut world = World::of(3, 41);
    world.run(5 * SECOND);
    let nothing = PostId([1; 32]);
    assert_eq!(
        world.reply(0, "to what?", nothing),
        Err(PostError::NoParent)
    );
    world.cut(2);
    let apart = world.post(2, "apart");
    assert_eq!(world.reply(0, "to what?", apart), Err(PostError::NoParent));
}

#[test]
fn an_answer_to_what_is_dropped_is_an_ordinary_post() {
    let mut world = World::of(12, 42);
    world.run(20 * SECOND);
    world.cut(10);
    world.run(5 * SECOND);
    world.remove(0, 10);
    world.run(SECOND);
    let late = world.post(10, "after it was removed");
    world.run(SECOND);
    let answer = world.reply(11, "who says so?", late).unwrap();
    assert_eq!(world.parent(11, answer), Some(late));
    world.heal();
    world.run(3 * MINUTE);
    for at in [0, 11] {
        assert_eq!(world.text(at, answer).as_deref(), Some("who says so?"));
        assert_eq!(world.parent(at, answer), None);
    }
}
