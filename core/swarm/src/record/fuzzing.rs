//! The harness of the fuzz target `record`: takes any bytes at all and panics if a promise is broken.

use peerway::{DiscoverySecret, PeerId, SecretKey};

use super::{Item, MAX_ADDRS, MAX_RELAYS, Period, Record, blind, body, item};

const NOW: u64 = 1_800_000_000;

fn peer() -> (SecretKey, PeerId, DiscoverySecret, Period) {
    let key = SecretKey::from_seed(&[1; 32]);
    let id = key.id();
    let secret = DiscoverySecret::from_bytes([2; 16]);
    (key, id, secret, Period::at(id, NOW))
}

/// Any value, as strangers store it, and any plaintext, as the peer itself may write it.
pub fn record(data: &[u8]) {
    let (key, id, secret, period) = peer();
    let lock = blind::Lock::new(id, secret, period);
    let blinded = blind::BlindedKey::new(&key, &lock);
    let seq = NOW as i64;
    let unsigned = Item::new(*blinded.id(), seq, data.to_vec(), [7; 64]);
    assert!(Record::open(id, secret, period, &unsigned, NOW).is_err());
    let stored = item::signed(&blinded, seq, data.to_vec());
    assert!(
        Record::open(id, secret, period, &stored, NOW).is_err(),
        "nobody guesses a key"
    );
    for plaintext in [data.to_vec(), body::signed(data, &key, &lock, seq)] {
        let value = lock.encrypt(blinded.id(), seq, &plaintext, [3; 12]);
        let written = item::signed(&blinded, seq, value);
        if let Ok(found) = Record::open(id, secret, period, &written, NOW) {
            assert!(found.relays.len() <= MAX_RELAYS && found.addrs.len() <= MAX_ADDRS);
            let again = found
                .seal(&key, secret, period)
                .expect("as short as it was");
            assert_eq!(Record::open(id, secret, period, &again, NOW), Ok(found));
        }
    }
}
