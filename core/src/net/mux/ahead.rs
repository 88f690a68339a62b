//! Packets that come before the end of their connection's handshake, by a faster path. quinn drops them, and takes their copies
//! for duplicates then; RFC 9001 section 5.7 has them held.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use quinn_proto::ConnectionId;

/// Packets of one connection: quinn's first window.
const MAX_HELD: usize = 16;
/// Tells the packets of a handshake from all others (RFC 9000 section 17.2, "header form").
const LONG_HEADER: u8 = 0x80;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Ahead {
    handshakes: Mutex<Vec<Handshake>>,
    /// Whether there are any, so that the data path looks no further when there are none.
    any: AtomicBool,
}

#[derive(Debug)]
struct Handshake {
    id: ConnectionId,
    held: Vec<Bytes>,
}

impl Ahead {
    /// A connection begins whose packets bear this id when they come in.
    pub(super) fn begin(&self, id: ConnectionId) {
        let held = Vec::new();
        self.lock().push(Handshake { id, held });
        self.any.store(true, Ordering::Release);
    }

    /// Takes the packet if it is of a connection whose handshake goes on. More than quinn sends at first are lost.
    pub(super) fn hold(&self, packet: &[u8]) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let Some((first, rest)) = packet.split_first() else {
            return false;
        };
        if first & LONG_HEADER != 0 {
            return false;
        }
        let mut handshakes = self.lock();
        let mut theirs = handshakes.iter_mut();
        let Some(handshake) = theirs.find(|handshake| rest.starts_with(&handshake.id)) else {
            return false;
        };
        if handshake.held.len() < MAX_HELD {
            handshake.held.push(Bytes::copy_from_slice(packet));
        }
        true
    }

    /// The handshake is over, well or not; returns what was held.
    pub(super) fn end(&self, id: ConnectionId) -> Vec<Bytes> {
        let mut handshakes = self.lock();
        let ended = handshakes.iter().position(|handshake| handshake.id == id);
        let held = ended.map(|at| handshakes.swap_remove(at).held);
        self.any.store(!handshakes.is_empty(), Ordering::Release);
        held.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handshake>> {
        self.handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 8] = [7; 8];

    fn short(id: [u8; 8], data: u8) -> Vec<u8> {
        [&[0x40], &id[..], &[data; 20]].concat()
    }

    #[test]
    fn what_comes_before_the_end_of_its_handshake_is_given_out_at_the_end_in_order() {
        let (ahead, id) = (Ahead::default(), ConnectionId::new(&ID));
        ahead.begin(id);
        assert!(ahead.hold(&short(ID, 1)) && ahead.hold(&short(ID, 2)));
        assert_eq!(ahead.end(id), [short(ID, 1), short(ID, 2)]);
        assert!(!ahead.hold(&short(ID, 3)), "nothing is held afterwards");
        assert!(ahead.end(id).is_empty());
    }

    #[test]
    fn handshakes_themselves_and_other_connections_are_not_held_up() {
        let ahead = Ahead::default();
        ahead.begin(ConnectionId::new(&ID));
        let mut long = short(ID, 1);
        long[0] |= LONG_HEADER;
        for packet in [long, short([8; 8], 1), vec![0x40], vec![]] {
            assert!(!ahead.hold(&packet), "{packet:?}");
        }
    }

    #[test]
    fn who_floods_a_handshake_has_no_more_than_a_window_held_and_the_rest_lost() {
        let (ahead, id) = (Ahead::default(), ConnectionId::new(&ID));
        ahead.begin(id);
        for nth in 0..200 {
            assert!(ahead.hold(&short(ID, nth)));
        }
        assert_eq!(ahead.end(id).len(), MAX_HELD);
    }
}
