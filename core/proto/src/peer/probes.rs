//! Probes that come in: they are answered, asked back, and, as answers, prove an address.

use super::{Context, Peer, direct::Doubt, messages::send};
use crate::{
    io::Pair,
    sources::Title,
    wire::probe::{FULL_LEN, PACKET_LEN, Probe, ProbeKind, ProbePacket},
};

impl Peer {
    /// A probe of one of our conversations with this peer came in.
    pub(crate) fn on_probe(&mut self, ctx: &mut Context<'_>, source: Pair, datagram: &[u8]) {
        let Ok(session_index) = ProbePacket::parse(datagram).map(|packet| packet.session_index)
        else {
            return;
        };
        let Some(probe) = self
            .sessions
            .of(session_index)
            .and_then(|session| session.open_probe(datagram))
        else {
            return;
        };
        self.sessions.spoke_in(session_index);
        self.presence.spoke(ctx.now);
        self.earned.earn(PACKET_LEN);
        if self.demand.keeps_to_relays(ctx.local) {
            // From before it knew; an answer would tell that we are here.
            return;
        }
        if self.demand.choice.is_dropped(source) {
            return;
        }
        match probe.kind {
            ProbeKind::Answer => self.on_answer(ctx, source, probe.tx, datagram.len() == FULL_LEN),
            kind @ (ProbeKind::Request | ProbeKind::Nominated | ProbeKind::NotReceiving) => {
                // The peer's data may follow the answer at once.
                if self.admit(ctx, source, Title::Claimed) {
                    self.answer(ctx, session_index, source, probe.tx, datagram.len());
                    self.on_request(ctx, source, kind);
                } else {
                    self.check_back(ctx, source);
                }
            }
        }
    }

    /// The answer is as long as the question: it neither amplifies nor proves less.
    fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        session_index: u64,
        source: Pair,
        tx: u64,
        len: usize,
    ) {
        let answer = Probe {
            kind: ProbeKind::Answer,
            tx,
            observed: source.addr,
        };
        if let Some(bytes) = self.sessions.seal_answer(session_index, &answer, len) {
            send(ctx, source, None, bytes);
        }
    }

    /// Asks back: what came in from there shows that the peer's NAT is open.
    fn on_request(&mut self, ctx: &mut Context<'_>, source: Pair, kind: ProbeKind) {
        self.effort.heard += 1;
        let elsewhere = match self.state.path_mut() {
            Some(path) if path.pair == source => {
                if kind == ProbeKind::Nominated {
                    self.keepalive.heard(ctx.now, path, self.rounds.traffic());
                }
                path.asked = ctx.now;
                false
            }
            path => path.is_some() && kind == ProbeKind::Nominated,
        };
        if let Some(path) = self
            .state
            .path_mut()
            .filter(|_| kind == ProbeKind::NotReceiving)
        {
            path.deaf = Some(ctx.now);
        }
        let used = self.state.path().map(|path| path.pair);
        let is_forced = used.is_some_and(|used| self.demand.choice.is_forced(used));
        // If it is we who choose, the peer was moved, or has yet to learn of our choice; where that is the user's, it may not follow.
        let doubtful =
            kind == ProbeKind::NotReceiving || elsewhere && ctx.local.id < self.id && !is_forced;
        if doubtful && self.state.is_direct() {
            self.suspect(ctx, Doubt::Told);
        }
        self.check_back(ctx, source);
        if elsewhere {
            self.checks.note_use(source);
            self.follow(ctx, source);
        }
    }

    fn on_answer(&mut self, ctx: &mut Context<'_>, source: Pair, tx: u64, full: bool) {
        if self.path_answered(ctx, source, tx, full) {
            return;
        }
        if let Some(rtt) = self.guess.answered(ctx.now, source, tx) {
            self.checks.note_answer();
            return self.proven(ctx, source, rtt, false);
        }
        if let Some(rtt) = self.history.probations.answered(ctx.now, source, tx, full) {
            return self.proven(ctx, source, rtt, true);
        }
        if let Some(answered) = self.checks.on_answer(ctx.now, source, tx) {
            self.effort.answered += 1;
            self.earned.note_answer(source);
            self.proven(ctx, source, answered.rtt, false);
            if answered.nominated {
                self.follow(ctx, source);
            }
        }
    }
}
