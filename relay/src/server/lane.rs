//! Lane datagrams: whose they are, where they go, and when.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use peerway_proto::wire::lane::Channel;

use super::{
    Bucket, Client, ClientId, ClientPath, Limits, Network, Server,
    backlog::{self, Datagrams, Flow},
    channels::OpenChannel,
};

/// How far ahead of their rates a pair, a client and the lane may be: a few turns of the timer that wakes us.
pub(super) const LANE_BURST: Duration = Duration::from_millis(10);

/// What becomes of lane datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send them there.
    Forward(ClientPath),
    /// Give each to [`Server::hold`]: the SIGNAL that opens their channel may be on its way.
    Hold(ClientId),
    /// Give them to [`Server::wait`]: they go when their rates allow.
    Wait(ClientId),
    /// Drop them.
    Drop,
}

/// What of the lane is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// These, there.
    Now(ClientPath, Datagrams),
    /// Nothing before this time.
    At(Instant),
    /// Nothing, until [`Server::wait`] says so.
    Nothing,
}

impl Server {
    /// Lane datagrams of one channel, `len` bytes in all, came from `src`.
    pub fn lane(&mut self, now: Instant, src: SocketAddr, channel: Channel, len: usize) -> Verdict {
        let Some(pair) = self.channels.get_mut(channel) else {
            return match self.by_addr.get(&src) {
                Some(id) => Verdict::Hold(*id),
                None => self.drop_stranger(len),
            };
        };
        let Some((from, to)) = pair.ends_for(now, src) else {
            return self.drop_stranger(len);
        };
        if pair.awaits(from) {
            self.channels.on_answer(now, channel, from);
        }
        let line_ready_at = self.line_ready_at(now);
        let pair = self.channels.get_mut(channel);
        let client = self.clients.get_mut(&from);
        let Some((pair, client)) = pair.zip(client) else {
            return self.drop_stranger(len);
        };
        if pair.is_answered() {
            let ready_at = ready_at(pair, client, now).max(line_ready_at);
            let flow = Flow { channel, from };
            let line_is_short = self.limits.lane_rate.is_some();
            if ready_at > now || self.backlog.is_ahead_of(flow, line_is_short) {
                return Verdict::Wait(from);
            }
            charge(&self.limits, &mut self.lane, client, pair, now, len);
            if pair.note_sent(from, len) {
                self.channels.note_busy(channel);
            }
        } else if !(client.budget.take(self.limits.client_rate, now, len)
            && self.channels.take_waiting(now, channel, len))
        {
            self.counters.over_budget_bytes += len as u64;
            return Verdict::Drop;
        }
        self.counters.lane_bytes += len as u64;
        Verdict::Forward(to)
    }

    /// Keeps lane datagrams that [`Server::lane`] gave [`Verdict::Wait`], until their rates allow them or they are too old. True if
    /// [`Server::poll_lane`] is to be called, as something may be due earlier than it said.
    pub fn wait(
        &mut self,
        now: Instant,
        from: ClientId,
        channel: Channel,
        datagrams: Datagrams,
    ) -> bool {
        let Some(client) = self.clients.get(&from) else {
            return false;
        };
        let network = Network::of(client.route.remote);
        let flow = Flow { channel, from };
        let is_earlier = self.backlog.push(now, flow, network, datagrams);
        self.counters.over_budget_bytes += self.backlog.take_dropped();
        is_earlier
    }

    /// Takes out what of the lane is to be sent next.
    pub fn poll_lane(&mut self, now: Instant) -> Due {
        let mut backlog = std::mem::take(&mut self.backlog);
        let line = self.line_ready_at(now);
        let ready = |flow: Flow| {
            let (pair, client) = self.ends_of(flow)?;
            Some(ready_at(pair, client, now))
        };
        let due = match backlog.poll(now, line, ready) {
            backlog::Next::Send(flow, datagrams) => self.send_flow(now, flow, datagrams),
            backlog::Next::At(time) => Due::At(time),
            backlog::Next::Nothing => Due::Nothing,
        };
        self.counters.over_budget_bytes += backlog.take_dropped();
        self.backlog = backlog;
        due
    }

    fn line_ready_at(&self, now: Instant) -> Instant {
        match self.limits.lane_rate {
            Some(_) => self.lane.ready_at(LANE_BURST, now),
            None => now,
        }
    }

    fn send_flow(&mut self, now: Instant, flow: Flow, datagrams: Datagrams) -> Due {
        let pair = self.channels.get_mut(flow.channel);
        let client = self.clients.get_mut(&flow.from);
        let ends = pair.zip(client);
        let ends = ends.and_then(|(pair, client)| Some((pair.way_from(flow.from)?, pair, client)));
        let Some((to, pair, client)) = ends else {
            return Due::At(now);
        };
        let len = datagrams.bytes.len();
        charge(&self.limits, &mut self.lane, client, pair, now, len);
        if pair.note_sent(flow.from, len) {
            self.channels.note_busy(flow.channel);
        }
        self.counters.lane_bytes += len as u64;
        Due::Now(to, datagrams)
    }

    /// The pair and the client of a flow; none if either is no more.
    fn ends_of(&self, flow: Flow) -> Option<(&OpenChannel, &Client)> {
        let pair = self.channels.get(flow.channel)?;
        pair.way_from(flow.from)?;
        Some((pair, self.clients.get(&flow.from)?))
    }

    /// Keeps a lane datagram that [`Server::lane`] gave [`Verdict::Hold`], until its channel opens or for [`super::HOLD_TIME`].
    pub fn hold(&mut self, now: Instant, id: ClientId, channel: Channel, datagram: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client
            .budget
            .take(self.limits.client_rate, now, datagram.len())
        {
            self.holds.push(now, id, channel, datagram);
        }
    }

    fn drop_stranger(&mut self, len: usize) -> Verdict {
        self.counters.stranger_bytes += len as u64;
        Verdict::Drop
    }
}

/// From when on a client may send more to the other end of a pair, as far as their own rates go.
fn ready_at(pair: &OpenChannel, client: &Client, now: Instant) -> Instant {
    pair.ready_at(now)
        .max(client.budget.ready_at(LANE_BURST, now))
}

/// Counts what a client sends to the other end of a pair.
fn charge(
    limits: &Limits,
    lane: &mut Bucket,
    client: &mut Client,
    pair: &mut OpenChannel,
    now: Instant,
    len: usize,
) {
    if let Some(rate) = limits.lane_rate {
        lane.charge(rate, now, len);
    }
    client.budget.charge(limits.client_rate, now, len);
    pair.charge(limits.pair_rate, now, len);
}
