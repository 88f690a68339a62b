//! What a relay answers where too many register at once.

use std::{fmt, time::Duration};

const BEFORE: &str = "busy, retry in ";
const AFTER: &str = " s";
const SHORTEST: u64 = 1;
const LONGEST: u64 = 60;

/// The relay has no time for a registration now. It says so before a handshake costs anything: as the reason phrase of QUIC's
/// CONNECTION_REFUSED (RFC 9000 section 20.1), `busy, retry in 7 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(u64);

impl Busy {
    /// Come again after this time, in whole seconds between 1 and 60. Clients wait up to a second longer, by chance.
    #[must_use]
    pub fn new(retry_in: Duration) -> Self {
        Self(retry_in.as_secs().clamp(SHORTEST, LONGEST))
    }

    /// When to come again.
    #[must_use]
    pub fn retry_in(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Reads a reason phrase; none if it says something else.
    #[must_use]
    pub fn parse(phrase: &[u8]) -> Option<Self> {
        let phrase = str::from_utf8(phrase).ok()?;
        let seconds = phrase.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
        Some(Self::new(Duration::from_secs(seconds.parse().ok()?)))
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEFORE}{}{AFTER}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_phrase_says_when_to_come_again_and_nobody_is_sent_away_for_long() {
        for (seconds, believed) in [(0, 1), (1, 1), (7, 7), (60, 60), (u64::MAX, 60)] {
            let busy = Busy::new(Duration::from_secs(seconds));
            assert_eq!(busy.retry_in(), Duration::from_secs(believed));
            assert_eq!(Busy::parse(busy.to_string().as_bytes()), Some(busy));
            let said = format!("busy, retry in {seconds} s");
            assert_eq!(Busy::parse(said.as_bytes()), Some(busy));
        }
    }

    #[test]
    fn other_phrases_are_none() {
        for phrase in [
            &b""[..],
            b"busy",
            b"busy, retry in  s",
            b"busy, retry in -1 s",
            b"busy, retry in 99999999999999999999 s",
            b"busy, retry in 7 s\n",
            b"\xff",
        ] {
            assert_eq!(Busy::parse(phrase), None, "{phrase:?}");
        }
    }
}
