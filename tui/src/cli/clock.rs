//! What time it is.

/// What the clocks of this place show.
pub(super) fn local_time() -> chrono::NaiveTime {
    chrono::Local::now().time()
}

/// What they showed at this time, in milliseconds since the Unix epoch; none if that is none.
pub(super) fn shown(at_ms: u64) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(at_ms).ok()?)?;
    let at = at.with_timezone(&chrono::Local);
    Some(at.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}
