//! `peerway speed`: throughput to and from a peer.

use peerway::PathInfo;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    args::{Globals, Speed},
    failure::Failure,
    node, operate, out, words,
};
use crate::operations::{self, Ask, Step};

pub(super) async fn run(
    globals: &Globals,
    args: &Speed,
    started_at: Instant,
) -> Result<(), Failure> {
    let ask = Ask::Speed(operations::Speed {
        ticket: node::meet(globals, &args.peer).await?,
        duration_ms: Some(operations::whole_ms(args.seconds)),
    });
    let note = |step| {
        if let Step::Measured {
            down_mbps,
            up_mbps,
            path,
        } = step
        {
            print(globals, down_mbps, up_mbps, path.as_ref())?;
        }
        Ok(())
    };
    let ended = operate::carry_out(globals, ask, started_at, note).await?;
    ended.ok_or(Failure::Interrupted)
}

fn print(globals: &Globals, down: f64, up: f64, path: Option<&PathInfo>) -> Result<(), Failure> {
    if globals.json {
        out::json(&Record::Summary {
            down_mbps: words::two_decimals(down),
            up_mbps: words::two_decimals(up),
            path_kind: words::kind(path),
        })?;
    } else {
        let path = words::path(path);
        out::text(format!("down {down:.1} Mbit/s, up {up:.1} Mbit/s, {path}"))?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record {
    Summary {
        down_mbps: f64,
        up_mbps: f64,
        path_kind: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_summary_line_keeps_its_keys() {
        let line = Record::Summary {
            down_mbps: 93.1,
            up_mbps: 40.2,
            path_kind: "direct",
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"event":"summary","down_mbps":93.1,"up_mbps":40.2,"path_kind":"direct"}"#
        );
        assert_keys("speed", &line);
    }
}
