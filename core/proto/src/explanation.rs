//! Why a link is as it is: [`Explanation`], one value for programs, logs, JSON and people.
//!
//! It names a cause out of a closed list, the evidence of both sides, at most one thing that the user can do, and when the
//! node tries again by itself. It holds no address, so it can be shown to anybody.

mod advice;
mod between;
mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{NatReport, PathPolicy, PeerState, times::millis};

/// Why the link to a peer stands as it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The one reason.
    pub cause: Cause,
    /// What the user can do about it, if anything helps.
    pub action: Option<Action>,
    /// When the node tries again by itself, if it does.
    pub next_try: Option<NextTry>,
    /// What the cause was concluded from.
    pub evidence: Evidence,
}

/// One of the two ends of a link, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a link has two ends")]
pub enum Side {
    /// This node.
    Here,
    /// The peer.
    There,
}

/// The reasons that there are for a link to be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The link is direct.
    Direct {
        /// What made it so.
        how: How,
    },
    /// Hello was said, and the answer is awaited.
    Calling,
    /// Nobody answered hello.
    NoAnswer,
    /// The peer is not registered with its relay.
    PeerOffline,
    /// The peer has stopped answering, also through its relay, which still has it registered.
    PeerSilent,
    /// The peer is registered with its relay, but so many call it that the relay lets no more calls through.
    PeerBusy,
    /// The peer is registered with its relay, but acknowledges nothing that the relay sends.
    PeerUnreached,
    /// This node could not register with any relay of the peer, and no address answered.
    NoRelay,
    /// Nothing says where the peer is: neither a relay nor an address is known.
    NoAddress,
    /// There is no relay by which the peer could be called: it was asked by other means, as is the Mainline DHT, to say hello to this node.
    Called,
    /// The addresses of both sides are being probed.
    Trying,
    /// One side was told to use relays only.
    RelayOnly {
        /// Which side; this node if both.
        side: Side,
    },
    /// The paths that the node was told to use for this peer leave no other way.
    Policy {
        /// Which paths may carry its data.
        policy: PathPolicy,
    },
    /// The user dropped addresses of the peer, and no other one answers.
    Dropped,
    /// The direct path is silent; data goes by the relay too until it answers or is given up.
    PathSilent,
    /// There was a direct path. It died, and nothing has answered since.
    PathLost,
    /// Small packets get through directly, those of QUIC do not.
    PathNarrow {
        /// Length of the longest packet that was seen to get through, its IP and UDP headers included.
        carries: u16,
        /// Length that was not, and that QUIC needs.
        needs: u16,
    },
    /// The direct path that died answers again, and has to go on for a while before it is trusted.
    PathOnTrial,
    /// A direct path answers, but takes so much longer than the relay that data stays there.
    RelayFaster,
    /// The peer named no address that may be probed on a peer's word.
    NothingToProbe,
    /// One side has only IPv4 and the other only IPv6.
    NoCommonFamily,
    /// The NATs of both sides choose the ports of new mappings at random.
    BothRandom,
    /// One NAT counts its ports up or down, the other one chooses them at random.
    RandomAndSequential {
        /// The side whose ports are random.
        random: Side,
    },
    /// Ports would have to be guessed, and one side does not want that.
    GuessingOff {
        /// Which side; this node if both.
        side: Side,
    },
    /// Ports are being guessed.
    Guessing,
    /// Ports will be guessed, but either side does that for one peer at a time.
    GuessingWaits,
    /// Ports were guessed, and none of the guesses met.
    GuessingFailed,
    /// The router of one side forwards a port, and yet nothing comes in through it: there is another NAT or a firewall.
    MappingSilent {
        /// Which side.
        side: Side,
    },
    /// Both sides are behind the same router, which lets them meet neither inside nor by its public address.
    SameRouter,
    /// The network of one side lets no UDP through, or none but that to the relay.
    UdpBlocked {
        /// Which side.
        side: Side,
    },
    /// Probes get out of both networks, but one side does not let them in.
    Firewall {
        /// Which side.
        side: Side,
    },
    /// The NAT of one side was not measured, so that it is not known what to try.
    NatUnknown {
        /// Which side; this node if both.
        side: Side,
    },
    /// Probes were sent in both directions and none came through, though both NATs allow it.
    Silent,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// What made a link direct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// Both are in one local network.
    Lan,
    /// IPv6 needs no translation.
    Ipv6,
    /// One side has a public IPv4 address of its own.
    Public,
    /// A router forwards a port: PCP, NAT-PMP or UPnP.
    Mapped,
    /// Both sides opened their NATs for each other.
    Punched,
    /// The next port of a sequential NAT was foretold.
    Predicted,
    /// One of many ports was hit by many guesses.
    Birthday,
    /// UDP does not come through, but one side can be reached over TLS and TCP.
    Tcp,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// The one thing that would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Start the peer, or have it let this node in.
    StartPeer,
    /// Dial with a ticket, which says where the peer is.
    UseTicket,
    /// Get a relay to answer: its address, its state, the way to it.
    CheckRelay,
    /// Switch relay-only off.
    AllowDirect {
        /// Where.
        side: Side,
    },
    /// Allow all paths to this peer again.
    AllowAll,
    /// Have a direct path looked for, by which addresses that were dropped are probed again.
    Retry,
    /// Switch port guessing on.
    AllowGuessing {
        /// Where.
        side: Side,
    },
    /// Switch UPnP, PCP or NAT-PMP on in the router, or have it forward a UDP port.
    MapPort {
        /// On which side; none if either helps.
        side: Option<Side>,
    },
    /// Have the router, which refused to forward a port, allow it, or have it forward a UDP port for good.
    PermitMapping {
        /// On which side.
        side: Side,
    },
    /// Have the router forward a UDP port.
    ForwardPort {
        /// On which side.
        side: Side,
    },
    /// Ask the provider for a public address, IPv6 or IPv4: the router that could forward a port is behind another NAT.
    PublicAddress {
        /// On which side.
        side: Side,
    },
    /// Let UDP in at the firewall.
    OpenPort {
        /// On which side; none if on both.
        side: Option<Side>,
        /// This node's port, where it is about that.
        port: Option<u16>,
    },
    /// Let UDP out of the network, or use another one.
    AllowUdp {
        /// On which side.
        side: Side,
    },
    /// Get IPv6 for a network that has none.
    GetIpv6 {
        /// On which side.
        side: Side,
    },
    /// Have the common router let its clients reach each other.
    AllowNeighbours,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// Where port guessing stands with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guessing {
    /// It was not needed so far.
    #[default]
    NotTried,
    /// It will be tried when neither side guesses for another peer.
    Waiting,
    /// It is being tried.
    Running {
        /// Packets sent for it by this side.
        guesses: u32,
    },
    /// It was tried in vain.
    Failed {
        /// Packets sent for it by this side.
        guesses: u32,
    },
    /// It made the link direct.
    Hit {
        /// Packets sent for it by this side.
        guesses: u32,
        /// By foretelling a port rather than by many guesses.
        predicted: bool,
    },
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// When the node tries again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a time and a reason")]
pub struct NextTry {
    /// After so long; none if it is an event that is waited for.
    #[serde(default, rename = "in_ms", with = "millis::option")]
    pub after: Option<Duration>,
    /// Why then.
    pub reason: NextReason,
}

