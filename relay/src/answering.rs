//! Answers whoever connects, a few at a time, for the operator's ports.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::warn;

/// Connections at a time; more wait.
const AT_ONCE: usize = 8;
/// How long nobody is answered after the system refused a connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers, for ever, each connection that `accept` gives, within `patience`. `about` says what for, in the log.
pub(crate) async fn answer_all<C, A>(
    about: &'static str,
    patience: Duration,
    accept: impl AsyncFn() -> io::Result<C>,
    answer: impl Fn(C) -> A,
) where
    A: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut answering = JoinSet::new();
    while let Ok(seat) = room.clone().acquire_owned().await {
        while answering.try_join_next().is_some() {}
        match accept().await {
            Ok(connection) => {
                let answer = timeout(patience, answer(connection));
                answering.spawn(async move {
                    let _seat = seat;
                    let _ = answer.await;
                });
            }
            Err(error) => {
                warn!(%error, "cannot take a request for {about}");
                sleep(PAUSE).await;
            }
        }
    }
}
