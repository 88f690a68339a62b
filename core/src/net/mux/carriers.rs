//! Relays that are reached by TCP, as the mux sees them: each is an address of its own, which stands for a stream.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use peerway_carrier::{
    Outbox,
    numbered::{number_of, numbered},
};
use quinn_udp::Transmit;

use super::{Dest, Destinations, FRAMES, ForDriver, Link, Mux, virtual_addr};
use crate::{
    proto::io::Pair,
    wire::{
        datagram::DatagramKind,
        lane::{self, HEADER_LEN},
    },
};

/// A stream to a relay, until it is [removed](Mux::remove_carrier).
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    /// What stands for the relay, so that lanes come from there and go there.
    pub(crate) addr: SocketAddr,
    /// What is to be sent on the stream.
    pub(crate) outbox: Arc<Outbox>,
    link: Arc<Link>,
}

impl Carrier {
    /// Where quinn dials the relay.
    pub(crate) fn dialled_at(&self) -> SocketAddr {
        virtual_addr(self.link.handle())
    }
}

impl Mux {
    /// Makes an address of a stream to a relay.
    pub(crate) fn add_carrier(&self, relay: SocketAddr) -> Carrier {
        let number = self.next_carrier.fetch_add(1, Ordering::Relaxed) % u32::MAX;
        let number = NonZeroU32::MIN.saturating_add(number);
        let carrier = Carrier {
            addr: numbered(relay, number),
            outbox: Arc::new(Outbox::default()),
            link: self.add_link(),
        };
        self.edit(|tables| {
            tables.admit_relay(carrier.addr, &carrier.link);
            (tables.carriers).insert(carrier.addr, carrier.outbox.clone());
        });
        let route = Destinations {
            dests: vec![Dest::Direct(Pair::main(carrier.addr))],
        };
        self.set_route(&carrier.link, route, 0, false);
        carrier
    }

    /// Forgets a stream, and the lanes that lead over it.
    pub(crate) fn remove_carrier(&self, carrier: &Carrier) {
        self.edit(|tables| {
            tables.remove(carrier.link.handle());
            tables.carriers.remove(&carrier.addr);
            (tables.channels).retain(|(relay, _), _| *relay != carrier.addr);
        });
    }

    /// Takes a datagram that came on a stream.
    pub(crate) fn take_from_carrier(&self, addr: SocketAddr, datagram: Bytes) {
        let tables = self.tables.load();
        match DatagramKind::of(&datagram) {
            Some(DatagramKind::Quic) => match tables.sources.get(&addr) {
                Some(source) => {
                    source.link.received_direct(1, datagram.len());
                    self.inject(source.link.handle(), datagram);
                }
                None => self.outlets.stranger(),
            },
            Some(DatagramKind::Lane) => {
                let Some(lane::Frame { channel, .. }) = lane::Frame::parse(&datagram) else {
                    return self.outlets.stranger();
                };
                let packet = datagram.slice(HEADER_LEN..);
                match tables.channels.get(&(addr, channel)) {
                    Some(link) => {
                        link.received_lane(1, packet.len());
                        if !link.hold(&packet) {
                            self.inject(link.handle(), packet);
                        }
                    }
                    None => self.outlets.to_driver(|| ForDriver::EarlyLane {
                        relay: addr,
                        channel,
                        packet,
                    }),
                }
            }
            Some(_) | None => self.outlets.stranger(),
        }
    }

    /// Sends what quinn gave us on a stream to a relay, if that is what `dest` is; true if the driver must be told of it.
    pub(super) fn send_on_carrier(
        &self,
        link: &Link,
        dest: Dest,
        transmit: &Transmit<'_>,
    ) -> Option<bool> {
        number_of(dest.addr())?;
        let tables = self.tables.load();
        let Some(outbox) = tables.carriers.get(&dest.addr()) else {
            return Some(false);
        };
        let len = transmit.contents.len();
        let segment = transmit.segment_size.unwrap_or(len).max(1);
        let packets = transmit.contents.chunks(segment);
        let datagrams = packets.len() as u64;
        Some(match dest {
            Dest::Direct(_) => {
                outbox.push(packets);
                link.sent_direct(datagrams, len as u64)
            }
            Dest::Lane { channel, .. } => {
                FRAMES.with_borrow_mut(|frames| {
                    frames.clear();
                    for packet in packets {
                        frames.extend_from_slice(&channel.header());
                        frames.extend_from_slice(packet);
                    }
                    outbox.push(frames.chunks(segment + HEADER_LEN));
                });
                link.sent_lane(datagrams, len as u64)
            }
        })
    }
}
