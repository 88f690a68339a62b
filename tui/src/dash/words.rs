//! Peers, paths, addresses and reasons in words. What a screen shows of a node is said here and nowhere else.

mod events;
mod nat;
mod twins;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use peerway::{
    Explanation, NodeSnapshot, Observed, PairAction, PathInfo, PathPolicy, PeerId, PeerSnapshot,
    PeerState, RelayUrl,
};

use super::{
    addresses,
    look::{Glyphs, Role},
    trail::Trails,
};

pub(super) use events::{Level, is_warning};
pub(crate) use nat::{nat_class, own_nat_class};
pub(super) use twins::Twins;

/// Says things in the names, glyphs and privacy of the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) names: &'a BTreeMap<PeerId, String>,
    pub(super) glyphs: &'static Glyphs,
    pub(super) trails: &'a Trails,
    /// Whom the address book blocks.
    pub(super) blocked: &'a BTreeSet<PeerId>,
    /// Where several relays are.
    pub(super) twins: &'a Twins,
    /// Addresses are hidden, for sharing the screen.
    pub(super) masked: bool,
}

/// How a peer is reached, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Direct,
    Suspect,
    Relay,
    Connecting,
    Idle,
    Unreachable,
}

/// How much of an address is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    None,
    Ip,
    Full,
}

impl Standing {
    pub(super) const ALL: [Self; 6] = [
        Self::Direct,
        Self::Suspect,
        Self::Relay,
        Self::Connecting,
        Self::Idle,
        Self::Unreachable,
    ];

    /// Whether the peer is reached.
    pub(super) fn is_linked(self) -> bool {
        match self {
            Self::Direct | Self::Suspect | Self::Relay => true,
            Self::Connecting | Self::Idle | Self::Unreachable => false,
        }
    }

    /// By what came through: a relay that was handed a hello has not reached the peer yet, and one that no longer knows the
    /// peer, or does not get an answer from it, does not reach it any more.
    pub(super) fn of(peer: &PeerSnapshot) -> Self {
        let is_away = peer.why.as_ref().is_some_and(|why| why.cause.is_away());
        match (peer.state, &peer.path, is_away) {
            // Nothing goes over it any more.
            (PeerState::Direct | PeerState::Suspect | PeerState::Relayed, _, false)
                if peer.ending =>
            {
                Self::Idle
            }
            (PeerState::Direct, ..) => Self::Direct,
            (PeerState::Suspect, ..) => Self::Suspect,
            (PeerState::Failed, ..) | (_, _, true) => Self::Unreachable,
            (PeerState::Relayed, ..) | (PeerState::Punch, Some(PathInfo::Relay { .. }), _) => {
                Self::Relay
            }
            (PeerState::Idle, ..) => Self::Idle,
            _ => Self::Connecting,
        }
    }

    /// Whether what is measured of the peer is of now.
    pub(super) fn is_reached(self) -> bool {
        !matches!(self, Self::Connecting | Self::Unreachable)
    }

    /// Whether somebody may want to know why it is so.
    pub(super) fn is_fault(self) -> bool {
        !matches!(self, Self::Direct | Self::Idle)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Suspect => "suspect",
            Self::Relay => "relay",
            Self::Connecting => "connecting",
            Self::Idle => "idle",
            Self::Unreachable => "unreachable",
        }
    }

    pub(super) fn glyph(self, glyphs: &Glyphs) -> &'static str {
        match self {
            Self::Direct => glyphs.direct,
            Self::Suspect => glyphs.warning,
            Self::Relay => glyphs.relay,
            Self::Connecting => glyphs.connecting,
            Self::Idle => glyphs.idle,
            Self::Unreachable => glyphs.unreachable,
        }
    }

    pub(super) fn role(self) -> Role {
        match self {
            Self::Direct => Role::Good,
            Self::Suspect | Self::Relay => Role::Warn,
            Self::Connecting => Role::Info,
            Self::Idle => Role::Dim,
            Self::Unreachable => Role::Bad,
        }
    }
}

