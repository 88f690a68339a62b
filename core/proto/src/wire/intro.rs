//! The handshake: INTRO and INTRO_ACK, the two messages of Noise_IK_25519_ChaChaPoly_BLAKE2s.
//!
//! ```text
//! INTRO      0x04 | version | Noise message 1 (1,182: e 32, s 48, sealed body 1,102) | mac1 16
//! INTRO_ACK  0x05 | version | session_index 8 | Noise message 2 (1,174: e 32, sealed body 1,142) | mac1 16
//! ```
//! Bodies are padded with zeros, so that all handshakes look alike. mac1 is keyed by the receiver's public key (as in
//! WireGuard): garbage is dropped for the price of one hash.

use std::net::SocketAddr;

use super::{
    Malformed, VERSION,
    candidate::{Candidate, put_addrs, put_candidates, read_addrs, read_candidates},
    codec::Reader,
    first_byte::{INTRO, INTRO_ACK},
};
use crate::{NatBehavior, NatReport, PeerId, PortAllocation};

/// Length of either packet, the largest that every path carries.
pub const PACKET_LEN: usize = 1200;
/// Length of mac1.
pub const MAC_LEN: usize = 16;
/// Length of the first Noise message.
pub const INTRO_NOISE_LEN: usize = PACKET_LEN - 2 - MAC_LEN;
/// Length of the second Noise message.
pub const ACK_NOISE_LEN: usize = PACKET_LEN - 10 - MAC_LEN;
/// Length of the padded body inside the first Noise message.
pub const INTRO_BODY_LEN: usize = INTRO_NOISE_LEN - 32 - 48 - 16;
/// Length of the padded body inside the second Noise message.
pub const ACK_BODY_LEN: usize = ACK_NOISE_LEN - 32 - 16;

/// View of an INTRO datagram.
#[derive(Clone, Copy, Debug)]
pub struct IntroPacket<'a>(&'a [u8; PACKET_LEN]);

impl<'a> IntroPacket<'a> {
    /// Checks type, version and length.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        check(datagram, INTRO).map(Self)
    }

    /// The Noise message.
    #[must_use]
    pub fn noise(&self) -> &'a [u8] {
        &self.0[2..PACKET_LEN - MAC_LEN]
    }

    /// What mac1 covers, and mac1.
    #[must_use]
    pub fn mac1(&self) -> (&'a [u8], &'a [u8]) {
        self.0.split_at(PACKET_LEN - MAC_LEN)
    }
}

/// View of an INTRO_ACK datagram.
#[derive(Clone, Copy, Debug)]
pub struct AckPacket<'a>(&'a [u8; PACKET_LEN]);

impl<'a> AckPacket<'a> {
    /// Checks type, version and length.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        check(datagram, INTRO_ACK).map(Self)
    }

    /// The conversation it belongs to.
    #[must_use]
    pub fn session_index(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[2..10]);
        u64::from_be_bytes(bytes)
    }

    /// The Noise message.
    #[must_use]
    pub fn noise(&self) -> &'a [u8] {
        &self.0[10..PACKET_LEN - MAC_LEN]
    }

    /// What mac1 covers, and mac1.
    #[must_use]
    pub fn mac1(&self) -> (&'a [u8], &'a [u8]) {
        self.0.split_at(PACKET_LEN - MAC_LEN)
    }
}

fn check(datagram: &[u8], kind: u8) -> Result<&[u8; PACKET_LEN], Malformed> {
    let packet: &[u8; PACKET_LEN] = datagram.try_into().map_err(|_| Malformed::Truncated)?;
    match packet {
        [first, VERSION, ..] if *first == kind => Ok(packet),
        [first, version, ..] if *first == kind => Err(Malformed::Version(*version)),
        _ => Err(Malformed::Field("type")),
    }
}

/// What both messages tell of their sender.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct Description {
    /// Its NAT.
    pub nat: NatReport,
    /// Whether it agrees to a direct path at all.
    pub direct: bool,
    /// Whether it agrees to ports being guessed, its own or by itself the receiver's.
    pub guess: bool,
    /// Its estimate of the round trip between the peers through the relay, milliseconds; 0 if it has none.
    pub relay_rtt_ms: u16,
    /// Probes of the receiver that came in there since the attempt at a direct path began.
    pub heard: u16,
    /// Where it may be found.
    pub candidates: Vec<Candidate>,
    /// The receiver's addresses to which it has just opened its NAT.
    pub opened: Vec<SocketAddr>,
}

/// What the initiator says, sealed to the dialled key.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct IntroBody {
    /// Who it is; must agree with the Noise static key.
    pub id: PeerId,
    /// Milliseconds since the Unix epoch; strictly increasing per initiator, so that replays are seen.
    pub timestamp_ms: u64,
    /// Names the session in probes and sealed messages, random.
    pub session_index: u64,
    /// Keys the probes of this session, random; so the initiator can probe before the answer is back.
    pub probe_secret: [u8; 32],
    /// The initiator's situation.
    pub description: Description,
}

impl std::fmt::Debug for IntroBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntroBody")
            .field("id", &self.id)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl IntroBody {
    /// Reads a decrypted body.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        Ok(Self {
            id: PeerId::from_bytes(reader.array()?).map_err(|_| Malformed::Field("id"))?,
            timestamp_ms: reader.u64()?,
            session_index: reader.u64()?,
            probe_secret: reader.array()?,
            description: Description::read(&mut reader)?,
        })
    }

    /// Writes the body, padded.
    #[must_use]
    pub fn emit(&self) -> [u8; INTRO_BODY_LEN] {
        let mut out = Vec::with_capacity(INTRO_BODY_LEN);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.session_index.to_be_bytes());
        out.extend_from_slice(&self.probe_secret);
        self.description.put(&mut out);
        padded(&out)
    }
}

