//! Lane datagrams that arrived before the SIGNAL that opens their channel.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use peerway_proto::wire::lane::Channel;

use super::{ClientId, HOLD_TIME};

/// Datagrams held per client: the first flight of a connection and its retransmission.
const PER_CLIENT: usize = 8;
/// Longest datagram worth holding.
const MAX_LEN: usize = 1500;

#[derive(Debug)]
struct Held {
    until: Instant,
    channel: Channel,
    datagram: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Holds {
    by_client: HashMap<ClientId, Vec<Held>>,
    /// Whom to look at and when, oldest first; several entries for a client that held several.
    expiry: VecDeque<(Instant, ClientId)>,
}

impl Holds {
    pub(super) fn push(&mut self, now: Instant, id: ClientId, channel: Channel, datagram: &[u8]) {
        self.expire(now);
        let held = self.by_client.entry(id).or_default();
        if held.len() >= PER_CLIENT || datagram.len() > MAX_LEN {
            return;
        }
        let until = now + HOLD_TIME;
        held.push(Held {
            until,
            channel,
            datagram: datagram.to_vec(),
        });
        self.expiry.push_back((until, id));
    }

    /// The datagrams that client `id` sent on `channel`, in order.
    pub(super) fn release(&mut self, now: Instant, id: ClientId, channel: Channel) -> Vec<Vec<u8>> {
        self.expire(now);
        let Some(held) = self.by_client.get_mut(&id) else {
            return Vec::new();
        };
        let released = held
            .extract_if(.., |held| held.channel == channel)
            .map(|held| held.datagram)
            .collect();
        if held.is_empty() {
            self.by_client.remove(&id);
        }
        released
    }

    pub(super) fn remove_client(&mut self, id: ClientId) {
        self.by_client.remove(&id);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// Drops what waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.expiry.front()
            && until <= now
        {
            self.expiry.pop_front();
            let Some(held) = self.by_client.get_mut(&id) else {
                continue;
            };
            held.retain(|held| held.until > now);
            if held.is_empty() {
                self.by_client.remove(&id);
            }
        }
    }
}
