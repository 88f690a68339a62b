//! The user says of a pair what is to be done with it.

use std::{net::SocketAddr, time::Duration};

use super::{Context, Peer, choice::Due};
use crate::{
    EventKind, PairAction,
    io::{Output, Pair},
    timing::{DEAD_AFTER, TCP_DEAD_AFTER},
};

impl Peer {
    /// Does this with a pair, which is named as snapshots name it.
    pub(crate) fn choose(
        &mut self,
        ctx: &mut Context<'_>,
        (remote, tcp): (SocketAddr, bool),
        action: PairAction,
    ) {
        let Some(pair) = self.named(remote, tcp) else {
            return;
        };
        match action {
            PairAction::Force => self.force(ctx, pair),
            PairAction::Release if self.demand.choice.is_forced(pair) => {
                self.demand.choice.release();
            }
            PairAction::Release | PairAction::Unknown => {}
        }
    }

    /// The pair in use if it is that, else the one of these that answers fastest: there may be several of one address, from
    /// different sockets.
    fn named(&self, remote: SocketAddr, tcp: bool) -> Option<Pair> {
        let is_meant = |pair: &Pair| pair.addr == remote && pair.sock.is_tcp() == tcp;
        let used = self.state.path().map(|path| path.pair);
        let listed = self.checks.seen().filter(|seen| is_meant(&seen.pair));
        let best = listed.min_by_key(|seen| (seen.rtt.is_none(), seen.rtt));
        used.filter(is_meant).or(best.map(|seen| seen.pair))
    }

    /// Has the data go by this pair as soon as that answers, and until it dies.
    fn force(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        let patience = if pair.sock.is_tcp() {
            TCP_DEAD_AFTER
        } else {
            DEAD_AFTER
        };
        self.demand.choice.force(pair, ctx.now + patience);
        if self.state.path().is_some_and(|path| path.pair == pair) {
            return self.demand.choice.took(ctx.now, pair);
        }
        self.checks.wake(ctx.now, pair);
        self.send_checks(ctx);
    }

    /// Gives up a forced pair that does not answer, and asks the one that carries the data.
    pub(super) fn choice_timeout(&mut self, ctx: &mut Context<'_>) {
        match self.demand.choice.take_due(ctx.now) {
            None => {}
            Some(Due::Unanswered(pair)) => self.tell_released(ctx, pair),
            Some(Due::Look) => {
                let heard = self.state.path().map(|path| path.heard);
                if let Some(heard) = heard.filter(|_| self.rounds.in_use(ctx.now)) {
                    self.on_silence(ctx, heard, ctx.now, Duration::ZERO);
                }
            }
        }
    }

    /// Tells that a pair is forced no more, as it is silent; those that answered before are asked again.
    pub(super) fn tell_released(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        ctx.out.push_back(Output::Event(EventKind::PairReleased {
            peer: self.id,
            remote: pair.addr,
        }));
        if self.state.path().is_none() {
            self.checks.wake_proven(ctx.now);
            self.send_checks(ctx);
        }
    }
}
