//! The server's half of QUIC's TLS (RFC 9001), which keeps nothing that only the handshake needs.
//!
//! After the handshake, QUIC asks TLS for the keys of the next phase and for who the client is. quinn's own session keeps
//! the whole of rustls' connection for that, five kilobytes, for as long as the connection lives.

use std::{any::Any, fmt, sync::Arc};

use quinn::crypto::{
    self, ExportKeyingMaterialError, KeyPair, Keys, PacketKey, ServerConfig as _,
    UnsupportedVersion,
    rustls::{HandshakeData, QuicServerConfig},
};
use quinn_proto::{
    ConnectionId, Side, TransportError, TransportErrorCode,
    transport_parameters::TransportParameters,
};
use rustls::{
    AlertDescription, Error,
    pki_types::CertificateDer,
    quic::{KeyChange, Secrets, ServerConnection, Version},
};

/// The one version of QUIC that is spoken.
const VERSION: u32 = 1;

/// What a QUIC server needs to know of TLS.
pub struct ServerConfig {
    tls: Arc<rustls::ServerConfig>,
    quic: Arc<QuicServerConfig>,
    /// What whoever dials is told, if nobody is let in.
    refusal: Option<String>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig").finish_non_exhaustive()
    }
}

impl ServerConfig {
    pub(super) fn new(tls: rustls::ServerConfig) -> Result<Self, Error> {
        let tls = Arc::new(tls);
        let quic = QuicServerConfig::try_from(tls.clone())
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self {
            tls,
            quic: Arc::new(quic),
            refusal: None,
        })
    }

    /// The same for one who is refused with this reason phrase (CONNECTION_REFUSED, RFC 9000 section 20.1), without a handshake:
    /// nothing of theirs is read.
    #[must_use]
    pub fn refusing(&self, reason: String) -> Self {
        Self {
            tls: self.tls.clone(),
            quic: self.quic.clone(),
            refusal: Some(reason),
        }
    }

    fn session(self: Arc<Self>, ours: &TransportParameters) -> TlsSession {
        let handshake = self.refusal.is_none().then(|| {
            let mut parameters = Vec::new();
            ours.write(&mut parameters);
            let handshake = ServerConnection::new(self.tls.clone(), Version::V1, parameters);
            Box::new(handshake.expect("the settings are for QUIC"))
        });
        TlsSession {
            config: self,
            handshake,
            agreed: None,
            identity: None,
            next_secrets: None,
        }
    }
}

impl crypto::ServerConfig for ServerConfig {
    fn initial_keys(&self, version: u32, to: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        if version != VERSION {
            return Err(UnsupportedVersion);
        }
        self.quic.initial_keys(version, to)
    }

