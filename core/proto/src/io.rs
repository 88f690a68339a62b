//! What goes into the machine and what comes out: plain values.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    Access, EventKind, NatReport, PairAction, PathPolicy, PeerId, RelayUrl,
    addr::{Families, LocalAddr, Nat64},
};

/// One of our UDP sockets: the endpoint's own, or one opened for a NAT whose ports have to be guessed. Holes have numbers below
/// 2^30, sockets of measurements below 2^31, TCP connections above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sock(pub u32);

impl Sock {
    /// The endpoint's own sockets, one for each address family: the destination tells which.
    pub const MAIN: Self = Self(0);
    const TCP: u32 = 1 << 31;

    /// TLS over TCP to one address: to everything but the kernel just another socket.
    pub fn tcp(number: u32) -> Self {
        Self(number | Self::TCP)
    }

    pub fn is_tcp(self) -> bool {
        self.0 & Self::TCP != 0
    }
}

/// A candidate pair (RFC 8445 section 5): one of our sockets and an address of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub sock: Sock,
    pub addr: SocketAddr,
}

impl Pair {
    /// From the endpoint's own socket.
    pub fn main(addr: SocketAddr) -> Self {
        Self {
            sock: Sock::MAIN,
            addr,
        }
    }
}

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Registered with a relay, at this address, which sees us there and has this time, as against our own clock.
    RelayUp {
        relay: RelayUrl,
        addr: SocketAddr,
        observed: SocketAddr,
        unix_ms: u64,
        own_ms: u64,
    },
    /// The relay is about to stop, and carries on until then.
    RelayDraining { relay: RelayUrl },
    /// A relay names another one in its place: peers that may be met there may be met at the other.
    RelayMoved { relay: RelayUrl, to: RelayUrl },
    /// The relay has owed an answer for longer than usual, and may be gone; or it answers again.
    RelaySilent { relay: RelayUrl, silent: bool },
    /// Not registered with it any more.
    RelayDown { relay: RelayUrl },
    /// The relay sees us at another address now.
    Observed { relay: RelayUrl, addr: SocketAddr },
    /// A message that the relay forwarded, with the address at which it sees the sender, unless that one has it told to nobody.
    RelayMessage {
        relay: RelayUrl,
        from: PeerId,
        attested: Option<SocketAddr>,
        bytes: &'a [u8],
    },
    /// The relay does not know the peer.
    RelayGone { relay: RelayUrl, peer: PeerId },
    /// The relay lets no more calls through to the peer now.
    RelayBusy { relay: RelayUrl, peer: PeerId },
    /// The peer is registered with the relay, but acknowledges nothing that the relay sends.
    RelayUnreached { relay: RelayUrl, peer: PeerId },
    /// A datagram of ours: INTRO, INTRO_ACK, PROBE or SEALED.
    Datagram {
        sock: Sock,
        source: SocketAddr,
        bytes: &'a [u8],
    },
    /// These IPv4 sockets are open: fewer than were asked for if the system has no more to give.
    SocketsOpened { first: Sock, count: u16 },
    /// A TCP connection to or from this address stands, and its other end holds the peer's key.
    TcpUp {
        peer: PeerId,
        tcp: Pair,
        dialled: bool,
    },
    /// The TCP connection is no more.
    TcpDown { peer: PeerId, tcp: Pair },
    /// Whether we take TCP connections, at the ports of the endpoint's own sockets.
    Listening(bool),
    /// The relay sees this socket of ours here.
    Sampled { sock: Sock, addr: SocketAddr },
    /// Our interfaces' addresses, complete; and whether a route to the internet is gone, or leads out elsewhere.
    Interfaces {
        addrs: Vec<LocalAddr>,
        lost_route: bool,
    },
    /// The router forwards this address to us, or none.
    PortMapped(Option<SocketAddr>),
    /// The router lets everybody's packets in at this IPv6 address of ours, or at none.
    Pinhole(Option<SocketAddr>),
    /// The families in which packets of ours leave our own networks; and the translator to IPv4 where that is not one of them.
    Routes {
        families: Families,
        nat64: Option<Nat64>,
    },
    /// The relay sees us at this address too, in the family that we are not registered in.
    AlsoObserved { relay: RelayUrl, addr: SocketAddr },
    /// Strangers who agree see us there, or do not agree any more.
    Seen(Option<SocketAddr>),
    /// How our NAT behaves.
    Nat(NatReport),
    /// Routers between us and a relay.
    Hops(u8),
    /// Somebody wants a link to the peer, to be met at these relays and addresses.
    Connect {
        peer: PeerId,
        relays: Vec<RelayUrl>,
        addrs: Vec<SocketAddr>,
    },
    /// Somebody on our network claims to be, or to have seen, the peer at these addresses; none if it left.
    Found {
        peer: PeerId,
        addrs: Vec<SocketAddr>,
    },
    /// The peer asks by other means that we say hello to it, at these addresses: it opened its NAT for that, and cannot get through ours.
    CalledBack {
        peer: PeerId,
        addrs: Vec<SocketAddr>,
    },
    /// A connection with the peer stands.
    Connected { peer: PeerId },
    /// Nobody wants a link to the peer any more.
    Release { peer: PeerId },
    /// Since `since` QUIC got nothing back on the peer's direct path, to which it last sent at `sent`; its own
    /// estimate of the round trip is `rtt`.
    Silence {
        peer: PeerId,
        since: Instant,
        sent: Instant,
        rtt: Duration,
    },
    /// QUIC lost packets to the peer.
    Losses { peer: PeerId },
    /// Data flows to or from the peer, which is heard if some came in.
    Traffic { peer: PeerId, heard: bool },
    /// Somebody wants a direct path to the peer looked for now, and not only when it is time for that.
    Retry { peer: PeerId },
    /// Which paths may carry the peer's data from now on, whether there is a link or not.
    Policy { peer: PeerId, policy: PathPolicy },
    /// The user wants something done with one of the peer's pairs.
    Pair(OfPair),
    /// This computer slept, or did nothing for so long that it makes no difference.
    Resumed,
    /// Who may open links from now on. Those of others end, but for what we dialled ourselves.
    Access {
        access: Access,
        dialled: Vec<PeerId>,
    },
    /// The node ends: say goodbye.
    Shutdown,
}

