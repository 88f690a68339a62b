//! Holding a path that works: asking it while it is idle, keeping a spare one open, and changing only for a clearly better one.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::Rng;

use super::{
    Context, Peer,
    path::{DirectPath, Doubt},
};
use crate::{
    PeerState,
    proto::{
        io::Pair,
        timing::{
            CHOOSING, CLEARLY_FASTER, DWELL, KEEPALIVE_CLEAN, KEEPALIVE_FLOOR, KEEPALIVE_JITTER,
            KEEPALIVE_RETRY, KEEPALIVES, LATE, SPARE_EVERY, V6_BIAS, WINS, WINS_SPAN,
        },
    },
    wire::probe::ProbeKind,
};

/// What is done about the path in use while nothing happens.
pub(super) struct Hold {
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

/// Another path that was better than ours.
struct Challenger {
    pair: Pair,
    wins: u32,
    first: Instant,
    last: Instant,
}

impl Default for Hold {
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

impl Hold {
    pub(super) fn next(&self) -> Option<Instant> {
        [self.next, self.spare].into_iter().flatten().min()
    }

    /// A path was chosen.
    pub(super) fn begin(&mut self, ctx: &mut Context<'_>) {
        self.unanswered = None;
        self.challenger = None;
        self.next = Some(ctx.now + self.drawn(ctx));
        self.spare = Some(ctx.now + jittered(ctx, SPARE_EVERY));
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
        if self.clean >= KEEPALIVE_CLEAN {
            let longer = KEEPALIVES.into_iter().find(|pause| *pause > self.pause);
            self.pause = longer.map_or(self.pause, |pause| pause.min(self.limit));
            self.clean = 0;
        }
        self.next = Some(ctx.now + self.drawn(ctx));
        if self.spare.is_none() {
            self.spare = Some(ctx.now + jittered(ctx, SPARE_EVERY));
        }
    }

    /// The path did not survive being idle for so long.
    fn adapt(&mut self, idle: Duration) {
        self.limit = self.limit.min(idle.mul_f64(0.6).max(KEEPALIVE_FLOOR));
        self.pause = self.pause.min(self.limit);
        self.clean = 0;
    }

    fn drawn(&self, ctx: &mut Context<'_>) -> Duration {
        jittered(ctx, self.pause).min(self.limit)
    }

    /// Whether another path of the same kind, just measured, is worth a change. At first whatever is clearly better is; then
    /// only one side chooses, and only a path that stays better.
    pub(super) fn is_worth_it(
        &mut self,
        now: Instant,
        path: &DirectPath,
        (pair, rtt): (Pair, Duration),
        chooses: bool,
    ) -> bool {
        let margin = CLEARLY_FASTER.max(path.rtt / 5);
        let better = cost(pair.addr, rtt) + margin < cost(path.pair.addr, path.rtt);
        let age = now.saturating_duration_since(path.since);
        if age < CHOOSING || !better {
            self.challenger
                .take_if(|challenger| challenger.pair == pair);
            return better;
        }
        if self
            .challenger
            .as_ref()
            .is_none_or(|known| known.pair != pair)
        {
            self.challenger = Some(Challenger {
                pair,
                wins: 0,
                first: now,
                last: now - WINS_SPAN / WINS,
            });
        }
        let Some(challenger) = self.challenger.as_mut() else {
            return false;
        };
        // Probes that leave together measure the same moment.
        if now.saturating_duration_since(challenger.last) >= WINS_SPAN / WINS {
            challenger.wins += 1;
            challenger.last = now;
        }
        let lasting = challenger.wins >= WINS && now - challenger.first >= WINS_SPAN;
        chooses && lasting && age >= DWELL
    }
}

impl Peer {
    pub(super) fn hold_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.state != PeerState::Direct {
            (self.hold.next, self.hold.spare) = (None, None);
            return;
        }
        if self.hold.next.is_some_and(|at| at <= ctx.now) {
            self.keep_alive(ctx);
        }
        if self.hold.spare.is_some_and(|at| at <= ctx.now) {
            self.hold.spare = Some(ctx.now + jittered(ctx, SPARE_EVERY));
            self.ask_spare(ctx);
        }
    }

    fn keep_alive(&mut self, ctx: &mut Context<'_>) {
        let (Some(path), Some(due)) = (&self.path, self.hold.next) else {
            return;
        };
        let heard = path.heard.max(path.asked).max(path.since);
        let lively = self.rounds.traffic.map_or(heard, |at| at.max(heard));
        let idle = ctx.now.saturating_duration_since(lively);
        let enough = if self.hold.unanswered.is_some() {
            KEEPALIVE_RETRY
        } else {
            self.hold.pause - KEEPALIVE_JITTER
        };
        if idle < enough {
            self.hold.unanswered = None;
            self.hold.next = Some(lively + self.hold.drawn(ctx));
            return;
        }
        let retry = KEEPALIVE_RETRY.max(path.rtt * 3);
        let unanswered = self
            .hold
            .unanswered
            .get_or_insert(Unanswered { idle, asked: 0 });
        // Late, we may have been too busy to look for the answer.
        if unanswered.asked >= 2 && ctx.now <= due + LATE {
            let idle = unanswered.idle;
            self.hold.adapt(idle);
            return self.suspect(ctx, Doubt::Silent);
        }
        unanswered.asked += 1;
        self.hold.next = Some(ctx.now + retry);
        self.ask(ctx, ProbeKind::InUse);
    }

    /// Asks the best of the paths that are not in use, and the one that is, to compare them.
    fn ask_spare(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &self.path else { return };
        let used = path.pair;
        if self.checks.ask_spare(ctx.now, used, |pair, rtt| {
            (!ctx.local.is_lan(pair.addr), cost(pair.addr, rtt))
        }) {
            self.ask(ctx, ProbeKind::InUse);
            self.checks_timeout(ctx);
        }
    }

    /// We are elsewhere now: nothing that was learnt of paths holds.
    pub(super) fn forget_paths(&mut self) {
        let default = Hold::default();
        (self.hold.pause, self.hold.limit) = (default.pause, default.limit);
        self.trials.forget();
    }
}

/// The round trip, with a handicap for IPv4.
fn cost(addr: SocketAddr, rtt: Duration) -> Duration {
    rtt + if addr.is_ipv4() {
        V6_BIAS
    } else {
        Duration::ZERO
    }
}

fn jittered(ctx: &mut Context<'_>, time: Duration) -> Duration {
    time - KEEPALIVE_JITTER + (KEEPALIVE_JITTER * 2).mul_f64(ctx.rng.random())
}
