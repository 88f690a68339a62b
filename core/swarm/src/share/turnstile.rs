//! Where those who send wait for their turn: tasks around the [`Uploader`].

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use peerway::PeerId;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use super::{Uploader, object::lock, uploader::QUANTUM};

#[derive(Debug)]
pub(super) struct Turnstile {
    origin: Instant,
    state: Mutex<State>,
    /// Another limit is in force, and who waits is to look anew for how long.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    uploader: Uploader,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// Leave to send, until it is dropped.
pub(super) struct Leave<'a> {
    turnstile: &'a Turnstile,
    peer: PeerId,
    len: u64,
}

/// A want; without leave when it is dropped, it is withdrawn.
struct Waiting<'a> {
    turnstile: &'a Turnstile,
    peer: PeerId,
    id: u64,
    len: u64,
    has_leave: bool,
}

impl Turnstile {
    pub(super) fn new(limit: Option<u64>) -> Self {
        let state = State {
            uploader: Uploader::new(limit),
            waiting: BTreeMap::new(),
        };
        Self {
            origin: Instant::now(),
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// At most so many bytes a second are sent from now on.
    pub(super) fn limit_to(&self, limit: Option<u64>) {
        lock(&self.state).uploader.limit_to(limit, self.now());
        self.changed.notify_waiters();
    }

    /// Waits for leave to send so much, at most [`QUANTUM`]; none if the peer wants too much at once.
    pub(super) async fn enter(&self, peer: PeerId, len: u64) -> Option<Leave<'_>> {
        let len = len.min(QUANTUM);
        let (give, mut given) = oneshot::channel();
        let id = {
            let mut state = lock(&self.state);
            let id = state.uploader.want(peer, len, self.now())?;
            state.waiting.insert(id, give);
            id
        };
        let mut waiting = Waiting {
            turnstile: self,
            peer,
            id,
            len,
            has_leave: false,
        };
        loop {
            let changed = self.changed.notified();
            let pause = self.pump();
            tokio::select! {
                biased;
                got = &mut given => {
                    got.ok()?;
                    waiting.has_leave = true;
                    let turnstile = self;
                    return Some(Leave { turnstile, peer, len });
                }
                () = sleep(pause) => {}
                () = changed => {}
            }
        }
    }

    pub(super) fn place(&self, peer: PeerId) -> u32 {
        lock(&self.state).uploader.place(peer)
    }

    /// Gives leave to whose turn it is; until when to wait before the next time.
    fn pump(&self) -> Duration {
        let now = self.now();
        let mut state = lock(&self.state);
        let leave = state.uploader.poll(now);
        for (peer, id, len) in leave {
            let gone = state
                .waiting
                .remove(&id)
                .is_none_or(|it| it.send(()).is_err());
            if gone {
                state.uploader.sent(peer, len, now);
            }
        }
        let next = state.uploader.next_poll(now);
        next.map_or(Duration::from_secs(60), |next| next.saturating_sub(now))
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let now = self.turnstile.now();
        lock(&self.turnstile.state)
            .uploader
            .sent(self.peer, self.len, now);
        self.turnstile.pump();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.has_leave {
            return;
        }
        let mut state = lock(&self.turnstile.state);
        if state.waiting.remove(&self.id).is_some() {
            state.uploader.withdraw(self.peer, self.id);
        } else {
            // Its leave came at the last moment.
            let now = self.turnstile.now();
            state.uploader.sent(self.peer, self.len, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_under_a_limit_sends_as_soon_as_there_is_a_higher_one() {
        let peer = SecretKey::from_seed(&[1; 32]).id();
        let turnstile = Turnstile::new(Some(1000));
        drop(turnstile.enter(peer, QUANTUM).await);
        let minute = Duration::from_secs(60);
        let (entered, ()) = tokio::join!(timeout(minute, turnstile.enter(peer, QUANTUM)), async {
            sleep(minute / 2).await;
            turnstile.limit_to(Some(1_000_000));
        });
        assert!(entered.is_ok_and(|leave| leave.is_some()));
    }
}