/// Why the next try is when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NextReason {
    /// The attempt that runs has its end then.
    Running,
    /// Attempts follow each other in growing distances, and at once when a network changes.
    Round,
    /// A failed dial is repeated in growing distances, and when a relay comes up.
    Redial,
    /// The address that died has to answer until then.
    Trial,
    /// Guessing rests after it was in vain.
    Cooldown,
    /// Guessing for another peer has to end first.
    Busy,
    /// Nothing is tried for a link that carries no data.
    Traffic,
    /// A new direct path is asked whether it carries packets as long as QUIC's.
    Width,
    /// Something that newer versions know.
    #[serde(other)]
    Unknown,
}

/// What a cause was concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Evidence {
    /// This node.
    pub here: SideEvidence,
    /// The peer as it described itself, if it did.
    pub there: Option<SideEvidence>,
    /// Whether relays see both at one public IPv4 address.
    pub same_router: bool,
    /// What was tried since the dial or, if there was a direct path, since that was lost.
    pub tried: Tried,
    /// Other peers with a direct path over the internet.
    pub others_direct: u32,
    /// Other peers whose probes and ours all got lost.
    pub others_silent: u32,
    /// How long ago the peer was last heard, if it left a hello unanswered since then that its relay took.
    #[serde(rename = "silent_ms", with = "millis::option")]
    pub silent: Option<Duration>,
    /// Whether the address in use is one that the user [forced](crate::PairAction::Force).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// Addresses of the peer that the user [dropped](crate::PairAction::Drop).
    #[serde(skip_serializing_if = "is_none")]
    pub dropped: u32,
}

