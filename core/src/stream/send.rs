//! The sending side of a stream: [`SendStream`].

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use quinn::{ClosedStream, StoppedError, StreamId, VarInt, WriteError};
use tokio::io::AsyncWrite;

use crate::net::flow::{Limit, Usage};

/// The sending side of a stream.
///
/// A peer that does not read its end is sent no more than it has given credit for: 16 KiB at first, and more the faster it
/// reads. Other streams are not held up by that.
///
/// Dropping it [finishes](Self::finish) the stream, unless it was [reset](Self::reset).
pub struct SendStream {
    quic: quinn::SendStream,
    flow: Usage,
    limit: Arc<Limit>,
    written: u64,
    /// Why nothing can be written any more, which quinn tells only those who wait for it.
    ended: Option<Pin<Box<dyn Future<Output = WriteError> + Send + Sync>>>,
}

impl SendStream {
    pub(crate) fn new(quic: quinn::SendStream, flow: Usage, limit: Arc<Limit>) -> Self {
        Self {
            quic,
            flow,
            limit,
            written: 0,
            ended: None,
        }
    }

    /// Waits until something can be written and writes as much of `buf` as can be at once; gives how much that was.
    ///
    /// Nothing was written if the future is dropped before it is ready.
    ///
    /// # Errors
    /// The peer stopped the stream, it is finished or reset already, or the connection's end.
    pub async fn write(&mut self, buf: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_write_bytes(cx, buf)).await
    }

    /// Writes all of `buf`. If the future is dropped, a part of it may have been written.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_all(&mut self, mut buf: &[u8]) -> Result<(), WriteError> {
        while !buf.is_empty() {
            let written = self.write(buf).await?;
            buf = buf.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all of `buf` without copying it. If the future is dropped, a part of it may have been written.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_chunk(&mut self, mut buf: Bytes) -> Result<(), WriteError> {
        while !buf.is_empty() {
            poll_fn(|cx| self.poll_write_chunk(cx, &mut buf)).await?;
        }
        Ok(())
    }

    /// Writes all of `bufs` without copying them, and leaves them empty. If the future is dropped, a part may have been written.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_all_chunks(&mut self, bufs: &mut [Bytes]) -> Result<(), WriteError> {
        for buf in bufs {
            self.write_chunk(std::mem::take(buf)).await?;
        }
        Ok(())
    }

    /// Says that no more comes. What was written is still delivered.
    ///
    /// # Errors
    /// The stream is finished or reset already.
    pub fn finish(&mut self) -> Result<(), ClosedStream> {
        self.quic.finish()
    }

    /// Ends the stream at once: what was not delivered yet may never be. The peer is told `code`.
    ///
    /// # Errors
    /// The stream is over already.
    pub fn reset(&mut self, code: VarInt) -> Result<(), ClosedStream> {
        self.quic.reset(code)
    }

    /// Waits for the stream's end at the peer: the code with which it stopped the stream, or none once it has acknowledged all
    /// of a finished one.
    ///
    /// # Errors
    /// The connection's end.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync + 'static {
        self.quic.stopped()
    }

    /// Sends what waits on streams of higher priority first; 0 by default.
    ///
    /// # Errors
    /// The stream is over already.
    pub fn set_priority(&self, priority: i32) -> Result<(), ClosedStream> {
        self.quic.set_priority(priority)
    }

    /// The stream's priority.
    ///
    /// # Errors
    /// The stream is over already.
    pub fn priority(&self) -> Result<i32, ClosedStream> {
        self.quic.priority()
    }

    /// The stream's id (RFC 9000 section 2.1). The first unidirectional stream of each side is our own.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.quic.id()
    }

    fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let credit = ready!(self.poll_credit(cx))?;
        let buf = buf.get(..credit).unwrap_or(buf);
        let written = ready!(Pin::new(&mut self.quic).poll_write(cx, buf))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut Bytes,
    ) -> Poll<Result<(), WriteError>> {
        let credit = ready!(self.poll_credit(cx))?;
        let mut part = [buf.slice(..credit.min(buf.len()))];
        let writing = std::pin::pin!(self.quic.write_chunks(&mut part));
        let written = ready!(writing.poll(cx))?.bytes;
        buf.advance(written);
        self.written += written as u64;
        Poll::Ready(Ok(()))
    }

    /// How much the peer lets us write, once that is anything.
    fn poll_credit(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, WriteError>> {
        let credit = |stream: &Self| stream.limit.offset().saturating_sub(stream.written);
        if credit(self) == 0 {
            self.limit.register(cx.waker());
        }
        match credit(self) {
            0 => self.poll_ended(cx).map(Err),
            bytes => Poll::Ready(Ok(usize::try_from(bytes).unwrap_or(usize::MAX))),
        }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<WriteError> {
        let ended = self.ended.get_or_insert_with(|| {
            let stopped = self.quic.stopped();
            Box::pin(async move {
                match stopped.await {
                    Ok(Some(code)) => WriteError::Stopped(code),
                    Ok(None) => WriteError::ClosedStream,
                    Err(error) => error.into(),
                }
            })
        });
        let error = ready!(ended.as_mut().poll(cx));
        self.ended = None;
        Poll::Ready(error)
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.flow.sent(self.quic.id());
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendStream({})", self.quic.id())
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_bytes(cx, buf).map_err(Into::into)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish().map_err(Into::into))
    }
}
