use super::super::tests::{Run, addr, peer, routes, url};
use crate::{
    EventKind, RelayUrl,
    relays::Order,
    timing::{LEAVE_AFTER, MOVED_AGAIN, UNUSED_RELAY},
};

const AT: [&str; 3] = ["5.9.0.1:4433", "5.9.0.2:4433", "5.9.0.3:4433"];

fn three() -> [RelayUrl; 3] {
    [
        url(1, "a.example"),
        url(2, "b.example"),
        url(3, "c.example"),
    ]
}

/// Registered with the first relay alone.
fn at_first(relays: &[RelayUrl; 3]) -> Run {
    let mut run = Run::new(&[&relays[0]]);
    run.registered(&relays[0], AT[0]);
    run.orders();
    run
}

impl Run {
    fn moves(&mut self, relay: &RelayUrl, to: &RelayUrl) -> Vec<Order> {
        self.relays.on_moved(self.now, relay, to);
        self.relays.on_draining(self.now, relay);
        self.orders()
    }
}

fn register(relay: &RelayUrl) -> Order {
    let relay = relay.clone();
    Order::Register { relay }
}

fn deregister(relay: &RelayUrl) -> Order {
    let relay = relay.clone();
    Order::Deregister { relay }
}

#[test]
fn a_relay_that_is_named_takes_the_place_as_soon_as_it_is_up_and_the_other_is_left() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = at_first(&relays);
    let told = Order::Event(EventKind::RelayMoved {
        relay: old.clone(),
        to: new.clone(),
    });
    assert_eq!(run.moves(old, new), [told, register(new)]);
    assert_eq!(
        run.relays.home(),
        std::slice::from_ref(old),
        "make before break"
    );
    assert!(
        run.run(60 * LEAVE_AFTER).is_empty(),
        "it is the last of ours"
    );
    run.registered(new, AT[1]);
    run.orders();
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
    assert_eq!(run.relays.configured(), std::slice::from_ref(old));
    assert_eq!(run.relays.in_place_of(new), Some(old));
    let met_at: Vec<_> = run.relays.met_at(old).collect();
    assert_eq!(met_at, [new, old], "of tickets that were given away before");
    let left = run.run(2 * UNUSED_RELAY);
    assert!(left.iter().any(|(_, order)| *order == deregister(old)));
    assert!(run.relays.get(old).is_none());
}

#[test]
fn a_relay_that_carries_a_link_is_left_when_the_link_goes_by_the_one_that_it_named() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = at_first(&relays);
    run.relays.on_link_needs(peer(0), old);
    run.relays.on_route(run.now, peer(0), Some(old));
    run.moves(old, new);
    run.registered(new, AT[1]);
    run.orders();
    assert_eq!(run.run(60 * LEAVE_AFTER), [], "it carries a link");
    run.relays.on_route(run.now, peer(0), Some(new));
    assert_eq!(run.run(60 * LEAVE_AFTER), [(LEAVE_AFTER, deregister(old))]);
    assert_eq!(run.relays.of_link(peer(0)).collect::<Vec<_>>(), [new]);
}

#[test]
fn a_relay_that_ends_after_it_named_another_is_not_tried_again_while_that_one_is_there() {
    let relays = three();
    let [old, new, _] = &relays;
    for is_up_first in [true, false] {
        let mut run = at_first(&relays);
        run.moves(old, new);
        let mut orders = Vec::new();
        for step in [is_up_first, !is_up_first] {
            if step {
                run.registered(new, AT[1]);
            } else {
                run.down(old, false);
            }
            orders.extend(run.orders());
        }
        assert!(orders.contains(&deregister(old)), "{orders:?}");
        run.down(new, false);
        assert!(run.orders().contains(&register(old)), "it may be back");
        assert_eq!(run.relays.home(), [new.clone(), old.clone()]);
        run.up(new, "198.51.100.1:1");
        run.down(old, false);
        assert!(run.orders().contains(&deregister(old)));
        assert_eq!(run.relays.home(), std::slice::from_ref(new));
    }
}

#[test]
fn a_relay_that_never_comes_up_takes_no_place() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = at_first(&relays);
    run.moves(old, new);
    run.resolve(new, AT[1], None, &routes(true, true));
    run.down(new, false);
    run.down(old, false);
    run.run(10 * UNUSED_RELAY);
    assert_eq!(run.relays.home(), std::slice::from_ref(old));
    assert!(run.relays.get(old).is_some(), "it may be back");
}

#[test]
fn only_relays_of_ours_name_others_and_each_for_its_own_place_once_a_minute() {
    let relays = three();
    let [old, new, third] = &relays;
    let mut run = at_first(&relays);
    let visited = url(4, "d.example");
    run.registered(&visited, "5.9.0.4:4433");
    run.orders();
    assert_eq!(run.moves(&visited, new), [], "no link needs it");
    assert_eq!(run.relays.home(), std::slice::from_ref(old));
    assert_eq!(
        run.moves(old, &url(1, "elsewhere.example")),
        [],
        "it is itself"
    );
    assert_eq!(run.moves(old, new).len(), 2);
    assert_eq!(run.moves(old, third), [], "too soon");
    run.registered(new, AT[1]);
    run.run(MOVED_AGAIN);
    assert_eq!(run.moves(old, third), [], "it has no place any more");
    assert_eq!(run.moves(new, third).len(), 2);
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
    run.registered(third, AT[2]);
    assert_eq!(run.relays.home(), std::slice::from_ref(third));
}

