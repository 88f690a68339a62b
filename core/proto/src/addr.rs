//! Addresses that others name: what they really mean, and which of them we may send a probe to.

mod nat64;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use nat64::Nat64;

/// The address that a packet to `addr` ends up at, for judging it; not for sending.
///
/// IPv4 addresses inside IPv6 ones are unwrapped: v4-mapped and v4-compatible (RFC 4291 section 2.5.5), the well-known NAT64
/// prefix 64:ff9b::/96 (RFC 6052) and 6to4 2002::/16 (RFC 3056). Flow label and zone are dropped.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_ip(addr.ip()), addr.port())
}

/// What the IANA special-purpose registries (RFC 6890 and its updates) say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// 0.0.0.0 and ::.
    Unspecified,
    /// The rest of 0.0.0.0/8.
    ThisNetwork,
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// RFC 1918.
    Private,
    /// 100.64.0.0/10, between a carrier's NAT and its customers (RFC 6598).
    Shared,
    /// 169.254.0.0/16 and fe80::/10.
    LinkLocal,
    /// fc00::/7.
    UniqueLocal,
    /// The five ranges that only examples use.
    Documentation,
    /// 198.18.0.0/15 and 2001:2::/48.
    Benchmarking,
    /// Set aside for protocols: 192.0.0.0/24, 2001::/23, AS112, AMT, SRv6, the 6to4 relays.
    Protocol,
    /// 64:ff9b:1::/48, NAT64 prefixes of local meaning (RFC 8215).
    LocalTranslation,
    /// 2001::/32, which carries an IPv4 address of anybody's choice.
    Teredo,
    /// 100::/64 and its neighbour.
    Discard,
    /// 224.0.0.0/4 and ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 240.0.0.0/4, and IPv6 outside of what is allocated for unicast (2000::/3).
    Reserved,
    /// An ordinary address of the internet.
    Global,
}

impl Scope {
    /// The scope of an address, seen through any IPv6 wrapping.
    pub fn of(ip: IpAddr) -> Self {
        let ip = canonical_ip(ip);
        let elsewhere = if ip.is_ipv4() {
            Self::Global
        } else {
            Self::Reserved
        };
        RANGES
            .iter()
            .find(|(first, prefix_len, _)| same_prefix(*first, ip, *prefix_len))
            .map_or(elsewhere, |(_, _, scope)| *scope)
    }

    /// Whether only neighbours can reach such an address.
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::Private | Self::Shared | Self::LinkLocal | Self::UniqueLocal
        )
    }
}

/// An address of one of our interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalAddr {
    pub ip: IpAddr,
    /// Length of the prefix that the interface's network shares, in bits.
    pub prefix_len: u8,
}

impl LocalAddr {
    /// Whether `ip` lies in the network that this address belongs to.
    pub fn shares_prefix(self, ip: IpAddr) -> bool {
        same_prefix(self.ip, ip, self.prefix_len)
    }

    /// Whether `ip` means everybody in this network: the directed broadcast address, or the network's own number.
    fn is_broadcast(self, ip: IpAddr) -> bool {
        let (IpAddr::V4(_), IpAddr::V4(v4)) = (self.ip, ip) else {
            return false;
        };
        let host_bits = u32::MAX
            .checked_shr(self.prefix_len.into())
            .unwrap_or_default();
        let host = v4.to_bits() & host_bits;
        self.prefix_len < 31 && self.shares_prefix(ip) && (host == 0 || host == host_bits)
    }
}

/// Families of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl Families {
    pub fn has(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// What [`may_probe`] has to know of us and of the peer that named an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeContext<'a> {
    /// The addresses of our own sockets.
    pub(crate) own: &'a [SocketAddr],
    /// Our interfaces.
    pub(crate) interfaces: &'a [LocalAddr],
    /// Where relays see us.
    pub(crate) own_public: &'a [IpAddr],
    /// Where relays see the peer.
    pub(crate) peer_attested: &'a [IpAddr],
    /// The relay is on this computer, hence so is everybody who meets there by loopback.
    pub(crate) relay_is_loopback: bool,
}

impl ProbeContext<'_> {
    fn is_attested(&self, ip: IpAddr) -> bool {
        self.peer_attested
            .iter()
            .any(|seen| canonical_ip(*seen) == ip)
    }

    fn shares_public_address(&self) -> bool {
        self.own_public
            .iter()
            .any(|ours| self.is_attested(canonical_ip(*ours)))
    }

    fn shares_prefix(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().any(|local| local.shares_prefix(ip))
    }

    fn is_ours(&self, ip: IpAddr) -> bool {
        let interfaces = self.interfaces.iter().map(|local| local.ip);
        self.own
            .iter()
            .map(SocketAddr::ip)
            .chain(interfaces)
            .any(|ours| canonical_ip(ours) == ip)
    }
}

/// Why an address is not probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// A port that other services listen on.
    #[error("port {0} belongs to another service; offer one above 1023")]
    Port(u16),
    /// Nobody can rightly be reached there.
    #[error("{0:?} addresses are never probed; offer one of an interface")]
    Scope(Scope),
    /// It is everybody on a network of ours.
    #[error("it is a broadcast address of our own network; offer one of an interface")]
    Broadcast,
    /// It leads back to this computer.
    #[error("it is our own address; offer one of the peer's")]
    Own,
    /// A local address of a network that we are not in.
    #[error("{0:?} addresses are probed only within a shared network; offer a public one")]
    OtherNetwork(Scope),
}

