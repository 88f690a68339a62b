//! Holding a path that works: asking it while it is idle, keeping a spare one open, and changing only for a clearly better one.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{Context, direct::DirectPath};
use crate::{
    io::Pair,
    timing::{
        CHOOSING, CLEARLY_FASTER, DWELL, KEEPALIVE_CLEAN, KEEPALIVE_FLOOR, KEEPALIVE_JITTER,
        KEEPALIVE_RETRY, KEEPALIVES, LATE, SPARE_EVERY, TOGETHER, V6_BIAS, WINS, WINS_SPAN,
    },
};

/// What is done about the path in use while nothing happens.
pub(super) struct Keepalive {
    /// How long the path may be idle before it is asked.
    pause: Duration,
    /// Never longer than this: mappings were seen to die.
    limit: Duration,
    /// Pauses of this length in a row that the path survived.
    clean: u32,
    /// When the path is asked, or looked at again.
    next: Option<Instant>,
    /// A keepalive without an answer.
    unanswered: Option<Unanswered>,
    /// When the spare path is asked.
    spare: Option<Instant>,
    challenger: Option<Challenger>,
}

struct Unanswered {
    /// How long the path had been idle.
    idle: Duration,
    asked: u32,
}

/// What the path in use needs.
pub(super) enum Care {
    Ask,
    /// It did not answer.
    Suspect,
}

/// Another path that was better than ours.
struct Challenger {
    pair: Pair,
    wins: u32,
    first: Instant,
    last: Option<Instant>,
}

/// A path and its round trip.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) pair: Pair,
    pub(super) rtt: Duration,
}

impl Measured {
    /// The round trip, with a handicap for IPv4.
    pub(super) fn cost(self) -> Duration {
        if self.pair.addr.is_ipv4() {
            self.rtt + V6_BIAS
        } else {
            self.rtt
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        let [pause, .., limit] = KEEPALIVES;
        Self {
            pause,
            limit,
            clean: 0,
            next: None,
            unanswered: None,
            spare: None,
            challenger: None,
        }
    }
}

impl Keepalive {
    pub(super) fn next(&self) -> Option<Instant> {
        [self.next, self.spare].into_iter().flatten().min()
    }

    /// A path was chosen.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_>) {
        (self.unanswered, self.challenger, self.spare) = (None, None, None);
        self.watch(ctx);
    }

    /// The path in use answered.
    pub(super) fn answered(&mut self, ctx: &mut Context<'_>) {
        if let Some(unanswered) = self.unanswered.take() {
            self.clean = if unanswered.asked == 1 {
                self.clean + 1
            } else {
                0
            };
        }
        self.lengthen();
        self.watch(ctx);
    }

    /// The peer asked on the path in use. That came through our own NAT after as long a silence of ours, and shows as much as an
    /// answer: the pauses of both sides grow together, so that one goes on asking.
    pub(super) fn heard(&mut self, now: Instant, path: &DirectPath, traffic: Option<Instant>) {
        let idle = now.saturating_duration_since(lively(path, traffic));
        if self.unanswered.is_none() && !path.is_suspect() && idle >= self.least() {
            self.clean += 1;
            self.lengthen();
        }
    }

    fn lengthen(&mut self) {
        if self.clean >= KEEPALIVE_CLEAN {
            let longer = KEEPALIVES.into_iter().find(|pause| *pause > self.pause);
            self.pause = longer.map_or(self.pause, |pause| pause.min(self.limit));
            self.clean = 0;
        }
    }

    /// The shortest time after which either side asks: early, at the last common moment, and there in the first batch.
    fn least(&self) -> Duration {
        self.pause - KEEPALIVE_JITTER - TOGETHER * 3
    }

    /// The path in use was just seen to work: the next look at it is some time off.
    pub(super) fn watch(&mut self, ctx: &mut Context<'_>) {
        self.next = Some(self.drawn(ctx, ctx.now));
        if self.spare.is_none() {
            self.spare = Some(drawn_spare(ctx));
        }
    }

    /// Says what the path in use needs now, if it is to be held.
    pub(super) fn handle_timeout(
        &mut self,
        ctx: &mut Context<'_>,
        path: Option<&DirectPath>,
        traffic: Option<Instant>,
    ) -> Option<Care> {
        let Some(path) = path else {
            (self.next, self.spare) = (None, None);
            return None;
        };
        let due = self.next.filter(|at| *at <= ctx.now)?;
        self.keep_alive(ctx, path, traffic, due)
    }

