//! From phase to phase: what the end of each round trip decides.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Model,
    contest::Contest,
    phase::{Phase, PhaseKind},
    rate::Sample,
    rounds::Round,
    window::SLACK,
};

/// Startup ends when the rate grew by less than this in as many rounds (draft-ietf-ccwg-bbr section 5.3.1.2).
const STARTUP_GROWTH: f64 = 1.25;
const STARTUP_FLAT_ROUNDS: u64 = 3;
/// Up goes on for as long as the rate grows by this.
const UP_GROWTH: f64 = 1.1;
const UP_FLAT_ROUNDS: u64 = 2;
/// Cruise that lost more is looked into by the Down after it.
const NOTABLE_LOSS: f64 = 0.01;
/// Even an explained loss is looked into once in so many cycles.
const MEASURE_EVERY: u64 = 4;
/// Rounds of a Down that only makes room, and of one that measures.
const SHORT_DOWN: u64 = 3;
const LONG_DOWN: u64 = 6;
const LONGEST_DOWN: u64 = 12;
/// Seconds that Cruise lasts, and rounds in which Reno would have grown as far (draft-ietf-ccwg-bbr section 5.3.3.8).
const CRUISE_SECS: std::ops::Range<f64> = 2.0..3.0;
const CRUISE_ROUNDS: f64 = 63.0;
/// Cruise lasts up to so many times longer where trying more was in vain.
const MAX_LONGER: u32 = 3;
/// Rounds of a long queue after which it is asked whose it is.
const DEEP_ROUNDS: u64 = 3;
/// A line without a queue is not believed to have lost more than this at once.
const MAX_CUT: f64 = 0.7;
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);

