//! Numbers and texts in few columns.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `14.2 MB/s`; decimal prefixes, as links are measured.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    let (value, prefix) = scaled(bytes_per_second);
    format!("{value} {prefix}B/s")
}

/// `14.2M`, of bytes or bytes per second, for narrow columns.
pub(super) fn short(bytes: u64) -> String {
    let (value, prefix) = scaled(bytes);
    format!("{value}{prefix}")
}

/// `3.4 GB`.
pub(crate) fn bytes(count: u64) -> String {
    let (value, prefix) = scaled(count);
    format!("{value} {prefix}B")
}

fn scaled(count: u64) -> (String, &'static str) {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut value = count as f64;
    let mut prefixes = PREFIXES.iter();
    let mut prefix = prefixes.next().copied().unwrap_or_default();
    for next in prefixes {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let decimals = usize::from(!prefix.is_empty() && value < 99.95);
    (format!("{value:.decimals$}"), prefix)
}

/// `38 ms`, `<1 ms`, `1.2 s`.
pub(crate) fn rtt(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 1.0 {
        "<1 ms".to_owned()
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// `136 ms`, `1.2 s`, and from ten seconds on as [`age`].
pub(crate) fn span(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        1000..10_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => age(time),
    }
}

/// `18s`, `41m`, `2h13m`, `3d04h`.
pub(crate) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if days > 0 {
        format!("{days}d{:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m")
    } else {
        format!("{seconds}s")
    }
}

/// Of so many probes: `1/2`, `0/12`.
pub(crate) fn answered(answered: u32, sent: u32) -> String {
    format!("{answered}/{sent}")
}

/// `0:42`, `12:03`, `1:02:33`.
pub(super) fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

/// `14:02:31` in the zone that is `offset_s` east of Greenwich.
pub(super) fn clock(at_ms: u64, offset_s: i32) -> String {
    let seconds = (at_ms / 1000)
        .saturating_add_signed(i64::from(offset_s))
        .rem_euclid(86400);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The text in at most `width` columns, cut with an ellipsis if it is longer.
pub(super) fn fit(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        cut.push(c);
    }
    if width > 0 {
        cut.push_str(ellipsis);
    }
    cut
}

/// The words in rows of so many columns; a word that is longer has one for itself.
pub(super) fn folded(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        match rows.last_mut() {
            Some(row) if row.is_empty() => row.push_str(word),
            Some(row) if row.width() + 1 + word.width() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_three_digits() {
        let shown: Vec<_> = [0, 999, 1000, 14_200_000, 123_456_789, 999_999, u64::MAX]
            .map(short)
            .into();
        assert_eq!(
            shown,
            ["0", "999", "1.0k", "14.2M", "123M", "1.0M", "18447P"]
        );
        assert_eq!(rate(8_100_000), "8.1 MB/s");
        assert_eq!(bytes(512), "512 B");
    }

    #[test]
    fn times_name_their_two_largest_units() {
        let shown: Vec<_> = [18_000, 41 * 60_000, 8_000_000, 273_600_000]
            .map(|ms| age(Duration::from_millis(ms)))
            .into();
        assert_eq!(shown, ["18s", "41m", "2h13m", "3d04h"]);
        let shown: Vec<_> = [136, 1240, 10_000]
            .map(|ms| span(Duration::from_millis(ms)))
            .into();
        assert_eq!(shown, ["136 ms", "1.2 s", "10s"]);
        assert_eq!(rtt(Duration::from_micros(400)), "<1 ms");
        assert_eq!(rtt(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(clock(50_551_000, 0), "14:02:31");
        assert_eq!(clock(50_551_000, -7200), "12:02:31");
    }

    #[test]
    fn texts_are_cut_by_columns_and_not_by_characters() {
        assert_eq!(fit("laptop", 6, "…"), "laptop");
        assert_eq!(fit("build-box", 6, "…"), "build…");
        assert_eq!(fit("書斎のパソコン", 6, "…"), "書斎…");
        assert_eq!(fit("laptop", 0, "…"), "");
    }
}
