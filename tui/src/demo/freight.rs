//! Data that is sent both ways, and the proof that it arrived.

use std::time::Duration;

use blake2::{Blake2s256, Digest as _};
use peerway::Connection;
use quinn::{RecvStream, SendStream};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::DemoError;

/// The protocol between the two homes: each side sends as many bytes as the other, the answer after the hash of what it answers.
pub(super) const ALPN: &[u8] = b"peerway-demo/1";

const HASH: usize = 32;
const LARGEST: usize = 64 << 20;

/// What one exchange carried.
#[derive(Clone, Debug)]
pub(super) struct Shipment {
    /// Bytes each way.
    pub(super) bytes: usize,
    /// Hash of what came back, in hexadecimal.
    pub(super) hash: String,
    pub(super) took: Duration,
}

/// Sends random bytes, checks by hash that they arrived, and that what came back did too.
pub(super) async fn exchange(connection: &Connection, bytes: usize) -> Result<Shipment, DemoError> {
    let outgoing = random(1, bytes);
    let (expected_back, sent) = (hash(&random(2, bytes)), hash(&outgoing));
    let started = Instant::now();
    let (mut send, mut receive) = connection.open_bi().await.map_err(broken)?;
    let sending = async {
        send.write_all(&outgoing).await.map_err(broken)?;
        send.finish().map_err(broken)
    };
    let receiving = async { receive.read_to_end(HASH + bytes).await.map_err(broken) };
    let ((), answer) = tokio::try_join!(sending, receiving)?;
    let took = started.elapsed();
    let Some((arrived, back)) = answer.split_at_checked(HASH) else {
        return Err(DemoError::Damaged);
    };
    let back = hash(back);
    if arrived != sent || back != expected_back {
        return Err(DemoError::Damaged);
    }
    Ok(Shipment {
        bytes,
        hash: back.iter().map(|byte| format!("{byte:02x}")).collect(),
        took,
    })
}

/// Answers exchanges until the connection ends.
pub(super) async fn answer(connection: Connection) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        if let Err(error) = answer_one(send, receive).await {
            tracing::debug!(%error, "an exchange broke off");
        }
    }
}

async fn answer_one(mut send: SendStream, mut receive: RecvStream) -> Result<(), DemoError> {
    let incoming = receive.read_to_end(LARGEST).await.map_err(broken)?;
    send.write_all(&hash(&incoming)).await.map_err(broken)?;
    send.write_all(&random(2, incoming.len()))
        .await
        .map_err(broken)?;
    send.finish().map_err(broken)
}

fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    StdRng::seed_from_u64(seed).fill_bytes(&mut data);
    data
}

fn hash(data: &[u8]) -> [u8; HASH] {
    Blake2s256::digest(data).into()
}

fn broken(error: impl ToString) -> DemoError {
    DemoError::Transfer(error.to_string())
}