    fn keep_alive(
        &mut self,
        ctx: &mut Context<'_>,
        path: &DirectPath,
        traffic: Option<Instant>,
        due: Instant,
    ) -> Option<Care> {
        let lively = lively(path, traffic);
        let idle = ctx.now.saturating_duration_since(lively);
        let enough = if self.unanswered.is_some() {
            KEEPALIVE_RETRY
        } else {
            self.least()
        };
        if idle < enough {
            self.unanswered = None;
            self.next = Some(self.drawn(ctx, lively));
            return None;
        }
        let retry = KEEPALIVE_RETRY.max(path.rtt * 3);
        let unanswered = self.unanswered.get_or_insert(Unanswered { idle, asked: 0 });
        // Late, we may have been too busy to look for the answer.
        if unanswered.asked >= 2 && ctx.now <= due + LATE {
            let idle = unanswered.idle;
            self.adapt(idle);
            return Some(Care::Suspect);
        }
        unanswered.asked += 1;
        self.next = Some(ctx.now + retry);
        Some(Care::Ask)
    }

    /// Whether it is time to ask a spare path.
    pub(super) fn take_spare(&mut self, ctx: &mut Context<'_>) -> bool {
        let is_due = self.spare.is_some_and(|at| at <= ctx.now);
        if is_due {
            self.spare = Some(drawn_spare(ctx));
        }
        is_due
    }

    /// We are elsewhere now: how long mappings lived there does not count.
    pub(super) fn forget(&mut self) {
        let [pause, .., limit] = KEEPALIVES;
        (self.pause, self.limit) = (pause, limit);
    }

    /// The path did not survive being idle for so long.
    fn adapt(&mut self, idle: Duration) {
        self.limit = self.limit.min(idle.mul_f64(0.6).max(KEEPALIVE_FLOOR));
        self.pause = self.pause.min(self.limit);
        self.clean = 0;
    }

    /// When a path is asked that has been idle since then.
    fn drawn(&self, ctx: &mut Context<'_>, since: Instant) -> Instant {
        let pause = if ctx.is_crowded {
            self.pause - KEEPALIVE_JITTER - TOGETHER
        } else {
            jittered(ctx, self.pause).min(self.limit)
        };
        ctx.together.join(ctx.now, since + pause)
    }

    /// Whether another path of the same kind, just measured, is worth leaving the one that is in use since then. At first
    /// whatever is clearly better is; then only one side chooses, and only a path that stays better.
    pub(super) fn is_worth_it(
        &mut self,
        now: Instant,
        (used, since): (Measured, Instant),
        other: Measured,
        chooses: bool,
    ) -> bool {
        let margin = CLEARLY_FASTER.max(used.rtt / 5);
        let better = other.cost() + margin < used.cost();
        let age = now.saturating_duration_since(since);
        if age < CHOOSING || !better {
            self.challenger
                .take_if(|challenger| challenger.pair == other.pair);
            return better;
        }
        let fresh = Challenger {
            pair: other.pair,
            wins: 0,
            first: now,
            last: None,
        };
        let known = self.challenger.take();
        let mut challenger = known
            .filter(|known| known.pair == other.pair)
            .unwrap_or(fresh);
        // Probes that leave together measure the same moment.
        let distinct = |last| now.saturating_duration_since(last) >= WINS_SPAN / WINS;
        if challenger.last.is_none_or(distinct) {
            challenger.wins += 1;
            challenger.last = Some(now);
        }
        let span = now.saturating_duration_since(challenger.first);
        let lasting = challenger.wins >= WINS && span >= WINS_SPAN;
        self.challenger = Some(challenger);
        chooses && lasting && age >= DWELL
    }
}

/// When something last went over the path, as far as we know.
fn lively(path: &DirectPath, traffic: Option<Instant>) -> Instant {
    let heard = path.heard.max(path.asked).max(path.since);
    traffic.map_or(heard, |at| at.max(heard))
}

fn drawn_spare(ctx: &mut Context<'_>) -> Instant {
    let pause = jittered(ctx, SPARE_EVERY);
    ctx.together.join(ctx.now, ctx.now + pause)
}

