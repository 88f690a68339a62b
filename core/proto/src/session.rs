//! A session: what both sides share after a handshake, to seal probes and control messages.
//!
//! Nonces are explicit counters, never used twice in a direction; state changes only after a message proved authentic.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use snow::StatelessTransportState;

use crate::wire::{
    first_byte::{PROBE, SEALED},
    probe::{self, HEADER_LEN, Probe, ProbePacket},
    sealed::SealedPacket,
};

/// Keys, counters and replay windows of one session.
pub(crate) struct Session {
    /// Names the session on the wire.
    pub(crate) session_index: u64,
    probe_tx: ChaCha20Poly1305,
    probe_rx: ChaCha20Poly1305,
    control: Option<StatelessTransportState>,
    next_probe: u64,
    next_control: u64,
    seen_probes: Window,
    seen_control: Window,
}

impl Session {
    /// A session that can seal probes; control messages need [`Session::establish`].
    pub(crate) fn new(session_index: u64, probe_secret: &[u8; 32], initiator: bool) -> Self {
        let (tx, rx) = if initiator { (0, 1) } else { (1, 0) };
        Self {
            session_index,
            probe_tx: probe_key(probe_secret, tx),
            probe_rx: probe_key(probe_secret, rx),
            control: None,
            next_probe: 0,
            next_control: 0,
            seen_probes: Window::default(),
            seen_control: Window::default(),
        }
    }

    /// Has the probes counted from elsewhere. After a restart, an INTRO that is replayed to us leads to the same keys, and
    /// must not lead to the same nonces.
    pub(crate) fn begin_at(&mut self, random: [u8; 4]) {
        self.next_probe = u64::from(u32::from_be_bytes(random)) << 16;
    }

    /// Adds the keys of the finished Noise handshake.
    pub(crate) fn establish(&mut self, transport: StatelessTransportState) {
        self.control = Some(transport);
    }

    /// A probe's datagram.
    pub(crate) fn seal_probe(&mut self, probe: &Probe) -> Option<Vec<u8>> {
        self.seal_probe_of(probe, probe::PACKET_LEN)
    }

    /// A probe's datagram of this length, which is one that probes have.
    pub(crate) fn seal_probe_of(&mut self, probe: &Probe, len: usize) -> Option<Vec<u8>> {
        let mut body = probe.emit().to_vec();
        body.resize(len - HEADER_LEN - 16, 0);
        let mut packet = probe::header(PROBE, self.session_index, self.next_probe);
        let payload = Payload {
            msg: &body,
            aad: &packet,
        };
        let sealed = self
            .probe_tx
            .encrypt(&nonce(self.next_probe), payload)
            .ok()?;
        self.next_probe += 1;
        packet.extend_from_slice(&sealed);
        Some(packet)
    }

    /// Opens a probe of this session; none if it is forged, malformed or was seen before.
    pub(crate) fn open_probe(&mut self, datagram: &[u8]) -> Option<Probe> {
        let packet = ProbePacket::parse(datagram).ok()?;
        let payload = Payload {
            msg: packet.sealed,
            aad: &datagram[..HEADER_LEN],
        };
        let body = self
            .probe_rx
            .decrypt(&nonce(packet.counter), payload)
            .ok()?;
        if !self.seen_probes.admit(packet.counter) {
            return None;
        }
        Probe::parse(&body).ok()
    }

    /// A datagram with a control message; none before [`Session::establish`].
    pub(crate) fn seal_control(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let control = self.control.as_ref()?;
        let mut packet = probe::header(SEALED, self.session_index, self.next_control);
        packet.resize(HEADER_LEN + body.len() + 16, 0);
        control
            .write_message(self.next_control, body, &mut packet[HEADER_LEN..])
            .ok()?;
        self.next_control += 1;
        Some(packet)
    }

