//! What a peer exposes to whoever asks: [`list`].
//!
//! After the answer to the request come the services: one byte for what each takes, one for the length of its name, the name.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    ForwardError, Loss, ServiceName, Transport,
    begin::{First, Unbegun, begin},
    request::{Purpose, Request},
};
use crate::Connection;

/// What a peer may take to list all.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a list.
const LIMIT: usize = 256 << 10;

/// Asks a peer which services it exposes to this node, and what each of them takes. The connection is one of [`ALPN`](super::ALPN).
///
/// # Errors
/// See [`ForwardError`]; a peer of an older version does not understand the question.
pub async fn list(connection: &Connection) -> Result<Vec<(ServiceName, Transport)>, ForwardError> {
    let request = Request {
        kind: Purpose::List,
        name: ServiceName("all".to_owned()),
        id: 0,
    };
    let begun = begin(connection, &request, None, &mut First::default()).await;
    let (_send, mut recv) = begun.map_err(|error| match error {
        // Nothing of anybody's was on its way.
        Unbegun::Lost { loss, .. } => ForwardError::Lost(loss),
        Unbegun::Refused(_) | Unbegun::Local(_) => error.into(),
    })?;
    let read = timeout(PATIENCE, recv.0.read_to_end(LIMIT)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(ForwardError::Lost(Loss::Unanswered)),
        Err(_) => return Err(ForwardError::Lost(Loss::Silent)),
    };
    parse(&bytes).ok_or(ForwardError::Version)
}

pub(super) fn emit<'a>(services: impl Iterator<Item = (&'a ServiceName, Transport)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, transport) in services {
        let name = name.as_str().as_bytes();
        bytes.extend([
            u8::from(transport == Transport::Datagrams),
            name.len() as u8,
        ]);
        bytes.extend_from_slice(name);
    }
    bytes
}

fn parse(mut bytes: &[u8]) -> Option<Vec<(ServiceName, Transport)>> {
    let mut services = Vec::new();
    while let Some(([takes, len], rest)) = bytes.split_first_chunk() {
        let (name, rest) = rest.split_at_checked((*len).into())?;
        let transport = match takes {
            0 => Transport::Stream,
            1 => Transport::Datagrams,
            _ => return None,
        };
        services.push((str::from_utf8(name).ok()?.parse().ok()?, transport));
        bytes = rest;
    }
    bytes.is_empty().then_some(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_bytes_and_nonsense_is_none() {
        let name = |text: &str| text.parse::<ServiceName>().unwrap();
        let services = [
            (name("web"), Transport::Stream),
            (name("dns"), Transport::Datagrams),
        ];
        let bytes = emit(services.iter().map(|(name, takes)| (name, *takes)));
        assert_eq!(parse(&bytes), Some(services.to_vec()));
        assert_eq!(parse(&[]), Some(vec![]));
        for bytes in [
            &[0][..],
            &[0, 3, b'a'],
            &[2, 1, b'a'],
            &[0, 1, b'/'],
            &[0, 0],
        ] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }
}
