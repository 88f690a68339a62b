//! TLS 1.3 with raw public keys (RFC 7250): the key *is* the certificate, on both sides.
//!
//! A dialler puts the key it expects into the server name, so that rustls' session cache is keyed by peer and the verifier
//! can compare. Nothing of it is sent: SNI is off.

mod server;
mod sparing;
pub mod web;

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use quinn::{EndpointConfig, crypto::rustls::QuicClientConfig};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, SignatureScheme, SupportedCipherSuite,
    client::{
        AlwaysResolvesClientRawPublicKeys,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs::Ticketer,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
        UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

pub use server::ServerConfig;

use peerway_proto::{PeerId, SecretKey};

/// RFC 8410: the SubjectPublicKeyInfo of an ed25519 key is this prefix and the key.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// RFC 8410: the PKCS #8 form of an ed25519 seed is this prefix and the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The settings of the quinn endpoint that holds this key in this role.
///
/// What it derives connection ids and stateless resets (RFC 9000 section 10.3) from follows from both, so that after a restart it
/// can tell the peers of its former life at once that their connections are gone.
#[must_use]
pub fn endpoint_config(key: &SecretKey, role: &str) -> EndpointConfig {
    let reset_key = key.derive(&format!("peerway {role} stateless reset 1"));
    let [a, b, c, d, e, f, g, h, ..] = key.derive(&format!("peerway {role} connection ids 1"));
    let id_key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset_key)));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    // QUIC is told from everything else on the port by the fixed bit, so it must not be greased (RFC 9287).
    config.grease_quic_bit(false);
    config
}

/// The client half: dials with `key`, speaking `alpn`.
///
/// # Errors
/// rustls' error, if it refuses the key or the settings.
pub fn client_config(key: &SecretKey, alpn: &[u8]) -> Result<QuicClientConfig, Error> {
    let config = raw_client(key, alpn)?;
    QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

/// Configurations to dial with, by application protocol. Connections that share one resume each other's sessions (RFC 8446
/// section 2.2).
#[derive(Default)]
pub struct Clients(Mutex<BTreeMap<Vec<u8>, Arc<QuicClientConfig>>>);

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// More protocols than a program speaks: beyond, sessions are forgotten.
const MAX_CLIENTS: usize = 32;

impl Clients {
    /// The configuration for `alpn`, made if there is none.
    ///
    /// # Errors
    /// See [`client_config`].
    pub fn get(&self, key: &SecretKey, alpn: &[u8]) -> Result<Arc<QuicClientConfig>, Error> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(alpn) {
            return Ok(client.clone());
        }
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        let client = Arc::new(client_config(key, alpn)?);
        clients.insert(alpn.to_vec(), client.clone());
        Ok(client)
    }
}

/// The same for TCP.
pub fn raw_client(key: &SecretKey, alpn: &[u8]) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(RawKeyVerifier {
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(
            key, &provider,
        )?)));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = false;
    Ok(config)
}

/// The server half: accepts any key, speaking one of `alpns`; who may do what is decided above.
///
/// # Errors
/// rustls' error, if it refuses the key or the settings.
pub fn server_config(key: &SecretKey, alpns: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    ServerConfig::new(raw_server(key, alpns)?)
}

/// The same for many connections that are idle nearly always: they take three kilobytes less each, and packets cost more.
///
/// # Errors
/// As for [`server_config`].
pub fn sparing_server_config(key: &SecretKey, alpns: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    let mut provider = provider();
    let sparing = SupportedCipherSuite::Tls13(&sparing::CHACHA20);
    provider
        .cipher_suites
        .retain(|suite| suite.suite() != sparing.suite());
    provider.cipher_suites.insert(0, sparing);
    let mut config = server_with(provider, key, alpns)?;
    config.ignore_client_order = true;
    ServerConfig::new(config)
}

/// The same for a node's endpoint. Without protocols, too: whoever asks for one is told that it is not offered.
pub fn quic_server(key: &SecretKey, alpns: &[Vec<u8>]) -> Result<quinn::ServerConfig, Error> {
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(server_config(key, alpns)?));
    config.migration(false);
    Ok(config)
}

/// The same for TCP.
pub fn raw_server(key: &SecretKey, alpns: &[Vec<u8>]) -> Result<rustls::ServerConfig, Error> {
    server_with(provider(), key, alpns)
}

