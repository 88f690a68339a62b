//! How packets travel: what the device says of one (`struct virtio_net_hdr`, linux/virtio_net.h) and what is told to the peer.
//!
//! On a stream each packet is behind its length (2 bytes), the size of the segments that the kernel is to make of it (2, 0 if it is one),
//! and whether its TCP checksum is still to be made (1). In a datagram it is alone.

use super::packet::{Checksum, Header, TCP, complete, pseudo, tcp_header};

/// Of `virtio_net_hdr`.
pub(super) const DEVICE_HEADER: usize = 10;
/// Of a packet on a stream.
pub(super) const FRAME_HEADER: usize = 5;
/// The longest packet of IP.
pub(super) const MAX_PACKET: usize = 65_535;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// Beside the kind.
const GSO_ECN: u8 = 0x80;
/// Where a TCP header has its checksum.
const TCP_CHECKSUM: u16 = 16;
/// The least that Linux makes (TCP_MIN_SND_MSS): more packets are made of none.
const MIN_SEGMENT: u16 = 48;

/// What the device says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FromDevice {
    flags: u8,
    kind: u8,
    segment: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

/// What is to become of a packet that the system sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TCP, maybe many segments in one.
    Tcp { segment: u16, checksum: Checksum },
    /// Many UDP datagrams in one, each with so much payload.
    ManyUdp { payload: u16 },
    /// One packet, its checksum as it is sent.
    Single,
}

impl FromDevice {
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = bytes.first_chunk::<DEVICE_HEADER>()?;
        let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let read = Self {
            flags: header[0],
            kind: header[1] & !GSO_ECN,
            segment: field(4),
            checksum_start: field(6),
            checksum_offset: field(8),
        };
        Some((read, DEVICE_HEADER))
    }

    /// Completes checksums where they have to be; none if it is nothing that can be sent on.
    pub(super) fn kind(self, packet: &mut [u8], header: &Header) -> Option<Kind> {
        let is_partial = self.flags & NEEDS_CHECKSUM != 0;
        match self.kind {
            GSO_UDP => {
                return Some(Kind::ManyUdp {
                    payload: self.segment,
                });
            }
            GSO_TCP4 | GSO_TCP6 => {
                tcp_header(packet, header)?;
                return Some(Kind::Tcp {
                    segment: self.segment,
                    checksum: Checksum::Partial,
                });
            }
            0 => {}
            _ => return None,
        }
        if header.protocol == TCP && tcp_header(packet, header).is_some() {
            let checksum = if is_partial {
                Checksum::Partial
            } else {
                Checksum::Complete
            };
            return Some(Kind::Tcp {
                segment: 0,
                checksum,
            });
        }
        if is_partial {
            complete(
                packet,
                self.checksum_start.into(),
                self.checksum_offset.into(),
            )?;
        }
        Some(Kind::Single)
    }
}

/// What stands before a packet on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u16,
    pub(super) segment: u16,
    pub(super) checksum: Checksum,
}

impl Frame {
    pub(super) fn encode(self) -> [u8; FRAME_HEADER] {
        let [l, m] = self.length.to_be_bytes();
        let [s, t] = self.segment.to_be_bytes();
        [l, m, s, t, u8::from(self.checksum == Checksum::Partial)]
    }

    pub(super) fn decode([l, m, s, t, partial]: [u8; FRAME_HEADER]) -> Self {
        Self {
            length: u16::from_be_bytes([l, m]),
            segment: u16::from_be_bytes([s, t]),
            checksum: if partial == 0 {
                Checksum::Complete
            } else {
                Checksum::Partial
            },
        }
    }

    /// What the device is told of a packet of the peer's, after what that packet itself says; none if that cannot be.
    pub(super) fn for_device(
        self,
        packet: &mut [u8],
        header: &Header,
    ) -> Option<[u8; DEVICE_HEADER]> {
        if self.checksum == Checksum::Complete {
            return (self.segment == 0).then_some([0; DEVICE_HEADER]);
        }
        let tcp = tcp_header(packet, header)?;
        let heads = u16::try_from(header.payload + tcp).ok()?;
        // Whatever the peer wrote there: the kernel completes the sum of the true addresses.
        let sum = pseudo(header, packet.len() - header.payload);
        packet
            .get_mut(header.payload + usize::from(TCP_CHECKSUM)..)?
            .get_mut(..2)?
            .copy_from_slice(&sum.to_be_bytes());
        let payload = packet.len() - usize::from(heads);
        let is_many = self.segment != 0 && payload > usize::from(self.segment);
        if is_many && self.segment < MIN_SEGMENT {
            return None;
        }
        let (kind, segment) = match (is_many, header.source.is_ipv4()) {
            (false, _) => (0, 0),
            (true, true) => (GSO_TCP4, self.segment),
            (true, false) => (GSO_TCP6, self.segment),
        };
        let mut bytes = [0; DEVICE_HEADER];
        (bytes[0], bytes[1]) = (NEEDS_CHECKSUM, kind);
        let start = u16::try_from(header.payload).ok()?;
        for (at, value) in [(2, heads), (4, segment), (6, start), (8, TCP_CHECKSUM)] {
            bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
