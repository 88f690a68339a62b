//! What time it is.

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}
