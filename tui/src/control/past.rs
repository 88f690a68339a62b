//! What happened on the node lately, for those who begin to listen later.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt, stream};
use tokio::{
    sync::broadcast::{self, Receiver, error::RecvError::Lagged},
    task::JoinSet,
};

use crate::Told;

/// What is kept of it.
const KEPT: usize = 500;
/// What waits for one listener.
const AHEAD: usize = 256;

/// Clones share it; the last one that goes ends it.
#[derive(Clone, Debug)]
pub(super) struct Past {
    held: Arc<Mutex<Held>>,
    _work: Arc<JoinSet<()>>,
}

#[derive(Debug)]
struct Held {
    last: VecDeque<Told>,
    /// To those who listen; none once nothing more happens.
    live: Option<broadcast::Sender<Told>>,
}

impl Past {
    /// Keeps what is told from now on.
    pub(super) fn keep(told: impl Stream<Item = Told> + Send + 'static) -> Self {
        let held = Arc::new(Mutex::new(Held {
            last: VecDeque::new(),
            live: Some(broadcast::Sender::new(AHEAD)),
        }));
        let mut work = JoinSet::new();
        let keeping = Arc::clone(&held);
        work.spawn(async move {
            let mut told = pin!(told);
            while let Some(told) = told.next().await {
                locked(&keeping).tell(told);
            }
            locked(&keeping).live = None;
        });
        Self {
            held,
            _work: Arc::new(work),
        }
    }

    /// So many of what was told, at most, and then all that is told until nothing more happens. Who reads too slowly loses the
    /// oldest of that, and is told how many.
    pub(super) fn and_on(&self, last: usize) -> impl Stream<Item = Told> + Send + use<> {
        let held = locked(&self.held);
        let skipped = held.last.len().saturating_sub(last);
        let before: Vec<Told> = held.last.iter().skip(skipped).cloned().collect();
        let live = held.live.as_ref().map(broadcast::Sender::subscribe);
        stream::iter(before).chain(stream::unfold(live, next))
    }
}

async fn next(live: Option<Receiver<Told>>) -> Option<(Told, Option<Receiver<Told>>)> {
    let mut live = live?;
    let told = match live.recv().await {
        Ok(told) => told,
        Err(Lagged(count)) => Told::Missed(count),
        Err(broadcast::error::RecvError::Closed) => return None,
    };
    Some((told, Some(live)))
}

impl Held {
    fn tell(&mut self, told: Told) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(told.clone());
        if let Some(live) = &self.live {
            // Nobody may be listening.
            let _ = live.send(told);
        }
    }
}

fn locked(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn missed(told: &[Told]) -> Vec<u64> {
        let count = |told: &Told| match told {
            Told::Missed(count) => *count,
            Told::Event(_) | Told::Service(_) => panic!("{told:?}"),
        };
        told.iter().map(count).collect()
    }

    #[tokio::test]
    async fn who_listens_later_hears_the_last_and_then_what_happens_without_a_gap_until_the_end() {
        let (tell, told) = mpsc::unbounded_channel();
        let told = stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
        let past = Past::keep(told);
        let mut first = Box::pin(past.and_on(0));
        for number in 0..KEPT as u64 + 3 {
            tell.send(Told::Missed(number)).unwrap();
            // So that nothing is lost on it.
            assert_eq!(first.next().await, Some(Told::Missed(number)));
        }
        let second = past.and_on(2);
        let all = past.and_on(usize::MAX);
        tell.send(Told::Missed(9000)).unwrap();
        drop(tell);
        let second: Vec<Told> = second.collect().await;
        let newest = KEPT as u64 + 2;
        assert_eq!(missed(&second), [newest - 1, newest, 9000]);
        let all: Vec<Told> = all.collect().await;
        assert_eq!(all.len(), KEPT + 1);
        assert_eq!(missed(&all)[0], 3);
        let after: Vec<Told> = past.and_on(1).collect().await;
        assert_eq!(missed(&after), [9000]);
    }
}
