//! What is sent to the peer, and what has to be known for it: what we say of ourselves, and where we may send to.

use std::net::SocketAddr;

use super::{Context, Peer, contact::Source, targets::targets};
use crate::{
    RelayUrl,
    io::{Output, Pair},
    local::Local,
    sources::{Grant, Title},
    wire::{
        candidate::{Candidate, MAX_CANDIDATES},
        intro::Description,
        probe::{PACKET_LEN, Probe, ProbeKind},
        sealed::Control,
    },
};

impl Peer {
    /// Whether a direct path is allowed by both sides.
    pub(super) fn consents(&self, local: &Local) -> bool {
        !self.demand.keeps_to_relays(local) && self.remote.as_ref().is_some_and(|it| it.direct)
    }

    /// The relay that carries the data where no direct path does.
    pub(super) fn carrier(&self) -> Option<&RelayUrl> {
        let carrier = self.contact.carrier();
        carrier.filter(|_| !self.demand.shuns_relays())
    }

    /// What we offer to the peer.
    pub(super) fn offer(&self, local: &Local) -> Vec<Candidate> {
        if self.demand.keeps_to_relays(local) {
            return Vec::new();
        }
        local.candidates(self.id, self.demand.is_dialled(), self.contact.attested())
    }

    /// The peer's addresses that are about to be probed, which opens our NAT for them.
    pub(super) fn opening(&self, local: &Local) -> Vec<SocketAddr> {
        let targets = self.targets(local).into_iter();
        targets.map(|candidate| candidate.addr).collect()
    }

    /// The peer's candidates that may be probed, most promising first.
    pub(super) fn targets(&self, local: &Local) -> Vec<Candidate> {
        let remote = self.remote.as_ref().filter(|_| self.consents(local));
        remote.map_or_else(Vec::new, |remote| {
            let mut targets = targets(&remote.candidates, local, &self.contact.attested_ips());
            let choice = &self.demand.choice;
            targets.retain(|target| !choice.is_dropped(Pair::main(target.addr)));
            targets
        })
    }

    pub(super) fn description(&mut self, local: &Local, opened: Vec<SocketAddr>) -> Description {
        let mut candidates = self.offer(local);
        let direct = !self.demand.keeps_to_relays(local);
        self.told.tell_candidates(candidates.clone());
        if let Some(fresh) = self.fresh_port.candidate().filter(|_| direct) {
            candidates.truncate(MAX_CANDIDATES - 1);
            candidates.push(fresh);
        }
        Description {
            nat: local.nat,
            direct,
            guess: local.guess_ports && direct,
            relay_rtt_ms: self
                .contact
                .relay_rtt()
                .map_or(0, |rtt| rtt.as_millis().min(u128::from(u16::MAX)) as u16),
            heard: self.effort.heard.min(u16::MAX.into()) as u16,
            candidates,
            opened,
        }
    }

    /// Tells the peer what it can know of us now and what we are about to probe, through the relay, which binds the lane
    /// thereby.
    pub(super) fn send_update(&mut self, ctx: &mut Context<'_>, opened: Vec<SocketAddr>) {
        if self.contact.live_via(ctx.local).is_some() {
            let description = self.description(ctx.local, opened);
            self.send_control(ctx, &Control::Update(description));
        }
    }

    /// Tells the peer something through the relay.
    pub(super) fn send_control(&mut self, ctx: &mut Context<'_>, news: &Control) {
        let Some(relay) = self.contact.live_via(ctx.local) else {
            return;
        };
        if let Some(bytes) = self.sessions.seal_control(news) {
            self.send_relay(ctx, relay, bytes);
        }
    }

    pub(super) fn send_relay(&self, ctx: &mut Context<'_>, relay: RelayUrl, bytes: Vec<u8>) {
        ctx.out.push_back(Output::SendRelay {
            relay,
            to: self.id,
            hidden: self.demand.keeps_to_relays(ctx.local),
            bytes,
        });
    }

    /// Sends a probe that wants an answer.
    pub(super) fn question(
        &mut self,
        ctx: &mut Context<'_>,
        pair: Pair,
        ttl: Option<u8>,
        kind: ProbeKind,
        tx: u64,
    ) {
        self.question_of(ctx, (pair, PACKET_LEN), ttl, kind, tx);
    }

    /// Sends a probe of this length that wants an answer.
    pub(super) fn question_of(
        &mut self,
        ctx: &mut Context<'_>,
        (pair, len): (Pair, usize),
        ttl: Option<u8>,
        kind: ProbeKind,
        tx: u64,
    ) {
        let probe = Probe {
            kind,
            tx,
            observed: pair.addr,
        };
        if let Some(bytes) = self.sessions.seal_question(&probe, len) {
            send(ctx, pair, ttl, bytes);
        }
    }

    /// Answers where a message of the handshake came from.
    pub(super) fn reply(&self, ctx: &mut Context<'_>, source: &Source, bytes: Vec<u8>) {
        match source {
            Source::Relay { relay, .. } => self.send_relay(ctx, relay.clone(), bytes),
            Source::Direct(pair) => send(ctx, *pair, None, bytes),
        }
    }

    /// Has the peer's QUIC packets from this pair taken; false if they are another's. A TCP connection is the peer's from the start; as the
    /// source of a datagram it can write any address, until an answer from there proves it.
    pub(super) fn admit(&self, ctx: &mut Context<'_>, pair: Pair, title: Title) -> bool {
        if pair.sock.is_tcp() {
            return true;
        }
        let (peer, addr) = (self.id, pair.addr);
        let grant = ctx.sources.ask(peer, addr, title);
        if let Grant::New { given_up } = grant {
            let expel = |addr| Output::Expel { peer, addr };
            ctx.out.extend(given_up.map(expel));
            ctx.out.push_back(Output::Admit { peer, addr });
        }
        grant != Grant::Refused
    }
}

/// Sends on this pair; with a TTL if it is not meant to arrive.
pub(super) fn send(ctx: &mut Context<'_>, pair: Pair, ttl: Option<u8>, bytes: Vec<u8>) {
    let Pair { sock, addr: to } = pair;
    ctx.out.push_back(Output::SendDatagram {
        sock,
        to,
        ttl,
        bytes,
    });
}
