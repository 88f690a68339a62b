//! The server half of one call's handshake, which tells the link under which id its packets will come.

use std::sync::{Arc, OnceLock};

use bytes::Buf;
use quinn::crypto::{Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::{ConnectionId, VarInt, coding::Codec, transport_parameters::TransportParameters};

use super::{Link, Mux};

/// TLS as it was, for one call. From its beginning to [`Called::end`] the link holds what comes ahead of the handshake's end.
pub(crate) struct Called {
    tls: Arc<dyn ServerConfig>,
    mux: Arc<Mux>,
    link: Arc<Link>,
    id: OnceLock<ConnectionId>,
}

impl Called {
    pub(crate) fn new(tls: Arc<dyn ServerConfig>, mux: Arc<Mux>, link: Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            tls,
            mux,
            link,
            id: OnceLock::new(),
        })
    }

    /// The handshake is over, well or not.
    pub(crate) fn end(&self) {
        let Some(id) = self.id.get() else { return };
        for packet in self.link.end_handshake(*id) {
            self.mux.inject(self.link.handle(), packet);
        }
    }
}

impl ServerConfig for Called {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.tls.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.tls.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        if let Some(id) = source_id(params)
            && self.id.set(id).is_ok()
        {
            self.link.begin_handshake(id);
        }
        self.tls.clone().start_session(version, params)
    }
}

/// The id that we chose for the connection. quinn gives it out in no other way.
fn source_id(params: &TransportParameters) -> Option<ConnectionId> {
    /// RFC 9000 section 18.2.
    const INITIAL_SOURCE_CONNECTION_ID: u64 = 0x0f;
    let mut written = Vec::new();
    params.write(&mut written);
    let mut rest = &written[..];
    loop {
        let id = VarInt::decode(&mut rest).ok()?;
        let len = usize::try_from(VarInt::decode(&mut rest).ok()?.into_inner()).ok()?;
        let value = rest.get(..len)?;
        if id.into_inner() == INITIAL_SOURCE_CONNECTION_ID {
            return Some(ConnectionId::new(value));
        }
        rest.advance(len);
    }
}
