//! TLS around a relay's WebSocket.
//!
//! It has the stream look like any other on its way. Who the relay is, and who the client, is proven by QUIC inside of it in any
//! case: so a relay may end TLS elsewhere, and show an operator's certificate or that of an office's proxy.

use std::sync::Arc;

use peerway_proto::SecretKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs::Ticketer, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ParsedCertificate},
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

/// What those will object to who look at the certificate, as far as it can be told without knowing whom they trust: that it is not for
/// this host, or not for this time. `None` if nothing.
#[must_use]
pub fn objection(chain: &[CertificateDer<'_>], host: &str, now: UnixTime) -> Option<Error> {
    let (leaf, others) = chain.split_first()?;
    let leaf = match ParsedCertificate::try_from(leaf) {
        Ok(leaf) => leaf,
        Err(error) => return Some(error),
    };
    let mut roots = RootCertStore::empty();
    // Where the chain ends; if that is nobody who signs others, the certificate itself is looked at all the same.
    if let Some(last) = chain.last() {
        let _ = roots.add(last.clone().into_owned());
    }
    let algorithms = provider().signature_verification_algorithms.all;
    let verified =
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, others, now, algorithms);
    if let Err(error) = verified
        && let Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) = error
    {
        return Some(error);
    }
    let host = ServerName::try_from(host).ok()?;
    verify_server_name(&leaf, &host).err()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use data_encoding::BASE64;

    use super::*;

    /// Signs itself and `LEAF`, and is for `named.example` and 192.0.2.7, from this time on for a day.
    const ROOT: &str = "MIIBjDCCATOgAwIBAgIUHdroGKU01qWWkGC8f3ANf1YJNB4wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAeFw0yNjExMzAxMTUy\
     MzJaFw0yNjEyMDExMTUyMzJaMAwxCjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQhGc/mfbtYMga0JaQ2Upi1\
     7jAN/Mz4bA7djYYOzCBbALpUbjk6It8J2fFBYxvLo3XoWwUquff8GQn9YTW17tYpo3MwcTAdBgNVHQ4EFgQUqtGCDhPG8c7RL+L7\
     NqKRIGuUjpswHwYDVR0jBBgwFoAUqtGCDhPG8c7RL+L7NqKRIGuUjpswDwYDVR0TAQH/BAUwAwEB/zAeBgNVHREEFzAVgg1uYW1l\
     ZC5leGFtcGxlhwTAAAIHMAoGCCqGSM49BAMCA0cAMEQCIH5biBsuEvKvtADe9oaW2NqyNGwdKM3jvJAK7LWYnDibAiAMo2ot+rcs\
     kiBFioG+xbTn/X8l7T1SvcJdNiD+ZpCHCQ==";
    /// For `named.example` alone.
    const LEAF: &str = "MIIBhDCCASqgAwIBAgIUAyiNJ79U0BjvH6T37Ep2WPElE2swCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAeFw0yNjExMzAxMTUy\
     MzJaFw0yNjEyMDExMTUyMzJaMAwxCjAIBgNVBAMMAXkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARTdkpiD4WIm2bkTUKbWHNJ\
     7+ENdd7a+8mve2ZVxB70iHdIGo7w1KOkRXrvNqOD0mmH5z1P7gOu/H6B2XzqJsQ1o2owaDAYBgNVHREEETAPgg1uYW1lZC5leGFt\
     cGxlMAwGA1UdEwEB/wQCMAAwHQYDVR0OBBYEFIcghFUedMimHxsS/zFhrjoVDXjXMB8GA1UdIwQYMBaAFKrRgg4TxvHO0S/i+zai\
     kSBrlI6bMAoGCCqGSM49BAMCA0gAMEUCIQCnF79g19cbygedIPV7fxKg3m/4J8VmnhwFMZa2poMTTwIgff7sBC5HndIaqJU8OP1O\
     IHsBQt3eW5/nRFNGB0SArN8=";
    const BEGINS: u64 = 1_796_039_552;
    const DAY: u64 = 24 * 3600;

    fn says(chain: &[&str], host: &str, seconds: u64) -> String {
        let der = |text: &&str| CertificateDer::from(BASE64.decode(text.as_bytes()).unwrap());
        let chain: Vec<_> = chain.iter().map(der).collect();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        objection(&chain, host, now).map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn a_certificate_is_objected_to_that_is_for_another_host_or_time() {
        let now = BEGINS + DAY / 2;
        for chain in [&[ROOT][..], &[LEAF], &[LEAF, ROOT]] {
            assert_eq!(says(chain, "named.example", now), "");
            assert!(says(chain, "named.example", BEGINS + 2 * DAY).contains("expired"));
            assert!(says(chain, "named.example", BEGINS - DAY).contains("not valid yet"));
            assert!(says(chain, "other.example", now).contains("not valid for name"));
        }
        assert_eq!(says(&[ROOT], "192.0.2.7", now), "");
        assert!(says(&[LEAF], "192.0.2.7", now).contains("not valid for name"));
        assert_eq!(says(&[], "named.example", now), "");
    }
}