/// What is to be done with the peer's pair of this address, which is a TCP connection or is not.
#[derive(Clone, Copy, Debug)]
pub struct OfPair {
    pub peer: PeerId,
    pub remote: SocketAddr,
    pub tcp: bool,
    pub action: PairAction,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a datagram; with a TTL if it is not meant to arrive.
    SendDatagram {
        sock: Sock,
        to: SocketAddr,
        ttl: Option<u8>,
        bytes: Vec<u8>,
    },
    /// Have the relay forward a message; if `hidden`, without the address at which it sees us.
    SendRelay {
        relay: RelayUrl,
        to: PeerId,
        hidden: bool,
        bytes: Vec<u8>,
    },
    /// Open IPv4 sockets with these numbers, counting up from the first, each at a port of its own.
    OpenSockets { first: Sock, count: u16 },
    /// Close these sockets; those that are not open are no mistake.
    CloseSockets { first: Sock, count: u16 },
    /// Dial a TCP connection, unless that is being done. Nothing comes of a failure.
    DialTcp { peer: PeerId, addr: SocketAddr },
    /// Use the TCP connection: what comes on it is the peer's.
    TakeTcp { peer: PeerId, sock: Sock },
    /// Close the TCP connection when all that was sent on it has left; one that is not open is no mistake.
    CloseTcp { sock: Sock },
    /// Ask the relay by STUN where it sees this socket. The answer may be lost.
    SampleMapping { sock: Sock, relay: RelayUrl },
    /// Register with this relay too.
    NeedRelay { relay: RelayUrl },
    /// QUIC packets from this address belong to the peer from now on.
    Admit { peer: PeerId, addr: SocketAddr },
    /// QUIC packets from this address belong to the peer no more.
    Expel { peer: PeerId, addr: SocketAddr },
    /// QUIC packets to the peer go here from now on.
    Route { peer: PeerId, route: Route },
    /// The link is over: forget its addresses and route.
    Forget { peer: PeerId },
    /// The dial failed.
    Failed { peer: PeerId, reason: Failure },
    /// Tell whoever listens.
    Event(EventKind),
}

/// Where a peer's QUIC packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Straight to this address.
    Direct(Pair),
    /// On the relay's lane.
    Relay(RelayUrl),
    /// Both, because the address fell silent.
    Both(Pair, RelayUrl),
    /// Nowhere for now: what leads to the peer may not carry its data.
    Nowhere,
}

/// Why no link came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The relay does not know the peer.
    Offline(RelayUrl),
    /// The relay let no more calls through to the peer.
    Busy(RelayUrl),
    /// The peer is registered with the relay, whose packets it does not acknowledge.
    Unreached(RelayUrl),
    /// No relay of the peer could be reached, and no address answered.
    NoRelay,
    /// Nobody answered.
    Silent,
    /// Nothing says where the peer is.
    NoAddress,
    /// What leads to the peer is not to carry its data: see [`Input::Policy`].
    Policy,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    /// Repeat or give up an INTRO.
    Intro,
    /// Probe a candidate.
    Probe,
    /// End a round.
    RoundEnd,
    /// Open holes for a peer's guesses, guess, or stop doing so.
    Guess,
    /// Probe a suspect path, or call it dead.
    Suspect,
    /// Ask an idle path, or a spare one.
    KeepAlive,
    /// Try a fresh port, or let go of it.
    FreshPort,
    /// Ask an address that died.
    Probation,
    /// Begin the next round while relayed.
    NextRound,
    /// Try a failed peer again.
    Retry,
    /// Have the relay bind the lane again.
    Rebind,
    /// Let go of a link without connections.
    Linger,
    /// Forget who came by itself and left.
    Forget,
    /// Dial TCP connections.
    Tcp,
}
