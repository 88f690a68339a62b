//! What time it is for a peer whose hello bears another, sealed for it alone.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};

use super::session::nonce;
use crate::wire::{
    first_byte::STALE,
    probe::{HEADER_LEN, header},
    stale::StalePacket,
};

/// The answer to a hello with this conversation and secret: bear `time_ms`, or a little later. `random` must be another each time.
pub(crate) fn seal(
    session_index: u64,
    secret: &[u8; 32],
    random: u64,
    time_ms: u64,
) -> Option<Vec<u8>> {
    let mut packet = header(STALE, session_index, random);
    let payload = Payload {
        msg: &time_ms.to_be_bytes(),
        aad: &packet,
    };
    let sealed = key(secret).encrypt(&nonce(random), payload).ok()?;
    packet.extend_from_slice(&sealed);
    Some(packet)
}

/// The time that the peer wants to read in our hello with this secret; none if it is not the peer who says so.
pub(crate) fn open(secret: &[u8; 32], datagram: &[u8]) -> Option<u64> {
    let packet = StalePacket::parse(datagram).ok()?;
    let payload = Payload {
        msg: packet.sealed,
        aad: datagram.get(..HEADER_LEN)?,
    };
    let time = key(secret).decrypt(&nonce(packet.nonce), payload).ok()?;
    Some(u64::from_be_bytes(time.try_into().ok()?))
}

fn key(secret: &[u8; 32]) -> ChaCha20Poly1305 {
    let hash = Blake2s256::new()
        .chain_update(b"peerway stale hello")
        .chain_update(secret)
        .finalize();
    ChaCha20Poly1305::new(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stale::PACKET_LEN;

    #[test]
    fn the_time_is_read_by_whoever_has_the_secret_and_nobody_can_change_it() {
        let packet = seal(1, &[2; 32], 3, 4).unwrap();
        assert_eq!(packet.len(), PACKET_LEN);
        assert_eq!(open(&[2; 32], &packet), Some(4));
        assert_eq!(open(&[3; 32], &packet), None);
        for at in 0..packet.len() {
            let mut forged = packet.clone();
            forged[at] ^= 1;
            assert_eq!(open(&[2; 32], &forged), None, "{at}");
        }
    }
}