impl Model {
    pub(super) fn enter(&mut self, kind: PhaseKind, now: Instant) {
        match kind {
            PhaseKind::Down { .. } => {
                self.max_bw.begin_cycle();
                self.cycle += 1;
                let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.cycle));
                self.cruise = Duration::from_secs_f64(rng.random_range(CRUISE_SECS));
            }
            PhaseKind::ProbeRtt { .. } => self.min_rtt.begin_probe(),
            PhaseKind::Startup | PhaseKind::Cruise | PhaseKind::Refill | PhaseKind::Up => {}
        }
        self.phase = Phase::new(kind, now, self.max_bw.get());
    }

    /// Whether the round under way lost so much that its end need not be waited for.
    pub(super) fn is_overrun(&self) -> bool {
        let lost = self.rounds.current().lost;
        lost >= 10 * self.mtu && lost as f64 > 0.2 * self.window as f64
    }

    pub(super) fn end_of_round(&mut self, now: Instant, round: &Round, sample: &Sample) {
        let delivered = self.sampler.delivered();
        self.phase.end_of_round(now, delivered, self.is_deep(round));
        let rate = sample.rate.unwrap_or_else(|| self.max_bw.get());
        match self.phase.kind {
            PhaseKind::Startup => self.startup(now, round, sample.app_limited),
            PhaseKind::Down { measure, whose } => self.down(now, round, rate, (measure, whose)),
            PhaseKind::Cruise if self.contest.is_some() => self.compete(now, round),
            PhaseKind::Cruise => self.cruise(now, round, rate, sample.app_limited),
            PhaseKind::Refill => self.enter(PhaseKind::Up, now),
            PhaseKind::Up => self.up(now, round, rate),
            PhaseKind::ProbeRtt { .. } => {}
        }
    }

    fn startup(&mut self, now: Instant, round: &Round, app_limited: bool) {
        let bw = self.max_bw.get();
        let flat = !app_limited && self.phase.is_flat(bw, STARTUP_GROWTH, STARTUP_FLAT_ROUNDS);
        let congested = self.is_congested(round) && self.phase.rounds > 4;
        if flat || congested {
            self.make_room(now, round.loss());
        }
    }

    /// Goes Down; what was lost before is looked into if it is notable.
    fn make_room(&mut self, now: Instant, loss: f64) {
        self.loss_before = loss;
        let is_due = loss > NOTABLE_LOSS && self.cycle.is_multiple_of(MEASURE_EVERY);
        let measure = is_due || loss > self.notable_loss();
        self.enter(
            PhaseKind::Down {
                measure,
                whose: None,
            },
            now,
        );
    }

    /// What was lost beyond this asks for an explanation.
    fn notable_loss(&self) -> f64 {
        self.floor.get() * 1.3 + NOTABLE_LOSS
    }

    fn down(
        &mut self,
        now: Instant,
        round: &Round,
        rate: f64,
        (measure, whose): (bool, Option<u64>),
    ) {
        if self.phase.rounds >= 2 && self.floor.is_heavy(round, self.mtu) {
            self.cut(rate, round);
            self.enter(
                PhaseKind::Down {
                    measure: true,
                    whose,
                },
                now,
            );
            return;
        }
        let ample = self.phase.tally.is_ample(self.mtu);
        let is_over = if measure {
            self.phase.rounds >= LONG_DOWN && ample || self.phase.rounds >= LONGEST_DOWN
        } else {
            let is_empty = self.sampler.in_flight() as f64 <= 0.95 * self.bdp() && whose.is_none();
            is_empty || self.phase.rounds >= SHORT_DOWN
        };
        if !is_over {
            return;
        }
        if let Some(window) = whose {
            self.contest = self.is_deep(round).then(|| {
                let packets = window as f64 / self.mtu as f64;
                self.contest
                    .take()
                    .unwrap_or_else(|| Contest::new(now, packets))
            });
        }
        if measure && ample && !self.is_queued(round) {
            let tally = self.phase.tally;
            if tally.is_less_than(self.loss_before, self.mtu) && tally.loss() > NOTABLE_LOSS {
                let mean = self.mean_bw(now).unwrap_or(rate);
                self.max_bw.set(mean.min(self.max_bw.get()));
                self.make_room(now, tally.loss());
                return;
            }
            self.floor.learn(tally.loss());
        }
        self.enter(PhaseKind::Cruise, now);
    }

    fn cruise(&mut self, now: Instant, round: &Round, rate: f64, app_limited: bool) {
        let loss = self.phase.tally.loss();
        if self.is_congested(round) {
            if !app_limited {
                let mean = self.mean_bw(now).unwrap_or(rate);
                self.cut(mean, round);
            }
            self.overshoots = if self.is_queued(round) {
                0
            } else {
                self.overshoots.max(1)
            };
            self.make_room(now, loss.max(round.loss()));
        } else if self.phase.queued >= DEEP_ROUNDS && !app_limited {
            let whose = Some(self.window);
            self.max_bw.set(rate.min(self.max_bw.get()));
            self.enter(
                PhaseKind::Down {
                    measure: false,
                    whose,
                },
                now,
            );
        } else if self.is_cruise_over(now) {
            self.loss_before = loss;
            if loss > self.notable_loss() {
                let mean = self.mean_bw(now).filter(|_| !app_limited);
                self.max_bw.set(mean.unwrap_or_else(|| self.max_bw.get()));
            } else if self.phase.tally.is_ample(self.mtu) {
                self.floor.limit(loss);
            }
            self.enter(PhaseKind::Refill, now);
        }
    }

    fn is_cruise_over(&self, now: Instant) -> bool {
        let rounds = (self.bdp() / self.mtu as f64).clamp(4.0, CRUISE_ROUNDS);
        let longer = self.overshoots.clamp(1, MAX_LONGER);
        now >= self.phase.began_at + longer * self.cruise
            || self.phase.rounds as f64 >= f64::from(longer) * rounds
    }

    fn compete(&mut self, now: Instant, round: &Round) {
        let count = self.rounds.count();
        let lost = round.marked || round.loss() > 2.0 * self.floor.get() + NOTABLE_LOSS;
        if let Some(contest) = &mut self.contest {
            if lost {
                contest.shrink(now, count);
            } else {
                contest.grow(now, round.rtt);
            }
        }
        if now >= self.phase.began_at + 2 * self.cruise {
            let whose = Some(self.window);
            self.enter(
                PhaseKind::Down {
                    measure: false,
                    whose,
                },
                now,
            );
        }
    }

    fn up(&mut self, now: Instant, round: &Round, rate: f64) {
        let bw = self.max_bw.get();
        let flat = self.phase.is_flat(bw, UP_GROWTH, UP_FLAT_ROUNDS);
        if self.is_congested(round) {
            self.overshoots = if self.is_queued(round) {
                0
            } else {
                self.overshoots + 1
            };
            self.cut(rate, round);
            self.make_room(now, round.loss().max(self.loss_before));
        } else if self.is_deep(round) || flat && (self.overshoots == 0 || self.phase.rounds >= 5) {
            self.overshoots = 0;
            self.slack = self.slack.mul_f64(1.25).min(SLACK);
            self.make_room(now, self.loss_before);
        }
    }

    /// The path was full and gave just `rate`.
    fn cut(&mut self, rate: f64, round: &Round) {
        let bw = self.max_bw.get();
        let least = if self.is_queued(round) {
            0.0
        } else {
            MAX_CUT * bw
        };
        self.max_bw.set(rate.clamp(least, bw.max(least)));
        let min = self.min_rtt.get().unwrap_or_default();
        self.slack = self.slack.mul_f64(MAX_CUT).max(min.min(SLACK));
    }

    fn mean_bw(&self, now: Instant) -> Option<f64> {
        let shortest = self.min_rtt.get()? * 2;
        self.phase.mean_bw(now, self.sampler.delivered(), shortest)
    }

    fn is_congested(&self, round: &Round) -> bool {
        let exceeded = self.phase.kind != PhaseKind::Startup
            && self.floor.is_exceeded(&self.phase.tally, self.mtu);
        exceeded
            || self
                .floor
                .is_congested(round, self.is_queued(round), self.mtu)
    }

    /// Whether there was a queue at all times of a round.
    fn is_queued(&self, round: &Round) -> bool {
        let limit = |min: Duration| min + (min / 8).max(Duration::from_millis(4));
        self.min_rtt.get().is_some_and(|min| round.rtt > limit(min))
    }

    /// Whether it was a long one.
    fn is_deep(&self, round: &Round) -> bool {
        let limit = |min: Duration| min + min / 4 + Duration::from_millis(4);
        self.min_rtt
            .base()
            .is_some_and(|base| round.rtt > limit(base))
    }

    /// Begins and ends ProbeRTT, which does not wait for the end of a round.
    pub(super) fn probe_rtt(&mut self, now: Instant) {
        match self.phase.kind {
            PhaseKind::ProbeRtt { until: None } => {
                let few = 0.5 * self.bdp() + (4 * self.mtu) as f64;
                if self.sampler.in_flight() as f64 <= few {
                    let until = Some(now + PROBE_RTT_TIME);
                    self.phase.kind = PhaseKind::ProbeRtt { until };
                }
            }
            PhaseKind::ProbeRtt { until: Some(until) } if now >= until => {
                self.min_rtt.end_probe(now);
                self.make_room(now, self.loss_before);
            }
            PhaseKind::Startup | PhaseKind::ProbeRtt { .. } => {}
            PhaseKind::Down { .. } | PhaseKind::Cruise | PhaseKind::Refill | PhaseKind::Up => {
                if self.min_rtt.is_stale(now) {
                    self.enter(PhaseKind::ProbeRtt { until: None }, now);
                }
            }
        }
    }
}
