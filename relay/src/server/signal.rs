//! Signals between clients, and the channels that they open.

use std::time::{Duration, Instant};

use peerway_proto::{
    PeerId,
    wire::{
        lane::Channel,
        relay::{GoneReason, Payload, ToClient},
    },
};

use super::{
    ClientId, Command, FRAME_COST, Network, Now, Server, canonical, channels::Member, outbox::Call,
};

/// How far ahead of their rate the signals of a pair may be: a hello, its answer and what changes meanwhile come together.
const SIGNALS_BURST: Duration = Duration::from_secs(4);
/// What calls that wait may hold in memory, in all; beyond, each network may have an equal part of it.
const CALL_BYTES: usize = 32 << 20;

impl Server {
    pub(super) fn signal(
        &mut self,
        now: Now,
        id: ClientId,
        (to, hidden): (PeerId, bool),
        payload: Payload,
    ) -> Result<(), GoneReason> {
        let sender = self.clients.get_mut(&id).ok_or(GoneReason::Refused)?;
        let cost = FRAME_COST + payload.as_bytes().len();
        if !sender
            .budget
            .take(self.limits.client_rate, now.instant, cost)
        {
            return Err(GoneReason::Busy);
        }
        let (from, route) = (sender.key, sender.route);
        if from == to {
            return Err(GoneReason::Refused);
        }
        let receiver = *self.by_key.get(&to).ok_or(GoneReason::NotRegistered)?;
        let receiver_route = self
            .clients
            .get(&receiver)
            .ok_or(GoneReason::NotRegistered)?
            .route;
        if !self.is_member(from) && !self.is_member(to) {
            return Err(GoneReason::Refused);
        }
        let sender = Member { client: id, route };
        let receiver = Member {
            client: receiver,
            route: receiver_route,
        };
        let channel = Channel::between(from, to);
        self.open(now.instant, channel, sender, receiver)?;
        self.channels.on_signal(now.instant, channel, id);
        let pair = self.channels.get_mut(channel).ok_or(GoneReason::Busy)?;
        let rate = self.limits.signals_per_pair;
        if !pair.take_signal(now.instant, id, rate, SIGNALS_BURST) {
            self.counters.signals_dropped += 1;
            return Ok(());
        }
        let is_call = !pair.is_answered();
        let silent = self.clients.get(&receiver.client);
        if silent.is_some_and(|receiver| receiver.silent) {
            self.send(id, ToClient::Unreached { peer: to });
        }
        let frame = ToClient::Deliver {
            from,
            time_ms: now.unix_ms,
            observed: (!hidden).then(|| canonical(route.remote)),
            payload,
        };
        if is_call {
            return self.call(
                receiver.client,
                from,
                Network::of(route.remote),
                cost,
                frame,
            );
        }
        self.counters.signals += 1;
        self.send(receiver.client, frame);
        Ok(())
    }

    /// Opens the channel between two clients, unless it is open, and lets out what was held for it.
    fn open(
        &mut self,
        now: Instant,
        channel: Channel,
        opener: Member,
        callee: Member,
    ) -> Result<(), GoneReason> {
        if self.channels.get_mut(channel).is_some() {
            return Ok(());
        }
        if !self.channels.open(now, channel, opener, callee) {
            return Err(GoneReason::Busy);
        }
        for (from, to) in [(opener, callee), (callee, opener)] {
            for datagram in self.holds.release(now, from.client, channel) {
                self.commands.push_back(Command::Release {
                    to: to.route,
                    datagram,
                });
            }
        }
        Ok(())
    }

    /// Queues the signal of a caller whom the receiver has not answered yet.
    fn call(
        &mut self,
        to: ClientId,
        from: PeerId,
        network: Network,
        bytes: usize,
        frame: ToClient,
    ) -> Result<(), GoneReason> {
        let total = self.call_bytes.total();
        let part = CALL_BYTES / self.call_bytes.networks().max(1);
        if total >= CALL_BYTES && self.call_bytes.of(network) >= part {
            return Err(GoneReason::Busy);
        }
        let client = self.clients.get_mut(&to).ok_or(GoneReason::NotRegistered)?;
        let key = client.key;
        self.call_bytes.add(network, bytes);
        let call = Call {
            from,
            network,
            frame,
            bytes,
        };
        let displaced = client.outbox.push_call(call);
        self.wake(to);
        let Some(displaced) = displaced else {
            return Ok(());
        };
        self.call_bytes.remove(displaced.network, displaced.bytes);
        if displaced.from == from {
            return Err(GoneReason::Busy);
        }
        if let Some(caller) = self.by_key.get(&displaced.from) {
            self.gone(*caller, key, GoneReason::Busy);
        }
        Ok(())
    }
}
