//! The user says of a pair what is to be done with it.

use std::{net::SocketAddr, time::Duration};

use super::{
    Context, Peer,
    choice::{Dropped, Due},
    keepalive::Measured,
};
use crate::{
    EventKind, PairAction, PairKind,
    io::{Output, Pair},
    timing::{DEAD_AFTER, TCP_DEAD_AFTER},
    wire::probe::ProbeKind,
};

impl Peer {
    /// Does this with a pair, which is named as snapshots name it. Returns whether no path is left by that.
    pub(super) fn choose(
        &mut self,
        ctx: &mut Context<'_>,
        (remote, tcp): (SocketAddr, bool),
        action: PairAction,
    ) -> bool {
        let Some(pair) = self.named(remote, tcp) else {
            return false;
        };
        match action {
            PairAction::Probe => self.probe(ctx, pair),
            PairAction::Force => self.force(ctx, pair),
            PairAction::Release if self.demand.choice.is_forced(pair) => {
                self.demand.choice.release();
            }
            PairAction::Drop => return self.drop_pair(ctx, pair),
            PairAction::Release | PairAction::Unknown => {}
        }
        false
    }

    /// Has the pair back, or all of them, that was dropped, and lists it to be asked. Returns whether there is one.
    pub(super) fn restore(
        &mut self,
        ctx: &mut Context<'_>,
        named: Option<(SocketAddr, bool)>,
    ) -> bool {
        let restored = self.demand.choice.restore(named);
        for dropped in &restored {
            self.list_again(ctx, dropped.addr, dropped.tcp);
        }
        if !restored.is_empty() {
            self.send_checks(ctx);
        }
        !restored.is_empty()
    }

    /// Lists an address to be asked; a TCP connection that was closed is dialled when it is time for that.
    fn list_again(&mut self, ctx: &Context<'_>, addr: SocketAddr, tcp: bool) {
        if !tcp && !self.demand.keeps_to_relays(ctx.local) {
            let attested = self.contact.attested_ips();
            self.checks.list(ctx.now, Pair::main(addr), &attested);
        }
    }

    fn probe(&mut self, ctx: &mut Context<'_>, pair: Pair) {
        if self.state.path().is_some_and(|path| path.pair == pair) {
            return self.ask(ctx, ProbeKind::Request);
        }
        self.checks.wake(ctx.now, pair);
        self.send_checks(ctx);
    }

    /// Leaves all pairs of this address alone. If one of them carries the data, the best of those that answered before does so from
    /// now on. Returns whether there is none.
    fn drop_pair(&mut self, ctx: &mut Context<'_>, pair: Pair) -> bool {
        let (addr, tcp) = (pair.addr, pair.sock.is_tcp());
        let listed = self.pairs(ctx.local, ctx.now).into_iter();
        let mut listed = listed.filter(|it| (it.remote, it.is_tcp()) == (addr, tcp));
        let kind = listed.next().map_or(PairKind::Named, |it| it.kind);
        self.demand.choice.drop_pair(Dropped { addr, tcp, kind });
        let choice = &self.demand.choice;
        self.checks.retain(|it| !choice.is_dropped(it));
        self.history.probations.retain(|it| !choice.is_dropped(it));
        let open = self.tcp_pairs.open().to_vec();
        let is_used = self
            .state
            .path()
            .is_some_and(|path| self.demand.choice.is_dropped(path.pair));
        if is_used {
            self.state.take_path();
            self.history.lifetimes.interrupted();
        }
        for it in open {
            if self.demand.choice.is_dropped(it) {
                self.drop_tcp(ctx, it);
            }
        }
        if !is_used {
            return false;
        }
        let best = self.checks.best(|pair, rtt| {
            let local = ctx.local.is_lan(pair.addr);
            (pair.sock.is_tcp(), !local, Measured { pair, rtt }.cost())
        });
        match best {
            Some((pair, rtt)) => {
                self.select(ctx, pair, rtt);
                // Has the peer, whose data still comes from there, ask and be left without an answer.
                self.ask(ctx, ProbeKind::NotReceiving);
            }
            None => return true,
        }
        false
    }

    /// The pair in use if it is that, else the one of these that answers fastest: there may be several of one address, from
    /// different sockets.
    fn named(&self, remote: SocketAddr, tcp: bool) -> Option<Pair> {
        let is_meant = |pair: &Pair| pair.addr == remote && pair.sock.is_tcp() == tcp;
        let used = self.state.path().map(|path| path.pair);
        let listed = self.checks.seen().filter(|seen| is_meant(&seen.pair));
        let best = listed.min_by_key(|seen| (seen.rtt.is_none(), seen.rtt));
        used.filter(is_meant).or_else(|| best.map(|seen| seen.pair))
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
