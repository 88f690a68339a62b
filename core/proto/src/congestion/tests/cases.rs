//! One flow, or two, over lines of every kind.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

use super::{
    super::Model,
    line::{Bottleneck, Loss, MS, Nanos, Policer, SECOND, Stalls, mbit},
    sender::{Control, Cubic, MTU},
    world::World,
};

const SEEDS: u64 = 20;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn line(rate: f64, rtt: u64, seed: u64) -> Bottleneck {
    Bottleneck::new(mbit(rate), ms(rtt), StdRng::seed_from_u64(seed))
}

/// A flow of ours that begins at a time.
fn ours(world: &World, seed: u64, starts_at: Nanos) -> Control {
    let now = world.origin() + Duration::from_nanos(starts_at);
    Control::Ours(Box::new(Model::new(now, MTU as u16, seed)))
}

/// A line with one flow of ours that has endlessly much to send.
fn alone(line: Bottleneck, seed: u64) -> World {
    let mut world = World::new(line);
    let control = ours(&world, seed, 0);
    world.add(control, 0);
    world
}

/// The share of the line that one flow uses in seconds 2 to 12, at least.
fn least_goodput(make: impl Fn(u64) -> Bottleneck) -> f64 {
    let goodput = |seed| {
        let line = make(seed);
        let rate = line.policer.map_or(line.rate, |policer| policer.rate);
        let mut world = alone(line, seed);
        world.run_until(12 * SECOND);
        world.goodput(0, 2 * SECOND, 12 * SECOND) / rate
    };
    (0..SEEDS).map(goodput).fold(f64::MAX, f64::min)
}

#[test]
fn random_loss_does_not_slow_a_flow_down() {
    for (rtt, loss, expected) in [
        (40, 0.0, 0.95),
        (40, 0.001, 0.95),
        (40, 0.01, 0.93),
        (40, 0.04, 0.88),
        (80, 0.01, 0.93),
        (200, 0.01, 0.9),
    ] {
        let least = least_goodput(|seed| {
            let mut line = line(50.0, rtt, seed);
            line.loss = if loss > 0.0 {
                Loss::Random(loss)
            } else {
                Loss::None
            };
            line
        });
        assert!(least >= expected, "{rtt} ms, {loss}: {least}");
    }
}

#[test]
fn a_long_queue_stays_empty() {
    for seed in 0..SEEDS {
        let mut line = line(20.0, 40, seed);
        line.queue = 2e6;
        let mut world = alone(line, seed);
        world.run_until(12 * SECOND);
        assert!(world.goodput(0, 2 * SECOND, 12 * SECOND) >= 0.9 * mbit(20.0));
        assert!(world.delay(0.5, 2 * SECOND) <= ms(60));
        assert!(world.delay(0.95, 2 * SECOND) <= ms(65));
    }
}

#[test]
fn a_policer_is_found_out() {
    for loss in [0.0, 0.01] {
        for seed in 0..SEEDS {
            let mut line = line(1000.0, 40, seed);
            line.policer = Some(Policer {
                rate: mbit(20.0),
                bucket: 64e3,
            });
            line.loss = if loss > 0.0 {
                Loss::Random(loss)
            } else {
                Loss::None
            };
            let mut world = alone(line, seed);
            world.run_until(3 * SECOND);
            let (before, sent) = (world.line.lost.1, world.flows[0].0.sent);
            world.run_until(13 * SECOND);
            let excess =
                (world.line.lost.1 - before) as f64 / (world.flows[0].0.sent - sent) as f64;
            let goodput = world.goodput(0, 3 * SECOND, 13 * SECOND) / mbit(20.0);
            assert!(goodput >= 0.85 && excess <= 0.03, "{goodput}, {excess}");
        }
    }
}

#[test]
fn losses_in_bursts_do_not_slow_a_flow_down() {
    for rtt in [40, 80] {
        let least = least_goodput(|seed| {
            let mut line = line(50.0, rtt, seed);
            line.loss = Loss::Bursts {
                mean: 0.01,
                length: 8,
            };
            line
        });
        assert!(least >= 0.85, "{rtt} ms: {least}");
    }
}