fn jittered(ctx: &mut Context<'_>, time: Duration) -> Duration {
    time - KEEPALIVE_JITTER + (KEEPALIVE_JITTER * 2).mul_f64(ctx.rng.random())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::direct::Doubt;

    const PACE: Duration = Duration::from_secs(25);

    fn path(addr: &str, rtt_ms: u64) -> Measured {
        Measured {
            pair: Pair::main(addr.parse().unwrap()),
            rtt: Duration::from_millis(rtt_ms),
        }
    }

    /// After how many measurements another path is taken, if ever.
    fn wins(used: Measured, other: impl Fn(u64) -> Measured, chooses: bool) -> Option<u64> {
        let (mut hold, start) = (Keepalive::default(), epoch());
        (1..1000).find(|number| {
            let now = start + PACE * *number as u32;
            hold.is_worth_it(now, (used, start), other(*number), chooses)
        })
    }

    #[test]
    fn a_path_is_taken_that_stays_clearly_faster_and_only_by_the_side_that_chooses() {
        let (used, faster) = (path("192.0.2.1:4", 50), path("192.0.2.2:4", 35));
        assert_eq!(wins(used, |_| faster, true), Some(3));
        assert_eq!(wins(used, |_| faster, false), None);
        assert_eq!(wins(used, |_| path("192.0.2.2:4", 41), true), None);
    }

    #[test]
    fn a_path_that_is_faster_only_now_and_then_is_not_taken() {
        let used = path("192.0.2.1:4", 50);
        let moody = |number| path("192.0.2.2:4", if number % 3 == 0 { 50 } else { 20 });
        assert_eq!(wins(used, moody, true), None);
    }

    #[test]
    fn ipv6_may_be_a_little_slower() {
        let (four, six) = (path("192.0.2.1:4", 50), path("[2001:db8::1]:4", 45));
        assert_eq!(wins(four, |_| six, true), Some(3));
        assert_eq!(wins(six, |_| path("192.0.2.1:4", 30), true), None);
    }

    #[test]
    fn at_first_what_is_clearly_faster_is_taken_by_both_at_once() {
        let (mut hold, start) = (Keepalive::default(), epoch());
        let (used, faster) = (path("192.0.2.1:4", 50), path("192.0.2.2:4", 35));
        let soon = start + CHOOSING / 2;
        assert!(hold.is_worth_it(soon, (used, start), faster, false));
        assert!(!hold.is_worth_it(start + CHOOSING, (used, start), faster, true));
    }

    #[test]
    fn a_pause_that_a_mapping_did_not_survive_is_never_tried_again() {
        let mut hold = Keepalive::default();
        hold.adapt(Duration::from_secs(20));
        assert_eq!(hold.pause, Duration::from_secs(12));
        hold.adapt(Duration::from_secs(12));
        assert_eq!((hold.pause, hold.limit), (KEEPALIVE_FLOOR, KEEPALIVE_FLOOR));
    }

    #[test]
    fn questions_heard_after_a_pause_prove_it_as_answers_do() {
        let mut hold = Keepalive::default();
        let mut path = DirectPath::new(epoch(), path("192.0.2.1:4", 50).pair, PACE);
        let mut ask = |hold: &mut Keepalive, pause: u64| {
            let now = path.asked + Duration::from_secs(pause);
            hold.heard(now, &path, None);
            path.asked = now;
            hold.pause.as_secs()
        };
        assert_eq!([9; 9].map(|short| ask(&mut hold, short)), [15; 9]);
        assert_eq!([13; 3].map(|pause| ask(&mut hold, pause)), [15, 15, 20]);
        assert_eq!([13; 9].map(|short| ask(&mut hold, short)), [20; 9]);
        assert_eq!([18; 3].map(|pause| ask(&mut hold, pause)), [20, 20, 25]);
        hold.adapt(PACE);
        assert_eq!([18; 9].map(|pause| ask(&mut hold, pause)), [15; 9]);
    }

    #[test]
    fn a_question_heard_proves_nothing_where_we_asked_ourselves_or_sent_data() {
        let mut hold = Keepalive::default();
        let start = epoch();
        let mut path = DirectPath::new(start, path("192.0.2.1:4", 50).pair, PACE);
        let (sent, heard) = (start + PACE - Duration::from_secs(5), start + PACE);
        hold.heard(heard, &path, Some(sent));
        assert_eq!(hold.clean, 0);
        let idle = PACE;
        hold.unanswered = Some(Unanswered { idle, asked: 1 });
        hold.heard(heard, &path, None);
        assert_eq!(hold.clean, 0);
        hold.unanswered = None;
        path.suspect(heard, Doubt::Silent);
        hold.heard(heard, &path, None);
        assert_eq!(hold.clean, 0);
        path.trust();
        hold.heard(heard, &path, None);
        assert_eq!(hold.clean, 1);
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}
