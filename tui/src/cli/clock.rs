//! What time it is.

/// What the clocks of this place show.
pub(super) fn local_time() -> chrono::NaiveTime {
    chrono::Local::now().time()
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}
