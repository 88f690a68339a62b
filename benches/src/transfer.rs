//! The measured transfer, the same for every pair.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::{Ends, Failure};

const MEGABYTE: usize = 1_000_000;
/// Carried before the clock starts, so that the path's MTU is found and the window is open.
const WARM_UP: usize = 32;

/// What one run gave.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) megabytes_per_second: f64,
    pub(crate) cpu_seconds_per_gigabyte: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            megabytes_per_second,
            cpu_seconds_per_gigabyte,
        } = self;
        write!(
            f,
            "{megabytes_per_second:5.0} MB/s {cpu_seconds_per_gigabyte:.3} CPU s/GB"
        )
    }
}

/// The stream that is measured.
pub(crate) enum Sender {
    Quinn(quinn::SendStream),
    Peerway(peerway::SendStream),
}

/// Its other end.
pub(crate) enum Receiver {
    Quinn(quinn::RecvStream),
    Peerway(peerway::RecvStream),
}

impl Sender {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), quinn::WriteError> {
        match self {
            Self::Quinn(stream) => stream.write_all(bytes).await,
            Self::Peerway(stream) => stream.write_all(bytes).await,
        }
    }
}

impl Receiver {
    async fn read_chunk(&mut self, most: usize) -> Result<Option<quinn::Chunk>, quinn::ReadError> {
        match self {
            Self::Quinn(stream) => stream.read_chunk(most, true).await,
            Self::Peerway(stream) => stream.read_chunk(most, true).await,
        }
    }
}

/// Sends `megabytes` through the stream. `cpu` says what processor time was used so far by what is measured.
pub(crate) async fn measure(
    ends: &Ends,
    mut sender: Sender,
    mut receiver: Receiver,
    megabytes: usize,
    cpu: impl Fn() -> Result<Duration, Failure> + Send + 'static,
) -> Result<Figures, Failure> {
    let sending = ends.sending.spawn(async move {
        let chunk = vec![0x5a; MEGABYTE];
        for _ in 0..WARM_UP + megabytes {
            sender.write_all(&chunk).await?;
        }
        Ok::<_, Failure>(sender)
    });
    let receiving = ends.receiving.spawn(async move {
        read(&mut receiver, WARM_UP).await?;
        let (start, before) = (Instant::now(), cpu()?);
        read(&mut receiver, megabytes).await?;
        Ok::<_, Failure>((start.elapsed(), cpu()? - before))
    });
    let (elapsed, cpu) = receiving.await??;
    sending.await??;
    let megabytes = megabytes as f64;
    Ok(Figures {
        megabytes_per_second: megabytes / elapsed.as_secs_f64(),
        cpu_seconds_per_gigabyte: cpu.as_secs_f64() / (megabytes / 1000.0),
    })
}

async fn read(receiver: &mut Receiver, megabytes: usize) -> Result<(), Failure> {
    let mut missing = megabytes * MEGABYTE;
    while missing > 0 {
        let chunk = receiver.read_chunk(missing).await?;
        missing -= chunk.ok_or("the stream ended early")?.bytes.len();
    }
    Ok(())
}
