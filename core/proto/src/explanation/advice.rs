//! What would help and when the node tries again, in words.

use std::fmt;

use super::{Action, NextReason, NextTry, Side, text::span};

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Side::{Here, There};
        f.write_str(match self {
            Self::StartPeer => "Start the peer, or check that it lets this node in.",
            Self::UseTicket => "Dial with the peer's ticket, which says where it is.",
            Self::CheckRelay => {
                "Check that the relay runs and that your network lets UDP through to it."
            }
            Self::AllowDirect { side: Here } => "Start this node without relay-only.",
            Self::AllowDirect { side: There } => {
                "Ask the peer to start its node without relay-only, or to let this node have direct paths again."
            }
            Self::AllowAll => "Set the policy of this peer to auto, which allows all paths: `peerway policy PEER auto`.",
            Self::Retry => "Have all addresses of the peer probed again: `peerway pairs PEER retry`.",
            Self::AllowGuessing { side: Here } => "Start this node with port guessing allowed.",
            Self::AllowGuessing { side: There } => "Ask the peer to allow port guessing.",
            Self::MapPort { side: None } => {
                "Switch on UPnP or PCP in either router, or forward a UDP port there."
            }
            Self::MapPort { side: Some(Here) } => {
                "Switch on UPnP or PCP in your router, or forward a UDP port to this computer."
            }
            Self::MapPort { side: Some(There) } => {
                "Ask the peer to switch on UPnP or PCP in its router, or to forward a UDP port."
            }
            Self::PermitMapping { side: Here } => {
                "Allow this computer in your router to open ports, or forward a UDP port to it."
            }
            Self::PermitMapping { side: There } => {
                "Ask the peer to have its router open ports for it, or forward a UDP port."
            }
            Self::ForwardPort { side: Here } => {
                "Forward a UDP port to this computer in your router."
            }
            Self::ForwardPort { side: There } => {
                "Ask the peer to forward a UDP port to its computer in its router."
            }
            Self::PublicAddress { side: Here } => {
                "Ask your provider for IPv6 or a public IPv4 address."
            }
            Self::PublicAddress { side: There } => {
                "Ask the peer to get IPv6 or a public IPv4 address from its provider."
            }
            Self::OpenPort {
                side: Some(There), ..
            } => "Ask the peer to let UDP in at its firewall.",
            Self::OpenPort {
                side: None,
                port: None,
            } => "Let UDP in at the firewalls of both sides.",
            Self::OpenPort {
                side: Some(Here),
                port: None,
            } => "Let UDP in at your firewall.",
            Self::OpenPort {
                side,
                port: Some(port),
            } => {
                let also = if side.is_none() {
                    ", and ask the peer to do the same"
                } else {
                    ""
                };
                return write!(f, "Let UDP port {port} in at your firewall{also}.");
            }
            Self::AllowUdp { side: Here } => "Have your network let UDP out, or use another one.",
            Self::AllowUdp { side: There } => {
                "Ask the peer to have its network let UDP out, or to use another one."
            }
            Self::GetIpv6 { side: Here } => "Get IPv6 for your network.",
            Self::GetIpv6 { side: There } => "Ask the peer to get IPv6 for its network.",
            Self::AllowNeighbours => {
                "Switch off client isolation in the router, so that its clients see each other."
            }
            Self::Unknown => "Update this program: what would help is known to newer versions.",
        })
    }
}

impl fmt::Display for NextTry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason, self.after.map(span)) {
            (NextReason::Running, _) => f.write_str("It is being tried right now."),
            (NextReason::Round, Some(time)) => {
                write!(f, "Next try in {time}, or at once when a network changes.")
            }
            (NextReason::Redial, Some(time)) => write!(f, "Next call in {time}."),
            (NextReason::Trial, Some(time)) => {
                write!(f, "It is taken again in {time} if it goes on.")
            }
            (NextReason::Cooldown, Some(time)) => write!(f, "Ports are guessed again in {time}."),
            (NextReason::Busy, _) => f.write_str("It follows when the other peer's turn is over."),
            (NextReason::Traffic, _) => f.write_str("Next try when data flows."),
            (NextReason::Width, _) => {
                f.write_str("Whether it carries long packets too is being asked right now.")
            }
            (NextReason::Unknown, Some(time)) => write!(f, "Next try in {time}."),
            (
                NextReason::Round
                | NextReason::Redial
                | NextReason::Trial
                | NextReason::Cooldown
                | NextReason::Unknown,
                None,
            ) => f.write_str("It is tried again later."),
        }
    }
}
