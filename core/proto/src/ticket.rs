//! What one person hands to another so that their computers can meet: [`Ticket`].

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    addr::Scope,
    discovery::DiscoverySecret,
    identity::{ParseIdError, PeerId, decode_base32},
    relay_url::RelayUrl,
};

/// Who a peer is and where it can be found: its id, its home relays, addresses that it chose to give away, and with what its
/// published record is found.
///
/// The text form is `PEERWAY1` followed by upper-case base32, so that a QR code can use its alphanumeric mode; parsing
/// accepts either case. With one relay of an ordinary name it stays within 154 characters (QR version 5-L), and a
/// [`DiscoverySecret`] adds 26.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    id: PeerId,
    relays: Vec<RelayUrl>,
    addrs: Vec<SocketAddr>,
    discovery: Option<DiscoverySecret>,
}

const PREFIX: &str = "PEERWAY1";
const CHECK_LEN: usize = 3;
const HOST_V4: u8 = 0;
const HOST_V6: u8 = 1;
const HOST_NAME: u8 = 2;
/// In the byte of counts: a discovery secret follows the addresses.
const HAS_DISCOVERY: u8 = 0x80;

impl Ticket {
    /// Relays that a ticket can name.
    pub const MAX_RELAYS: usize = 4;
    /// Addresses that a ticket can carry.
    pub const MAX_ADDRS: usize = 8;

    /// A ticket; relays and addresses beyond the limits are left out, as are invitations to relays.
    #[must_use]
    pub fn new(id: PeerId, mut relays: Vec<RelayUrl>, mut addrs: Vec<SocketAddr>) -> Self {
        relays.truncate(Self::MAX_RELAYS);
        for relay in &mut relays {
            relay.forget_invite();
        }
        addrs.truncate(Self::MAX_ADDRS);
        Self {
            id,
            relays,
            addrs,
            discovery: None,
        }
    }

    /// The same ticket with what its peer's published record is found with, or without.
    #[must_use]
    pub fn with_discovery(self, discovery: Option<DiscoverySecret>) -> Self {
        Self { discovery, ..self }
    }

    /// It in fewer bytes than its text has, for what carries tickets.
    ///
    /// Layout: id 32 | whether there is a discovery secret (1 bit), relay count (3 bits), address count (4 bits) | relays: key 32,
    /// host, port 2 | addresses: IP, port 2 | discovery secret 16, if so | checksum 3. A host is a tag and 4 or 16 bytes of address,
    /// or a length and a name.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            id,
            relays,
            addrs,
            discovery,
        } = self;
        let mut out = id.as_bytes().to_vec();
        let has_discovery = discovery.map_or(0, |_| HAS_DISCOVERY);
        out.push(has_discovery | (relays.len() as u8) << 4 | addrs.len() as u8);
        for relay in relays {
            out.extend_from_slice(relay.key().as_bytes());
            match relay.host().parse() {
                Ok(ip) => put_ip(&mut out, ip),
                Err(_) => {
                    out.extend_from_slice(&[HOST_NAME, relay.host().len() as u8]);
                    out.extend_from_slice(relay.host().as_bytes());
                }
            }
            out.extend_from_slice(&relay.port().to_be_bytes());
        }
        for addr in addrs {
            put_ip(&mut out, addr.ip());
            out.extend_from_slice(&addr.port().to_be_bytes());
        }
        if let Some(discovery) = discovery {
            out.extend_from_slice(discovery.as_bytes());
        }
        let check = checksum(&out);
        out.extend_from_slice(&check);
        out
    }

    /// The peer.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Its home relays, best first, at most [`Ticket::MAX_RELAYS`].
    #[must_use]
    pub fn relays(&self) -> &[RelayUrl] {
        &self.relays
    }

    /// Addresses to try without any relay, at most [`Ticket::MAX_ADDRS`].
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// With what its published record is found, if its owner gave that away.
    #[must_use]
    pub fn discovery(&self) -> Option<DiscoverySecret> {
        self.discovery
    }

    /// Whether only peers on the node's own network can dial it: it names no relay and no public address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.relays.is_empty() && self.public_addrs().next().is_none()
    }

    /// The addresses in it that belong to the internet as a whole. A firewall may still stand before them, as it mostly does
    /// before those of IPv6.
    pub fn public_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        let is_public = |addr: &SocketAddr| Scope::of(addr.ip()) == Scope::Global;
        self.addrs.iter().copied().filter(is_public)
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    ///
    /// # Errors
    /// See [`ParseTicketError`]; the bytes are all of a ticket and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseTicketError> {
        let body_len = bytes
            .len()
            .checked_sub(CHECK_LEN)
            .ok_or(ParseTicketError::Truncated)?;
        let (body, check) = bytes.split_at(body_len);
        if check != checksum(body) {
            return Err(ParseTicketError::Checksum);
        }
        let mut reader = Reader(body);
        let id = reader.id()?;
        let counts = reader.byte()?;
        let (relay_count, addr_count) = ((counts >> 4 & 7) as usize, (counts & 15) as usize);
        if relay_count > Self::MAX_RELAYS || addr_count > Self::MAX_ADDRS {
            return Err(ParseTicketError::Contents(
                "more relays or addresses than a ticket can hold",
            ));
        }
        let relays = (0..relay_count)
            .map(|_| reader.relay())
            .collect::<Result<_, _>>()?;
        let addrs = (0..addr_count)
            .map(|_| reader.addr())
            .collect::<Result<_, _>>()?;
        let discovery = if counts & HAS_DISCOVERY == 0 {
            None
        } else {
            Some(DiscoverySecret::from_bytes(reader.take()?))
        };
        if !reader.0.is_empty() {
            return Err(ParseTicketError::Contents("bytes after the last address"));
        }
        Ok(Self {
            id,
            relays,
            addrs,
            discovery,
        })
    }
}

fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(HOST_V4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(HOST_V6);
            out.extend_from_slice(&ip.octets());
        }
    }
}

fn checksum(body: &[u8]) -> [u8; CHECK_LEN] {
    use blake2::{Blake2s256, Digest};
    let hash = Blake2s256::new()
        .chain_update(b"peerway ticket 1")
        .chain_update(body)
        .finalize();
    [hash[0], hash[1], hash[2]]
}

/// Reads a ticket's body from front to back.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ParseTicketError> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or(ParseTicketError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, ParseTicketError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn id(&mut self) -> Result<PeerId, ParseTicketError> {
        Ok(PeerId::from_bytes(self.take()?)?)
    }

    fn port(&mut self) -> Result<u16, ParseTicketError> {
        match u16::from_be_bytes(self.take()?) {
            0 => Err(ParseTicketError::Contents("a port of 0")),
            port => Ok(port),
        }
    }

    fn ip(&mut self, tag: u8) -> Result<IpAddr, ParseTicketError> {
        match tag {
            HOST_V4 => Ok(IpAddr::from(self.take::<4>()?)),
            HOST_V6 => Ok(IpAddr::from(self.take::<16>()?)),
            _ => Err(ParseTicketError::Contents("an address of unknown kind")),
        }
    }

    fn addr(&mut self) -> Result<SocketAddr, ParseTicketError> {
        let tag = self.byte()?;
        Ok(SocketAddr::new(self.ip(tag)?, self.port()?))
    }

    fn relay(&mut self) -> Result<RelayUrl, ParseTicketError> {
        let key = self.id()?;
        let host = match self.byte()? {
            HOST_NAME => {
                let len = self.byte()? as usize;
                let (name, rest) = self
                    .0
                    .split_at_checked(len)
                    .ok_or(ParseTicketError::Truncated)?;
                self.0 = rest;
                let name = str::from_utf8(name)
                    .map_err(|_| ParseTicketError::Contents("a relay name that is no text"))?;
                if name.parse::<IpAddr>().is_ok() {
                    return Err(ParseTicketError::Contents(
                        "an address in the place of a relay name",
                    ));
                }
                name.to_owned()
            }
            tag => self.ip(tag)?.to_string(),
        };
        let port = self.port()?;
        RelayUrl::new(key, &host, port)
            .map_err(|_| ParseTicketError::Contents("a relay name that is no DNS name"))
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&self.to_bytes()))
    }
}

impl FromStr for Ticket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        // Tickets are long: mail and chat programs wrap them.
        let text: String = text.split_whitespace().collect();
        let Some((prefix, body)) = text.split_at_checked(PREFIX.len()) else {
            return Err(ParseTicketError::Prefix);
        };
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(ParseTicketError::Prefix);
        }
        let bytes = decode_base32(body).map_err(|error| match error {
            Some(position) => ParseTicketError::Character {
                position: position + PREFIX.len(),
            },
            None => ParseTicketError::Truncated,
        })?;
        Self::from_bytes(&bytes)
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl From<PeerId> for Ticket {
    /// A bare id: the peer is looked for at the dialler's own relays.
    fn from(id: PeerId) -> Self {
        Self::new(id, Vec::new(), Vec::new())
    }
}