impl Words<'_> {
    /// The peer's alias, or the short form of its id.
    pub(super) fn name(&self, id: &PeerId) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.short())
    }

    /// How a peer is reached; one that could not be when it was last wanted still counts as unreachable.
    pub(super) fn kind(&self, peer: &PeerSnapshot) -> Standing {
        let given_up = self.trails.given_up(peer);
        given_up.map_or_else(|| Standing::of(peer), |phase| phase.kind)
    }

    /// Why the link to a peer stands as it does, or why it could not be reached when it was last wanted.
    pub(super) fn why<'b>(&'b self, peer: &'b PeerSnapshot) -> Option<&'b Explanation> {
        let given_up = self.trails.given_up(peer);
        peer.why
            .as_ref()
            .or_else(|| given_up.and_then(|phase| phase.why.as_deref()))
    }

    /// The WHY column: why the link is not direct, if it is not.
    pub(super) fn short_reason(&self, peer: &PeerSnapshot) -> &'static str {
        match self.why(peer) {
            Some(why) if peer.state != PeerState::Direct => why.cause.label(),
            _ => "",
        }
    }

    pub(super) fn addr(&self, addr: SocketAddr) -> String {
        if self.masked {
            "hidden".to_owned()
        } else {
            addr.to_string()
        }
    }

    /// A relay's name or address, with its port where another one is at the same host.
    pub(super) fn relay(&self, url: &RelayUrl) -> String {
        match url.host().parse::<IpAddr>() {
            Ok(_) if self.masked => url.key().short(),
            Ok(IpAddr::V6(ip)) if self.twins.are_at(url) => format!("[{ip}]:{}", url.port()),
            Ok(ip) => self.twins.told_apart(ip.to_string(), url),
            Err(_) => self.twins.told_apart(url.host().to_owned(), url),
        }
    }

    /// The same where there is little room: the first label of a name, unless that says nothing.
    pub(super) fn relay_label(&self, url: &RelayUrl) -> String {
        let is_name = url.host().parse::<IpAddr>().is_err();
        match url.host().split_once('.') {
            Some((label, _)) if is_name && label != "relay" => {
                self.twins.told_apart(label.to_owned(), url)
            }
            _ => self.relay(url),
        }
    }

    /// Text of foreign origin; its addresses are hidden too.
    pub(super) fn foreign(&self, text: &str) -> String {
        if !self.masked {
            return text.to_owned();
        }
        addresses::replace(text, |_, _| "hidden".to_owned())
    }

    /// `direct v6`, `direct lan`, `relay fra1`, and as much of the address as is wanted.
    pub(super) fn path(&self, path: &PathInfo, address: Address) -> String {
        match path {
            PathInfo::Direct { remote, lan, tcp } => {
                let family = match (tcp, lan, remote) {
                    (true, ..) => "tcp",
                    (_, true, _) => "lan",
                    (.., SocketAddr::V6(_)) => "v6",
                    (.., SocketAddr::V4(_)) => "v4",
                };
                match address {
                    Address::None => format!("direct {family}"),
                    Address::Ip if self.masked => format!("direct {family:<3} hidden"),
                    Address::Ip => format!("direct {family:<3} {}", remote.ip()),
                    Address::Full => format!("direct {family} {}", self.addr(*remote)),
                }
            }
            PathInfo::Relay { remote } if address == Address::Full => {
                format!("relay {}", self.relay(remote))
            }
            PathInfo::Relay { remote } => format!("relay {}", self.relay_label(remote)),
            PathInfo::Unknown | _ => path.to_string(),
        }
    }

    /// The PATH column: where the link stands and what is being tried.
    pub(super) fn link(&self, peer: &PeerSnapshot, address: Address) -> String {
        let link = self.link_itself(peer, address);
        match self.badge(peer) {
            Some(badge) => format!("{link} {badge}"),
            None => link,
        }
    }

    /// Whether the address book blocks it, and which paths the user wants to it, if not all: `[relay-only]`, or `[forced]` where it is a
    /// single one.
    pub(super) fn badge(&self, peer: &PeerSnapshot) -> Option<String> {
        if self.blocked.contains(&peer.id) {
            return Some("[blocked]".to_owned());
        }
        let by_policy = (!peer.policy.is_auto()).then(|| format!("[{}]", peer.policy));
        let is_forced = || peer.pairs.iter().any(|pair| pair.forced);
        by_policy.or_else(|| is_forced().then(|| "[forced]".to_owned()))
    }

    /// The same without its policy.
    pub(super) fn link_itself(&self, peer: &PeerSnapshot, address: Address) -> String {
        let path = peer.path.as_ref().map(|path| self.path(path, address));
        let probing = if peer.probes_sent > 0 {
            format!(" {}/{}", peer.probes_answered, peer.probes_sent)
        } else {
            String::new()
        };
        let glyphs = self.glyphs;
        match (self.kind(peer), path) {
            (Standing::Direct | Standing::Relay, Some(path)) => {
                if peer.state == PeerState::Punch {
                    format!("{path} {} punch{probing}", glyphs.right)
                } else {
                    path
                }
            }
            (Standing::Suspect, Some(path)) => format!("{path} {} silent", glyphs.dot),
            (Standing::Idle, Some(path)) if peer.ending => format!("ended {} {path}", glyphs.dot),
            (Standing::Idle, Some(path)) => format!("idle {} {path}", glyphs.dot),
            (Standing::Connecting, _) => format!("connecting{probing}"),
            (kind, _) => kind.word().to_owned(),
        }
    }
}

