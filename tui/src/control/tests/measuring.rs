//! What a node that is asked measures, for as long as whoever asked listens.

use std::{num::NonZeroU32, time::Duration};

use futures_util::StreamExt;
use peerway::{Router, Ticket};
use tokio::time::timeout;

use super::{ControlError, Node, PATIENCE, endpoint, request};
use crate::operations::{Ask, FailureKind, Ping, Speed, Step, Why};

fn ping(ticket: Ticket, count: u32) -> Ask {
    Ask::Ping(Ping {
        ticket,
        count: NonZeroU32::new(count),
        until_direct: false,
        timeout_ms: None,
    })
}

/// The `event` of each step, but for those that depend on when a path turns direct.
fn kinds(steps: &[Step]) -> Vec<String> {
    let kind = |step: &Step| serde_json::to_value(step).unwrap()["event"].clone();
    let kinds = steps.iter().map(kind);
    let kinds = kinds.map(|kind| kind.as_str().unwrap().to_owned());
    kinds.filter(|kind| kind != "direct").collect()
}

#[tokio::test]
async fn a_node_measures_for_others_and_tells_each_step() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let answering = Router::new(peer.clone()).diagnostics();
    let ticket = peer.ticket();
    let asking = async {
        for (ask, told) in [
            (
                ping(ticket.clone(), 1),
                &["online", "connected", "reply", "path", "done"][..],
            ),
            (
                Ask::Speed(Speed {
                    ticket: ticket.clone(),
                    duration_ms: Some(100),
                }),
                &["connected", "downloaded", "measured", "done"],
            ),
            (
                Ask::Why(Why {
                    ticket,
                    timeout_ms: None,
                }),
                &["connected", "explained", "done"],
            ),
            (Ask::Netcheck, &["network", "done"]),
            (ping(node.endpoint.id().into(), 1), &["online", "failed"]),
        ] {
            let steps = client.operate(&ask).await.unwrap();
            let steps = steps.map(Result::unwrap).collect::<Vec<_>>().await;
            assert_eq!(kinds(&steps), told);
            if let Some(Step::Failed(failed)) = steps.last() {
                assert_eq!(failed.kind, FailureKind::Usage);
            }
        }
    };
    tokio::select! {
        () = answering.run() => panic!("the peer has ended"),
        asked = timeout(PATIENCE, asking) => asked.unwrap(),
    }
}

#[tokio::test]
async fn who_stops_listening_ends_what_was_measured_and_leaves_room() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let answering = Router::new(peer.clone()).diagnostics();
    let asking = async {
        let mut listening = Vec::new();
        let refused = loop {
            match client.operate(&ping(peer.ticket(), 1000)).await {
                Ok(mut steps) => {
                    let step = steps.next().await.unwrap().unwrap();
                    assert!(matches!(step, Step::Online { .. }), "{step:?}");
                    listening.push(steps);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(listening.len(), 16, "as many as one program may have");
        assert!(
            matches!(&refused, ControlError::Busy(reason) if reason.contains("try again")),
            "{refused}"
        );
        let is_replied = |step: &Result<Step, _>| matches!(step, Ok(Step::Reply { .. }));
        for steps in &mut listening {
            while !is_replied(&steps.next().await.unwrap()) {}
        }
        let mut snapshots = node.endpoint.snapshots();
        let linked =
            snapshots.wait_for(|seen| seen.peers.iter().any(|peer| peer.connections == 16));
        drop(linked.await.unwrap());
        drop(listening);
        let parted = snapshots.wait_for(|seen| seen.peers.iter().all(|peer| peer.connections == 0));
        drop(parted.await.unwrap());
        // The other side of a request that ended may be a moment behind.
        while client.operate(&Ask::Netcheck).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = answering.run() => panic!("the peer has ended"),
        asked = timeout(PATIENCE, asking) => asked.unwrap(),
    }
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_before_it_begins() {
    let node = Node::start().await;
    let id = node.endpoint.id();
    for (line, body, status) in [
        ("POST /v1/ping", "{}".to_owned(), 422),
        (
            "POST /v1/ping",
            format!(r#"{{"ticket":"{id}","count":0}}"#),
            422,
        ),
        (
            "POST /v1/why",
            format!(r#"{{"ticket":"{id}","count":1}}"#),
            422,
        ),
        ("POST /v1/speed", "{".to_owned(), 400),
        ("GET /v1/netcheck", String::new(), 405),
    ] {
        let answer = node.raw(&request(line, &body)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {body}: {answer}"
        );
    }
}

/// However long somebody asks it to wait, and whatever else the numbers say.
#[tokio::test]
async fn numbers_beyond_all_bounds_are_no_trouble() {
    let node = Node::start().await;
    let ask = Ask::Ping(Ping {
        ticket: node.endpoint.id().into(),
        count: NonZeroU32::new(u32::MAX),
        until_direct: true,
        timeout_ms: Some(u64::MAX),
    });
    let steps = node.client().await.operate(&ask).await.unwrap();
    let steps = timeout(PATIENCE, steps.collect::<Vec<_>>()).await.unwrap();
    let last = steps.last().unwrap();
    assert!(matches!(last, Ok(Step::Failed(_))), "{last:?}");
}