/// Why a text is no [`Ticket`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTicketError {
    /// Tickets of other programs or versions cannot be read.
    #[error("a ticket starts with {PREFIX}")]
    Prefix,
    /// Look at the named character.
    #[error("character {position} of the ticket is not base32 (A-Z, 2-7)")]
    Character {
        /// Position of the first wrong character, counted from 1 and without white space.
        position: usize,
    },
    /// The end is missing; copy the whole ticket.
    #[error("the ticket is cut short; copy all of it")]
    Truncated,
    /// One or more characters were mistyped.
    #[error(
        "the ticket's checksum does not match: it is cut short, or some characters were changed; copy all of it again"
    )]
    Checksum,
    /// It names a key that is none.
    #[error("in the ticket: {0}")]
    Id(#[from] ParseIdError),
    /// It was made by a broken or hostile program.
    #[error("the ticket holds {0}")]
    Contents(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn full() -> Ticket {
        let relays = ["relay.example.org", "192.0.2.7", "2001:db8::7"]
            .iter()
            .map(|host| RelayUrl::new(id(2), host, 4433).unwrap())
            .collect();
        Ticket::new(
            id(1),
            relays,
            vec![
                "192.0.2.1:5000".parse().unwrap(),
                "[2001:db8::1]:5000".parse().unwrap(),
            ],
        )
    }

    #[test]
    fn a_ticket_survives_its_text_form_in_either_case() {
        for ticket in [full(), id(1).into()] {
            let text = ticket.to_string();
            assert_eq!(text.parse(), Ok(ticket.clone()));
            assert_eq!(text.to_ascii_lowercase().parse(), Ok(ticket));
            assert_eq!(text, text.to_ascii_uppercase());
        }
    }

    #[test]
    fn a_discovery_secret_is_carried_and_what_has_none_reads_as_before() {
        let secret = DiscoverySecret::from_bytes([7; 16]);
        for plain in [full(), id(1).into()] {
            assert_eq!(plain.discovery(), None);
            let text = plain.to_string();
            let ticket = plain.clone().with_discovery(Some(secret));
            assert_eq!(ticket.to_string().parse(), Ok(ticket.clone()));
            assert!(ticket.to_string().len() <= text.len() + 26);
            assert_eq!(ticket.with_discovery(None).to_string(), text);
        }
        let text = full().with_discovery(Some(secret)).to_string();
        assert!(!format!("{:?}", text.parse::<Ticket>()).contains("7, 7"));
    }

    #[test]
    fn a_ticket_with_one_relay_fits_a_small_qr_code() {
        let relay = RelayUrl::new(id(2), "relay.example.org", 4433).unwrap();
        assert!(Ticket::new(id(1), vec![relay], vec![]).to_string().len() <= 154);
    }

    #[test]
    fn a_changed_or_cut_ticket_is_refused_with_the_reason() {
        let text = full().to_string();
        assert_eq!("peer".parse::<Ticket>(), Err(ParseTicketError::Prefix));
        assert_eq!(
            "PEERWAY1".parse::<Ticket>(),
            Err(ParseTicketError::Truncated)
        );
        let mut changed = text.clone();
        changed.replace_range(20..21, if &text[20..21] == "A" { "B" } else { "A" });
        assert_eq!(changed.parse::<Ticket>(), Err(ParseTicketError::Checksum));
        changed.replace_range(20..21, "!");
        assert_eq!(
            changed.parse::<Ticket>(),
            Err(ParseTicketError::Character { position: 21 })
        );
        for end in 0..PREFIX.len() {
            let error = text[..end].parse::<Ticket>();
            assert_eq!(error, Err(ParseTicketError::Prefix), "{end}");
        }
        for end in PREFIX.len()..text.len() {
            let error = text[..end].parse::<Ticket>().unwrap_err();
            assert!(error.to_string().contains("cut short"), "{end}: {error}");
        }
    }

    #[test]
    fn a_ticket_may_be_wrapped_as_mail_programs_do() {
        let text = full().to_string();
        let wrapped = format!("  {}\r\n\t{}\n", &text[..30], &text[30..]);
        assert_eq!(wrapped.parse(), Ok(full()));
    }

    #[test]
    fn a_ticket_without_a_relay_or_a_public_address_is_for_its_own_network() {
        let local = |addrs: &[&str]| {
            let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
            Ticket::new(id(1), Vec::new(), addrs).is_local()
        };
        assert!(local(&["192.168.1.5:4000", "[fd00::1]:4000"]));
        assert!(local(&[]));
        assert!(!local(&["192.168.1.5:4000", "81.2.0.1:4000"]));
        assert!(!full().is_local());
    }
}
