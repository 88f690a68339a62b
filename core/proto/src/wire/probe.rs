//! PROBE: "does this path work?" and its answer, both of one length, so that answers never amplify: 80 bytes mostly, and up
//! to those of QUIC's smallest packets where the question is whether the path carries these.
//!
//! ```text
//! 0x0A | version | session_index 8 | counter 8 | sealed { kind 1 | tx 8 | observed 18 | padding 19 to 1139 } + tag 16
//! ```

use std::net::SocketAddr;

use super::{
    Malformed, VERSION,
    codec::{Reader, put_addr},
    first_byte::PROBE,
};

/// Length of the datagram, mostly.
pub const PACKET_LEN: usize = 80;
/// Length of one that takes as much as QUIC asks of a path (RFC 9000 section 14).
pub const FULL_LEN: usize = 1200;
/// Length of what stands in clear before the sealed body.
pub const HEADER_LEN: usize = 18;
/// Length of the body before sealing.
pub const BODY_LEN: usize = PACKET_LEN - HEADER_LEN - 16;

/// View of a datagram that is sealed under a session: PROBE or SEALED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct ProbePacket<'a> {
    /// Names the session.
    pub session_index: u64,
    /// The nonce, never used twice in a session and direction.
    pub counter: u64,
    /// Body and tag.
    pub sealed: &'a [u8],
}

impl<'a> ProbePacket<'a> {
    /// Splits a probe.
    ///
    /// # Errors
    /// Wrong length, type or version.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if !fits(datagram.len()) {
            return Err(Malformed::Truncated);
        }
        let (session_index, counter, sealed) = split(datagram, PROBE)?;
        Ok(Self {
            session_index,
            counter,
            sealed,
        })
    }
}

/// Whether a probe may be so long: whatever shows how much the path carries.
pub(super) fn fits(len: usize) -> bool {
    (PACKET_LEN..=FULL_LEN).contains(&len)
}

/// Splits what all sealed datagrams have in common: conversation, counter, sealed rest.
pub(crate) fn split(datagram: &[u8], kind: u8) -> Result<(u64, u64, &[u8]), Malformed> {
    let mut reader = Reader(datagram);
    if reader.u8()? != kind {
        return Err(Malformed::Field("type"));
    }
    match reader.u8()? {
        VERSION => Ok((reader.u64()?, reader.u64()?, reader.0)),
        version => Err(Malformed::Version(version)),
    }
}

/// Writes what [`split`] reads, but for the sealed rest.
pub(crate) fn header(kind: u8, session_index: u64, counter: u64) -> Vec<u8> {
    let mut out = vec![kind, VERSION];
    out.extend_from_slice(&session_index.to_be_bytes());
    out.extend_from_slice(&counter.to_be_bytes());
    out
}

/// A probe's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct Probe {
    /// Which question, or answer.
    pub kind: ProbeKind,
    /// Random; the answer repeats the question's.
    pub tx: u64,
    /// The receiver's address as the sender sees it, or sends to it.
    pub observed: SocketAddr,
}

/// Question or answer. All but the answer want one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a wire format")]
pub enum ProbeKind {
    /// Asks whether this path works.
    Request,
    /// Answers a question that came in on this path.
    Answer,
    /// Asks on the path that the sender's data takes.
    Nominated,
    /// Asks as [`Nominated`](Self::Nominated) does, and tells that the sender hears nothing there.
    NotReceiving,
}

impl Probe {
    /// Reads a decrypted body.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let kind = match reader.u8()? {
            0 => ProbeKind::Request,
            1 => ProbeKind::Answer,
            2 => ProbeKind::Nominated,
            3 => ProbeKind::NotReceiving,
            _ => return Err(Malformed::Field("probe kind")),
        };
        Ok(Self {
            kind,
            tx: reader.u64()?,
            observed: reader.addr()?,
        })
    }

    /// Writes the body, padded.
    #[must_use]
    pub fn emit(&self) -> [u8; BODY_LEN] {
        let mut out = Vec::with_capacity(BODY_LEN);
        out.push(match self.kind {
            ProbeKind::Request => 0,
            ProbeKind::Answer => 1,
            ProbeKind::Nominated => 2,
            ProbeKind::NotReceiving => 3,
        });
        out.extend_from_slice(&self.tx.to_be_bytes());
        put_addr(&mut out, self.observed);
        let mut body = [0; BODY_LEN];
        body[..out.len()].copy_from_slice(&out);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_survives_the_wire() {
        for kind in [
            ProbeKind::Request,
            ProbeKind::Answer,
            ProbeKind::Nominated,
            ProbeKind::NotReceiving,
        ] {
            let probe = Probe {
                kind,
                tx: u64::MAX,
                observed: "192.0.2.1:4".parse().unwrap(),
            };
            assert_eq!(Probe::parse(&probe.emit()), Ok(probe));
        }
    }

    #[test]
    fn a_header_is_split_as_it_was_written() {
        let mut packet = header(PROBE, 3, 4);
        packet.resize(PACKET_LEN, 9);
        let view = ProbePacket::parse(&packet).unwrap();
        assert_eq!(
            (view.session_index, view.counter, view.sealed),
            (3, 4, &[9; PACKET_LEN - HEADER_LEN][..])
        );
        packet[1] = 9;
        assert_eq!(ProbePacket::parse(&packet), Err(Malformed::Version(9)));
        assert_eq!(ProbePacket::parse(&packet[1..]), Err(Malformed::Truncated));
    }
}
