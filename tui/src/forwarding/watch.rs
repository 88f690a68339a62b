//! What a forward tells of the way to its peer.

use peerway::{Cause, EventKind, PeerId, PeerState};

/// Which events say something new of the way to the peer.
pub(super) struct Watch {
    peer: PeerId,
    /// Whether there was any path to it, and whether it is known to be away since.
    was_reached: bool,
    is_away: bool,
}

impl Watch {
    pub(super) fn of(peer: PeerId) -> Self {
        Self {
            peer,
            was_reached: false,
            is_away: false,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other events are about other things than the way to a peer"
    )]
    pub(super) fn tells(&mut self, event: &EventKind) -> bool {
        let (whose, state, why) = match event {
            EventKind::PathChanged { peer, path, .. } if *peer == self.peer => {
                self.was_reached |= path.is_some();
                return true;
            }
            EventKind::PeerState { peer, to, why, .. } => (peer, Some(*to), why.as_ref()),
            EventKind::Explained { peer, why } => (peer, None, Some(why)),
            _ => return false,
        };
        // Who is called anew is not back yet.
        if *whose != self.peer || !self.was_reached || state == Some(PeerState::Intro) {
            return false;
        }
        let is_away =
            state == Some(PeerState::Failed) || why.is_some_and(|why| why.cause.is_away());
        let changed = is_away != std::mem::replace(&mut self.is_away, is_away);
        // The path after it says that there was another one, but not why it is not any more.
        let lost = |cause| matches!(cause, Cause::PathLost | Cause::PathNarrow { .. });
        let is_lost = state == Some(PeerState::Relayed) && why.is_some_and(|why| lost(why.cause));
        changed || is_lost
    }
}

#[cfg(test)]
mod tests {
    use peerway::{RelayUrl, SecretKey};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_that_is_lost_and_a_peer_that_leaves_and_returns_are_told() {
        let peer = SecretKey::from_seed(&[1; 32]).id();
        let relay = RelayUrl::new(peer, "192.0.2.9", 4433).unwrap();
        let why = |cause: &str| json!({"cause": {"kind": cause}, "evidence": {}});
        let event = |mut event: serde_json::Value| -> EventKind {
            event["peer"] = json!(peer);
            serde_json::from_value(event).unwrap()
        };
        let state = |from: &str, to: &str, cause: &str| {
            event(json!({"event": "peer_state", "from": from, "to": to, "why": why(cause)}))
        };
        let path = event(json!({
            "event": "path_changed",
            "path": {"kind": "relay", "remote": relay},
            "rtt_ms": null,
        }));
        let explained = |cause| event(json!({"event": "explained", "why": why(cause)}));
        let mut watch = Watch::of(peer);
        for (event, is_told) in [
            (state("intro", "failed", "no_answer"), false),
            (path, true),
            (state("direct", "suspect", "path_silent"), false),
            (state("suspect", "relayed", "path_lost"), true),
            (explained("peer_silent"), true),
            (explained("peer_offline"), false),
            (explained("path_lost"), true),
            (explained("path_on_trial"), false),
            (state("relayed", "failed", "no_answer"), true),
            (state("failed", "intro", "calling"), false),
            (state("intro", "failed", "no_answer"), false),
            (state("failed", "punch", "trying"), true),
        ] {
            assert_eq!(watch.tells(&event), is_told, "{event:?}");
        }
        let other = SecretKey::from_seed(&[2; 32]).id();
        let of_other = EventKind::PathChanged {
            peer: other,
            path: None,
            rtt: None,
        };
        assert!(!watch.tells(&of_other));
    }
}
