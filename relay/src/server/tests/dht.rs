//! What clients have looked up and stored in the Mainline DHT.

use super::*;

impl World {
    fn get(&mut self, id: ClientId, ask: u32, key: u8) -> Vec<Done> {
        let frame = ToRelay::Get {
            ask,
            key: [key; 32],
        };
        let from = self.server.clients[&id].route.remote;
        self.server.handle_frame(self.now(), id, from, frame);
        self.commands()
    }

    fn works(&mut self) -> Vec<Work> {
        std::iter::from_fn(|| self.server.poll_work()).collect()
    }
}

fn serving() -> World {
    let mut world = World::new(Limits::default());
    world.server.serve_dht();
    world
}

fn item(key: u8) -> Item {
    Item::new([key; 32], 1, vec![key], [key; 64])
}

fn dealt(to: ClientId, ask: u32, outcome: DhtOutcome) -> Done {
    let frame = ToClient::Dealt { ask, outcome };
    Done::Send { to, frame }
}

#[test]
fn who_asks_for_the_same_key_is_looked_up_for_once_and_all_are_told() {
    let mut world = serving();
    let (a, b) = (world.register(1), world.register(2));
    assert_eq!(world.get(a, 10, 7), []);
    assert_eq!(world.get(b, 20, 7), []);
    assert_eq!(world.works(), [Work::Get { key: [7; 32] }]);
    world.server.on_item(&[7; 32], &item(7));
    let sent = |to, ask| Done::Send {
        to,
        frame: ToClient::Item { ask, item: item(7) },
    };
    let told = world.commands();
    assert!(told.contains(&sent(a, 10)) && told.contains(&sent(b, 20)));
    let outcome = DhtOutcome::Done { nodes: 1 };
    world.server.on_dealt(WorkId::Get([7; 32]), outcome);
    let told = world.commands();
    assert!(told.contains(&dealt(a, 10, outcome)) && told.contains(&dealt(b, 20, outcome)));
    assert_eq!(world.get(a, 11, 7), []);
    assert_eq!(world.works().len(), 1, "the first look-up is over");
}

#[test]
fn who_asks_while_another_is_looked_up_for_is_told_what_was_found_before() {
    let mut world = serving();
    let (a, b) = (world.register(1), world.register(2));
    world.get(a, 10, 7);
    world.server.on_item(&[7; 32], &item(7));
    world.commands();
    let sent = |to, ask| Done::Send {
        to,
        frame: ToClient::Item { ask, item: item(7) },
    };
    assert_eq!(world.get(b, 20, 7), [sent(b, 20)]);
    assert_eq!(world.works().len(), 1);
    world.server.on_item(&[7; 32], &item(7));
    assert_eq!(world.commands(), [], "what many nodes give is told once");
}

#[test]
fn an_item_is_stored_for_the_client_that_brought_it() {
    let mut world = serving();
    let (a, _) = (world.register(1), world.register(2));
    let frame = ToRelay::Put {
        ask: 3,
        item: item(9),
    };
    let now = world.now();
    world.server.handle_frame(now, a, addr(1), frame);
    let works = world.works();
    let [work @ Work::Put { item: stored, .. }] = works.as_slice() else {
        panic!("{works:?}");
    };
    assert_eq!(*stored, item(9));
    world.server.on_dealt(work.id(), DhtOutcome::Outdated);
    assert_eq!(world.commands(), [dealt(a, 3, DhtOutcome::Outdated)]);
}

#[test]
fn a_client_asks_ten_things_at_once_and_one_a_second_from_then_on() {
    let mut world = serving();
    let a = world.register(1);
    let asks = |world: &mut World, times: u8| {
        (0..times)
            .filter(|time| world.get(a, 1, *time).is_empty())
            .count()
    };
    let first = asks(&mut world, 50);
    assert!((10..=11).contains(&first), "{first}");
    assert_eq!(
        world.get(a, 2, 99),
        [dealt(a, 2, DhtOutcome::Busy)],
        "and hears so"
    );
    world.wait(5_000);
    assert_eq!(asks(&mut world, 50), 5);
    assert_eq!(world.server.counters().dht_asks, first as u64 + 5);
}

#[test]
fn no_network_takes_the_places_of_all_and_who_left_gives_theirs_back() {
    let mut world = serving();
    let mut taken = 0;
    for port in 0..20_u16 {
        let remote = SocketAddr::from(([192, 0, 2, 1], 1000 + port));
        let key = SecretKey::from_seed(&[100 + port as u8; 32]).id();
        let id = world.server.register(world.now(), key, route(remote));
        world.commands();
        taken += (0..10)
            .filter(|ask| world.get(id, *ask, port as u8).is_empty())
            .count();
        world.server.unregister(id);
    }
    assert_eq!(taken, 16);
    let other = world.register(2);
    assert_eq!(world.get(other, 1, 77), []);
    for work in world.works() {
        world.server.on_dealt(work.id(), DhtOutcome::Silent);
    }
    let back = world.register(1);
    assert_eq!(world.get(back, 1, 1), []);
}

#[test]
fn a_relay_that_does_not_use_the_dht_says_so() {
    let mut world = World::new(Limits::default());
    let a = world.register(1);
    assert_eq!(world.get(a, 5, 7), [dealt(a, 5, DhtOutcome::Refused)]);
    assert_eq!(world.works(), []);
}
