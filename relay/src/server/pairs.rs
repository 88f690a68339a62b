//! The open channels.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use peerway::wire::lane::Channel;

use super::{Bucket, ClientId, Route};

/// A channel unused for this long gives way when one of its clients wants another and has no more room.
const IDLE_ENOUGH: Duration = Duration::from_secs(60);

/// One end of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) client: ClientId,
    pub(super) route: Route,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct Pair {
    ends: [End; 2],
    pub(super) budget: Bucket,
    pub(super) last_used: Instant,
}

impl Pair {
    /// The client at `src`, and the way to the other one.
    pub(super) fn ends_for(&self, src: SocketAddr) -> Option<(ClientId, Route)> {
        let [a, b] = &self.ends;
        if src == a.route.remote {
            Some((a.client, b.route))
        } else if src == b.route.remote {
            Some((b.client, a.route))
        } else {
            None
        }
    }
}

/// All open channels, found by channel and by client.
#[derive(Debug)]
pub(super) struct Pairs {
    per_client: usize,
    by_channel: HashMap<Channel, Pair>,
    by_client: HashMap<ClientId, Vec<Channel>>,
}

impl Pairs {
    pub(super) fn new(per_client: usize) -> Self {
        Self {
            per_client,
            by_channel: HashMap::new(),
            by_client: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_channel.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_channel.is_empty() && self.by_client.is_empty()
    }

    pub(super) fn get_mut(&mut self, channel: Channel) -> Option<&mut Pair> {
        self.by_channel.get_mut(&channel)
    }

    /// Opens a channel; false if one of the two has no room for it.
    pub(super) fn open(&mut self, now: Instant, channel: Channel, ends: [End; 2]) -> bool {
        if !ends.iter().all(|end| self.make_room(now, end.client)) {
            return false;
        }
        for end in &ends {
            self.by_client.entry(end.client).or_default().push(channel);
        }
        let pair = Pair {
            ends,
            budget: Bucket::default(),
            last_used: now,
        };
        self.by_channel.insert(channel, pair);
        true
    }

    /// Closes all channels of a client.
    pub(super) fn remove_client(&mut self, id: ClientId) {
        for channel in self.by_client.remove(&id).unwrap_or_default() {
            self.close(channel);
        }
    }

    /// Hands all channels of client `old` to `new`.
    pub(super) fn move_client(&mut self, old: ClientId, new: End) {
        let Some(channels) = self.by_client.remove(&old) else {
            return;
        };
        for channel in &channels {
            let ends = self
                .by_channel
                .get_mut(channel)
                .map(|pair| pair.ends.iter_mut());
            for end in ends.into_iter().flatten().filter(|end| end.client == old) {
                *end = new;
            }
        }
        self.by_client.insert(new.client, channels);
    }

    fn make_room(&mut self, now: Instant, id: ClientId) -> bool {
        let Some(channels) = self.by_client.get(&id) else {
            return true;
        };
        if channels.len() < self.per_client {
            return true;
        }
        let oldest = channels
            .iter()
            .filter_map(|channel| Some((self.by_channel.get(channel)?.last_used, *channel)))
            .min();
        match oldest {
            Some((last_used, channel)) if now.duration_since(last_used) >= IDLE_ENOUGH => {
                self.close(channel);
                true
            }
            _ => false,
        }
    }

    fn close(&mut self, channel: Channel) {
        let Some(pair) = self.by_channel.remove(&channel) else {
            return;
        };
        for end in &pair.ends {
            if let Some(channels) = self.by_client.get_mut(&end.client) {
                channels.retain(|other| *other != channel);
                if channels.is_empty() {
                    self.by_client.remove(&end.client);
                }
            }
        }
    }
}