/// One end of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SideEvidence {
    /// The NAT in front of it.
    pub nat: NatReport,
    /// The addresses that it offers.
    pub offers: Kinds,
    /// Whether there is an IPv4 address among them.
    pub ipv4: bool,
    /// Whether there is an IPv6 address among them.
    pub ipv6: bool,
    /// Whether its router, as far as it says, has a public address; none if it forwards no port.
    pub mapping_public: Option<bool>,
    /// Whether it agrees to direct paths.
    pub direct: bool,
    /// Whether it agrees to ports being guessed.
    pub guess: bool,
    /// Probes of the other side that came in, as far as is known.
    pub heard: u32,
    /// The TCP port by which it reaches the relay, as its network lets no UDP through to it; 0 if the port is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u16>,
}

/// Addresses by the way in which they were learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the three kinds of candidates")]
pub struct Kinds {
    /// Of an interface.
    pub host: u32,
    /// Of a port that a router forwards.
    pub mapped: u32,
    /// As a relay sees the node.
    pub reflexive: u32,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Tried {
    /// How long ago it began; for a direct link, how long it took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// INTROs sent.
    pub hellos: u32,
    /// Attempts in which both sides probed each other.
    pub rounds: u32,
    /// Addresses of the peer that are probed.
    pub probed: Kinds,
    /// Addresses of the peer that are never probed on a peer's word.
    pub forbidden: u32,
    /// Probes sent.
    pub sent: u32,
    /// Of those, the answered ones.
    pub answered: u32,
    /// Port guessing.
    pub guessing: Guessing,
    /// Round trip by the relay, once measured.
    #[serde(rename = "relay_rtt_ms", with = "millis::option")]
    pub relay_rtt: Option<Duration>,
    /// Round trip of the direct path that is in use or was held back.
    #[serde(rename = "direct_rtt_ms", with = "millis::option")]
    pub direct_rtt: Option<Duration>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Explanation {
    /// The same of a peer in this state that was asked by other means to say hello to this node: until it does, that is what is waited for.
    #[must_use]
    pub fn of_called(self, state: PeerState) -> Self {
        if !matches!(state, PeerState::Intro | PeerState::Failed) {
            return self;
        }
        let next_try = NextTry {
            after: None,
            reason: NextReason::Running,
        };
        Self {
            cause: Cause::Called,
            action: None,
            next_try: Some(next_try),
            evidence: self.evidence,
        }
    }
}

impl Cause {
    /// Whether the peer itself is away, so that nothing reaches it though the link is kept.
    #[must_use]
    pub fn is_away(self) -> bool {
        matches!(self, Self::PeerOffline | Self::PeerSilent)
    }
}

impl Tried {
    /// Packets that the attempt has cost this side.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.hellos + self.sent + self.guesses()
    }

    /// Ports that this side has guessed.
    #[must_use]
    pub fn guesses(&self) -> u32 {
        match self.guessing {
            Guessing::Running { guesses }
            | Guessing::Failed { guesses }
            | Guessing::Hit { guesses, .. } => guesses,
            Guessing::NotTried | Guessing::Waiting | Guessing::Unknown => 0,
        }
    }
}

impl Kinds {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.host + self.mapped + self.reflexive
    }
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Here => Self::There,
            Self::There => Self::Here,
        }
    }
}
