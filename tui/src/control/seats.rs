//! Places for connections over which is asked: [`Seated`]; of [`Seats`] the oldest that has asked nothing yet gives way to the next.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

/// So many places; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    room: Arc<Semaphore>,
    silent: Silent,
}

impl Seats {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(count)),
            silent: Silent::default(),
        }
    }

    /// A place for whoever came: one that is free, or that of who has been silent for longest; else it is waited for.
    pub(crate) async fn take(&self) -> io::Result<OwnedSemaphorePermit> {
        if self.room.available_permits() == 0 {
            self.silent.displace();
        }
        let seat = Arc::clone(&self.room).acquire_owned().await;
        seat.map_err(io::Error::other)
    }

    /// Whoever has one, and is listened to until it has asked something.
    pub(crate) fn seat<S>(&self, stream: S, seat: OwnedSemaphorePermit) -> Seated<S> {
        Seated {
            silence: Some(self.silent.begin()),
            ..Seated::new(stream, seat)
        }
    }
}

/// Those that are silent; clones share them.
#[derive(Clone, Debug, Default)]
struct Silent(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    came: u64,
    /// By the order in which they came, what ends them.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Silent {
    /// One more, until it has asked something.
    fn begin(&self) -> Silence {
        let (end, ended) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.came;
        waiting.came += 1;
        waiting.silent.insert(number, end);
        Silence {
            all: self.clone(),
            number,
            ended,
            is_line_empty: false,
        }
    }

    /// Ends the one that came first, if there is any.
    fn displace(&self) {
        let oldest = self.waiting().silent.pop_first();
        if let Some((_, end)) = oldest {
            // It may be going just now.
            let _ = end.send(());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, and its place among those that there may be.
pub(crate) struct Seated<S> {
    stream: S,
    silence: Option<Silence>,
    _seat: OwnedSemaphorePermit,
}

impl<S> Seated<S> {
    /// One that keeps its place, whether it asks or not.
    pub(crate) fn new(stream: S, seat: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            silence: None,
            _seat: seat,
        }
    }
}

/// The time before something is asked.
struct Silence {
    all: Silent,
    number: u64,
    ended: oneshot::Receiver<()>,
    /// Whether nothing came yet of the line that comes now.
    is_line_empty: bool,
}

impl Silence {
    /// Whether the head of a request ends with this, which is an empty line.
    fn is_over(&mut self, came: &[u8]) -> bool {
        for byte in came {
            match byte {
                b'\n' if self.is_line_empty => return true,
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
        }
        false
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.all.waiting().silent.remove(&self.number);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Seated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            stream, silence, ..
        } = &mut *self;
        let Some(silent) = silence else {
            return Pin::new(stream).poll_read(cx, buffer);
        };
        if Pin::new(&mut silent.ended).poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if silent.is_over(came) {
            *silence = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_has_not_asked_gives_way_and_who_has_asked_does_not() {
        let seats = Seats::new(3);
        let silent = &seats.silent;
        let [mut first, mut asking, mut last] = [
            seats.take().await.unwrap(),
            seats.take().await.unwrap(),
            seats.take().await.unwrap(),
        ]
        .map(|seat| {
            let (own, other) = duplex(256);
            (seats.seat(own, seat), other)
        });
        let half = b"GET / HTTP/1.1\r\n";
        for (own, other) in [&mut first, &mut asking] {
            other.write_all(half).await.unwrap();
            own.read_exact(&mut [0; 16]).await.unwrap();
        }
        asking.1.write_all(b"Host: a\r\n\r\n").await.unwrap();
        asking.0.read_exact(&mut [0; 11]).await.unwrap();
        silent.displace();
        let ended = first.0.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(first);
        silent.displace();
        assert!(last.0.read_u8().await.is_err());
        silent.displace();
        asking.1.write_all(b"more").await.unwrap();
        asking.0.read_exact(&mut [0; 4]).await.unwrap();
    }
}
