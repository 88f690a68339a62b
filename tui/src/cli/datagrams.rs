//! What is said of UDP datagrams when a command ends.

use std::io;

use serde::Serialize;

use super::out;
use crate::forwarding::Datagrams;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record {
    Datagrams(Datagrams),
}

/// Nothing, if there was none.
pub(super) fn print(counts: Datagrams, json: bool) -> io::Result<()> {
    if counts == Datagrams::default() {
        return Ok(());
    }
    if json {
        return out::json(&Record::Datagrams(counts));
    }
    out::text(text(counts))
}

fn text(counts: Datagrams) -> String {
    let mut text = format!(
        "UDP: {} flows, {} datagrams sent to peers, {} received",
        counts.flows, counts.sent, counts.received
    );
    for (count, what) in [
        (
            counts.overflowed,
            "not sent, as more came than the link takes",
        ),
        (counts.lost, "lost on the way here"),
        (counts.incomplete, "arrived in part"),
        (counts.refused, "had nowhere to go"),
        (counts.displaced, "flows gave way to others"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::documented::assert_keys;

    #[test]
    fn what_was_lost_is_said_and_what_was_not_is_left_out() {
        let mut counts = Datagrams::default();
        (counts.flows, counts.sent, counts.received) = (2, 10, 9);
        let quiet = "UDP: 2 flows, 10 datagrams sent to peers, 9 received";
        assert_eq!(text(counts), quiet);
        counts.lost = 1;
        assert_eq!(text(counts), format!("{quiet}; 1 lost on the way here"));
        for command in ["expose", "forward"] {
            assert_keys(command, &Record::Datagrams(counts));
        }
    }
}