fn server_with(
    provider: CryptoProvider,
    key: &SecretKey,
    alpns: &[Vec<u8>],
) -> Result<rustls::ServerConfig, Error> {
    let provider = Arc::new(provider);
    let verifier = Arc::new(RawKeyVerifier {
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(
            key, &provider,
        )?)));
    config.alpn_protocols = alpns.to_vec();
    // Clients keep what resumes their session: nothing of them stays with us when they leave.
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The server name to dial `id` with: two DNS labels that spell the key.
#[must_use]
pub fn server_name(id: PeerId) -> String {
    format!("{id}.peerway")
}

/// The verified key at the other end of an established connection.
#[must_use]
pub fn peer_id(connection: &quinn::Connection) -> Option<PeerId> {
    peer_id_in(connection.peer_identity()?)
}

/// The verified key in what an established TLS session says of the identity at the other end.
#[must_use]
pub fn peer_id_in(identity: Box<dyn Any>) -> Option<PeerId> {
    let certificates = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    raw_peer_id(&certificates)
}

/// The verified key that a handshake's certificates stand for.
pub fn raw_peer_id(certificates: &[CertificateDer<'static>]) -> Option<PeerId> {
    raw_key(certificates.first()?)
}

/// AES-128-GCM first: fastest in hardware, and hybrid post-quantum key exchange first, which is the provider's default order.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

fn certified(key: &SecretKey, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let mut der = PKCS8_PREFIX.to_vec();
    der.extend_from_slice(key.seed().as_ref());
    let signer = provider
        .key_provider
        .load_private_key(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)))?;
    let mut spki = SPKI_PREFIX.to_vec();
    spki.extend_from_slice(key.id().as_bytes());
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(spki)],
        signer,
    )))
}

fn raw_key(spki: &CertificateDer<'_>) -> Option<PeerId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    PeerId::from_bytes(key.try_into().ok()?).ok()
}

/// What [`server_name`] spelt.
fn expected_key(name: &ServerName<'_>) -> Option<PeerId> {
    let ServerName::DnsName(name) = name else {
        return None;
    };
    let text = name.as_ref().strip_suffix(".peerway")?;
    let bytes = BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()?;
    PeerId::from_bytes(bytes.try_into().ok()?).ok()
}

#[derive(Debug)]
struct RawKeyVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn check_key(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<PeerId, Error> {
        match raw_key(end_entity) {
            Some(key) if intermediates.is_empty() => Ok(key),
            _ => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(
        PeerIncompatible::Tls13RequiredForQuic,
    ))
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = Self::check_key(end_entity, intermediates)?;
        if expected_key(server_name) == Some(key) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::check_key(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::ops::DerefMut;

    use rustls::{ClientConnection, ConnectionCommon, HandshakeKind, ServerConnection, SideData};

    use super::*;

    #[test]
    fn no_data_goes_before_the_handshake_is_done_where_it_could_be_replayed() {
        let key = SecretKey::from_seed(&[1; 32]);
        let alpns = [b"test/1".to_vec()];
        assert_eq!(raw_server(&key, &alpns).unwrap().max_early_data_size, 0);
        assert!(!raw_client(&key, &alpns[0]).unwrap().enable_early_data);
    }

    #[test]
    fn a_session_is_resumed_by_what_the_client_kept_and_the_server_still_knows_who_it_is() {
        let [client, server] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let alpns = [b"test/1".to_vec()];
        let accepting = Arc::new(raw_server(&server, &alpns).unwrap());
        assert!(!accepting.session_storage.can_cache());
        let dialling = Arc::new(raw_client(&client, &alpns[0]).unwrap());
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let name = ServerName::try_from(server_name(server.id())).unwrap();
            let mut there = ServerConnection::new(accepting.clone()).unwrap();
            let mut here = ClientConnection::new(dialling.clone(), name).unwrap();
            for _ in 0..4 {
                carry(&mut here, &mut there);
                carry(&mut there, &mut here);
            }
            assert_eq!(there.handshake_kind(), Some(kind));
            let known = there.peer_certificates().and_then(raw_peer_id);
            assert_eq!(known, Some(client.id()));
        }
    }

    /// Takes everything from one end to the other.
    fn carry<A, B>(
        from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
        to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
    ) where
        A: SideData,
        B: SideData,
    {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut unread = bytes.as_slice();
        while !unread.is_empty() {
            to.read_tls(&mut unread).unwrap();
            to.process_new_packets().unwrap();
        }
    }
}
