//! How many streams of one kind a peer may have open at once.
//!
//! QUIC keeps state for each stream that the peer may open, from before it does. So there are few at first, and more as it
//! uses them: each time half of them are open, it may have four times as many.

/// The most that a peer may open: one for each TCP connection through a tunnel.
const MOST: u64 = 4096;
/// What a peer may open that opened none so far.
pub const FEW: u64 = 16;
const GROWTH: u64 = 4;

/// See the [module](self).
#[derive(Debug)]
pub struct Allowance {
    streams: u64,
    /// Directions in which each stream goes, and those in which one is open.
    directions: u64,
    open: u64,
}

impl Allowance {
    /// Of streams in both directions.
    pub fn bidirectional() -> Self {
        Self {
            streams: FEW,
            directions: 2,
            open: 0,
        }
    }

    /// Of streams to us.
    pub fn unidirectional() -> Self {
        Self {
            streams: FEW,
            directions: 1,
            open: 0,
        }
    }

    /// The program took a stream. Returns how many there may be now, if that changed.
    pub fn opened(&mut self) -> Option<u64> {
        self.open += self.directions;
        let half = self.streams * self.directions / 2;
        self.change(if self.open >= half {
            (self.streams * GROWTH).min(MOST)
        } else {
            self.streams
        })
    }

    /// A stream is over in one of its directions. Returns how many there may be now, if that changed.
    pub fn closed(&mut self) -> Option<u64> {
        self.open = self.open.saturating_sub(1);
        let fewer = (self.streams / GROWTH).max(FEW);
        // As many again can be opened before there are to be more.
        let is_spare = self.open * 4 < fewer * self.directions;
        self.change(if is_spare { fewer } else { self.streams })
    }

    fn change(&mut self, streams: u64) -> Option<u64> {
        let before = std::mem::replace(&mut self.streams, streams);
        (before != streams).then_some(streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_opens_all_it_may_has_four_thousand_after_four_round_trips() {
        let mut allowance = Allowance::bidirectional();
        let (mut open, mut allowed) = (0, FEW);
        for _ in 0..4 {
            while open < allowed {
                allowance.opened();
                open += 1;
            }
            allowed = allowance.streams;
        }
        assert_eq!(allowed, MOST);
    }

    #[test]
    fn a_peer_whose_streams_are_half_closed_gets_more_all_the_same() {
        let mut allowance = Allowance::bidirectional();
        for _ in 0..FEW {
            allowance.opened();
            allowance.closed();
        }
        assert!(allowance.streams > FEW);
    }

    #[test]
    fn streams_one_after_the_other_raise_nothing() {
        let mut allowance = Allowance::bidirectional();
        for _ in 0..10_000 {
            let changes = [allowance.opened(), allowance.closed(), allowance.closed()];
            assert_eq!(changes, [None; 3]);
        }
    }

    #[test]
    fn when_all_streams_are_over_there_are_as_few_as_at_first() {
        let mut allowance = Allowance::bidirectional();
        let changes = (0..3000).filter_map(|_| allowance.opened());
        assert_eq!(changes.collect::<Vec<_>>(), [64, 256, 1024, 4096]);
        let changes = (0..6000).filter_map(|_| allowance.closed());
        assert_eq!(changes.collect::<Vec<_>>(), [1024, 256, 64, 16]);
    }

    #[test]
    fn a_program_that_takes_no_streams_to_us_allows_no_more_than_a_few() {
        let mut allowance = Allowance::unidirectional();
        assert_eq!(allowance.streams, FEW);
        let changes = (0..FEW).filter_map(|_| allowance.opened());
        assert_eq!(changes.collect::<Vec<_>>(), [64]);
    }
}
