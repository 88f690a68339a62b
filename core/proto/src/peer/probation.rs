//! Addresses that died: each has to answer for a while before it is taken again, and for longer each time it dies.
//!
//! So a link is back on a path soon after that path works again, and leaves one alone that keeps breaking.

use std::time::{Duration, Instant};

use rand::Rng;

use super::Context;
use crate::{
    io::{Pair, Sock},
    timing::{
        FORGIVEN, PROBATION, PROBATION_ANSWERS, PROBATION_FOR, PROBATION_GAP, PROBATION_MAX,
        PROBATION_REST, ROUND,
    },
};

/// Dead addresses that are remembered per peer.
const MAX_PROBATIONS: usize = 16;

/// What is known of the addresses that died.
#[derive(Default)]
pub(super) struct Probations(Vec<Probation>);

struct Probation {
    pair: Pair,
    /// Until when it is asked though nothing is answered.
    hope: Instant,
    rtt: Duration,
    /// For how long it has to answer.
    length: Duration,
    /// Whether it died while small packets got through, which a fresh port does not change.
    narrow: bool,
    /// Since when it has answered every question, and how many.
    answering: Option<(Instant, u32)>,
    /// The question that waits for an answer.
    pending: Option<(u64, Instant)>,
    /// When it is asked again; none when it had its time.
    next: Option<Instant>,
}

/// What is to be done about addresses on probation.
#[derive(Default)]
pub(super) struct Due {
    /// Addresses to ask, and the transaction ids of the questions.
    pub(super) questions: Vec<(Pair, u64)>,
    /// Whether the time of one is over.
    pub(super) over: bool,
}

/// How an address died.
pub(super) struct Death {
    pub(super) pair: Pair,
    /// For how long it had been in use.
    pub(super) held: Duration,
    pub(super) rtt: Duration,
    /// Small packets still got through.
    pub(super) narrow: bool,
}

impl Probations {
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().filter_map(|probation| probation.next).min()
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.0)
    }

    /// Says whom to ask now; nobody unless the link is `wanted`, and in use.
    pub(super) fn handle_timeout(&mut self, ctx: &mut Context<'_>, wanted: bool) -> Due {
        let mut due = Due::default();
        for probation in &mut self.0 {
            if probation.next.is_none_or(|at| at > ctx.now) {
                continue;
            }
            if probation.pending.take().is_some() || !wanted {
                probation.answering = None;
            }
            let hopeful = probation.answering.is_some() || ctx.now < probation.hope;
            probation.next = hopeful.then_some(ctx.now + PROBATION_GAP.max(probation.rtt * 2));
            due.over |= probation.next.is_none();
            if wanted && probation.next.is_some() && ctx.budget.take(ctx.now) {
                let tx = ctx.rng.random();
                probation.pending = Some((tx, ctx.now));
                due.questions.push((probation.pair, tx));
            }
        }
        due
    }

    /// The round trip, if this answers a question to an address that died. Only answers that are `full` count.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        source: Pair,
        tx: u64,
        full: bool,
    ) -> Option<Duration> {
        let full = full || source.sock.is_tcp();
        let mut asked = self
            .0
            .iter_mut()
            .filter(|probation| full && probation.pair == source);
        let pending =
            asked.find_map(|probation| probation.pending.take_if(|(pending, _)| *pending == tx));
        pending.map(|(_, sent)| now.saturating_duration_since(sent))
    }

    /// Whether an address on probation can only be asked from this socket.
    pub(super) fn needs(&self, sock: Sock) -> bool {
        let on_probation =
            |probation: &Probation| probation.next.is_some() && probation.pair.sock == sock;
        self.0.iter().any(on_probation)
    }

    /// Nothing of the others was learnt.
    pub(super) fn retain(&mut self, is_kept: impl Fn(Pair) -> bool) {
        self.0.retain(|probation| is_kept(probation.pair));
    }

    /// We are elsewhere now: nothing of what was learnt holds.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// An address died.
    pub(super) fn begin(&mut self, now: Instant, death: Death) {
        let pair = death.pair;
        // A fresh port does not make the way to the address any better.
        let same_way = |probation: &&Probation| probation.pair.addr.ip() == pair.addr.ip();
        let before = self
            .0
            .iter()
            .filter(same_way)
            .map(|probation| probation.length)
            .max();
        let length = before
            .filter(|length| death.held < FORGIVEN.max(*length * 4))
            .map_or(PROBATION, |length| (length * 2).min(PROBATION_MAX));
        self.open(Probation {
            length,
            next: Some(now + PROBATION_GAP),
            ..Probation::new(now, &death)
        });
    }

    fn open(&mut self, probation: Probation) {
        self.0.retain(|known| known.pair != probation.pair);
        if self.0.len() >= MAX_PROBATIONS {
            self.0.remove(0);
        }
        self.0.push(probation);
    }

    /// How much longer the first of those that answer again have to do so.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let ends = self.0.iter().filter_map(|probation| {
            probation.next?;
            let (since, _) = probation.answering?;
            Some((since + probation.length).saturating_duration_since(now))
        });
        ends.min()
    }

    /// Whether an address may be taken, now that it answered: it never died, or it served its probation. Only answers that are
    /// `full` count, and an address is tried at once if small packets are all that got through to its computer by another port.
    pub(super) fn passes(&mut self, now: Instant, pair: Pair, rtt: Duration, full: bool) -> bool {
        let narrow =
            |probation: &Probation| probation.narrow && probation.pair.addr.ip() == pair.addr.ip();
        let Some(probation) = self.0.iter_mut().find(|probation| probation.pair == pair) else {
            if full || pair.sock.is_tcp() || !self.0.iter().any(narrow) {
                return true;
            }
            let death = Death {
                pair,
                held: Duration::ZERO,
                rtt,
                narrow: true,
            };
            self.open(Probation::new(now, &death));
            return false;
        };
        let (since, answers) = probation.answering.get_or_insert((now, 0));
        *answers += u32::from(full);
        probation.hope = probation.hope.max(now + ROUND);
        if now.saturating_duration_since(*since) >= probation.length
            && *answers >= PROBATION_ANSWERS
        {
            (probation.pending, probation.next) = (None, None);
            return true;
        }
        if full {
            probation.next = Some(now + (probation.length / PROBATION_ANSWERS).min(PROBATION_REST));
        } else {
            probation.next.get_or_insert(now);
        }
        false
    }
}

