//! The fields that bodies are made of.

use std::net::{IpAddr, SocketAddr};

use super::{FrameError, Payload};
use crate::{Item, MAX_ITEM_VALUE, PeerId, RelayUrl};

const NONE: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;
/// The longest URL of a relay: a key, a DNS name of 253 bytes, a port and an invitation are 360.
const MAX_URL: usize = 512;

/// Takes fields off the front of the body of a frame of type `kind`.
pub(super) struct BodyReader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> BodyReader<'a> {
    pub(super) fn new(kind: u8, body: &'a [u8]) -> Self {
        Self { kind, rest: body }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let kind = self.kind;
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(FrameError::Truncated { kind })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn id(&mut self) -> Result<PeerId, FrameError> {
        let bytes = self.take()?;
        PeerId::from_bytes(bytes).map_err(|_| self.field("the peer's key"))
    }

    pub(super) fn addr(&mut self) -> Result<SocketAddr, FrameError> {
        let ip = match self.byte()? {
            V4 => IpAddr::from(self.take::<4>()?),
            V6 => IpAddr::from(self.take::<16>()?),
            _ => return Err(self.field("the address family")),
        };
        if ip.to_canonical() != ip {
            return Err(self.field("the address"));
        }
        Ok(SocketAddr::new(ip, u16::from_be_bytes(self.take()?)))
    }

    /// An address, or a 0 in its place.
    pub(super) fn addr_or_none(&mut self) -> Result<Option<SocketAddr>, FrameError> {
        if self.rest.first() == Some(&NONE) {
            return self.byte().map(|_| None);
        }
        self.addr().map(Some)
    }

    /// All that is left.
    pub(super) fn payload(&mut self) -> Result<Payload, FrameError> {
        std::mem::take(&mut self.rest).to_vec().try_into()
    }

    pub(super) fn item(&mut self) -> Result<Item, FrameError> {
        let (key, seq, signature) = (self.take()?, self.take()?, self.take()?);
        if self.rest.len() > MAX_ITEM_VALUE {
            return Err(self.field("the length of the item's value"));
        }
        let value = std::mem::take(&mut self.rest).to_vec();
        Ok(Item::new(key, i64::from_be_bytes(seq), value, signature))
    }

    /// All that is left, as a relay's URL.
    pub(super) fn url(&mut self) -> Result<RelayUrl, FrameError> {
        let bytes = std::mem::take(&mut self.rest);
        let text = std::str::from_utf8(bytes).ok();
        text.filter(|text| text.len() <= MAX_URL)
            .and_then(|text| {
                text.parse()
                    .ok()
                    .filter(|url: &RelayUrl| url.with_its_invite() == text)
            })
            .ok_or_else(|| self.field("the relay's URL"))
    }

    /// Checks that nothing is left.
    pub(super) fn end<T>(self, frame: T) -> Result<Option<T>, FrameError> {
        if self.rest.is_empty() {
            Ok(Some(frame))
        } else {
            Err(FrameError::Surplus { kind: self.kind })
        }
    }

    pub(super) fn field(&self, field: &'static str) -> FrameError {
        FrameError::Field {
            kind: self.kind,
            field,
        }
    }
}

pub(super) fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => {
            out.push(V4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(V6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

pub(super) fn put_addr_or_none(out: &mut Vec<u8>, addr: Option<SocketAddr>) {
    match addr {
        Some(addr) => put_addr(out, addr),
        None => out.push(NONE),
    }
}

pub(super) fn put_item(out: &mut Vec<u8>, item: &Item) {
    out.extend_from_slice(&item.key);
    out.extend_from_slice(&item.seq.to_be_bytes());
    out.extend_from_slice(&item.signature);
    out.extend_from_slice(&item.value);
}
