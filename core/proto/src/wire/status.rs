//! Status: what a member of a group tells the others of itself and of its links to them. It travels on streams of its own protocol.
//!
//! ```text
//! version | group 8 | author 32 | sent_ms 8 | flags | uptime_s 4 | NAT 1..5 | rx_rate tx_rate | program: length, text
//! audience: count, { tag 8 } | relays: count, { key 5 } | links: count, { link 8 } | signature 64
//! link = to | path, +0x80 if statuses go over it | relay | why | rtt 2 | rx_rate tx_rate
//! ```
//! A member is named by the first 8 bytes of its id, so that the list says nothing to who does not know it, and a relay by the first
//! 5 of its key, which are its short name. A link points into both lists. Rates are rounded down to 4 significant bits. There is
//! no address in it.

mod cause;

use std::time::Duration;

use super::{Malformed, codec::Reader};
use crate::{Cause, NatBehavior, NatReport, PathKind, PeerId, PortAllocation};

/// Members of a group that shares statuses, with the author.
pub const MAX_MEMBERS: usize = 64;
/// Relays that a status can name.
pub const MAX_RELAYS: usize = 16;
/// Length of the longest status with its signature.
pub const MAX_LEN: usize = HEAD_LEN
    + MAX_NAT
    + 2
    + 1
    + MAX_PROGRAM
    + 3
    + (MAX_MEMBERS - 1) * (8 + LINK_LEN)
    + MAX_RELAYS * 5
    + SIGNATURE_LEN;

const VERSION: u8 = 1;
/// Up to the NAT.
const HEAD_LEN: usize = 1 + 8 + 32 + 8 + 1 + 4;
const MAX_NAT: usize = 5;
const MAX_PROGRAM: usize = 24;
const LINK_LEN: usize = 8;
const SIGNATURE_LEN: usize = 64;
const PURPOSE: &str = "peerway swarm status";

const LEAVES: u8 = 1;
const SHARES: u8 = 0x80;
const NO_RELAY: u8 = 0xff;
const NO_RTT: u16 = u16::MAX;
/// Of a round trip.
const TENTH: Duration = Duration::from_micros(100);

/// By which a group is named: the same wherever it is called the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTag(pub(super) [u8; 8]);

impl GroupTag {
    /// The tag of a group of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        use blake2::{Blake2s256, Digest};
        let hash = Blake2s256::new().chain_update("peerway swarm group");
        let hash: [u8; 32] = hash.chain_update(name).finalize().into();
        Self(first(&hash))
    }
}

/// By which a member is named to those who know its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberTag([u8; 8]);

impl From<PeerId> for MemberTag {
    fn from(id: PeerId) -> Self {
        Self(first(id.as_bytes()))
    }
}

/// By which a relay is named: the bytes of its key's short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayTag([u8; 5]);

impl RelayTag {
    /// The relay's short name, as [`PeerId::short`] has it.
    #[must_use]
    pub fn short(&self) -> String {
        data_encoding::BASE32_NOPAD
            .encode(&self.0)
            .to_ascii_lowercase()
    }
}

impl From<PeerId> for RelayTag {
    fn from(key: PeerId) -> Self {
        Self(first(key.as_bytes()))
    }
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|at| bytes[at])
}

/// A status as its author means it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct Status {
    /// The group that it is for.
    pub group: GroupTag,
    /// Whom it is about, and who signs it.
    pub author: PeerId,
    /// When it was made, milliseconds since the Unix epoch; each is later than the one before.
    pub sent_ms: u64,
    /// Whether no more follow.
    pub leaves: bool,
    /// For how long the node runs, seconds.
    pub uptime_s: u32,
    /// The NAT in front of it.
    pub nat: NatReport,
    /// Bytes per second from all peers; what is read is at most an eighth too low.
    pub rx_rate: u64,
    /// The same to all peers.
    pub tx_rate: u64,
    /// Version of the program: at most 24 characters of ASCII without spaces.
    pub program: String,
    /// The other members in the author's eyes, to whom alone it may be shown, in order; 63 at most.
    pub audience: Vec<MemberTag>,
    /// Relays that links name, in order; 16 at most.
    pub relays: Vec<RelayTag>,
    /// Links to members of the audience, in order.
    pub links: Vec<StatusLink>,
}

/// A link of the author's to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wire format")]
pub struct StatusLink {
    /// To whom: a place in [`Status::audience`].
    pub to: u8,
    /// What carries the data.
    pub path: PathKind,
    /// Whether statuses go over it.
    pub shares: bool,
    /// The relay that carries it: a place in [`Status::relays`].
    pub relay: Option<u8>,
    /// Why it is so, without sizes of packets.
    pub why: Option<Cause>,
    /// Round trip, in tenths of a millisecond, at most 6.5 s.
    pub rtt: Option<Duration>,
    /// Bytes per second, as above.
    pub rx_rate: u64,
    /// The same to the member.
    pub tx_rate: u64,
}

