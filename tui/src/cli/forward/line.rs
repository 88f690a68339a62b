//! What `forward` says of connections that fail.

use std::time::Duration;

use tokio::time::Instant;

use crate::forwarding::{By, Step};

/// The same failure is said again after this long.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// Of one that was not carried, or not to its end; nothing of what else happens.
pub(super) fn text(step: &Step) -> String {
    match step {
        Step::Refused { reason, by } => match by {
            By::Peer => format!("a connection was refused by the peer: {reason}"),
            By::Target => format!("a connection found no server: {reason}"),
            By::Way => format!("a connection got nowhere: {reason}"),
            By::Here => format!("a connection was not carried: {reason}"),
        },
        Step::Cut { reason } => {
            format!("an open connection was cut, as the link was lost: {reason}")
        }
        Step::Hint { .. }
        | Step::Listening { .. }
        | Step::Reached
        | Step::Waiting(_)
        | Step::Way { .. }
        | Step::Datagrams(_)
        | Step::Failed(_) => String::new(),
    }
}

/// Failures that are said once, however many connections they befall, and again when there is something else to say or after a
/// while.
#[derive(Default)]
pub(super) struct Repeats {
    last: Option<(String, Instant)>,
    unsaid: u32,
}

impl Repeats {
    /// What to print of a failure, if anything.
    pub(super) fn say(&mut self, text: String, now: Instant) -> Option<String> {
        let recent = |at: Instant| now.saturating_duration_since(at) < REPEAT_AFTER;
        let is_same = |(last, _): &(String, Instant)| *last == text;
        let last = self.last.as_ref().filter(|last| is_same(last));
        if last.is_some_and(|(_, at)| recent(*at)) {
            self.unsaid += 1;
            return None;
        }
        let more = if last.is_some() { self.unsaid } else { 0 };
        (self.last, self.unsaid) = (Some((text.clone(), now)), 0);
        Some(match more {
            0 => text,
            more => format!("{text} ({more} more since)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use peerway::{ConnectError, quic::ConnectionError, services::tunnel::ForwardError};

    use super::*;
    use crate::cli::documented::assert_keys;

    #[test]
    fn the_lines_keep_their_keys() {
        let addr = "127.0.0.1:9000".to_owned();
        let reason = "the peer is away".to_owned();
        for (line, expected) in [
            (
                Step::Listening { addr },
                r#"{"event":"listening","addr":"127.0.0.1:9000"}"#,
            ),
            (
                Step::Refused {
                    reason: reason.clone(),
                    by: By::Way,
                },
                r#"{"event":"refused","reason":"the peer is away","by":"way"}"#,
            ),
            (
                Step::Cut { reason },
                r#"{"event":"cut","reason":"the peer is away"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&line).unwrap(), expected);
            assert_keys("forward", &line);
        }
    }

    #[test]
    fn who_refused_what_is_told_from_what_was_cut_and_from_what_never_arrived() {
        let said = |error: ForwardError| text(&Step::of(&error));
        let refused = said(ConnectError::Busy.into());
        assert!(refused.contains("refused by the peer"), "{refused}");
        let away = said(
            ConnectError::Timeout {
                after: Duration::from_secs(9),
            }
            .into(),
        );
        assert!(away.contains("got nowhere"), "{away}");
        let cut = said(ForwardError::Cut(ConnectionError::Reset.into()));
        assert!(cut.contains("was cut") && !cut.contains("refused"), "{cut}");
        let name = "web".parse().unwrap();
        let unknown = said(ForwardError::UnknownService { name });
        assert!(unknown.contains("refused by the peer"), "{unknown}");
    }

    #[test]
    fn what_befalls_many_connections_is_said_once_and_counted() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let mut say = |text: &str, after_s| {
            repeats.say(text.to_owned(), begin + Duration::from_secs(after_s))
        };
        assert_eq!(say("away", 0).as_deref(), Some("away"));
        assert_eq!([say("away", 1), say("away", 2)], [None, None]);
        assert_eq!(say("away", 70).as_deref(), Some("away (2 more since)"));
        assert_eq!(say("busy", 71).as_deref(), Some("busy"));
        assert_eq!(say("away", 72).as_deref(), Some("away"));
    }
}
