//! The receiving side of a stream: [`RecvStream`].

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::{Chunk, ClosedStream, ReadError, ReadExactError, ReadToEndError, StreamId, VarInt};
use tokio::io::{AsyncRead, ReadBuf};

use crate::{net::flow::Usage, proto::credit::Window};

/// The receiving side of a stream.
///
/// The faster it is read, the more the peer may send ahead. What is not read is held in memory, at most 32 MiB of a stream, 128 MiB of
/// a peer and 512 MiB of a node, and holds up no other stream.
///
/// Dropping it [stops](Self::stop) the stream with code 0, unless it was read to its end.
pub struct RecvStream {
    quic: quinn::RecvStream,
    flow: Usage,
    /// None once nothing more comes.
    window: Option<Window>,
}

impl RecvStream {
    pub(crate) fn new(quic: quinn::RecvStream, flow: Usage, window: Window) -> Self {
        Self {
            quic,
            flow,
            window: Some(window),
        }
    }

    /// Reads what is there into `buf`, once that is anything; none at the stream's end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The peer reset the stream, it was stopped, or the connection's end.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let read = self.quic.read(buf).await;
        self.took(read.as_ref().map(|read| read.as_ref().copied()));
        read
    }

    /// Fills `buf`. If the future is dropped, what was read is lost.
    ///
    /// # Errors
    /// As of [`read`](Self::read), or the stream ended too early.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ReadExactError> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest).await? {
                Some(bytes) => filled += bytes,
                None => return Err(ReadExactError::FinishedEarly(filled)),
            }
        }
        Ok(())
    }

    /// Reads the next piece without copying it, at most `max_length` bytes; none at the stream's end. If not `ordered`, pieces
    /// may come in any order and say where they belong.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// As of [`read`](Self::read), or it was read in any order before and is now to be in order.
    pub async fn read_chunk(
        &mut self,
        max_length: usize,
        ordered: bool,
    ) -> Result<Option<Chunk>, ReadError> {
        let chunk = self.quic.read_chunk(max_length, ordered).await;
        let read = chunk.as_ref();
        self.took(read.map(|read| read.as_ref().map(|chunk| chunk.bytes.len())));
        chunk
    }

    /// Reads the next pieces in their order without copying them, as many as are there and `chunks` has room for, and gives their number;
    /// none at the stream's end.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> Result<Option<usize>, ReadError> {
        let count = self.quic.read_chunks(chunks).await;
        let bytes = |count: &usize| chunks.iter().take(*count).map(Bytes::len).sum();
        self.took(count.as_ref().map(|count| count.as_ref().map(bytes)));
        count
    }

    /// Reads all that comes, at most `limit` bytes. If the future is dropped, what was read is lost.
    ///
    /// # Errors
    /// As of [`read`](Self::read), or more than `limit` bytes came.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ReadToEndError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.read_chunk(usize::MAX, true).await? {
            if chunk.bytes.len() > limit - all.len() {
                return Err(ReadToEndError::TooLong);
            }
            all.extend_from_slice(&chunk.bytes);
        }
        Ok(all)
    }

    /// Asks the peer to send no more, for the reason `code`. What came and was not read is dropped.
    ///
    /// # Errors
    /// The stream is over already.
    pub fn stop(&mut self, code: VarInt) -> Result<(), ClosedStream> {
        self.close();
        self.quic.stop(code)
    }

    /// Waits until the peer resets the stream and gives the code; none if it was read to its end or stopped.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn received_reset(&mut self) -> Result<Option<VarInt>, quinn::ResetError> {
        self.quic.received_reset().await
    }

    /// The stream's id (RFC 9000 section 2.1). The first unidirectional stream of each side is our own.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.quic.id()
    }

    /// Counts what was read, or takes note that nothing more comes.
    fn took<E>(&mut self, read: Result<Option<usize>, E>) {
        match read {
            Ok(Some(bytes)) => {
                if let Some(window) = &mut self.window
                    && window.read(bytes as u64)
                {
                    self.flow.grant(self.quic.id(), window);
                }
            }
            Ok(None) | Err(_) => self.close(),
        }
    }

    fn close(&mut self) {
        if let Some(window) = self.window.take() {
            self.flow.received(self.quic.id(), window);
        }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvStream({})", self.quic.id())
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(self.quic.poll_read_buf(cx, buf));
        let bytes = buf.filled().len() - before;
        let is_end = bytes == 0 && buf.remaining() > 0;
        self.took(read.as_ref().map(|()| (!is_end).then_some(bytes)));
        Poll::Ready(read.map_err(Into::into))
    }
}