impl Status {
    /// Reads one with the length of its signature, which [`is_signed`](Self::is_signed) looks at.
    ///
    /// # Errors
    /// Wrong length or version, or fields that contradict the rules above.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_LEN {
            return Err(Malformed::Field("length"));
        }
        let (body, _) = split(bytes).ok_or(Malformed::Truncated)?;
        let mut reader = Reader(body);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let group = GroupTag(reader.array()?);
        let author = PeerId::from_bytes(reader.array()?).map_err(|_| Malformed::Field("author"))?;
        let sent_ms = reader.u64()?;
        let leaves = match reader.u8()? {
            0 => false,
            LEAVES => true,
            _ => return Err(Malformed::Field("flags")),
        };
        let status = Self {
            group,
            author,
            sent_ms,
            leaves,
            uptime_s: reader.array().map(u32::from_be_bytes)?,
            nat: read_nat(&mut reader)?,
            rx_rate: rate(reader.u8()?),
            tx_rate: rate(reader.u8()?),
            program: read_program(&mut reader)?,
            audience: ordered(&mut reader, MAX_MEMBERS - 1, MemberTag)?,
            relays: ordered(&mut reader, MAX_RELAYS, RelayTag)?,
            links: read_links(&mut reader)?,
        };
        if !reader.0.is_empty() {
            return Err(Malformed::Field("end"));
        }
        status.check()
    }

    /// The signed bytes; `sign` is [`SecretKey::sign`](crate::SecretKey::sign) of the author.
    ///
    /// # Errors
    /// What no reader would take: too many members, relays or links, or not in order.
    pub fn sign(
        &self,
        sign: impl FnOnce(&str, &[u8]) -> [u8; SIGNATURE_LEN],
    ) -> Result<Vec<u8>, Malformed> {
        let mut bytes = self.emit();
        let signature = sign(PURPOSE, &bytes);
        bytes.extend_from_slice(&signature);
        Self::parse(&bytes).map(|_| bytes)
    }

    /// Whether the bytes of a status are signed by its author.
    #[must_use]
    pub fn is_signed(&self, bytes: &[u8]) -> bool {
        let parts = split(bytes);
        parts.is_some_and(|(body, signature)| self.author.has_signed(PURPOSE, body, signature))
    }

    /// Whether the author means it for this member.
    #[must_use]
    pub fn is_for(&self, member: PeerId) -> bool {
        self.audience.binary_search(&member.into()).is_ok()
    }

    /// What it says of the link to a member.
    #[must_use]
    pub fn link_to(&self, member: PeerId) -> Option<&StatusLink> {
        let place = self.audience.binary_search(&member.into()).ok()?;
        let link = |link: &&StatusLink| usize::from(link.to) == place;
        self.links.iter().find(link)
    }

    /// All but the signature.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_LEN);
        out.push(VERSION);
        out.extend_from_slice(&self.group.0);
        out.extend_from_slice(self.author.as_bytes());
        out.extend_from_slice(&self.sent_ms.to_be_bytes());
        out.push(if self.leaves { LEAVES } else { 0 });
        out.extend_from_slice(&self.uptime_s.to_be_bytes());
        put_nat(&mut out, self.nat);
        out.extend_from_slice(&[rate_code(self.rx_rate), rate_code(self.tx_rate)]);
        put_count(&mut out, self.program.len());
        out.extend_from_slice(self.program.as_bytes());
        put_count(&mut out, self.audience.len());
        out.extend(self.audience.iter().flat_map(|tag| tag.0));
        put_count(&mut out, self.relays.len());
        out.extend(self.relays.iter().flat_map(|tag| tag.0));
        put_count(&mut out, self.links.len());
        for link in &self.links {
            put_link(&mut out, link);
        }
        out
    }

    fn check(self) -> Result<Self, Malformed> {
        let points = self.links.iter().all(|link| {
            let relay = link.relay.map(usize::from);
            usize::from(link.to) < self.audience.len()
                && relay.is_none_or(|relay| relay < self.relays.len())
        });
        if !points {
            return Err(Malformed::Field("link"));
        }
        if self.is_for(self.author) {
            return Err(Malformed::Field("audience"));
        }
        Ok(self)
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8; SIGNATURE_LEN])> {
    bytes.split_last_chunk()
}

/// A count that does not fit is one that no reader takes.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.push(u8::try_from(count).unwrap_or(u8::MAX));
}

fn read_program(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let length = usize::from(reader.u8()?);
    if length > MAX_PROGRAM {
        return Err(Malformed::Field("program"));
    }
    let mut program = String::new();
    for _ in 0..length {
        let letter = reader.u8()?;
        if !letter.is_ascii_graphic() {
            return Err(Malformed::Field("program"));
        }
        program.push(char::from(letter));
    }
    Ok(program)
}

/// A list without doubles in it.
fn ordered<T: Ord, const N: usize>(
    reader: &mut Reader<'_>,
    most: usize,
    of: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count > most {
        return Err(Malformed::Field("count"));
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let one = of(reader.array()?);
        if list.last().is_some_and(|last| *last >= one) {
            return Err(Malformed::Field("order"));
        }
        list.push(one);
    }
    Ok(list)
}

