//! Whom an input is for.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use super::{Machine, window_ms};
use crate::{
    EventKind, PathPolicy, PeerId, RelayUrl,
    handshake::{self, Opened},
    io::{Failure, Input, OfPair, Output, Pair},
    peer::{Context, Peer, Source},
    timing::MAX_CALLED_BACK,
    wire::{
        datagram::DatagramKind,
        intro::{AckPacket, IntroPacket},
        probe::ProbePacket,
        sealed::SealedPacket,
        stale::StalePacket,
    },
};

impl Machine {
    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.stopped {
            return;
        }
        match input {
            Input::RelayUp {
                relay,
                addr,
                observed,
                unix_ms,
                own_ms,
            } => {
                self.clock.set(now, unix_ms, own_ms);
                self.on_relay_up(now, relay, addr, observed);
            }
            Input::RelayDraining { relay } => self.on_relay_draining(now, &relay),
            Input::RelayMoved { relay, to } => self.on_relay_moved(now, &relay, &to),
            Input::RelaySilent { relay, silent } => self.on_relay_silent(now, &relay, silent),
            Input::RelayDown { relay } => self.on_relay_down(now, &relay),
            Input::Observed { relay, addr } => self.on_observed(now, &relay, addr),
            Input::RelayMessage {
                relay,
                from,
                attested,
                bytes,
            } => self.on_message(now, bytes, &Source::Relay { relay, attested }, Some(from)),
            Input::RelayGone { relay, peer } => self.told(now, peer, &relay, Peer::on_gone),
            Input::RelayBusy { relay, peer } => self.told(now, peer, &relay, Peer::on_busy),
            Input::RelayUnreached { relay, peer } => self.told(now, peer, &relay, Peer::on_unheard),
            Input::Datagram {
                sock,
                source,
                bytes,
            } => self.on_datagram(now, Pair { sock, addr: source }, bytes),
            Input::SocketsOpened { first, count } => self.on_sockets(now, first, count),
            Input::Sampled { sock, addr } => self.on_sampled(now, sock, addr),
            Input::TcpUp { peer, tcp, dialled } => self.on_tcp(now, peer, tcp, dialled),
            Input::TcpDown { peer, tcp } => self.on_tcp_down(now, peer, tcp),
            Input::Listening(listening) => self.learn(now, |local| local.listening = listening),
            Input::Interfaces { addrs, lost_route } => self.on_interfaces(now, addrs, lost_route),
            Input::PortMapped(addr) => self.learn(now, |local| local.mapped = addr),
            Input::Pinhole(addr) => self.learn(now, |local| local.pinhole = addr),
            Input::Routes { families, nat64 } => {
                self.learn(now, |local| local.set_routes(families, nat64));
            }
            Input::AlsoObserved { relay, addr } => {
                self.learn(now, |local| local.also_observed(&relay, addr));
            }
            Input::Seen(addr) => self.learn(now, |local| local.seen = addr),
            Input::Nat(report) => self.on_nat(now, report),
            Input::Hops(hops) => self.local.hops = Some(hops),
            Input::Connect {
                peer,
                relays,
                addrs,
            } => self.connect(now, peer, relays, addrs),
            Input::Found { peer, addrs } => self.on_found(now, peer, addrs),
            Input::CalledBack { peer, addrs } => self.on_called_back(now, peer, addrs),
            Input::Connected { peer } => self.with(now, peer, |peer, _| peer.on_connected()),
            Input::Release { peer } => self.with(now, peer, Peer::release),
            Input::Silence {
                peer,
                since,
                sent,
                rtt,
            } => self.with(now, peer, |peer, ctx| {
                peer.on_silence(ctx, since, sent, rtt)
            }),
            Input::Losses { peer } => self.with(now, peer, Peer::on_losses),
            Input::Traffic { peer, heard } => {
                self.with(now, peer, |peer, ctx| peer.on_traffic(ctx, heard));
            }
            Input::Retry { peer } => self.with(now, peer, Peer::on_retry),
            Input::Policy { peer, policy } => self.set_policy(now, peer, policy),
            Input::Pair(of) => self.on_choice(now, of),
            Input::Resumed => self.on_resumed(now),
            Input::Access { access, dialled } => self.set_access(now, access, &dialled),
            Input::Shutdown => self.shut(now),
        }
    }

    /// A relay says something of a peer.
    fn told(
        &mut self,
        now: Instant,
        peer: PeerId,
        relay: &RelayUrl,
        hear: impl FnOnce(&mut Peer, &mut Context<'_>, &RelayUrl),
    ) {
        self.with(now, peer, |peer, ctx| hear(peer, ctx, relay));
    }

    fn connect(
        &mut self,
        now: Instant,
        id: PeerId,
        relays: Vec<RelayUrl>,
        mut addrs: Vec<SocketAddr>,
    ) {
        if self.local.relay_only {
            addrs.clear();
        }
        if self.entry(now, id, None) {
            self.with(now, id, |peer, ctx| peer.connect(ctx, relays, addrs));
        } else {
            self.out.push_back(Output::Failed {
                peer: id,
                reason: Failure::Silent,
            });
        }
    }

    fn set_policy(&mut self, now: Instant, id: PeerId, policy: PathPolicy) {
        match policy {
            PathPolicy::Auto => self.policies.remove(&id),
            PathPolicy::RelayOnly | PathPolicy::DirectOnly => self.policies.insert(id, policy),
            PathPolicy::Unknown => return,
        };
        self.with(now, id, |peer, ctx| peer.set_policy(ctx, policy));
    }

    fn on_choice(&mut self, now: Instant, of: OfPair) {
        let OfPair {
            peer,
            remote,
            tcp,
            action,
        } = of;
        self.with(now, peer, |peer, ctx| {
            peer.on_choice(ctx, (remote, tcp), action);
        });
    }

    fn on_tcp_down(&mut self, now: Instant, peer: PeerId, tcp: Pair) {
        self.tcp.remove(&tcp);
        self.with(now, peer, |peer, ctx| peer.on_tcp_down(ctx, tcp));
    }

    fn on_found(&mut self, now: Instant, peer: PeerId, addrs: Vec<SocketAddr>) {
        if self.local.lan && self.entry(now, peer, None) {
            self.with(now, peer, |peer, ctx| peer.on_found(ctx, addrs));
        }
    }

    /// Says hello to a peer that may open links and cannot. It is no wish of ours, so it is kept to where the internet is: a peer could
    /// name the addresses of others.
    fn on_called_back(&mut self, now: Instant, id: PeerId, mut addrs: Vec<SocketAddr>) {
        let Some(ip) = addrs.first().map(SocketAddr::ip) else {
            return;
        };
        if id == self.local.id {
            return;
        }
        if !self.local.lets_in(id) {
            return self.turn_away(now, id, ip);
        }
        addrs.retain(|addr| self.local.may_call_back(*addr));
        addrs.truncate(MAX_CALLED_BACK);
        if !addrs.is_empty() && self.entry(now, id, Some(ip)) {
            self.with(now, id, |peer, ctx| peer.call_back(ctx, addrs));
        }
    }

    /// What comes on a TCP connection is of the peer that proved its key there; other sources have nobody's word but their own.
    fn on_datagram(&mut self, now: Instant, pair: Pair, bytes: &[u8]) {
        let owner = self.tcp_owner(pair);
        if owner.is_some() || !pair.sock.is_tcp() && self.local.may_answer(pair.addr) {
            self.on_message(now, bytes, &Source::Direct(pair), owner);
        }
    }

    /// Sorts a message by its first byte. Whatever does not prove to belong to a peer leaves no trace.
    fn on_message(&mut self, now: Instant, bytes: &[u8], source: &Source, from: Option<PeerId>) {
        match DatagramKind::of(bytes) {
            Some(DatagramKind::Intro) => self.on_intro(now, bytes, source, from),
            Some(DatagramKind::IntroAck) => {
                let Ok(packet) = AckPacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.session_index(), from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_ack(ctx, packet, source));
            }
            Some(DatagramKind::Stale) => {
                let Ok(packet) = StalePacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.session_index, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_stale(ctx, bytes));
            }
            Some(DatagramKind::Probe) => {
                let (Source::Direct(pair), Ok(packet)) = (source, ProbePacket::parse(bytes)) else {
                    return;
                };
                let Some(id) = self.owner(packet.session_index, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_probe(ctx, *pair, bytes));
            }
            Some(DatagramKind::Sealed) => {
                let Ok(packet) = SealedPacket::parse(bytes) else {
                    return;
                };
                let Some(id) = self.owner(packet.session_index, from) else {
                    return;
                };
                self.with(now, id, |peer, ctx| peer.on_news(ctx, bytes, source));
            }
            Some(DatagramKind::Stun | DatagramKind::Lane | DatagramKind::Quic) | None => {}
        }
    }

    fn tcp_owner(&self, pair: Pair) -> Option<PeerId> {
        let owner = *self.tcp.get(&pair)?;
        let peer = self.peers.get(&owner);
        peer.is_some_and(|peer| peer.has_tcp(pair)).then_some(owner)
    }

    /// Whose conversation it is; nobody's if a relay or a TCP connection says it comes from somebody else.
    fn owner(&self, session_index: u64, from: Option<PeerId>) -> Option<PeerId> {
        self.session_indices
            .get(&session_index)
            .copied()
            .filter(|owner| from.is_none_or(|from| from == *owner))
    }

    fn on_intro(&mut self, now: Instant, bytes: &[u8], source: &Source, from: Option<PeerId>) {
        let Ok(packet) = IntroPacket::parse(bytes) else {
            return;
        };
        let meant_for_us = handshake::is_addressed_to(packet, self.local.id);
        if !meant_for_us || (matches!(source, Source::Direct(_)) && !self.budget.take_hello(now)) {
            return;
        }
        let opened = match Opened::open(&self.key, packet, &mut self.rng) {
            Ok(opened) => opened,
            Err(error) => return tracing::trace!(%error, "INTRO refused"),
        };
        let id = opened.body.id;
        let known = self.peers.get(&id).is_some_and(|peer| !peer.is_idle());
        if from.is_some_and(|from| from != id) || id == self.local.id {
            return;
        }
        let ip = match source {
            // Those who hide share what one network has.
            Source::Relay { attested, .. } => {
                attested.map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip())
            }
            Source::Direct(pair) => pair.addr.ip(),
        };
        if !(known || self.local.lets_in(id)) {
            // An old one may be a recording.
            let off_ms = opened.body.timestamp_ms.abs_diff(self.clock.unix_ms(now));
            if off_ms <= window_ms(&self.clock) {
                // Anybody can write any source on one datagram: all of those share what one network has.
                let from = match source {
                    Source::Relay { .. } => ip,
                    Source::Direct(_) => Ipv4Addr::UNSPECIFIED.into(),
                };
                self.turn_away(now, id, from);
            }
            return;
        }
        if self.entry(now, id, Some(ip)) {
            self.with(now, id, |peer, ctx| {
                peer.on_intro(ctx, opened, source);
            });
        }
    }

    /// TLS has proved who is at the other end; whether we want to hear of them is decided here.
    fn on_tcp(&mut self, now: Instant, id: PeerId, pair: Pair, dialled: bool) {
        let known = self.peers.get(&id).is_some_and(|peer| !peer.is_idle());
        let is_peer = self.local.tcp && id != self.local.id;
        let lets_in = known || self.local.lets_in(id);
        if is_peer && !lets_in && !dialled {
            self.turn_away(now, id, pair.addr.ip());
        }
        if is_peer && lets_in && self.entry(now, id, Some(pair.addr.ip())) {
            self.tcp.insert(pair, id);
            self.with(now, id, |peer, ctx| peer.on_tcp_up(ctx, pair, dialled));
            if self.tcp_owner(pair).is_none() {
                self.tcp.remove(&pair);
            }
        } else {
            self.out.push_back(Output::CloseTcp { sock: pair.sock });
        }
    }
    /// Tells of somebody who is not let in; they get no answer.
    fn turn_away(&mut self, now: Instant, id: PeerId, ip: IpAddr) {
        let unix_ms = self.clock.unix_ms(now);
        if self.turned_away.note(now, unix_ms, id, ip) {
            let event = EventKind::TurnedAway { peer: id };
            self.out.push_back(Output::Event(event));
        }
    }
}
