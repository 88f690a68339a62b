//! Work that stands still while a valve is shut.

use std::pin::pin;

use crate::services::files::Valve;

/// Goes on with the work only while the valve is open; none if it is cancelled.
///
/// Meanwhile nothing is read at either end. What TCP and QUIC take in for it fills their windows, and whoever sends waits.
pub(super) async fn held<T>(valve: &Valve, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            () = valve.open() => {}
            () = valve.cancelled() => return None,
        }
        tokio::select! {
            biased;
            () = valve.shut() => {}
            done = &mut work => return Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn work_stands_still_while_it_is_paused_and_never_ends_once_it_is_cancelled() {
        let (valve, may_end) = (Valve::default(), Notify::new());
        let mut work = Box::pin(held(&valve, may_end.notified()));
        assert!(work.as_mut().now_or_never().is_none());
        valve.pause();
        may_end.notify_one();
        assert!(work.as_mut().now_or_never().is_none(), "it is paused");
        valve.resume();
        assert_eq!(work.as_mut().now_or_never(), Some(Some(())));
        let mut work = Box::pin(held(&valve, may_end.notified()));
        assert!(work.as_mut().now_or_never().is_none());
        valve.cancel();
        assert_eq!(work.as_mut().now_or_never(), Some(None));
    }
}
