//! What is inside a record's encryption.

use std::net::SocketAddr;

use peerway::{PeerId, RelayUrl, SecretKey};
use serde::{Deserialize, Serialize};

use super::{MAX_ADDRS, MAX_HOST, MAX_RELAYS, OpenError, Record, SealError, blind::Lock};

/// Lengths of plaintexts: how many relays there are does not show.
const SIZES: [usize; 3] = [192, 448, 848];
const PURPOSE: &str = "peerway record 1";
const SIGNATURE: usize = 64;

#[derive(Serialize, Deserialize)]
struct Body {
    /// Seconds since 1970, until the year 2106.
    valid_until: u32,
    relays: Vec<Relay>,
    addrs: Vec<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
struct Relay {
    key: [u8; 32],
    host: String,
    port: u16,
}

/// What is signed: the body, and for which item.
fn to_sign(lock: &Lock, seq: i64, body: &[u8]) -> Vec<u8> {
    let period = lock.period.number().to_be_bytes();
    [&period[..], &seq.to_be_bytes(), body].concat()
}

pub(super) fn write(
    record: &Record,
    key: &SecretKey,
    lock: &Lock,
    seq: i64,
) -> Result<Vec<u8>, SealError> {
    let relay = |relay: &RelayUrl| Relay {
        key: *relay.key().as_bytes(),
        host: relay.host().to_owned(),
        port: relay.port(),
    };
    let body = Body {
        valid_until: u32::try_from(record.valid_until).unwrap_or(u32::MAX),
        relays: record.relays.iter().map(relay).collect(),
        addrs: record.addrs.clone(),
    };
    // Memory is all that it could lack.
    let mut body = postcard::to_allocvec(&body).unwrap_or_default();
    body.extend(postcard::to_allocvec(&record.to_call).unwrap_or_default());
    let mut plaintext = signed(&body, key, lock, seq);
    let len = plaintext.len();
    let size = SIZES.into_iter().find(|size| len <= *size);
    plaintext.resize(size.ok_or(SealError::TooLong { len })?, 0);
    Ok(plaintext)
}

/// A plaintext without its padding.
pub(super) fn signed(body: &[u8], key: &SecretKey, lock: &Lock, seq: i64) -> Vec<u8> {
    let signature = key.sign(PURPOSE, &to_sign(lock, seq, body));
    [&(body.len() as u16).to_be_bytes(), body, &signature].concat()
}

pub(super) fn read(
    plaintext: &[u8],
    peer: PeerId,
    lock: &Lock,
    seq: i64,
) -> Result<Record, OpenError> {
    let cut_short = OpenError::Malformed("less than its length says");
    let (len, rest) = plaintext
        .split_first_chunk()
        .ok_or_else(|| cut_short.clone())?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (body, rest) = rest
        .split_at_checked(len)
        .ok_or_else(|| cut_short.clone())?;
    let (signature, _) = rest.split_first_chunk::<SIGNATURE>().ok_or(cut_short)?;
    if !peer.has_signed(PURPOSE, &to_sign(lock, seq, body), signature) {
        return Err(OpenError::Forged);
    }
    let no_record = |_| OpenError::Malformed("no record of this version");
    let (body, rest) = postcard::take_from_bytes::<Body>(body).map_err(no_record)?;
    let to_call = if rest.is_empty() {
        Vec::new()
    } else {
        let (to_call, _) = postcard::take_from_bytes::<Vec<_>>(rest).map_err(no_record)?;
        to_call
    };
    let most_addrs = body.addrs.len().max(to_call.len());
    if body.relays.len() > MAX_RELAYS || most_addrs > MAX_ADDRS {
        return Err(OpenError::Malformed("too many relays or addresses"));
    }
    let relays = body.relays.iter().map(relay).collect::<Result<_, _>>()?;
    if body.addrs.iter().chain(&to_call).any(|it| it.port() == 0) {
        return Err(OpenError::Malformed("a port of 0"));
    }
    let written_at = u64::try_from(seq).map_err(|_| OpenError::Malformed("a time before 1970"))?;
    Ok(Record {
        written_at,
        valid_until: body.valid_until.into(),
        relays,
        addrs: body.addrs,
        to_call,
    })
}

fn relay(relay: &Relay) -> Result<RelayUrl, OpenError> {
    let key = PeerId::from_bytes(relay.key)
        .map_err(|_| OpenError::Malformed("a relay's key that is none"))?;
    if relay.host.len() > MAX_HOST {
        return Err(OpenError::Malformed("a long name of a relay"));
    }
    RelayUrl::new(key, &relay.host, relay.port)
        .map_err(|_| OpenError::Malformed("a relay name that is no DNS name"))
}
