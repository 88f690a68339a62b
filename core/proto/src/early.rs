//! Lane packets that came before the hello that explains them, which takes the relay's control connection at the same time.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use crate::{timing::EARLY_TIME, wire::lane::Channel};

/// Packets of all channels: what a relay lets callers send in that time. A lost one would be missed for 150 ms.
const MAX_EARLY: usize = 512;
/// Packets of one channel: the first flight of two connections.
const MAX_OF_CHANNEL: usize = 8;

/// See the [module](self). `B` is what holds a packet's bytes.
#[derive(Debug)]
pub struct Early<B>(VecDeque<Packet<B>>);

#[derive(Debug)]
struct Packet<B> {
    at: Instant,
    relay: SocketAddr,
    channel: Channel,
    bytes: B,
}

impl<B> Default for Early<B> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<B: PartialEq> Early<B> {
    /// Holds a packet. Of its copies one is enough; where there is no room, the oldest gives way.
    pub fn push(&mut self, now: Instant, relay: SocketAddr, channel: Channel, bytes: B) {
        let mut of_channel = self.0.iter().filter(|held| held.is_of(relay, channel));
        if of_channel.clone().any(|held| held.bytes == bytes)
            || of_channel.nth(MAX_OF_CHANNEL - 1).is_some()
        {
            return;
        }
        if self.0.len() >= MAX_EARLY {
            self.0.pop_front();
        }
        self.0.push_back(Packet {
            at: now,
            relay,
            channel,
            bytes,
        });
    }

    /// The packets of a channel that is known by now, in the order in which they came.
    pub fn take(&mut self, relay: SocketAddr, channel: Channel) -> Vec<B> {
        let held = std::mem::take(&mut self.0).into_iter();
        let (taken, others): (VecDeque<_>, _) = held.partition(|held| held.is_of(relay, channel));
        self.0 = others;
        taken.into_iter().map(|packet| packet.bytes).collect()
    }

    /// When the oldest was held for long enough.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|held| held.at + EARLY_TIME)
    }

    /// Drops what was held for long enough.
    pub fn expire(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.0.pop_front();
        }
    }
}

impl<B> Packet<B> {
    fn is_of(&self, relay: SocketAddr, channel: Channel) -> bool {
        self.relay == relay && self.channel == channel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn channel(caller: u16) -> Channel {
        let [a, b] = caller.to_be_bytes();
        let mut seed = [1; 32];
        (seed[0], seed[1]) = (a, b);
        Channel::between(
            SecretKey::from_seed(&[2; 32]).id(),
            SecretKey::from_seed(&seed).id(),
        )
    }

    fn relay() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 7))
    }

    #[test]
    fn a_hundred_callers_at_once_lose_no_packet_and_each_copy_is_held_once() {
        let (mut early, now) = (Early::default(), origin());
        let packet = |caller: u16| caller.to_be_bytes().to_vec();
        for caller in 0..100 {
            for _ in 0..2 {
                early.push(now, relay(), channel(caller), packet(caller));
            }
        }
        for caller in 0..100 {
            assert_eq!(early.take(relay(), channel(caller)), [packet(caller)]);
        }
        assert_eq!(early.poll_timeout(), None);
    }

    #[test]
    fn a_channel_that_floods_keeps_what_it_sent_first_and_displaces_no_other() {
        let (mut early, now) = (Early::default(), origin());
        early.push(now, relay(), channel(0), b"honest".to_vec());
        for nth in 0..10_000_u16 {
            let bytes = nth.to_be_bytes().to_vec();
            early.push(now, relay(), channel(1), bytes);
        }
        assert_eq!(early.take(relay(), channel(0)), [&b"honest"[..]]);
        let kept = early.take(relay(), channel(1));
        assert_eq!(kept.len(), MAX_OF_CHANNEL);
        assert_eq!(kept[0], [0, 0][..]);
    }

    #[test]
    fn what_nobody_asks_for_is_dropped_after_a_while_and_bounded_until_then() {
        let (mut early, now) = (Early::default(), origin());
        for caller in 0..600 {
            early.push(now, relay(), channel(caller), b"packet".to_vec());
        }
        assert_eq!(early.0.len(), MAX_EARLY);
        assert!(early.take(relay(), channel(0)).is_empty(), "the oldest");
        assert_eq!(early.take(relay(), channel(599)).len(), 1);
        early.push(now, relay(), channel(599), b"packet".to_vec());
        let elsewhere = SocketAddr::from(([192, 0, 2, 2], 7));
        assert!(early.take(elsewhere, channel(599)).is_empty());
        early.expire(now + EARLY_TIME / 2);
        assert_eq!(early.0.len(), MAX_EARLY);
        early.expire(now + EARLY_TIME);
        assert_eq!(early.0.len(), 0);
    }
}
