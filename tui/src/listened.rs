//! Work that goes on for as long as somebody listens to how it fares.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;

/// What waits for whoever listens.
const AHEAD: usize = 64;

/// What the work tells, until it has ended. Who drops the stream ends the work.
pub(crate) fn steps<T, F>(work: impl FnOnce(mpsc::Sender<T>) -> F) -> BoxStream<'static, T>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (tell, told) = mpsc::channel(AHEAD);
    let work = work(tell.clone());
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = tell.closed() => {}
        }
    });
    let steps = stream::unfold(told, |mut told| async {
        let step = told.recv().await?;
        Some((step, told))
    });
    steps.boxed()
}