impl Probation {
    fn new(now: Instant, death: &Death) -> Self {
        Self {
            pair: death.pair,
            hope: now + PROBATION_FOR,
            rtt: death.rtt,
            length: PROBATION,
            narrow: death.narrow,
            answering: None,
            pending: None,
            next: Some(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(100);

    fn pair() -> Pair {
        Pair::main("192.0.2.1:4".parse().unwrap())
    }

    fn died(held: Duration) -> Death {
        Death {
            pair: pair(),
            held,
            rtt: PACE,
            narrow: false,
        }
    }

    /// How long an address that answers all the time has to wait.
    fn served(probations: &mut Probations, from: Instant) -> Duration {
        let mut now = from;
        while !probations.passes(now, pair(), PACE, true) {
            now += PACE;
            assert!(now < from + PROBATION_MAX * 2);
        }
        now - from
    }

    #[test]
    fn an_address_that_dies_again_and_again_has_to_answer_for_longer_each_time() {
        let mut now = epoch();
        let mut probations = Probations::default();
        assert!(probations.passes(now, pair(), PACE, true), "it never died");
        let mut last = Duration::ZERO;
        for _ in 0..6 {
            probations.begin(now, died(Duration::from_secs(3)));
            let served = served(&mut probations, now);
            assert!(served >= last * 2 && served >= PROBATION, "{served:?}");
            now += served + Duration::from_secs(3);
            last = served;
        }
        probations.begin(now, died(FORGIVEN.max(last * 5)));
        assert!(
            served(&mut probations, now) < PROBATION * 2,
            "it had held for long"
        );
    }

    #[test]
    fn what_was_learnt_elsewhere_does_not_count() {
        let now = epoch();
        let mut probations = Probations::default();
        probations.begin(now, died(Duration::ZERO));
        assert!(!probations.passes(now, pair(), PACE, true));
        probations.forget();
        assert!(probations.passes(now, pair(), PACE, true));
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn epoch() -> Instant {
        Instant::now()
    }
}
