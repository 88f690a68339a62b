//! `peerway ping`: round trips to a peer, and how the path to it changes.

use std::num::NonZeroU32;

use peerway::PathInfo;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    args::{Globals, Ping},
    failure::Failure,
    node, operate, out, words,
};
use crate::operations::{self, Ask, Step};

pub(super) async fn run(
    globals: &Globals,
    args: &Ping,
    started_at: Instant,
) -> Result<(), Failure> {
    let ask = Ask::Ping(operations::Ping {
        ticket: node::meet(globals, &args.peer).await?,
        count: args.count.and_then(NonZeroU32::new),
        until_direct: args.until_direct,
        timeout_ms: args.timeout.map(operations::whole_ms),
    });
    let mut summary = Summary::default();
    let note = |step| {
        summary.note(&step);
        print(globals, step)
    };
    let ended = operate::carry_out(globals, ask, started_at, note).await;
    print_summary(globals, &summary, ended.is_ok())?;
    match ended? {
        None if summary.received == 0 => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

fn print(globals: &Globals, step: Step) -> Result<(), Failure> {
    if let Step::Lost { seq } = step
        && !globals.json
    {
        out::text(format!("{seq}: no reply"))?;
    }
    // The summary has the rest.
    let Step::Reply {
        seq, rtt_ms, path, ..
    } = step
    else {
        return Ok(());
    };
    if globals.json {
        out::json(&Record::Reply { seq, rtt_ms, path })?;
    } else {
        let path = words::path(path.as_ref());
        out::text(format!("{seq}: {rtt_ms:.1} ms, {path}"))?;
    }
    Ok(())
}

fn print_summary(globals: &Globals, summary: &Summary, is_ok: bool) -> Result<(), Failure> {
    if globals.json {
        out::json(&Record::Summary(summary))?;
    } else if is_ok {
        let direct = summary
            .direct_ms
            .map_or_else(String::new, |ms| format!(", direct after {ms:.0} ms"));
        out::text(format!(
            "{} of {} answered{direct}",
            summary.received, summary.sent
        ))?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Reply {
        seq: u32,
        rtt_ms: f64,
        path: Option<PathInfo>,
    },
    Summary(&'a Summary),
}

/// `online_ms` counts from the start of the process, or of what the node that runs here does for it; the other clocks from the dial.
#[derive(Debug, Serialize)]
struct Summary {
    online_ms: f64,
    connected_ms: Option<f64>,
    first_reply_ms: Option<f64>,
    direct_ms: Option<f64>,
    path_kind: &'static str,
    sent: u32,
    received: u32,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            online_ms: 0.0,
            connected_ms: None,
            first_reply_ms: None,
            direct_ms: None,
            path_kind: words::kind(None),
            sent: 0,
            received: 0,
        }
    }
}

impl Summary {
    fn note(&mut self, step: &Step) {
        if let Step::Online { online_ms } = step {
            self.online_ms = *online_ms;
        }
        if let Step::Connected { connected_ms } = step {
            self.connected_ms = Some(*connected_ms);
        }
        if let Step::Direct { after_ms } = step {
            self.direct_ms = Some(*after_ms);
        }
        if let Step::Path { path } | Step::Reply { path, .. } = step {
            self.path_kind = words::kind(path.as_ref());
        }
        if let Step::Lost { seq } | Step::Reply { seq, .. } = step {
            self.sent = *seq;
        }
        if let Step::Reply { after_ms, .. } = step {
            self.received += 1;
            self.first_reply_ms.get_or_insert(*after_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_reply_line_keeps_its_keys() {
        let path = Some(PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        });
        let line = Record::Reply {
            seq: 1,
            rtt_ms: 81.2,
            path,
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"event":"reply","seq":1,"rtt_ms":81.2,"path":{"kind":"direct","remote":"192.0.2.1:5000","lan":false,"tcp":false}}"#
        );
        assert_keys("ping", &line);
        assert_keys("ping", &Record::Summary(&Summary::default()));
    }

    #[test]
    fn the_summary_counts_what_was_told() {
        let steps = r#"[
            {"event":"online","online_ms":1.0},
            {"event":"connected","connected_ms":2.0},
            {"event":"lost","seq":1},
            {"event":"reply","seq":2,"rtt_ms":5.0,"path":{"kind":"direct","remote":"192.0.2.1:5000","lan":false,"tcp":false},"after_ms":9.0},
            {"event":"direct","after_ms":10.0},
            {"event":"reply","seq":3,"rtt_ms":5.0,"path":null,"after_ms":11.0}
        ]"#;
        let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
        let mut summary = Summary::default();
        for step in &steps {
            summary.note(step);
        }
        assert_eq!(
            serde_json::to_string(&Record::Summary(&summary)).unwrap(),
            concat!(
                r#"{"event":"summary","online_ms":1.0,"connected_ms":2.0,"first_reply_ms":9.0,"#,
                r#""direct_ms":10.0,"path_kind":"none","sent":3,"received":2}"#
            )
        );
    }

    #[test]
    fn the_summary_line_has_every_key_even_when_nothing_was_reached() {
        assert_eq!(
            serde_json::to_string(&Record::Summary(&Summary::default())).unwrap(),
            concat!(
                r#"{"event":"summary","online_ms":0.0,"connected_ms":null,"first_reply_ms":null,"#,
                r#""direct_ms":null,"path_kind":"none","sent":0,"received":0}"#
            )
        );
    }
}
