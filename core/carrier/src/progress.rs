//! Whether what is written gets on.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// When the system last took bytes of a TCP connection from us.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    /// Microseconds after that.
    taken: AtomicU64,
}

impl Progress {
    /// When the last bytes were taken, or the connection began.
    #[must_use]
    pub fn last(&self) -> Instant {
        self.began + Duration::from_micros(self.taken.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let after = self.began.elapsed().as_micros();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        self.taken.store(after, Ordering::Relaxed);
    }
}

/// A TCP connection that notes its [`Progress`]. To be put below TLS, which takes more than leaves.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    progress: Arc<Progress>,
}

impl<S> Watched<S> {
    /// Watches what is written to this from now on.
    pub fn new(stream: S) -> Self {
        let progress = Progress {
            began: Instant::now(),
            taken: AtomicU64::new(0),
        };
        Self {
            stream,
            progress: Arc::new(progress),
        }
    }

    /// What is noted here, to be looked at elsewhere.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    fn wrote(&self, len: usize) -> Poll<io::Result<usize>> {
        if len > 0 {
            self.progress.note();
        }
        Poll::Ready(Ok(len))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.wrote(len)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.wrote(len)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
