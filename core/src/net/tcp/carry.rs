//! Datagrams into a stream and out of it.

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::Established;
use crate::{net::mux::Outbox, wire::stream};

/// Bytes read at a time.
const READ: usize = 32 * 1024;
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
        while let Some(len) = stream::frame_len(&buffer).map_err(io::Error::other)? {
            let mut frame = buffer.split_to(len).freeze();
            frame.advance(stream::HEADER_LEN);
            take(frame);
        }
        buffer.reserve(READ);
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
