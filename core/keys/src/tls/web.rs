//! TLS around a relay's WebSocket.
//!
//! It has the stream look like any other on its way. Who the relay is, and who the client, is proven by QUIC inside of it in any
//! case: so a relay may end TLS elsewhere, and show an operator's certificate or that of an office's proxy.

use std::sync::Arc;

use peerway_proto::SecretKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs::Ticketer, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage},
};

use super::{RawKeyVerifier, certified, no_tls12, provider};

/// What a WebSocket begins as. Reverse proxies refuse names that they do not know, and HTTP/2 knows no upgrade.
const ALPN: &[u8] = b"http/1.1";

/// Dials a relay by its raw key, which is the [server name](super::server_name).
///
/// # Errors
/// rustls' error, if it refuses the settings.
pub fn pinned_client() -> Result<ClientConfig, Error> {
    let algorithms = provider().signature_verification_algorithms;
    let mut config = client(Arc::new(RawKeyVerifier { algorithms }))?;
    config.enable_sni = false;
    Ok(config)
}

/// Dials a relay that shows a certificate, whoever's it is: the relay proves its key inside.
///
/// # Errors
/// rustls' error, if it refuses the settings.
pub fn any_client() -> Result<ClientConfig, Error> {
    client(Arc::new(AnyCertificate {
        algorithms: provider().signature_verification_algorithms,
    }))
}

/// Shows the raw key to whoever asks for one.
///
/// # Errors
/// rustls' error, if it refuses the key.
pub fn pinned_server(key: &SecretKey) -> Result<ServerConfig, Error> {
    let key = certified(key, &provider())?;
    let builder = server()?;
    settled(builder.with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key))))
}

/// Shows an operator's certificate.
///
/// # Errors
/// rustls' error, if the key is not the certificate's or is none.
pub fn certified_server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    settled(server()?.with_single_cert(chain, key)?)
}

fn client(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn server() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, Error> {
    Ok(ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth())
}

/// Nothing of a client stays when it leaves.
fn settled(mut config: ServerConfig) -> Result<ServerConfig, Error> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
