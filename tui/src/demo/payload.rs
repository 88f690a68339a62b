//! Data that is sent both ways, and the proof that it arrived.

use std::time::Duration;

use blake2::{Blake2s256, Digest as _};
use peerway::{Connection, RecvStream, SendStream};
use tokio::{task::spawn_blocking, time::Instant};

use super::DemoError;

/// The protocol between the two homes: the answer is as long as the question, and follows the hashes of both.
pub(super) const ALPN: &[u8] = b"peerway-demo/1";

const HASH: usize = 32;
const LARGEST: usize = 64 << 20;

/// Bytes that look random, and their hash.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    data: Vec<u8>,
    hash: [u8; HASH],
}

/// What one exchange carried.
#[derive(Clone, Debug)]
pub(super) struct Exchanged {
    /// Bytes each way.
    pub(super) bytes: usize,
    /// Hash of what came back, in hexadecimal.
    pub(super) hash: String,
    pub(super) took: Duration,
}

impl Payload {
    pub(super) async fn random(seed: u64, bytes: usize) -> Result<Self, DemoError> {
        Self::hashed(move || random(seed, bytes)).await
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Hashing and making megabytes takes long enough to hold up a runtime.
    async fn hashed(data: impl FnOnce() -> Vec<u8> + Send + 'static) -> Result<Self, DemoError> {
        let weigh = || {
            let data = data();
            let hash = Blake2s256::digest(&data).into();
            Self { data, hash }
        };
        Ok(spawn_blocking(weigh).await?)
    }
}

/// Sends `payload`, and checks by hash that it arrived and that what came back did too.
pub(super) async fn exchange(
    connection: &Connection,
    payload: &Payload,
) -> Result<Exchanged, DemoError> {
    let bytes = payload.bytes();
    let started = Instant::now();
    let (mut send, mut receive) = connection.open_bi().await.map_err(broken)?;
    let sending = async {
        send.write_all(&payload.data).await.map_err(broken)?;
        send.finish().map_err(broken)
    };
    let receiving = async {
        let mut arrived = [0; HASH];
        let mut there = [0; HASH];
        receive.read_exact(&mut arrived).await.map_err(broken)?;
        receive.read_exact(&mut there).await.map_err(broken)?;
        let back = receive.read_to_end(bytes).await.map_err(broken)?;
        Ok((arrived, there, back))
    };
    let ((), (arrived, there, back)) = tokio::try_join!(sending, receiving)?;
    let took = started.elapsed();
    let back = Payload::hashed(|| back).await?;
    if arrived != payload.hash || back.hash != there || back.data.len() != bytes {
        return Err(DemoError::Damaged);
    }
    Ok(Exchanged {
        bytes,
        hash: back.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
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
    let incoming = Payload::hashed(|| incoming).await?;
    let outgoing = Payload::random(2, incoming.bytes()).await?;
    send.write_all(&incoming.hash).await.map_err(broken)?;
    send.write_all(&outgoing.hash).await.map_err(broken)?;
    send.write_all(&outgoing.data).await.map_err(broken)?;
    send.finish().map_err(broken)
}

/// Marsaglia's xorshift64: nothing on the way can compress or guess it.
pub(crate) fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    let mut state = seed;
    for chunk in data.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    data
}

fn broken(error: impl ToString) -> DemoError {
    DemoError::Transfer(error.to_string())
}