    /// Opens a control message of this session; none if it is forged or was seen before.
    pub(crate) fn open_control(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let packet = SealedPacket::parse(datagram).ok()?;
        let mut body = vec![0; packet.sealed.len()];
        let len = self
            .control
            .as_ref()?
            .read_message(packet.counter, packet.sealed, &mut body)
            .ok()?;
        body.truncate(len);
        self.seen_control.admit(packet.counter).then_some(body)
    }
}

fn probe_key(secret: &[u8; 32], direction: u8) -> ChaCha20Poly1305 {
    let hash = Blake2s256::new()
        .chain_update(b"peerway probe")
        .chain_update([direction])
        .chain_update(secret)
        .finalize();
    ChaCha20Poly1305::new(&hash)
}

/// RFC 8439 section 2.8: a 96-bit nonce, here a counter that never repeats under a key.
pub(super) fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// The last 64 counters, to let each pass once (as in RFC 4303 section 3.4.3).
#[derive(Default)]
struct Window {
    /// One more than the highest counter seen.
    next: u64,
    /// Bit i: counter `next - 1 - i` was seen.
    seen: u64,
}

impl Window {
    fn admit(&mut self, counter: u64) -> bool {
        if counter == u64::MAX {
            return false;
        }
        if counter >= self.next {
            let ahead = counter + 1 - self.next;
            self.seen = if ahead < 64 {
                self.seen << ahead | 1
            } else {
                1
            };
            self.next = counter + 1;
            return true;
        }
        let age = self.next - 1 - counter;
        if age >= 64 || self.seen & 1 << age != 0 {
            return false;
        }
        self.seen |= 1 << age;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::probe::ProbeKind;

    fn pair() -> (Session, Session) {
        (
            Session::new(1, &[3; 32], true),
            Session::new(1, &[3; 32], false),
        )
    }

    fn probe() -> Probe {
        Probe {
            kind: ProbeKind::Request,
            tx: 5,
            observed: "192.0.2.1:4".parse().unwrap(),
        }
    }

    #[test]
    fn a_probe_opens_once_and_only_at_the_other_side() {
        let (mut alice, mut bob) = pair();
        let packet = alice.seal_probe(&probe()).unwrap();
        assert_eq!(packet.len(), probe::PACKET_LEN);
        assert_eq!(alice.open_probe(&packet), None, "our own probe reflected");
        assert_eq!(bob.open_probe(&packet), Some(probe()));
        assert_eq!(bob.open_probe(&packet), None, "a replay");
    }

    #[test]
    fn no_nonce_is_used_twice_in_a_million_probes() {
        let (mut alice, _) = pair();
        let mut last = None;
        for _ in 0..1 << 20 {
            let packet = alice.seal_probe(&probe()).unwrap();
            let counter = ProbePacket::parse(&packet).unwrap().counter;
            assert!(last < Some(counter));
            last = Some(counter);
        }
    }

    #[test]
    fn the_two_directions_and_other_sessions_have_other_keys() {
        let sealed = |secret, initiator| {
            let mut session = Session::new(1, &[secret; 32], initiator);
            session.seal_probe(&probe()).unwrap()
        };
        let all = [
            sealed(3, true),
            sealed(3, false),
            sealed(4, true),
            sealed(4, false),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one));
        }
    }

    #[test]
    fn a_forged_probe_leaves_no_trace() {
        let (mut alice, mut bob) = pair();
        let packet = alice.seal_probe(&probe()).unwrap();
        for position in 0..packet.len() {
            let mut forged = packet.clone();
            forged[position] ^= 0x80;
            assert_eq!(bob.open_probe(&forged), None, "{position}");
        }
        assert_eq!(bob.open_probe(&packet), Some(probe()));
    }

    #[test]
    fn a_window_lets_each_counter_pass_once_in_any_order() {
        let mut window = Window::default();
        assert!(
            [5, 3, 4, 70, 69, 7]
                .into_iter()
                .all(|counter| window.admit(counter))
        );
        assert!(
            [5, 3, 70, 6, u64::MAX]
                .into_iter()
                .all(|counter| !window.admit(counter))
        );
    }
}
