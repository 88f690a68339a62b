//! `peerway speed`: throughput to and from a peer.

use std::time::Duration;

use peerway::{PathInfo, services::speed};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    args::{Globals, Speed},
    failure::Failure,
    node::{self, Node, Patience, relays_for},
    out, words,
};

/// What a direct path may take to come up before the relay is measured in its place.
const DIRECT_PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(globals: &Globals, args: &Speed) -> Result<(), Failure> {
    let peer = node::meet(globals, &args.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let body = async {
        node.settled().await;
        let connection = node
            .dial(&peer, speed::ALPN, Patience::within(None))
            .await?;
        let mut status = connection.watch_status();
        let is_direct =
            status.wait_for(|status| matches!(status.path, Some(PathInfo::Direct { .. })));
        // Without a direct path the relay is what there is to measure.
        let _ = timeout(DIRECT_PATIENCE, is_direct).await;
        let down = speed::download(&connection, args.seconds).await?;
        let up = speed::upload(&connection, args.seconds).await?;
        let path = connection.path();
        connection.close(0, b"done");
        print(globals, down.mbps(), up.mbps(), path.as_ref())
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
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