fn read_links(reader: &mut Reader<'_>) -> Result<Vec<StatusLink>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count >= MAX_MEMBERS {
        return Err(Malformed::Field("count"));
    }
    let mut links: Vec<StatusLink> = Vec::with_capacity(count);
    for _ in 0..count {
        let link = read_link(reader)?;
        if links.last().is_some_and(|last| last.to >= link.to) {
            return Err(Malformed::Field("order"));
        }
        links.push(link);
    }
    Ok(links)
}

fn read_link(reader: &mut Reader<'_>) -> Result<StatusLink, Malformed> {
    let to = reader.u8()?;
    let path = reader.u8()?;
    let relay = reader.u8()?;
    Ok(StatusLink {
        to,
        path: path_of(path & !SHARES),
        shares: path & SHARES != 0,
        relay: (relay != NO_RELAY).then_some(relay),
        why: cause::read(reader.u8()?),
        rtt: match reader.u16()? {
            NO_RTT => None,
            tenths => Some(TENTH * u32::from(tenths)),
        },
        rx_rate: rate(reader.u8()?),
        tx_rate: rate(reader.u8()?),
    })
}

fn put_link(out: &mut Vec<u8>, link: &StatusLink) {
    let shares = if link.shares { SHARES } else { 0 };
    out.push(link.to);
    out.push(path_code(link.path) | shares);
    out.push(link.relay.unwrap_or(NO_RELAY));
    out.push(cause::code(link.why));
    let tenths = link.rtt.map(|rtt| rtt.as_micros() / TENTH.as_micros());
    let tenths = tenths.map(|tenths| u16::try_from(tenths).unwrap_or(u16::MAX).min(NO_RTT - 1));
    out.extend_from_slice(&tenths.unwrap_or(NO_RTT).to_be_bytes());
    out.extend_from_slice(&[rate_code(link.rx_rate), rate_code(link.tx_rate)]);
}

fn path_code(path: PathKind) -> u8 {
    match path {
        PathKind::None => 0,
        PathKind::Lan => 1,
        PathKind::DirectV6 => 2,
        PathKind::DirectV4 => 3,
        PathKind::Tcp => 4,
        PathKind::Relay => 5,
        PathKind::Unknown => 0x7f,
    }
}

fn path_of(code: u8) -> PathKind {
    match code {
        0 => PathKind::None,
        1 => PathKind::Lan,
        2 => PathKind::DirectV6,
        3 => PathKind::DirectV4,
        4 => PathKind::Tcp,
        5 => PathKind::Relay,
        _ => PathKind::Unknown,
    }
}

/// An exponent of 5 bits and 3 bits behind the leading one; numbers below 8 are themselves.
fn rate_code(rate: u64) -> u8 {
    if rate < 8 {
        return rate as u8;
    }
    let exponent = rate.ilog2() - 2;
    if exponent > 31 {
        return u8::MAX;
    }
    let rest = (rate >> (exponent - 1)) & 7;
    (exponent << 3) as u8 | rest as u8
}

fn rate(code: u8) -> u64 {
    let (exponent, rest) = (code >> 3, u64::from(code & 7));
    match exponent {
        0 => rest,
        exponent => (8 + rest) << (exponent - 1),
    }
}

fn put_nat(out: &mut Vec<u8>, nat: NatReport) {
    let axes = behavior_code(nat.mapping) << 6 | behavior_code(nat.filtering) << 4;
    match nat.allocation {
        PortAllocation::Unknown => out.push(axes),
        PortAllocation::Sequential { step } => {
            out.push(axes | 1);
            out.extend_from_slice(&step.to_be_bytes());
        }
        PortAllocation::Random { first, last } => {
            out.push(axes | 2);
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&last.to_be_bytes());
        }
    }
}

fn read_nat(reader: &mut Reader<'_>) -> Result<NatReport, Malformed> {
    let byte = reader.u8()?;
    let allocation = match byte & 0x0f {
        0 => PortAllocation::Unknown,
        1 => PortAllocation::Sequential {
            step: reader.array().map(i8::from_be_bytes)?,
        },
        2 => PortAllocation::Random {
            first: reader.u16()?,
            last: reader.u16()?,
        },
        _ => return Err(Malformed::Field("NAT")),
    };
    let is_sound = match allocation {
        PortAllocation::Sequential { step } => step != 0,
        PortAllocation::Random { first, last } => first <= last,
        PortAllocation::Unknown => true,
    };
    if !is_sound {
        return Err(Malformed::Field("NAT"));
    }
    Ok(NatReport {
        mapping: behavior_of(byte >> 6),
        filtering: behavior_of(byte >> 4 & 3),
        allocation,
    })
}

fn behavior_code(behavior: NatBehavior) -> u8 {
    match behavior {
        NatBehavior::Unknown => 0,
        NatBehavior::EndpointIndependent => 1,
        NatBehavior::AddressDependent => 2,
        NatBehavior::AddressAndPortDependent => 3,
    }
}

fn behavior_of(code: u8) -> NatBehavior {
    match code {
        1 => NatBehavior::EndpointIndependent,
        2 => NatBehavior::AddressDependent,
        3 => NatBehavior::AddressAndPortDependent,
        _ => NatBehavior::Unknown,
    }
}

#[cfg(test)]
mod tests;