#[test]
fn a_line_that_becomes_slower_is_followed() {
    for seed in 0..SEEDS {
        let mut line = line(50.0, 40, seed);
        line.queue = 250e3;
        let mut world = alone(line, seed);
        world.run_until(5 * SECOND);
        world.line.set_rate(5 * SECOND, mbit(10.0));
        world.run_until(15 * SECOND);
        for second in 6..15 {
            let goodput = world.goodput(0, second * SECOND, (second + 1) * SECOND);
            assert!(goodput >= mbit(5.0), "{goodput} in second {second}");
        }
        assert!(world.delay(0.9, 9 * SECOND) <= ms(60));
    }
}

#[test]
fn a_line_that_becomes_faster_is_followed() {
    for seed in 0..SEEDS {
        let mut line = line(10.0, 40, seed);
        line.queue = 250e3;
        let mut world = alone(line, seed);
        world.run_until(5 * SECOND);
        world.line.set_rate(5 * SECOND, mbit(50.0));
        world.run_until(12 * SECOND);
        assert!(world.goodput(0, 9 * SECOND, 12 * SECOND) >= mbit(40.0));
    }
}

#[test]
fn two_flows_share_a_line() {
    for (rtt, loss) in [(40, 0.0), (40, 0.01), (80, 0.0)] {
        for seed in 0..SEEDS {
            let mut line = line(50.0, rtt, seed);
            line.loss = if loss > 0.0 {
                Loss::Random(loss)
            } else {
                Loss::None
            };
            let mut world = alone(line, seed);
            let second = ours(&world, seed + 100, 5 * SECOND);
            world.add(second, 5 * SECOND);
            world.run_until(30 * SECOND);
            let share = share_of_first(&world, 15 * SECOND, 30 * SECOND);
            assert!((0.38..=0.62).contains(&share), "{rtt} ms, {loss}: {share}");
        }
    }
}

fn share_of_first(world: &World, from: Nanos, to: Nanos) -> f64 {
    let (first, second) = (world.goodput(0, from, to), world.goodput(1, from, to));
    first / (first + second)
}

#[test]
fn cubic_beside_ours_keeps_its_share_and_leaves_us_ours() {
    for queue in [1.0, 4.0] {
        for seed in 0..4 {
            let mut line = line(50.0, 40, seed);
            line.queue *= queue;
            let mut world = alone(line, seed);
            world.add(Control::Cubic(Cubic::new()), 2 * SECOND);
            world.run_until(42 * SECOND);
            let share = share_of_first(&world, 10 * SECOND, 42 * SECOND);
            assert!((0.25..=0.65).contains(&share), "queue of {queue}: {share}");
        }
    }
}

#[test]
fn a_machine_that_stalls_loses_little() {
    let excess = |seed| {
        let mut line = line(300.0, 40, seed);
        line.queue = 200e3;
        line.loss = Loss::Random(0.01);
        line.stalls = Some(Stalls {
            every: 20 * MS,
            length: 3 * MS,
        });
        let mut world = alone(line, seed);
        world.run_until(2 * SECOND);
        let (before, sent) = (world.line.lost.1, world.flows[0].0.sent);
        world.run_until(8 * SECOND);
        (world.line.lost.1 - before) as f64 / (world.flows[0].0.sent - sent) as f64
    };
    let mean = (0..SEEDS / 4).map(excess).sum::<f64>() / (SEEDS / 4) as f64;
    assert!(mean <= 0.035, "{mean}");
}

#[test]
fn pauses_of_the_program_do_not_slow_it_down() {
    for seed in 0..SEEDS {
        let mut world = alone(line(50.0, 40, seed), seed);
        world.run_until(3 * SECOND);
        world.flows[0].0.backlog = Some(0);
        for pause in 0..5 {
            let begins = (5 + 4 * pause) * SECOND;
            world.run_until(begins);
            world.write(0, 1_000_000);
            world.run_until(begins + SECOND);
            let goodput = world.goodput(0, begins, begins + 3 * SECOND / 10) * 0.3;
            assert!(goodput >= 0.95e6, "{goodput} after pause {pause}");
        }
    }
}

#[test]
fn a_trickle_says_nothing_of_what_the_path_carries() {
    for seed in 0..SEEDS {
        let mut world = alone(line(50.0, 40, seed), seed);
        world.run_until(3 * SECOND);
        world.flows[0].0.backlog = Some(0);
        for tenth in 40..140 {
            world.run_until(tenth * SECOND / 10);
            world.write(0, 3000);
        }
        world.run_until(14 * SECOND);
        world.write(0, 1_000_000);
        world.run_until(15 * SECOND);
        let goodput = world.goodput(0, 14 * SECOND, 14 * SECOND + 3 * SECOND / 10) * 0.3;
        assert!(goodput >= 0.9e6, "{goodput}");
    }
}

