//! Probes that come in: they are answered, asked back, and, as answers, prove an address.

use super::{
    Context, Doubt, Peer,
    checks::{Check, first_step},
    send,
};
use crate::{
    PeerState,
    io::Pair,
    sources::Title,
    timing::{MAX_PEER_REFLEXIVE, ROUND},
    wire::probe::{FULL_LEN, PACKET_LEN, Probe, ProbeKind, ProbePacket},
};

impl Peer {
    /// A probe of one of our conversations with this peer came in.
    pub(crate) fn on_probe(&mut self, ctx: &mut Context<'_>, source: Pair, datagram: &[u8]) {
        let Ok(conv) = ProbePacket::parse(datagram).map(|packet| packet.conv) else {
            return;
        };
        let Some(probe) = self
            .sessions
            .of(conv)
            .and_then(|session| session.open_probe(datagram))
        else {
            return;
        };
        self.spoke_in(ctx.now, conv);
        self.earned.earn(PACKET_LEN);
        match probe.kind {
            ProbeKind::Answer => self.on_answer(ctx, source, probe.tx, datagram.len() == FULL_LEN),
            kind @ (ProbeKind::Request | ProbeKind::InUse | ProbeKind::Deaf) => {
                // The peer's data may follow the answer at once.
                if self.admit(ctx, source, Title::Claimed) {
                    self.answer(ctx, conv, source, probe.tx, datagram.len());
                    self.on_request(ctx, source, kind);
                } else {
                    self.check_back(ctx, source);
                }
            }
        }
    }

    /// The answer is as long as the question: it neither amplifies nor proves less.
    fn answer(&mut self, ctx: &mut Context<'_>, conv: u64, source: Pair, tx: u64, len: usize) {
        let answer = Probe {
            kind: ProbeKind::Answer,
            tx,
            observed: source.addr,
        };
        if let Some(bytes) = self.sessions.seal_answer(conv, &answer, len) {
            send(ctx, source, None, bytes);
        }
    }

    /// Asks back: what came in from there shows that the peer's NAT is open.
    fn on_request(&mut self, ctx: &mut Context<'_>, source: Pair, kind: ProbeKind) {
        self.effort.heard += 1;
        let elsewhere = match &mut self.path {
            Some(path) if path.pair == source => {
                path.asked = ctx.now;
                false
            }
            path => path.is_some() && kind == ProbeKind::InUse,
        };
        if let Some(path) = self.path.as_mut().filter(|_| kind == ProbeKind::Deaf) {
            path.deaf = Some(ctx.now);
        }
        // If it is we who choose, the peer was moved, or has yet to learn of our choice.
        let doubtful = kind == ProbeKind::Deaf || elsewhere && ctx.local.id < self.id;
        if doubtful && self.state == PeerState::Direct {
            self.suspect(ctx, Doubt::Told);
        }
        self.check_back(ctx, source);
        if elsewhere {
            for check in &mut self.checks.list {
                check.in_use = check.pair == source;
            }
            self.follow(ctx, source);
        }
    }

    /// Probes an address that an authentic message came from, unless that is being done.
    pub(super) fn check_back(&mut self, ctx: &mut Context<'_>, source: Pair) {
        let Some(position) = self
            .checks
            .position(source)
            .or_else(|| self.add_reflexive(ctx, source))
        else {
            return;
        };
        self.admit(ctx, source, Title::Claimed);
        let proven = self.path.as_ref().is_some_and(|path| path.pair == source);
        let check = &mut self.checks.list[position];
        check.full_ttl_from = ctx.now;
        check.heard += 1;
        if (check.rtt.is_none() || check.is_too_slow())
            && !proven
            && check.pending.last().is_none_or(|(_, sent)| *sent < ctx.now)
        {
            check.step = first_step(check.attested);
            self.send_check(ctx, position);
        }
    }

    /// An address that nobody named, from which an authentic probe came.
    fn add_reflexive(&mut self, ctx: &Context<'_>, pair: Pair) -> Option<usize> {
        let used = self.path.as_ref().map(|path| path.pair);
        let list = &mut self.checks.list;
        let reflexive = list.iter().filter(|check| check.reflexive).count();
        if !pair.sock.is_stream() && reflexive >= MAX_PEER_REFLEXIVE {
            // The peer's NAT gave it ever new ports: the oldest has had its day.
            let over = list.iter().position(|check| {
                let last = check.pending.last();
                let waits = last.is_some_and(|(_, sent)| ctx.now < *sent + ROUND);
                check.reflexive && Some(check.pair) != used && !waits
            })?;
            list.remove(over);
        }
        let attested = self.contact.attested_ips().contains(&pair.addr.ip());
        self.checks.list.push(Check {
            pair,
            reflexive: !pair.sock.is_stream(),
            attested,
            full_ttl_from: ctx.now,
            next: None,
            step: first_step(attested),
            probes: 0,
            heard: 0,
            pending: Vec::new(),
            rtt: None,
            slow: 0,
            in_use: false,
        });
        Some(self.checks.list.len() - 1)
    }

    fn on_answer(&mut self, ctx: &mut Context<'_>, source: Pair, tx: u64, full: bool) {
        if self.path_answered(ctx, source, tx, full) || self.guess_answered(ctx, source, tx) {
            return;
        }
        if let Some(rtt) = self.history.trials.answered(ctx.now, source, tx, full) {
            return self.proven(ctx, source, rtt, true);
        }
        let Some(position) = self.checks.position(source) else {
            return;
        };
        let check = &mut self.checks.list[position];
        let Some(found) = check.pending.iter().position(|(pending, _)| *pending == tx) else {
            return;
        };
        let (_, sent) = check.pending.swap_remove(found);
        let rtt = ctx.now.saturating_duration_since(sent);
        check.rtt = Some(rtt);
        check.next = None;
        check.pending.clear();
        let in_use = std::mem::take(&mut check.in_use);
        self.checks.answered += 1;
        self.effort.answered += 1;
        self.earned.note_answer(source);
        self.proven(ctx, source, rtt, false);
        if in_use {
            self.follow(ctx, source);
        }
    }
}
