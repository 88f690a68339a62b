//! Guessing ports: when it is done, and what is done for it.

use std::net::SocketAddr;

use super::{
    Context, Peer,
    guess::{Act, End, There},
};
use crate::{
    io::Sock,
    plan::{Plan, plan},
    wire::{
        probe::ProbeKind,
        sealed::{Control, PunchOrder},
    },
};

impl Peer {
    /// Begins to open holes if that is our part and the time has come; after a moment, if there may be an easier way.
    pub(super) fn consider_guessing(&mut self, ctx: &mut Context<'_>) {
        let ours = matches!(self.plan(ctx), Plan::Open | Plan::Meet);
        if ours && self.state.path().is_none() && !self.guess.is_on() && self.may_guess(ctx) {
            let easier = self.has_easier_way(ctx);
            self.guess.plan(ctx.now, ctx.local, easier);
            self.guess_timeout(ctx);
        }
    }

    /// As [`Self::consider_guessing`], when more is known of either NAT than at the start of the round.
    pub(super) fn reconsider_guessing(&mut self, ctx: &mut Context<'_>) {
        if self.state.lacks_path() && self.guess.is_untried() {
            self.consider_guessing(ctx);
        }
    }

    /// Our NAT was measured: the peer wants to know what it is up against.
    pub(crate) fn on_nat(&mut self, ctx: &mut Context<'_>) {
        if !self.state.is_idle() {
            self.send_update(ctx, Vec::new());
            self.reconsider_guessing(ctx);
        }
    }

    pub(super) fn guess_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.guess.take_start(ctx.now) && self.state.lacks_path() {
            self.start_opening(ctx);
        }
        let there = self.there(ctx);
        let acts = self.guess.handle_timeout(ctx, &there);
        self.act(ctx, acts);
    }

    /// The sockets for holes are there, or some of them. Returns whether it was this link that asked for these.
    pub(crate) fn on_holes(&mut self, ctx: &mut Context<'_>, first: Sock, count: u16) -> bool {
        let there = self.there(ctx);
        let acts = self.guess.on_sockets(ctx, &there, (first, count));
        let asked = acts.is_some();
        self.act(ctx, acts.unwrap_or_default());
        asked
    }

    /// A relay sees one of our sockets there, which tells where the NAT's count stands.
    pub(crate) fn on_count(&mut self, ctx: &mut Context<'_>, sock: Sock, addr: SocketAddr) {
        let there = self.there(ctx);
        let acts = self.guess.on_count(ctx, &there, (sock, addr));
        self.act(ctx, acts);
    }

    /// The peer has opened its holes, and says so all the time.
    pub(super) fn on_go(&mut self, ctx: &mut Context<'_>, order: &PunchOrder) {
        let plan = self.plan(ctx);
        if !self.guess.is_on() && plan == Plan::Meet && self.may_guess(ctx) {
            self.start_opening(ctx);
        }
        if self.state.path().is_some() {
            return;
        }
        let there = self.there(ctx);
        if let Some(acts) = self.guess.go_on(ctx, &there, order) {
            return self.act(ctx, acts);
        }
        let able = plan == Plan::Guess && self.may_guess(ctx);
        let remote = self.remote.as_ref().filter(|_| able);
        let acts =
            remote.and_then(|remote| self.guess.probe(ctx, self.id, (&there, remote), order));
        match acts {
            Some(acts) => self.act(ctx, acts),
            None => self.send_control(ctx, &Control::Stop),
        }
    }

    pub(super) fn on_stop(&mut self, ctx: &mut Context<'_>) {
        if let Some(end) = self.guess.on_stop(ctx.now) {
            self.end_guessing(ctx, end);
        }
    }

    /// Our part, as the two NATs have it.
    fn plan(&self, ctx: &Context<'_>) -> Plan {
        self.remote.as_ref().map_or(Plan::Punch, |remote| {
            plan(ctx.local.nat, remote.nat, ctx.local.id < self.id)
        })
    }

    /// Whether both sides want it, a relay tells where the peer is, and the last failure is long enough ago.
    fn may_guess(&self, ctx: &Context<'_>) -> bool {
        let attested = self.contact.attested().is_some_and(|addr| addr.is_ipv4());
        let agreed = self.remote.as_ref().is_some_and(|remote| remote.guess);
        let rested = self.guess.is_rested(ctx.now);
        rested && attested && agreed && ctx.local.guess_ports && self.consents(ctx.local)
    }

    /// Whether a candidate of either side lets everybody in, or both have IPv6.
    fn has_easier_way(&self, ctx: &Context<'_>) -> bool {
        let ours = self.offer(ctx.local);
        let theirs = self.remote.iter().flat_map(|remote| &remote.candidates);
        let (mut open, mut v6) = (false, (false, false));
        for candidate in &ours {
            open |= candidate.open;
            v6.0 |= candidate.addr.is_ipv6();
        }
        for candidate in theirs {
            open |= candidate.open;
            v6.1 |= candidate.addr.is_ipv6();
        }
        open || v6 == (true, true)
    }

    fn there(&self, ctx: &Context<'_>) -> There {
        There {
            relay: self.contact.live_via(ctx.local),
            attested: self.contact.attested(),
            nat: self.remote.as_ref().map(|remote| remote.nat),
        }
    }

    /// Opens holes, to be guessed or met.
    fn start_opening(&mut self, ctx: &mut Context<'_>) {
        let meets = self.plan(ctx) == Plan::Meet;
        let acts = self.guess.open(ctx, self.id, meets);
        self.act(ctx, acts);
    }

    fn act(&mut self, ctx: &mut Context<'_>, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Put(output) => ctx.out.push_back(output),
                Act::Own(socks) => self.guess.own(&socks),
                Act::Open { pair, ttl, tx } => {
                    self.effort.sent += 1;
                    self.question(ctx, pair, ttl, ProbeKind::Request, tx);
                }
                Act::Guess { pair, tx } => {
                    self.guess.note_guess();
                    self.question(ctx, pair, None, ProbeKind::Request, tx);
                }
                Act::Tell(news) => self.send_control(ctx, &news),
                Act::Release => self.close_idle_sockets(ctx),
                Act::End(end) => self.end_guessing(ctx, end),
            }
        }
    }

    /// Ends a run that led to no path, and closes the sockets that nobody needs.
    fn end_guessing(&mut self, ctx: &mut Context<'_>, end: End) {
        if let Some(run) = self.guess.end(ctx, self.id, end) {
            if run.is_ours() && end == End::Missed {
                self.send_control(ctx, &Control::Stop);
            }
            if self.round_is_over() {
                self.relayed(ctx);
            }
        }
        self.release_sockets(ctx);
    }
}
