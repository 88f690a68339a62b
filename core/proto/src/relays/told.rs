//! What was told of something that is tried again and again: the same news is told once, and once more after a longer while.

use std::time::Instant;

use crate::timing::TOLD_AGAIN;

/// Reasons that may take turns, as those of a relay's addresses do.
const TURNS: usize = 4;

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, Instant)>);

impl Told {
    /// Whether this is to be told now, which it then is.
    pub(super) fn is_news(&mut self, now: Instant, what: &str) -> bool {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= TOLD_AGAIN;
        self.0.retain(|(_, at)| !is_old(*at));
        if self.0.iter().any(|(told, _)| told == what) {
            return false;
        }
        if self.0.len() >= TURNS {
            self.0.remove(0);
        }
        self.0.push((what.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_same_news_is_told_once_and_again_after_a_longer_while() {
        let mut told = Told::default();
        let begin = crate::relays::tests::origin();
        let times = [
            ("shut", 0),
            ("shut", 1),
            ("gone", 2),
            ("shut", 3),
            ("gone", 4),
        ];
        let news = times.map(|(what, s)| told.is_news(begin + Duration::from_secs(s), what));
        assert_eq!(news, [true, false, true, false, false]);
        assert!(told.is_news(begin + TOLD_AGAIN, "shut"));
        assert!(
            !told.is_news(begin + TOLD_AGAIN, "gone"),
            "it was told later"
        );
    }

    #[test]
    fn what_never_stays_the_same_is_not_kept() {
        let mut told = Told::default();
        let now = crate::relays::tests::origin();
        for number in 0..100 {
            assert!(told.is_news(now, &number.to_string()));
        }
        assert_eq!(told.0.len(), TURNS);
    }
}