/// Whether a probe may be sent to an address that a peer named.
///
/// A candidate list must not become a way to scan our network or to aim us at a victim. What a relay itself has seen packets of
/// the peer come from is trusted further than what the peer says.
///
/// # Errors
/// The first reason against it.
pub(crate) fn may_probe(addr: SocketAddr, ctx: &ProbeContext<'_>) -> Result<(), Forbidden> {
    let addr = canonical(addr);
    let (ip, port) = (addr.ip(), addr.port());
    if (port < 1024 && port != 443) || FOREIGN_PORTS.contains(&port) {
        return Err(Forbidden::Port(port));
    }
    let scope = Scope::of(ip);
    if ctx.own.iter().any(|own| canonical(*own) == addr) {
        return Err(Forbidden::Own);
    }
    match scope {
        Scope::Unspecified
        | Scope::ThisNetwork
        | Scope::Multicast
        | Scope::Broadcast
        | Scope::Reserved => return Err(Forbidden::Scope(scope)),
        Scope::Loopback if ctx.relay_is_loopback => return Ok(()),
        Scope::Loopback => return Err(Forbidden::Scope(scope)),
        Scope::Private
        | Scope::Shared
        | Scope::LinkLocal
        | Scope::UniqueLocal
        | Scope::Documentation
        | Scope::Benchmarking
        | Scope::Protocol
        | Scope::LocalTranslation
        | Scope::Teredo
        | Scope::Discard
        | Scope::Global => {}
    }
    if ctx.interfaces.iter().any(|local| local.is_broadcast(ip)) {
        return Err(Forbidden::Broadcast);
    }
    if ctx.is_attested(ip) {
        return Ok(());
    }
    if ctx.is_ours(ip) && !ctx.shares_public_address() {
        return Err(Forbidden::Own);
    }
    if scope == Scope::Global {
        return Ok(());
    }
    if !scope.is_local() {
        return Err(Forbidden::Scope(scope));
    }
    if ctx.shares_public_address() || ctx.shares_prefix(ip) {
        return Ok(());
    }
    Err(Forbidden::OtherNetwork(scope))
}

/// SSDP, WS-Discovery, mDNS and memcached: they answer strangers, with more than they were sent.
const FOREIGN_PORTS: [u16; 4] = [1900, 3702, 5353, 11211];

/// The registries: first address, prefix length, what it is.
///
/// The first match wins, so a range inside another stands before it. IPv4 outside of all is [`Scope::Global`], IPv6
/// [`Scope::Reserved`].
const RANGES: &[(IpAddr, u8, Scope)] = &[
    v4([0, 0, 0, 0], 32, Scope::Unspecified),
    v4([0, 0, 0, 0], 8, Scope::ThisNetwork),
    v4([10, 0, 0, 0], 8, Scope::Private),
    v4([100, 64, 0, 0], 10, Scope::Shared),
    v4([127, 0, 0, 0], 8, Scope::Loopback),
    v4([169, 254, 0, 0], 16, Scope::LinkLocal),
    v4([172, 16, 0, 0], 12, Scope::Private),
    v4([192, 0, 0, 0], 24, Scope::Protocol),
    v4([192, 0, 2, 0], 24, Scope::Documentation),
    v4([192, 31, 196, 0], 24, Scope::Protocol),
    v4([192, 52, 193, 0], 24, Scope::Protocol),
    v4([192, 88, 99, 0], 24, Scope::Protocol),
    v4([192, 168, 0, 0], 16, Scope::Private),
    v4([192, 175, 48, 0], 24, Scope::Protocol),
    v4([198, 18, 0, 0], 15, Scope::Benchmarking),
    v4([198, 51, 100, 0], 24, Scope::Documentation),
    v4([203, 0, 113, 0], 24, Scope::Documentation),
    v4([224, 0, 0, 0], 4, Scope::Multicast),
    v4([255, 255, 255, 255], 32, Scope::Broadcast),
    v4([240, 0, 0, 0], 4, Scope::Reserved),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Scope::Unspecified),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Scope::Loopback),
    v6(
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        Scope::LocalTranslation,
    ),
    // Two neighbouring /64 of the registry in one.
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 63, Scope::Discard),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Scope::Teredo),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Scope::Benchmarking),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Scope::Protocol),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Scope::Documentation),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Scope::Protocol),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Scope::Documentation),
    v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Scope::Global),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Scope::Protocol),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Scope::UniqueLocal),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Scope::LinkLocal),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Scope::Multicast),
];

const fn v4(first: [u8; 4], prefix_len: u8, scope: Scope) -> (IpAddr, u8, Scope) {
    let [a, b, c, d] = first;
    (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_len, scope)
}

const fn v6(first: [u16; 8], prefix_len: u8, scope: Scope) -> (IpAddr, u8, Scope) {
    let [a, b, c, d, e, f, g, h] = first;
    (
        IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
        prefix_len,
        scope,
    )
}

fn canonical_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => wrapped_v4(v6).map_or(ip, IpAddr::V4),
    }
}

fn wrapped_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// Whether the first `prefix_len` bits are equal.
fn same_prefix(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    let (difference, width) = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = u32::from(u8::saturating_sub(width, prefix_len));
    difference.checked_shr(host_bits).unwrap_or_default() == 0
}

#[cfg(test)]
mod tests;
