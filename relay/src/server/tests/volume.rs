//! A month's volume, and who sends now.

use super::*;

/// A relay where each client may send 2 packets a month, and all together 5.
fn world() -> World {
    World::new(Limits {
        volumes: VolumeLimits {
            client: Some(2 * 1200),
            relay: Some(5 * 1200),
        },
        ..Limits::default()
    })
}

/// Two clients that talk.
fn pair(world: &mut World, a: u8, b: u8) -> [ClientId; 2] {
    let ids = [a, b].map(|seed| world.register(seed));
    world.signal(ids[0], a, b);
    world.signal(ids[1], b, a);
    ids
}

fn send(world: &mut World, from: u8, to: u8) {
    let verdict = world.lane(from, channel(from, to));
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    world.wait(1000);
}

fn settle(world: &mut World) -> Vec<Done> {
    let has_commands = world.server.settle(world.now());
    let done = world.commands();
    assert_eq!(has_commands, !done.is_empty());
    done
}

fn closed(client: ClientId, reason: CloseReason) -> Done {
    Done::Close { client, reason }
}

#[test]
fn whoever_sent_a_months_volume_is_told_so_and_the_others_are_served() {
    let mut world = world();
    let [a, _] = pair(&mut world, 1, 2);
    pair(&mut world, 3, 4);
    send(&mut world, 1, 2);
    send(&mut world, 2, 1);
    assert_eq!(settle(&mut world), []);
    send(&mut world, 1, 2);
    assert_eq!(settle(&mut world), [closed(a, CloseReason::VolumeUsedUp)]);
    send(&mut world, 3, 4);
    let credentials = Credentials::default();
    let again = world
        .server
        .admit(world.now(), key(1), route(addr(1)), &credentials);
    assert_eq!(again, Err(CloseReason::VolumeUsedUp));
    world.wait(31 * 24 * 3_600_000);
    settle(&mut world);
    let next_month = world
        .server
        .admit(world.now(), key(1), route(addr(1)), &credentials);
    assert!(next_month.is_ok());
}

#[test]
fn when_the_volume_of_all_is_used_up_all_are_told_so() {
    let mut world = world();
    let ids = [pair(&mut world, 1, 2), pair(&mut world, 3, 4)].concat();
    for (from, to) in [(1, 2), (2, 1), (3, 4), (4, 3)] {
        send(&mut world, from, to);
    }
    assert_eq!(settle(&mut world), []);
    send(&mut world, 1, 2);
    let told = settle(&mut world);
    assert_eq!(told.len(), ids.len());
    for client in &ids[1..] {
        assert!(told.contains(&closed(*client, CloseReason::RelayVolumeUsedUp)));
    }
}

#[test]
fn who_leaves_and_comes_back_has_sent_what_it_had() {
    let mut world = world();
    let [a, _] = pair(&mut world, 1, 2);
    send(&mut world, 1, 2);
    world.server.unregister(a);
    let [again, _] = pair(&mut world, 1, 2);
    send(&mut world, 1, 2);
    let told = settle(&mut world);
    assert!(
        told.contains(&closed(again, CloseReason::VolumeUsedUp)),
        "{told:?}"
    );
}

#[test]
fn a_visitors_volume_is_that_of_the_member_who_lets_it_in() {
    let mut world = world();
    world.server.set_access(Access::new([key(1)], []));
    let visit = Credentials {
        token: None,
        visits: true,
        yields: false,
    };
    let ids = [1, 2].map(|seed| {
        let path = route(addr(seed));
        let admitted = world.server.admit(world.now(), key(seed), path, &visit);
        world.commands();
        admitted.unwrap()
    });
    world.signal(ids[1], 2, 1);
    world.signal(ids[0], 1, 2);
    send(&mut world, 2, 1);
    send(&mut world, 2, 1);
    let told = settle(&mut world);
    assert_eq!(told, [closed(ids[0], CloseReason::VolumeUsedUp)]);
}

#[test]
fn a_volume_outlives_the_relay() {
    let mut first = world();
    pair(&mut first, 1, 2);
    send(&mut first, 1, 2);
    send(&mut first, 2, 1);
    settle(&mut first);
    let records = first.server.take_records();

    let mut second = world();
    second.server.restore(second.now(), records);
    assert_eq!(second.server.month_bytes(), 2 * 1200);
    let [a, _] = pair(&mut second, 1, 2);
    send(&mut second, 1, 2);
    assert_eq!(settle(&mut second), [closed(a, CloseReason::VolumeUsedUp)]);
}

#[test]
fn who_sends_most_comes_first_and_who_stopped_is_forgotten() {
    let mut world = World::new(Limits::default());
    pair(&mut world, 1, 2);
    pair(&mut world, 3, 4);
    for _ in 0..20 {
        for (from, to, packets) in [(1, 2, 1), (3, 4, 3)] {
            for _ in 0..packets {
                world.lane(from, channel(from, to));
            }
        }
        world.wait(1000);
        settle(&mut world);
    }
    let talkers = world.server.talkers(10);
    let keys: Vec<_> = talkers.iter().map(|talker| talker.key).collect();
    assert_eq!(keys, [key(3), key(1)]);
    assert!((3400..3700).contains(&talkers[0].rate), "{talkers:?}");
    assert_eq!(talkers[0].month_bytes, 20 * 3 * 1200);
    assert_eq!(world.server.talkers(1).len(), 1);
    assert_eq!(world.server.talking_pairs(1)[0].ends, [key(3), key(4)]);
    for _ in 0..60 {
        settle(&mut world);
    }
    assert_eq!(world.server.talkers(10), []);
    assert_eq!(world.server.talking_pairs(10), []);
}
