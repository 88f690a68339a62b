//! A local connection and one QUIC stream made into one.

use std::{
    io::{self, IoSlice},
    pin::pin,
};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadError, StoppedError, VarInt, WriteError};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{limit::Share, local::Local, pace::Pace, usage::Using};
use crate::{RecvStream, SendStream, services::files::Progress};

/// What is read from TCP at a time, at most and at least: small reads share a buffer.
const CHUNK: usize = 64 * 1024;
const LEAST: usize = 4096;
/// Pieces of a stream, of a packet each, that are written to TCP at a time.
const TOGETHER: usize = 32;
const PACKET: usize = 1200;
/// Stream error code (RFC 9000 section 20.2): the TCP connection at the sender's end broke.
const BROKEN: VarInt = VarInt::from_u32(1);

/// What keeps a splice to a rate, and what counts its bytes.
#[derive(Clone, Copy, Default)]
struct Terms<'a> {
    share: Option<&'a Share>,
    progress: Option<&'a Progress>,
    using: Option<&'a Using>,
}

/// Copies both ways until both directions have ended and the peer has acknowledged all of ours.
///
/// Any other end, also this future being dropped or the process killed, resets a TCP connection and the stream.
pub(super) async fn splice(
    local: Local,
    send: ResetOnDrop,
    recv: StopOnDrop,
) -> Result<(), Broken> {
    splice_on(Terms::default(), local, send, recv).await
}

/// The same, which counts what goes through, both ways together.
pub(super) async fn splice_counted(
    progress: &Progress,
    local: Local,
    send: ResetOnDrop,
    recv: StopOnDrop,
) -> Result<(), Broken> {
    let terms = Terms {
        progress: Some(progress),
        ..Terms::default()
    };
    splice_on(terms, local, send, recv).await
}

/// The same within a peer's share of a limit, counted as its use of a server.
pub(super) async fn splice_within(
    (share, using): (Option<&Share>, &Using),
    local: Local,
    send: ResetOnDrop,
    recv: StopOnDrop,
) -> Result<(), Broken> {
    let terms = Terms {
        share,
        using: Some(using),
        ..Terms::default()
    };
    splice_on(terms, local, send, recv).await
}

async fn splice_on(
    terms: Terms<'_>,
    local: Local,
    mut send: ResetOnDrop,
    mut recv: StopOnDrop,
) -> Result<(), Broken> {
    let ends = (&mut send.0, &mut recv.0);
    match local {
        Local::Tcp(mut tcp) => {
            tcp.set_nodelay(true)?;
            tcp.set_zero_linger()?;
            let (reader, writer) = tcp.split();
            copy_on(terms, (reader, writer), ends).await?;
            SockRef::from(&tcp).set_linger(None)?;
            Ok(())
        }
        #[cfg(unix)]
        Local::Unix(mut unix) => copy_on(terms, unix.split(), ends).await,
    }
}

/// Copies both ways until both directions have ended and the peer has acknowledged all of ours.
pub(super) async fn copy(
    (reader, writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<(), Broken> {
    copy_on(Terms::default(), (reader, writer), (send, recv)).await
}

async fn copy_on(
    terms: Terms<'_>,
    (reader, writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (send, recv): (&mut SendStream, &mut RecvStream),
) -> Result<(), Broken> {
    tokio::try_join!(to_quic(reader, send, terms), from_quic(recv, writer, terms))?;
    Ok(())
}

async fn to_quic(
    mut local: impl AsyncRead + Unpin,
    send: &mut SendStream,
    Terms {
        share,
        progress,
        using,
    }: Terms<'_>,
) -> Result<(), Broken> {
    let most = share.map_or(CHUNK, Share::piece);
    let mut acknowledged = pin!(send.stopped());
    let copy = async {
        let mut buffer = BytesMut::new();
        let (mut pace, mut priority) = (Pace::new(Instant::now()), 0);
        loop {
            if buffer.capacity() < LEAST {
                buffer.reserve(CHUNK);
            }
            if local.read_buf(&mut (&mut buffer).limit(most)).await? == 0 {
                return send.finish().map_err(|_| Broken::Peer);
            }
            if let Some(share) = share {
                share.send(buffer.len()).await;
            }
            if let Some(progress) = progress {
                progress.moved(buffer.len() as u64);
            }
            if let Some(using) = using {
                using.gave(buffer.len());
            }
            let bytes = buffer.split().freeze();
            let wanted = pace.priority(bytes.len(), Instant::now());
            if std::mem::replace(&mut priority, wanted) != wanted {
                let _ = send.set_priority(wanted);
            }
            send.write_chunk(bytes).await?;
        }
    };
    let stop = tokio::select! {
        copied = copy => {
            copied?;
            acknowledged.await?
        }
        early = &mut acknowledged => early?,
    };
    match stop {
        None => Ok(()),
        Some(_) => Err(Broken::Peer),
    }
}

async fn from_quic(
    recv: &mut RecvStream,
    mut local: impl AsyncWrite + Unpin,
    Terms {
        share,
        progress,
        using,
    }: Terms<'_>,
) -> Result<(), Broken> {
    let mut chunks = [const { Bytes::new() }; TOGETHER];
    let most = share.map_or(TOGETHER, |share| share.piece() / PACKET);
    let most = most.clamp(1, TOGETHER);
    while let Some(count) = recv
        .read_chunks(chunks.get_mut(..most).unwrap_or_default())
        .await?
    {
        let chunks = chunks.get_mut(..count).unwrap_or_default();
        let bytes = chunks.iter().map(Bytes::len).sum();
        if let Some(share) = share {
            share.take(bytes).await;
        }
        if let Some(progress) = progress {
            progress.moved(bytes as u64);
        }
        if let Some(using) = using {
            using.took(bytes);
        }
        write_all(&mut local, chunks).await?;
        // They hold the packets in which they came.
        chunks.fill(Bytes::new());
    }
    local.shutdown().await?;
    Ok(())
}

async fn write_all(local: &mut (impl AsyncWrite + Unpin), chunks: &[Bytes]) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); TOGETHER];
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
    }
    let mut left = slices.get_mut(..chunks.len()).unwrap_or_default();
    // Empty ones at the beginning are left out, too.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match local.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}

/// Which end broke.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the local connection broke: {0}")]
    Local(#[from] io::Error),
    #[error("the peer reset the stream")]
    Peer,
    #[error("the link broke: {0}")]
    Link(#[from] quinn::ConnectionError),
}

impl From<WriteError> for Broken {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => Self::Link(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Peer
            }
        }
    }
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Link(error),
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Peer,
        }
    }
}

impl From<StoppedError> for Broken {
    fn from(error: StoppedError) -> Self {
        match error {
            StoppedError::ConnectionLost(error) => Self::Link(error),
            StoppedError::ZeroRttRejected => Self::Peer,
        }
    }
}

/// quinn ends a dropped stream in order, which would make a truncated transfer look complete.
#[derive(Debug)]
pub(super) struct ResetOnDrop(pub(super) SendStream);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        let _ = self.0.reset(BROKEN);
    }
}

/// A stream of which nobody reads the rest.
#[derive(Debug)]
pub(super) struct StopOnDrop(pub(super) RecvStream);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let _ = self.0.stop(BROKEN);
    }
}