#[test]
fn a_relay_may_name_the_one_back_whose_place_it_has() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = at_first(&relays);
    run.moves(old, new);
    run.registered(new, AT[1]);
    run.run(2 * UNUSED_RELAY);
    assert!(run.moves(new, old).contains(&register(old)));
    run.registered(old, AT[0]);
    assert_eq!(run.relays.home(), std::slice::from_ref(old));
}

#[test]
fn another_relay_of_ours_that_is_named_keeps_its_own_place() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = Run::new(&[old, new]);
    run.registered(old, AT[0]);
    run.registered(new, AT[1]);
    run.orders();
    run.moves(old, new);
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
    run.relays.set_home(run.now, vec![old.clone(), new.clone()]);
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
    run.relays.set_home(run.now, vec![new.clone()]);
    run.relays.set_home(run.now, vec![new.clone(), old.clone()]);
    assert_eq!(run.relays.home().len(), 2, "the owner chose it again");
}

#[test]
fn a_relay_that_was_only_visited_is_registered_with_as_our_own() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = at_first(&relays);
    run.registered(new, AT[1]);
    run.orders();
    let settle = Order::Settle { relay: new.clone() };
    assert!(run.moves(old, new).contains(&settle));
    assert_eq!(
        run.relays.home(),
        std::slice::from_ref(old),
        "it does not serve us yet"
    );
    run.up(new, "198.51.100.1:1");
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
}

#[test]
fn a_public_relay_names_only_public_ones_and_one_at_home_also_its_neighbours() {
    let relays = three();
    let [old, new, _] = &relays;
    for (from, to, may) in [
        (AT[0], "192.168.1.1:80", false),
        (AT[0], "127.0.0.1:631", false),
        (AT[0], "[fe80::1]:80", false),
        (AT[0], "169.254.169.254:80", false),
        ("192.168.1.9:4433", "192.168.1.1:80", true),
        ("192.168.1.9:4433", "127.0.0.1:631", false),
        ("127.0.0.1:4433", "127.0.0.1:4533", true),
        ("192.168.1.9:4433", AT[1], true),
    ] {
        let mut run = Run::new(&[old]);
        run.registered(old, from);
        run.moves(old, new);
        run.resolve(new, to, None, &routes(true, true));
        let orders = run.orders();
        let dials = |order: &Order| matches!(order, Order::Dial { .. });
        assert_eq!(orders.iter().any(dials), may, "{from} {to}");
        assert_eq!(orders.contains(&deregister(new)), !may, "{from} {to}");
        assert_eq!(run.relays.get(new).is_some(), may);
        assert_eq!(run.relays.in_place_of(new), None, "it is not up yet");
    }
    let mut run = at_first(&relays);
    run.moves(old, new);
    run.resolve(new, AT[1], Some("[fe80::1]:80"), &routes(true, true));
    run.up(new, "198.51.100.1:1");
    run.orders();
    let asked = run.run(60 * LEAVE_AFTER);
    let to_neighbour =
        |order: &Order| matches!(order, Order::AskStun { to, .. } if *to == addr("[fe80::1]:80"));
    assert!(!asked.iter().any(|(_, order)| to_neighbour(order)));
}

#[test]
fn whoever_is_met_at_a_visited_relay_is_met_at_the_one_that_it_names_and_for_no_longer_than_a_link_needs_it()
 {
    let relays = three();
    let [ours, theirs, named] = &relays;
    let mut run = at_first(&relays);
    run.registered(theirs, AT[1]);
    run.relays.on_link_needs(peer(0), theirs);
    run.relays.on_route(run.now, peer(0), Some(theirs));
    run.orders();
    assert_eq!(run.moves(theirs, named), [register(named)]);
    run.registered(named, AT[2]);
    assert!(!run.relays.get(named).unwrap().home);
    run.orders();
    run.relays.on_route(run.now, peer(0), Some(named));
    assert_eq!(
        run.run(60 * LEAVE_AFTER),
        [(LEAVE_AFTER, deregister(theirs))]
    );
    run.relays.on_link_over(run.now, peer(0));
    assert_eq!(
        run.run(2 * UNUSED_RELAY),
        [(UNUSED_RELAY, deregister(named))]
    );
    assert_eq!(run.relays.home(), std::slice::from_ref(ours));
}