#[test]
fn acknowledgements_that_come_together_do_not_slow_a_flow_down() {
    for hold in [10, 25] {
        let least = least_goodput(|seed| {
            let mut line = line(50.0, 40, seed);
            line.ack_hold = Some(hold * MS);
            line
        });
        assert!(least >= 0.85, "{hold} ms: {least}");
    }
}

/// Lines that no constant was chosen on.
#[test]
fn lines_that_nobody_tuned_for_are_filled_too() {
    for (rate, rtt, loss, queue, expected) in [
        (8.0, 130, 0.005, 1.0, 0.85),
        (33.0, 65, 0.025, 0.5, 0.88),
        (33.0, 65, 0.0, 2.0, 0.95),
        (70.0, 120, 0.06, 1.0, 0.85),
        (150.0, 25, 0.015, 0.7, 0.9),
    ] {
        for seed in 0..SEEDS / 4 {
            let mut line = line(rate, rtt, seed);
            line.loss = Loss::Random(loss);
            line.queue *= queue;
            let mut world = alone(line, seed);
            world.run_until(2 * SECOND);
            let (before, sent) = (world.line.lost.1, world.flows[0].0.sent);
            world.run_until(12 * SECOND);
            let goodput = world.goodput(0, 2 * SECOND, 12 * SECOND) / mbit(rate);
            let excess =
                (world.line.lost.1 - before) as f64 / (world.flows[0].0.sent - sent) as f64;
            assert!(
                goodput >= expected && excess <= 0.03,
                "{rate} {rtt} {loss}: {goodput} {excess}"
            );
        }
    }
}

#[test]
fn slow_and_fast_lines_are_filled() {
    let slow = least_goodput(|seed| line(1.0, 100, seed));
    assert!(slow >= 0.8, "{slow}");
    for (rate, rtt) in [(1000.0, 10), (1000.0, 1)] {
        let mut world = alone(line(rate, rtt, 1), 1);
        world.run_until(5 * SECOND);
        let goodput = world.goodput(0, 2 * SECOND, 5 * SECOND) / mbit(rate);
        assert!(goodput >= 0.9, "{rtt} ms: {goodput}");
    }
}

#[test]
fn a_short_queue_costs_neither_rate_nor_packets() {
    for loss in [0.0, 0.01] {
        for seed in 0..SEEDS {
            let mut line = line(50.0, 40, seed);
            line.queue = 30e3;
            line.loss = Loss::Random(loss);
            let mut world = alone(line, seed);
            world.run_until(2 * SECOND);
            let (before, sent) = (world.line.lost.1, world.flows[0].0.sent);
            world.run_until(12 * SECOND);
            let goodput = world.goodput(0, 2 * SECOND, 12 * SECOND) / mbit(50.0);
            let excess =
                (world.line.lost.1 - before) as f64 / (world.flows[0].0.sent - sent) as f64;
            assert!(
                goodput >= 0.85 && excess <= 0.02,
                "{loss}: {goodput} {excess}"
            );
        }
    }
}

#[test]
fn a_detour_that_triples_the_round_trip_is_noticed() {
    for seed in 0..SEEDS {
        let mut world = alone(line(50.0, 40, seed), seed);
        world.run_until(5 * SECOND);
        world.line.delay *= 3;
        world.line.queue *= 3.0;
        world.run_until(20 * SECOND);
        let goodput = world.goodput(0, 17 * SECOND, 20 * SECOND) / mbit(50.0);
        assert!(goodput >= 0.8, "{goodput}");
    }
}

#[test]
fn a_path_taken_up_again_starts_near_what_it_carried() {
    let mut world = alone(line(50.0, 40, 1), 1);
    world.run_until(5 * SECOND);
    let origin = world.origin();
    let Control::Ours(model) = &mut world.flows[0].0.control else {
        unreachable!("it is ours");
    };
    let mut forgotten = model.clone();
    let carried = model.window();
    let at = |second| origin + Duration::from_secs(second);
    model.resume(at(40), at(5));
    assert!(model.window() >= carried * 6 / 10);
    forgotten.resume(at(70), at(5));
    assert_eq!(forgotten.window(), Model::initial_window(MTU as u16));
}
