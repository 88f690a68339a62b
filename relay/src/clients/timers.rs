//! When to look at which connection again.

use std::{collections::BTreeSet, time::Instant};

use quinn_proto::ConnectionHandle;

/// A time for each connection that waits for one, in order.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, ConnectionHandle)>);

impl Timers {
    /// Puts the time of a connection at `next`; `armed` remembers it for the connection.
    pub(super) fn arm(
        &mut self,
        connection: ConnectionHandle,
        armed: &mut Option<Instant>,
        next: Option<Instant>,
    ) {
        if *armed == next {
            return;
        }
        if let Some(before) = std::mem::replace(armed, next) {
            self.0.remove(&(before, connection));
        }
        if let Some(next) = next {
            self.0.insert((next, connection));
        }
    }

    /// The earliest time of all.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(time, _)| *time)
    }

    /// Takes out a connection whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ConnectionHandle> {
        let due = self.next().is_some_and(|time| time <= now);
        due.then(|| self.0.pop_first()).flatten().map(|(_, it)| it)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_come_when_their_last_time_has_come_and_in_its_order() {
        #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let [first, second] = [1, 2].map(ConnectionHandle);
        let (mut timers, mut armed) = (Timers::default(), [None, None]);
        timers.arm(first, &mut armed[0], at(5));
        timers.arm(second, &mut armed[1], at(3));
        assert_eq!(timers.next(), at(3));
        timers.arm(second, &mut armed[1], at(7));
        assert_eq!(timers.pop(start + Duration::from_secs(4)), None);
        assert_eq!(timers.pop(start + Duration::from_secs(9)), Some(first));
        timers.arm(second, &mut armed[1], None);
        assert_eq!(timers.pop(start + Duration::from_secs(9)), None);
        assert_eq!(timers.next(), None);
    }
}