/// How old a round trip and losses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// Of now, or nobody knows of when.
    Lately,
    /// So long ago that it is said.
    Ago(Duration),
    /// So long ago that it says nothing any more.
    TooLongAgo,
}

impl Measured {
    /// An idle link is asked less often.
    const LATELY: Duration = Duration::from_secs(60);
    /// QUIC itself asks after 150 s.
    const MOST: Duration = Duration::from_secs(180);

    pub(super) fn of(peer: &PeerSnapshot) -> Self {
        match peer.rtt_age {
            Some(age) if age > Self::MOST => Self::TooLongAgo,
            Some(age) if age > Self::LATELY => Self::Ago(age),
            Some(_) | None => Self::Lately,
        }
    }

    /// The round trip, if it still says something.
    pub(super) fn rtt(peer: &PeerSnapshot) -> Option<Duration> {
        peer.rtt.filter(|_| Self::of(peer) != Self::TooLongAgo)
    }
}

/// How a peer of this policy is reached, after "is reached".
pub(crate) fn reached(policy: PathPolicy) -> &'static str {
    match policy {
        PathPolicy::RelayOnly => "by relays only, as long as the node runs",
        PathPolicy::DirectOnly => "directly or not at all, as long as the node runs",
        PathPolicy::Auto => "by the best path",
        PathPolicy::Unknown | _ => "in a way that only newer versions know",
    }
}

/// What becomes of a pair with which this was done.
pub(crate) fn chosen(name: &str, addr: &str, action: PairAction) -> String {
    match action {
        PairAction::Probe => format!("{addr} of {name} is asked"),
        PairAction::Drop => {
            format!("{addr} of {name} is neither used nor probed until a retry or another network")
        }
        PairAction::Release => format!("what goes to {name} takes the best path again"),
        PairAction::Force | PairAction::Unknown | _ => {
            format!("what goes to {name} takes {addr} as soon as that answers, and until it dies")
        }
    }
}

/// Who can dial a node that has no relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Its own network alone.
    Local,
    /// Its own network, and from elsewhere whoever meets it by way of the Mainline DHT.
    Called,
    /// Whoever reaches one of its public addresses.
    Public,
}

