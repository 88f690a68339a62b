//! How much may pass in a time, as people write it: [`Rate`].

use std::{fmt, num::NonZeroU32, str::FromStr};

/// Bits a second, written with a unit of a thousand of the next smaller one each: `500kbit`, `20mbit`, `1gbit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    kbit: NonZeroU32,
}

/// In kbit/s. Less lets a connection's own packets no longer pass in time; more is no limit to any link.
const LEAST: u32 = 8;
const MOST: u32 = 10_000_000;

/// Units, each with so many kbit.
const UNITS: [(&str, u32); 3] = [("gbit", 1_000_000), ("mbit", 1_000), ("kbit", 1)];

impl Rate {
    /// Bytes a second.
    #[must_use]
    pub fn bytes_per_second(self) -> u32 {
        self.kbit.get() * 125
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kbit = self.kbit.get();
        let (unit, each) = UNITS
            .into_iter()
            .find(|(_, each)| kbit.is_multiple_of(*each))
            .unwrap_or(("kbit", 1));
        write!(f, "{}{unit}", kbit / each)
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = text.get(number.len()..).unwrap_or_default();
        let mut units = UNITS.into_iter();
        let (_, each) = units
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or(ParseRateError::Form)?;
        let number: u32 = number.parse().map_err(|_| ParseRateError::Form)?;
        let kbit = number.checked_mul(each).ok_or(ParseRateError::Range)?;
        if !(LEAST..=MOST).contains(&kbit) {
            return Err(ParseRateError::Range);
        }
        let kbit = NonZeroU32::new(kbit).ok_or(ParseRateError::Range)?;
        Ok(Self { kbit })
    }
}

/// Why a text is no [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRateError {
    /// It is no number with a unit.
    #[error(
        "write a rate as a whole number of kbit, mbit or gbit a second, as in 500kbit or 20mbit"
    )]
    Form,
    /// Choose another one, or none.
    #[error("a rate is from 8kbit to 10gbit a second")]
    Range,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written_and_shown_in_its_largest_whole_unit() {
        for (written, shown, bytes) in [
            ("8kbit", "8kbit", 1_000),
            ("1500kbit", "1500kbit", 187_500),
            ("20Mbit", "20mbit", 2_500_000),
            ("2000mbit", "2gbit", 250_000_000),
            ("10gbit", "10gbit", 1_250_000_000),
        ] {
            let rate: Rate = written.parse().unwrap();
            assert_eq!(
                (rate.to_string().as_str(), rate.bytes_per_second()),
                (shown, bytes)
            );
            assert_eq!(shown.parse(), Ok(rate));
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_one_is() {
        for text in [
            "", "20", "mbit", "1.5mbit", "-1mbit", "20 mbit", "20mb", "20mbit/s", "ämbit",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError::Form), "{text}");
        }
        for text in ["0mbit", "7kbit", "11gbit", "4294967295gbit"] {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError::Range), "{text}");
        }
    }
}