    fn retry_tag(&self, version: u32, original: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.quic.retry_tag(version, original, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _: u32,
        ours: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        Box::new(self.session(ours))
    }
}

struct TlsSession {
    config: Arc<ServerConfig>,
    /// None when it is over and all that it has to say was taken.
    handshake: Option<Box<ServerConnection>>,
    /// What was agreed on, from when the client's offer was read.
    agreed: Option<Agreed>,
    /// What the client proved to be, from the end of the handshake.
    identity: Option<Vec<CertificateDer<'static>>>,
    next_secrets: Option<Secrets>,
}

struct Agreed {
    protocol: Option<Box<[u8]>>,
}

impl TlsSession {
    /// Lets go of the handshake.
    fn settle(&mut self) {
        let certificates = (self.handshake.take()).and_then(|tls| {
            let certificates = tls.peer_certificates()?.iter();
            Some(certificates.map(|one| one.clone().into_owned()).collect())
        });
        self.identity = certificates;
    }
}

impl crypto::Session for TlsSession {
    fn initial_keys(&self, to: &ConnectionId, _: Side) -> Keys {
        (self.config.initial_keys(VERSION, to)).expect("this version is spoken")
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let agreed = self.agreed.as_ref()?;
        Some(Box::new(HandshakeData {
            protocol: agreed.protocol.as_deref().map(<[u8]>::to_vec),
            server_name: None,
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let identity = self.identity.clone()?;
        Some(Box::new(identity))
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        (self.handshake.as_ref()).is_some_and(|tls| tls.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if let Some(reason) = &self.config.refusal {
            return Err(TransportError {
                code: TransportErrorCode::CONNECTION_REFUSED,
                frame: None,
                reason: reason.clone(),
            });
        }
        let Some(tls) = &mut self.handshake else {
            // RFC 9001 section 6: keys are not updated by TLS, and there is nothing else that a client may say.
            return Err(refusal(
                AlertDescription::UnexpectedMessage,
                "TLS after the handshake".into(),
            ));
        };
        if let Err(error) = tls.read_hs(bytes) {
            let alert = tls.alert().unwrap_or(AlertDescription::InternalError);
            return Err(refusal(alert, error.to_string()));
        }
        let protocol = tls.alpn_protocol();
        if self.agreed.is_some() || (protocol.is_none() && tls.is_handshaking()) {
            return Ok(false);
        }
        self.agreed = Some(Agreed {
            protocol: protocol.map(Box::from),
        });
        Ok(true)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let tls = self.handshake.as_ref();
        let Some(mut bytes) = tls.and_then(|tls| tls.quic_transport_parameters()) else {
            return Ok(None);
        };
        Ok(Some(TransportParameters::read(Side::Server, &mut bytes)?))
    }

    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<Keys> {
        let tls = self.handshake.as_mut()?;
        let (before, handshaking) = (bytes.len(), tls.is_handshaking());
        let keys = match tls.write_hs(bytes) {
            Some(KeyChange::Handshake { keys }) => keys,
            Some(KeyChange::OneRtt { keys, next }) => {
                self.next_secrets = Some(next);
                keys
            }
            None => {
                if !handshaking && bytes.len() == before {
                    self.settle();
                }
                return None;
            }
        };
        Some(Keys {
            header: KeyPair {
                local: Box::new(keys.local.header),
                remote: Box::new(keys.remote.header),
            },
            packet: KeyPair {
                local: Box::new(keys.local.packet),
                remote: Box::new(keys.remote.packet),
            },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next_secrets.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn refusal(alert: AlertDescription, reason: String) -> TransportError {
    TransportError {
        code: TransportErrorCode::crypto(alert.into()),
        frame: None,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use quinn::crypto::{ClientConfig as _, Session as _};

    use super::*;
    use crate::tls;
    use peerway_proto::SecretKey;

    const ALPN: &[u8] = b"test/1";

    struct TlsPair {
        client: Box<dyn crypto::Session>,
        server: TlsSession,
        /// The client's and the server's for data.
        keys: [Keys; 2],
    }

    impl TlsPair {
        /// After a handshake, and after the server had nothing more to say.
        fn met(server: ServerConfig, client: &SecretKey, server_key: &SecretKey) -> Self {
            let parameters = TransportParameters::read(Side::Server, &mut [].as_slice()).unwrap();
            let name = tls::server_name(server_key.id());
            let client = Arc::new(tls::client_config(client, ALPN).unwrap());
            let mut client = client.start_session(VERSION, &name, &parameters).unwrap();
            let mut server = Arc::new(server).session(&parameters);
            let (mut ours, mut theirs) = (None, None);
            for _ in 0..4 {
                ours = carry(&mut *client, &mut server).or(ours);
                theirs = carry(&mut server, &mut *client).or(theirs);
            }
            Self {
                client,
                server,
                keys: [ours.unwrap(), theirs.unwrap()],
            }
        }
    }

    /// Takes all that one end has to say to the other; returns the last keys that came with it.
    fn carry(from: &mut dyn crypto::Session, to: &mut dyn crypto::Session) -> Option<Keys> {
        let mut last = None;
        loop {
            let mut bytes = Vec::new();
            let keys = from.write_handshake(&mut bytes);
            if !bytes.is_empty() {
                to.read_handshake(&bytes).unwrap();
            }
            if keys.is_none() && bytes.is_empty() {
                return last;
            }
            last = keys.or(last);
        }
    }

    /// Whether what one end seals the other opens.
    fn passes(from: &dyn PacketKey, to: &dyn PacketKey) -> bool {
        const HEADER: usize = 5;
        let mut packet = b"headbody".to_vec();
        packet.insert(HEADER - 1, b' ');
        packet.resize(packet.len() + from.tag_len(), 0);
        from.encrypt(7, &mut packet, HEADER);
        let mut sealed = BytesMut::from(&packet[HEADER..]);
        let opened = to.decrypt(7, &packet[..HEADER], &mut sealed).is_ok();
        opened && &sealed[..] == b"body"
    }

    fn both() -> [ServerConfig; 2] {
        let [_, server] = keys();
        [
            tls::server_config(&server, &[ALPN.to_vec()]).unwrap(),
            tls::sparing_server_config(&server, &[ALPN.to_vec()]).unwrap(),
        ]
    }

    fn keys() -> [SecretKey; 2] {
        [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]))
    }

    #[test]
    fn nothing_of_the_handshake_is_kept_but_who_the_client_is_and_what_was_agreed() {
        let [client, server] = keys();
        for config in both() {
            let pair = TlsPair::met(config, &client, &server);
            assert!(!pair.server.is_handshaking() && pair.server.handshake.is_none());
            let identity = pair.server.peer_identity().unwrap();
            let identity = identity.downcast::<Vec<CertificateDer<'static>>>().unwrap();
            assert_eq!(tls::raw_peer_id(&identity), Some(client.id()));
            let data = pair.server.handshake_data().unwrap();
            let data = data.downcast::<HandshakeData>().unwrap();
            assert_eq!(data.protocol.as_deref(), Some(ALPN));
        }
    }

    #[test]
    fn packets_pass_both_ways_and_keys_are_updated_for_as_long_as_the_connection_lives() {
        let [client, server] = keys();
        for config in both() {
            let mut pair = TlsPair::met(config, &client, &server);
            let [ours, theirs] = &pair.keys;
            assert!(passes(&*ours.packet.local, &*theirs.packet.remote));
            assert!(passes(&*theirs.packet.local, &*ours.packet.remote));
            let mut packets = [[0x5a; 40]; 2];
            ours.header.local.encrypt(9, &mut packets[0]);
            assert_ne!(packets[0], packets[1]);
            theirs.header.remote.decrypt(9, &mut packets[0]);
            assert_eq!(packets[0][0], packets[1][0]);
            for _ in 0..3 {
                let ours = pair.client.next_1rtt_keys().unwrap();
                let theirs = pair.server.next_1rtt_keys().unwrap();
                assert!(passes(&*ours.local, &*theirs.remote));
                assert!(passes(&*theirs.local, &*ours.remote));
                assert!(!passes(&*ours.local, &*pair.keys[1].packet.remote));
            }
        }
    }

    #[test]
    fn a_client_has_nothing_to_say_to_tls_after_the_handshake() {
        const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
        let [client, server] = keys();
        for config in both() {
            let mut pair = TlsPair::met(config, &client, &server);
            let refused = pair.server.read_handshake(&KEY_UPDATE).unwrap_err();
            assert_eq!(refused.code, TransportErrorCode::crypto(10));
        }
    }

    #[test]
    fn whoever_is_refused_is_told_why_whatever_they_say() {
        let parameters = TransportParameters::read(Side::Server, &mut [].as_slice()).unwrap();
        for config in both() {
            let refusing = Arc::new(config.refusing("too many".into()));
            let mut session = refusing.session(&parameters);
            let refused = session.read_handshake(b"hello").unwrap_err();
            assert_eq!(refused.code, TransportErrorCode::CONNECTION_REFUSED);
            assert_eq!(refused.reason, "too many");
        }
    }

    #[test]
    fn another_version_of_quic_is_not_spoken() {
        const DRAFT_29: u32 = 0xff00_001d;
        let id = ConnectionId::new(&[1; 8]);
        for config in both() {
            assert!(config.initial_keys(VERSION, &id).is_ok());
            assert!(config.initial_keys(DRAFT_29, &id).is_err());
        }
    }
}
