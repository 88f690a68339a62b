//! How much is sent of what is shared, by the hour of the day: [`UploadLimit`]. Pure: the local time comes in.

use std::{fmt, str::FromStr};

use chrono::{NaiveTime, Timelike};
use peerway::services::{ParseRateError, Rate};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Far more than a day needs.
const MAX_PARTS: usize = 24;

/// What goes to all peers together; no limit where there are no parts, and at hours of which none says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UploadLimit(Vec<LimitPart>);

/// A rate, always or at some hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitPart {
    hours: Option<Hours>,
    rate: Rate,
}

/// From a minute of the day to another, which is not one of them, and may be the next day's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    from: u16,
    to: u16,
}

impl UploadLimit {
    /// At most one part is for the hours of which no other says anything.
    pub(crate) fn of(parts: Vec<LimitPart>) -> Result<Self, LimitError> {
        if parts.len() > MAX_PARTS {
            return Err(LimitError::Many);
        }
        if parts.iter().filter(|it| it.hours.is_none()).count() > 1 {
            return Err(LimitError::TwoAlways);
        }
        let hours: Vec<_> = parts.iter().filter_map(|it| it.hours).collect();
        let twice = |minute: &u16| hours.iter().filter(|it| it.have(*minute)).count() > 1;
        match (0..DAY).find(twice) {
            Some(minute) => Err(LimitError::Twice(Clock(minute).to_string())),
            None => Ok(Self(parts)),
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in force when the clocks of this place show this.
    pub(crate) fn at(&self, time: NaiveTime) -> Option<Rate> {
        // Less than a day has.
        let minute = (time.hour() * 60 + time.minute()) as u16;
        let has_it = |it: &&LimitPart| it.hours.is_some_and(|hours| hours.have(minute));
        let part = self.0.iter().find(has_it);
        let part = part.or_else(|| self.0.iter().find(|it| it.hours.is_none()));
        part.map(|it| it.rate)
    }

    /// As it is written, part by part.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl Hours {
    fn have(self, minute: u16) -> bool {
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl FromStr for LimitPart {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (hours, rate) = match text.split_once('=') {
            Some((hours, rate)) => (Some(hours.parse()?), rate),
            None => (None, text),
        };
        let rate = rate.parse()?;
        Ok(Self { hours, rate })
    }
}

impl FromStr for Hours {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (from, to) = text.split_once('-').ok_or(LimitError::Hours)?;
        let (Clock(from), Clock(to)) = (from.parse()?, to.parse()?);
        if from == to || from == DAY {
            return Err(LimitError::Hours);
        }
        Ok(Self { from, to })
    }
}

/// A minute of the day, or the end of it.
struct Clock(u16);

impl FromStr for Clock {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let number = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| digits)
        };
        let minute = text.split_once(':').and_then(|(hours, minutes)| {
            let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
            Some(number(hours)? * 60 + minutes)
        });
        let minute = minute.filter(|minute| *minute <= DAY);
        minute.map(Self).ok_or(LimitError::Hours)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Display for LimitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Hours { from, to }) = self.hours {
            write!(f, "{}-{}=", Clock(from), Clock(to))?;
        }
        self.rate.fmt(f)
    }
}

/// Why a text is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitError {
    #[error(transparent)]
    Rate(#[from] ParseRateError),
    #[error(
        "write hours as two times of the day, as in 08:00-23:00=2mbit, or 23:00-06:30=10mbit over midnight"
    )]
    Hours,
    #[error("two limits are given for {0}: let their hours not overlap")]
    Twice(String),
    #[error("two limits are given without hours: leave one out")]
    TwoAlways,
    #[error("at most {MAX_PARTS} limits can be given: leave some out")]
    Many,
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, FixedOffset, Utc};

    use super::*;

    fn limit(parts: &[&str]) -> Result<UploadLimit, LimitError> {
        let parts = parts.iter().map(|part| part.parse());
        UploadLimit::of(parts.collect::<Result<_, _>>()?)
    }

    fn at(limit: &UploadLimit, time: &str) -> Option<String> {
        let rate = limit.at(time.parse().unwrap());
        rate.map(|rate| rate.to_string())
    }

    #[test]
    fn hours_begin_and_end_with_their_minute_also_over_midnight() {
        let limit = limit(&["08:00-23:00=2mbit", "23:00-06:30=20mbit"]).unwrap();
        for (time, rate) in [
            ("08:00:00", Some("2mbit")),
            ("22:59:59", Some("2mbit")),
            ("23:00:00", Some("20mbit")),
            ("23:59:59", Some("20mbit")),
            ("00:00:00", Some("20mbit")),
            ("06:29:59", Some("20mbit")),
            ("06:30:00", None),
            ("07:59:59", None),
        ] {
            assert_eq!(at(&limit, time).as_deref(), rate, "{time}");
        }
        assert_eq!(limit.texts(), ["08:00-23:00=2mbit", "23:00-06:30=20mbit"]);
    }

    #[test]
    fn a_limit_without_hours_is_for_the_rest_of_the_day() {
        let limit = limit(&["1gbit", "17:30-24:00=500kbit"]).unwrap();
        assert_eq!(at(&limit, "17:29:00").as_deref(), Some("1gbit"));
        assert_eq!(at(&limit, "23:59:59").as_deref(), Some("500kbit"));
        assert_eq!(at(&limit, "00:00:00").as_deref(), Some("1gbit"));
        assert_eq!(UploadLimit::default().at(NaiveTime::MIN), None);
    }

    /// Seconds from an evening to the next that are of the hour after two, where the clocks are put at 01:00 UTC.
    fn in_force(day: &str, before: i32, after: i32) -> i64 {
        let limit = limit(&["02:00-03:00=1mbit"]).unwrap();
        let start: DateTime<Utc> = format!("{day}T18:00:00Z").parse().unwrap();
        let change = start + Duration::hours(7);
        let local = |at: DateTime<Utc>| {
            let hours = if at < change { before } else { after };
            let zone = FixedOffset::east_opt(hours * 3600).unwrap();
            at.with_timezone(&zone).time()
        };
        let seconds = (0..86_400).map(|second| local(start + Duration::seconds(second)));
        seconds.filter(|time| limit.at(*time).is_some()).count() as i64
    }

    #[test]
    fn hours_are_those_that_the_clocks_show_when_summer_begins_and_ends() {
        assert_eq!(in_force("2026-03-28", 1, 2), 0, "there is none that night");
        assert_eq!(in_force("2026-10-24", 2, 1), 7200, "there are two");
        assert_eq!(in_force("2026-11-24", 1, 1), 3600);
    }

    #[test]
    fn what_cannot_be_kept_to_is_refused_with_the_reason() {
        let twice = |time: &str| LimitError::Twice(time.to_owned());
        let over_midnight = ["22:00-06:00=1mbit", "05:00-07:00=2mbit"];
        assert_eq!(limit(&over_midnight), Err(twice("05:00")));
        assert_eq!(limit(&["1mbit", "2mbit"]), Err(LimitError::TwoAlways));
        for hours in [
            "8:00-23:00",
            "08-23",
            "08:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:60-09:00",
            "25:00-26:00",
            "+8:00-09:00",
            "",
        ] {
            let text = format!("{hours}=1mbit");
            assert_eq!(limit(&[&text]), Err(LimitError::Hours), "{text}");
        }
        let rate = limit(&["08:00-09:00=fast"]).unwrap_err();
        assert_eq!(rate, LimitError::Rate(ParseRateError::Form));
        assert_eq!(limit(&["1mbit"; 25]), Err(LimitError::Many));
    }
}
