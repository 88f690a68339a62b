//! Waiting until the sockets take more, for quinn.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use quinn::UdpPoller;

pin_project_lite::pin_project! {
    /// Makes one future after the other with `make`, each to be polled to its end.
    pub(super) struct Poller<Make, Fut> {
        make: Make,
        #[pin]
        waiting: Option<Fut>,
    }
}

impl<Make, Fut> Poller<Make, Fut> {
    pub(super) fn new(make: Make) -> Self {
        Self {
            make,
            waiting: None,
        }
    }
}

impl<Make, Fut> UdpPoller for Poller<Make, Fut>
where
    Make: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + Sync + 'static,
{
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if this.waiting.is_none() {
            let next = (this.make)();
            this.waiting.set(Some(next));
        }
        let Some(waiting) = this.waiting.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(waiting.poll(cx));
        this.waiting.set(None);
        Poll::Ready(result)
    }
}

impl<Make, Fut> fmt::Debug for Poller<Make, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}
