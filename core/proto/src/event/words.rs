//! Events as sentences. Whatever shows one to people gets them here.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{EventKind, Transferred};
use crate::{Explanation, PathInfo, PeerId, PeerState, RelayUrl};

/// What an event calls those whom and what it is about: by default, peers by the short form of their ids, and everything else in
/// full. A program that knows better names, or hides addresses, has its own.
pub trait Names {
    /// A peer.
    fn peer(&self, id: &PeerId) -> String {
        id.short()
    }

    /// A relay.
    fn relay(&self, url: &RelayUrl) -> String {
        url.place()
    }

    /// An address.
    fn addr(&self, addr: SocketAddr) -> String {
        addr.to_string()
    }

    /// A path, after "data goes".
    fn path(&self, path: &PathInfo) -> String {
        path.to_string()
    }

    /// Words that the system or the other side chose.
    fn foreign(&self, text: &str) -> String {
        text.to_owned()
    }
}

struct InFull;

impl Names for InFull {}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject(&InFull), self.sentence(&InFull))
    }
}

impl EventKind {
    /// The peer that it is about; none if it is about the node itself.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        match self {
            Self::PeerState { peer, .. }
            | Self::Explained { peer, .. }
            | Self::PathChanged { peer, .. }
            | Self::PairReleased { peer, .. }
            | Self::Connected { peer, .. }
            | Self::Disconnected { peer, .. }
            | Self::TurnedAway { peer }
            | Self::Received { peer, .. }
            | Self::Sent { peer, .. } => Some(*peer),
            Self::RelayUp { .. }
            | Self::RelayDown { .. }
            | Self::RelayMoved { .. }
            | Self::PublicAddress { .. }
            | Self::PortMapped { .. }
            | Self::NetworkChanged { .. }
            | Self::Unknown => None,
        }
    }

    /// The peer, or the part of the node, that it is about.
    #[must_use]
    pub fn subject(&self, names: &impl Names) -> String {
        match self {
            Self::PeerState { peer, .. }
            | Self::Explained { peer, .. }
            | Self::PathChanged { peer, .. }
            | Self::PairReleased { peer, .. }
            | Self::Connected { peer, .. }
            | Self::Disconnected { peer, .. }
            | Self::TurnedAway { peer }
            | Self::Received { peer, .. }
            | Self::Sent { peer, .. } => names.peer(peer),
            Self::RelayUp { .. } | Self::RelayDown { .. } | Self::RelayMoved { .. } => {
                "relay".to_owned()
            }
            Self::PublicAddress { .. } | Self::PortMapped { .. } | Self::NetworkChanged { .. } => {
                "network".to_owned()
            }
            Self::Unknown => "node".to_owned(),
        }
    }

    /// What happened to its [`subject`](Self::subject), without a full stop.
    #[must_use]
    pub fn sentence(&self, names: &impl Names) -> String {
        match self {
            Self::RelayUp { relay, rtt: time } => {
                format!("registered with {}, {}", names.relay(relay), rtt(*time))
            }
            Self::RelayDown { relay, reason } => {
                format!("{} is lost: {}", names.relay(relay), names.foreign(reason))
            }
            Self::RelayMoved { relay, to } => {
                let (relay, to) = (names.relay(relay), names.relay(to));
                format!("{relay} is taken out of service; its operator names {to} in its place")
            }
            Self::PublicAddress { addr } => {
                format!("relays see this node at {}", names.addr(*addr))
            }
            Self::PortMapped { mapping: None } => {
                "the router no longer forwards a port to this node".to_owned()
            }
            Self::PortMapped {
                mapping: Some(mapping),
            } => format!(
                "the router forwards {} ({})",
                names.addr(mapping.external),
                mapping.protocol
            ),
            Self::NetworkChanged { what } => names.foreign(what),
            Self::PeerState { to, why, .. } => state(*to, why.as_deref()),
            Self::Explained { why, .. } => why.line(),
            Self::PathChanged { path: None, .. } => "no path is left".to_owned(),
            Self::PathChanged {
                path: Some(path),
                rtt: time,
                ..
            } => {
                let path = names.path(path);
                let rtt = time.map_or_else(String::new, |time| format!(", {}", rtt(time)));
                format!("data goes {path}{rtt}")
            }
            Self::PairReleased { remote, .. } => format!(
                "{}, which was forced, does not answer: the best path is used again",
                names.addr(*remote)
            ),
            Self::Connected { alpn, outgoing, .. } => {
                let direction = if *outgoing { "outgoing" } else { "incoming" };
                format!("{direction} connection for {alpn}")
            }
            Self::Disconnected { alpn, reason, .. } => {
                format!("connection for {alpn} ended: {}", names.foreign(reason))
            }
            Self::TurnedAway { .. } => "called, and is not let in".to_owned(),
            Self::Received { what, .. } => transferred("received", what, names),
            Self::Sent { what, .. } => transferred("sent", what, names),
            Self::Unknown => "something that only newer versions have words for".to_owned(),
        }
    }
}

fn state(to: PeerState, why: Option<&Explanation>) -> String {
    match (to, why) {
        (PeerState::Direct, Some(why)) => why.line(),
        (PeerState::Relayed | PeerState::Failed, Some(why)) => format!("{to}: {}", why.line()),
        _ => to.to_string(),
    }
}

/// `received photos, 3 files, 4.1 MB, into /home/a/in; 1 file did not arrive`, `sent nothing of a.jpg; 1 file did not arrive`.
fn transferred(verb: &str, what: &Transferred, names: &impl Names) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let named = match (&what.name, what.files) {
        (Some(name), 0 | 1) => names.foreign(name),
        (Some(name), files) => format!("{}, {files} files", names.foreign(name)),
        (None, files) => format!("{files} file{}", plural(files)),
    };
    let arrived = what.files > 0 || what.missing == 0;
    let mut text = match &what.name {
        Some(_) if !arrived => format!("{verb} nothing of {named}"),
        None if !arrived => format!("{verb} nothing"),
        Some(_) | None => format!("{verb} {named}, {}", bytes(what.bytes)),
    };
    if let Some(folder) = what.folder.as_ref().filter(|_| arrived) {
        text += &format!(", into {}", names.foreign(folder));
    }
    if what.missing > 0 {
        let missing = what.missing;
        text += &format!("; {missing} file{} did not arrive", plural(missing));
    }
    text
}

/// `640 B`, `4.1 MB`.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut prefixes = ["", "k", "M", "G", "T"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    for next in prefixes {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let decimals = usize::from(!prefix.is_empty() && value < 99.95);
    format!("{value:.decimals$} {prefix}B")
}

/// `38 ms`, `<1 ms`, `1.2 s`.
fn rtt(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 1.0 {
        "<1 ms".to_owned()
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_of_which_nothing_arrived_says_so() {
        let line = |name: Option<&str>, files, missing| {
            let what = Transferred {
                name: name.map(ToOwned::to_owned),
                folder: Some("/in".to_owned()),
                files,
                bytes: 5 * files,
                missing,
            };
            transferred("received", &what, &InFull)
        };
        for (name, files, missing, expected) in [
            (
                Some("a"),
                0,
                1,
                "received nothing of a; 1 file did not arrive",
            ),
            (None, 0, 2, "received nothing; 2 files did not arrive"),
            (
                Some("a"),
                1,
                2,
                "received a, 5 B, into /in; 2 files did not arrive",
            ),
            (None, 1, 0, "received 1 file, 5 B, into /in"),
        ] {
            assert_eq!(line(name, files, missing), expected);
        }
    }
}