#[test]
fn a_relay_that_names_one_after_the_other_has_us_know_one_of_them() {
    let relays = three();
    let [old, ..] = &relays;
    for is_ours in [true, false] {
        let mut run = at_first(&relays);
        let names = if is_ours {
            old.clone()
        } else {
            url(9, "theirs.example")
        };
        run.registered(&names, "5.9.0.9:4433");
        run.relays.on_link_needs(peer(0), &names);
        for number in 10..100 {
            let next = url(number, "next.example");
            run.relays.on_moved(run.now, &names, &next);
            if number % 3 == 0 {
                run.resolve(&next, AT[2], None, &routes(true, true));
                run.down(&next, false);
            }
            run.run(MOVED_AGAIN);
        }
        let known = run.relays.iter().count();
        assert_eq!(known, if is_ours { 2 } else { 3 });
        assert_eq!(run.relays.of_link(peer(0)).count(), 2);
    }
}

#[test]
fn a_relay_of_ours_on_the_local_network_may_be_named_from_the_internet() {
    let relays = three();
    let [old, new, _] = &relays;
    let mut run = Run::new(&[old, new]);
    run.registered(old, AT[0]);
    run.registered(new, "192.168.1.9:4433");
    run.moves(old, new);
    run.resolve(new, "192.168.1.9:4433", None, &routes(true, true));
    assert_eq!(run.relays.home(), std::slice::from_ref(new));
}

#[test]
fn a_word_from_elsewhere_does_not_keep_a_relay_in_a_place_of_ours_from_its_network() {
    let relays = three();
    let [old, new, visited] = &relays;
    let mut run = Run::new(&[old]);
    run.registered(old, "192.168.1.8:4433");
    run.registered(visited, AT[2]);
    run.relays.on_link_needs(peer(0), visited);
    run.moves(old, new);
    run.moves(visited, new);
    run.orders();
    run.resolve(new, "192.168.1.9:4433", None, &routes(true, true));
    let orders = run.orders();
    let dials = |order: &Order| matches!(order, Order::Dial { .. });
    assert!(orders.iter().any(dials), "{orders:?}");
}

#[test]
fn a_public_relay_makes_no_other_known_by_naming_it_twice() {
    let relays = three();
    let [old, new, third] = &relays;
    for second_word_by in [old, third] {
        let mut run = Run::new(&[old, third]);
        run.registered(old, AT[0]);
        run.registered(third, AT[2]);
        run.relays.on_link_needs(peer(0), old);
        run.moves(old, new);
        run.resolve(new, AT[1], None, &routes(true, true));
        run.run(MOVED_AGAIN);
        run.moves(second_word_by, new);
        run.resolve(new, "192.168.1.1:80", None, &routes(true, true));
        let orders = run.orders();
        let dials = |order: &Order| matches!(order, Order::Dial { .. });
        assert!(!orders.iter().any(dials), "{orders:?}");
        assert!(orders.contains(&deregister(new)), "{orders:?}");
    }
}

#[test]
fn a_relay_names_a_third_one_when_the_one_that_it_named_is_gone() {
    let relays = three();
    let [old, new, third] = &relays;
    let mut run = at_first(&relays);
    run.moves(old, new);
    run.registered(new, AT[1]);
    run.run(MOVED_AGAIN);
    run.down(new, false);
    run.registered(old, AT[0]);
    run.orders();
    let orders = run.moves(old, third);
    assert!(orders.contains(&register(third)), "{orders:?}");
    assert!(orders.contains(&deregister(new)), "{orders:?}");
    run.registered(third, AT[2]);
    assert_eq!(run.relays.home(), std::slice::from_ref(third));
    assert_eq!(run.relays.in_place_of(third), Some(old));
}

#[test]
fn a_relay_that_is_named_no_more_stays_for_whom_else_it_serves() {
    let relays = three();
    let [old, new, third] = &relays;
    for carries in [true, false] {
        let mut run = at_first(&relays);
        run.relays.on_link_needs(peer(0), old);
        run.moves(old, new);
        run.registered(new, AT[1]);
        let other = peer(1);
        if carries {
            run.relays.on_route(run.now, peer(0), Some(new));
        } else {
            run.relays.on_link_needs(other, new);
        }
        run.run(MOVED_AGAIN);
        run.down(new, false);
        run.registered(old, AT[0]);
        run.run(MOVED_AGAIN);
        run.up(new, "198.51.100.1:1");
        run.down(new, false);
        run.orders();
        run.moves(old, third);
        run.registered(third, AT[2]);
        run.run(10 * LEAVE_AFTER);
        assert!(run.relays.get(new).is_some(), "{carries}");
        for peer in [peer(0), other] {
            run.relays.on_link_over(run.now, peer);
        }
        run.run(2 * UNUSED_RELAY);
        assert!(run.relays.get(new).is_none(), "{carries}");
    }
}

#[test]
fn a_relay_that_has_two_places_names_one_for_both() {
    let relays = three();
    let [old, new, third] = &relays;
    let mut run = Run::new(&[old, new]);
    run.registered(old, AT[0]);
    run.registered(new, AT[1]);
    run.moves(old, new);
    run.run(MOVED_AGAIN);
    run.moves(new, third);
    run.registered(third, AT[2]);
    assert_eq!(run.relays.home(), std::slice::from_ref(third));
}