impl Description {
    /// Reads the body of an INTRO_ACK, which is a description and nothing else.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        Self::read(&mut Reader(body))
    }

    /// Writes the body of an INTRO_ACK, padded.
    #[must_use]
    pub fn emit(&self) -> [u8; ACK_BODY_LEN] {
        let mut out = Vec::with_capacity(ACK_BODY_LEN);
        self.put(&mut out);
        padded(&out)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let nat = NatReport {
            mapping: behavior(reader.u8()?)?,
            filtering: behavior(reader.u8()?)?,
            allocation: allocation(reader)?,
        };
        let consent @ 0..=3 = reader.u8()? else {
            return Err(Malformed::Field("consent"));
        };
        Ok(Self {
            nat,
            direct: consent & 1 != 0,
            guess: consent & 2 != 0,
            relay_rtt_ms: reader.u16()?,
            heard: reader.u16()?,
            candidates: read_candidates(reader)?,
            opened: read_addrs(reader)?,
        })
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.nat.mapping as u8);
        out.push(self.nat.filtering as u8);
        put_allocation(out, self.nat.allocation);
        out.push(u8::from(self.direct) | u8::from(self.guess) << 1);
        out.extend_from_slice(&self.relay_rtt_ms.to_be_bytes());
        out.extend_from_slice(&self.heard.to_be_bytes());
        put_candidates(out, &self.candidates);
        put_addrs(out, &self.opened);
    }
}

fn behavior(byte: u8) -> Result<NatBehavior, Malformed> {
    [
        NatBehavior::EndpointIndependent,
        NatBehavior::AddressDependent,
        NatBehavior::AddressAndPortDependent,
        NatBehavior::Unknown,
    ]
    .into_iter()
    .find(|behavior| *behavior as u8 == byte)
    .ok_or(Malformed::Field("NAT behaviour"))
}

fn put_allocation(out: &mut Vec<u8>, allocation: PortAllocation) {
    let (kind, first, last) = match allocation {
        PortAllocation::Unknown => (0, 0, 0),
        PortAllocation::Sequential { step } => (1, u16::from(step.to_be_bytes()[0]), 0),
        PortAllocation::Random { first, last } => (2, first, last),
    };
    out.push(kind);
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&last.to_be_bytes());
}

fn allocation(reader: &mut Reader<'_>) -> Result<PortAllocation, Malformed> {
    match (reader.u8()?, reader.u16()?, reader.u16()?) {
        (0, 0, 0) => Ok(PortAllocation::Unknown),
        (1, step @ 1..=255, 0) => Ok(PortAllocation::Sequential {
            step: i8::from_be_bytes([step as u8]),
        }),
        (2, first, last) if 0 < first && first <= last => {
            Ok(PortAllocation::Random { first, last })
        }
        _ => Err(Malformed::Field("port allocation")),
    }
}

fn padded<const N: usize>(body: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out[..body.len()].copy_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SecretKey,
        wire::candidate::{CandidateKind, MAX_CANDIDATES},
    };

    fn largest() -> Description {
        let addr = "[2001:db8::1]:65535".parse().unwrap();
        Description {
            nat: NatReport {
                mapping: NatBehavior::Unknown,
                filtering: NatBehavior::AddressDependent,
                allocation: PortAllocation::Random {
                    first: 1024,
                    last: u16::MAX,
                },
            },
            direct: true,
            guess: true,
            relay_rtt_ms: u16::MAX,
            heard: 7,
            candidates: vec![
                Candidate {
                    addr,
                    kind: CandidateKind::Mapped,
                    open: true
                };
                MAX_CANDIDATES
            ],
            opened: vec!["192.0.2.1:9".parse().unwrap(); MAX_CANDIDATES],
        }
    }

    #[test]
    fn the_largest_bodies_fit_and_survive_the_wire() {
        let intro = IntroBody {
            id: SecretKey::from_seed(&[1; 32]).id(),
            timestamp_ms: u64::MAX,
            session_index: 7,
            probe_secret: [9; 32],
            description: largest(),
        };
        assert_eq!(IntroBody::parse(&intro.emit()), Ok(intro));
        assert_eq!(Description::parse(&largest().emit()), Ok(largest()));
    }

    #[test]
    fn a_body_cut_anywhere_is_an_error_or_means_the_same() {
        let body = largest().emit();
        for end in 0..body.len() {
            assert!(
                Description::parse(&body[..end]).is_ok_and(|d| d == largest())
                    || end < 12 + 1 + 16 * 20 + 1 + 16 * 18
            );
        }
    }

    #[test]
    fn more_candidates_than_allowed_are_refused() {
        let mut body = largest().emit();
        body[12] = 17;
        assert_eq!(
            Description::parse(&body),
            Err(Malformed::Field("candidate count"))
        );
    }

    #[test]
    fn another_version_is_named() {
        let mut packet = [0; PACKET_LEN];
        packet[0] = INTRO;
        packet[1] = 2;
        assert_eq!(
            IntroPacket::parse(&packet).err(),
            Some(Malformed::Version(2))
        );
        assert_eq!(
            AckPacket::parse(&packet).err(),
            Some(Malformed::Field("type"))
        );
    }
}
