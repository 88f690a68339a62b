//! Keys for connections that are idle nearly always: made anew for each packet, so that nothing but their bytes is kept.
//!
//! A ready key of AWS-LC is two thirds of a kilobyte, and a connection has six.

use std::sync::LazyLock;

use rustls::{
    CipherSuiteCommon, Error, Tls13CipherSuite,
    crypto::{
        aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher::{AeadKey, Iv},
    },
    quic::{Algorithm, HeaderProtectionKey, PacketKey, Tag},
};

/// RFC 9001 section 5.3.
const TAG_LEN: usize = 16;
/// RFC 9001 section 5.4.2.
const SAMPLE_LEN: usize = 16;
/// RFC 9001 section 6.6: more packets than a connection can have.
const CONFIDENTIALITY_LIMIT: u64 = u64::MAX;
/// RFC 9001 section 6.6.
const INTEGRITY_LIMIT: u64 = 1 << 36;

/// ChaCha20-Poly1305, whose keys cost nothing to make ready.
pub(super) static CHACHA20: LazyLock<Tls13CipherSuite> = LazyLock::new(|| {
    let plain = plain();
    Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: plain.common.suite,
            hash_provider: plain.common.hash_provider,
            confidentiality_limit: plain.common.confidentiality_limit,
        },
        hkdf_provider: plain.hkdf_provider,
        aead_alg: plain.aead_alg,
        quic: Some(&Sparing),
    }
});

fn plain() -> &'static Tls13CipherSuite {
    (TLS13_CHACHA20_POLY1305_SHA256.tls13()).expect("it is a suite of TLS 1.3")
}

/// Makes ready keys.
fn ready() -> &'static dyn Algorithm {
    plain().quic.expect("the suite is made for QUIC")
}

struct Sparing;

impl Algorithm for Sparing {
    fn packet_key(&self, key: AeadKey, iv: Iv) -> Box<dyn PacketKey> {
        Box::new(SparingPacketKey { key: Key(key), iv })
    }

    fn header_protection_key(&self, key: AeadKey) -> Box<dyn HeaderProtectionKey> {
        Box::new(SparingHeaderKey(Key(key)))
    }

    fn aead_key_len(&self) -> usize {
        ready().aead_key_len()
    }
}

/// Forgotten as rustls forgets its own.
struct Key(AeadKey);

impl Key {
    fn copy(&self) -> AeadKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.as_ref());
        AeadKey::from(bytes)
    }
}

struct SparingPacketKey {
    key: Key,
    iv: Iv,
}

impl SparingPacketKey {
    fn ready(&self) -> Box<dyn PacketKey> {
        let mut iv = [0; 12];
        iv.copy_from_slice(self.iv.as_ref());
        ready().packet_key(self.key.copy(), iv.into())
    }
}

impl PacketKey for SparingPacketKey {
    fn encrypt_in_place(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut [u8],
    ) -> Result<Tag, Error> {
        self.ready().encrypt_in_place(packet, header, payload)
    }

    fn decrypt_in_place<'a>(
        &self,
        packet: u64,
        header: &[u8],
        payload: &'a mut [u8],
    ) -> Result<&'a [u8], Error> {
        self.ready().decrypt_in_place(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        CONFIDENTIALITY_LIMIT
    }

    fn integrity_limit(&self) -> u64 {
        INTEGRITY_LIMIT
    }
}

struct SparingHeaderKey(Key);

impl SparingHeaderKey {
    fn ready(&self) -> Box<dyn HeaderProtectionKey> {
        ready().header_protection_key(self.0.copy())
    }
}

impl HeaderProtectionKey for SparingHeaderKey {
    fn encrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.ready().encrypt_in_place(sample, first, packet_number)
    }

    fn decrypt_in_place(
        &self,
        sample: &[u8],
        first: &mut u8,
        packet_number: &mut [u8],
    ) -> Result<(), Error> {
        self.ready().decrypt_in_place(sample, first, packet_number)
    }

    fn sample_len(&self) -> usize {
        SAMPLE_LEN
    }
}
