//! Datagrams into a stream and out of it.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::Established;
use crate::{net::mux::Outbox, wire::tcp};

/// Bytes read at a time, at most and at least: small reads share a buffer.
const READ: usize = 32 * 1024;
const LEAST: usize = 4096;
/// The time for the last bytes to leave.
const GOODBYE: Duration = Duration::from_secs(1);

/// Carries datagrams until the outbox is closed and empty, or the stream ends.
pub(crate) async fn carry(stream: Established, outbox: &Outbox, take: impl FnMut(Bytes)) {
    let (reader, writer) = tokio::io::split(stream.tls);
    let ended = tokio::select! {
        ended = receive(reader, take) => ended,
        ended = send(writer, outbox) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %stream.peer.short(), %error, "stream broke");
    }
}

async fn receive(
    mut reader: impl AsyncRead + Unpin,
    mut take: impl FnMut(Bytes),
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(len) = tcp::frame_len(&buffer).map_err(io::Error::other)? {
            let mut frame = buffer.split_to(len).freeze();
            frame.advance(tcp::HEADER_LEN);
            take(frame);
        }
        if buffer.capacity() - buffer.len() < LEAST {
            buffer.reserve(READ);
        }
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

async fn send(mut writer: impl AsyncWrite + Unpin, outbox: &Outbox) -> io::Result<()> {
    let mut frames = Vec::new();
    while outbox.next(&mut frames).await {
        writer.write_all(&frames).await?;
        writer.flush().await?;
    }
    timeout(GOODBYE, writer.shutdown()).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_that_come_one_by_one_share_a_buffer() {
        let frame = [&tcp::header(100).unwrap()[..], &[7; 100]].concat();
        let (mut writer, reader) = tokio::io::duplex(frame.len());
        let write = async {
            for _ in 0..1000 {
                writer.write_all(&frame).await.unwrap();
            }
            drop(writer);
        };
        let mut frames: Vec<Bytes> = Vec::new();
        let (received, ()) = tokio::join!(receive(reader, |frame| frames.push(frame)), write);
        received.unwrap();
        assert_eq!(frames.len(), 1000);
        let apart =
            |pair: &&[Bytes]| pair[1].as_ptr() != pair[0].as_ptr().wrapping_add(frame.len());
        assert!(frames.windows(2).filter(apart).count() < 10);
    }
}