impl Reach {
    /// None for a node with relays.
    pub(super) fn without_relay(node: &NodeSnapshot) -> Option<Self> {
        let ticket = &node.ticket;
        let is_called = ticket.discovery().is_some() && node.network.observed == Observed::Same;
        let reach = if !ticket.is_local() {
            Self::Public
        } else if is_called {
            Self::Called
        } else {
            Self::Local
        };
        ticket.relays().is_empty().then_some(reach)
    }

    pub(super) fn role(self) -> Role {
        match self {
            Self::Local => Role::Warn,
            Self::Called | Self::Public => Role::Dim,
        }
    }

    /// In one line of 80 columns; `is_found` if the node's id alone is enough on its own network.
    pub(super) fn line(self, is_found: bool) -> &'static str {
        match self {
            Self::Local if is_found => {
                "no relay: only this network reaches this node; start with --relay URL"
            }
            Self::Local => {
                "no relay: only its ticket reaches this node, on this network; see --relay"
            }
            Self::Called => "no relay: elsewhere it is met by the Mainline DHT alone; see --relay",
            Self::Public => "no relay: peers dial this computer's public address",
        }
    }

    /// What it means for the ticket.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Local => {
                "No relay is named, so this ticket works on this network only. To be reached from elsewhere, start this node with --relay URL."
            }
            Self::Called => {
                "No relay is named, so from elsewhere this ticket works by way of the Mainline DHT, if both routers are ordinary ones. To be reached from everywhere, start this node with --relay URL."
            }
            Self::Public => {
                "No relay is needed: it names a public address of this computer. A firewall has to let its UDP port in."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::dash::look::ASCII;

    #[test]
    fn a_relay_is_named_so_that_it_can_be_told_from_others() {
        let words = Words {
            names: &BTreeMap::new(),
            glyphs: &ASCII,
            trails: &Trails::default(),
            blocked: &BTreeSet::new(),
            twins: &Twins::default(),
            masked: false,
        };
        let key = SecretKey::from_seed(&[1; 32]).id();
        for (host, label) in [
            ("fra1.example.org", "fra1"),
            ("relay.example.org", "relay.example.org"),
            ("192.0.2.7", "192.0.2.7"),
        ] {
            let url = RelayUrl::new(key, host, 4433).unwrap();
            assert_eq!(words.relay(&url), host);
            assert_eq!(words.relay_label(&url), label);
        }
    }

    #[test]
    fn relays_at_one_host_are_told_apart_by_their_ports() {
        let relays = [(1, "192.0.2.7", 4433), (2, "192.0.2.7", 4434)];
        let named = [(3, "fra1.example.org", 4433), (4, "fra1.example.org", 5000)];
        let others = [
            (5, "2001:db8::1", 1),
            (6, "2001:db8::1", 2),
            (7, "ams2.example.org", 4433),
        ];
        let urls: Vec<_> = [&relays[..], &named, &others]
            .concat()
            .into_iter()
            .map(|(seed, host, port)| {
                RelayUrl::new(SecretKey::from_seed(&[seed; 32]).id(), host, port).unwrap()
            })
            .collect();
        let mut words = Words {
            names: &BTreeMap::new(),
            glyphs: &ASCII,
            trails: &Trails::default(),
            blocked: &BTreeSet::new(),
            twins: &Twins::among(urls.iter()),
            masked: false,
        };
        let labels: Vec<_> = urls.iter().map(|url| words.relay_label(url)).collect();
        let expected = [
            "192.0.2.7:4433",
            "192.0.2.7:4434",
            "fra1:4433",
            "fra1:5000",
            "[2001:db8::1]:1",
            "[2001:db8::1]:2",
            "ams2",
        ];
        assert_eq!(labels, expected);
        assert_eq!(words.relay(&urls[3]), "fra1.example.org:5000");
        words.masked = true;
        assert_eq!(words.relay(&urls[1]), urls[1].key().short());
    }
}
