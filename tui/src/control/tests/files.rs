//! A node that sends and receives files for who asks it.

use std::fs;

use futures_util::stream;
use hyper::body::Bytes;
use peerway::services::files::{self, Selection};
use tokio::sync::mpsc;

use super::*;
use crate::{
    control::Telling,
    operations::FailureKind,
    transfers::{Order, ReceiveAsk, Recipient, SendAsk, Step, send},
};

/// A node that takes files for whoever receives there.
struct Receiver {
    node: Node,
    serving: JoinHandle<()>,
}

impl Receiver {
    async fn start() -> Self {
        let node = Node::start().await;
        let desk = node.desk.clone();
        let router = Router::new(node.endpoint.clone());
        let router = router.accept_up_to(16, files::ALPN, move |connection| {
            let desk = desk.clone();
            async move { desk.serve(connection).await }
        });
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let serving = tokio::spawn(router.run());
        Self { node, serving }
    }

    async fn receive(&self, ask: bool) -> Telling<Step> {
        let ask = ReceiveAsk {
            folder: self.folder(),
            overwrite: false,
            from: None,
            ask,
        };
        let mut steps = self.node.client().await.receive(&ask).await.unwrap();
        let first = next(&mut steps).await;
        assert!(matches!(first, Step::Receiving { .. }), "{first:?}");
        steps
    }

    fn folder(&self) -> std::path::PathBuf {
        self.node.folder().join("in")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The next that is no progress.
async fn next(steps: &mut Telling<Step>) -> Step {
    loop {
        let step = timeout(PATIENCE, steps.next()).await.unwrap();
        let step = step.unwrap().unwrap();
        if !matches!(step, Step::Progress { .. } | Step::Hint { .. }) {
            return step;
        }
    }
}

fn sending(from: &Node, to: &Receiver) -> SendAsk {
    let note = from.folder().join("note");
    fs::write(&note, "hello").unwrap();
    SendAsk {
        ticket: to.node.endpoint.ticket(),
        paths: vec![note],
    }
}

#[tokio::test]
async fn an_offer_waits_for_its_answer_and_is_taken_or_not_as_that_says() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let (ask, sender) = (sending(&a, &b), a.client().await);
    let mut taking = b.receive(true).await;
    for takes in [true, false] {
        let mut sent = sender.send_files(&ask).await.unwrap();
        let offering = next(&mut sent).await;
        assert!(matches!(offering, Step::Offering { .. }), "{offering:?}");
        let Step::Offered { transfer, peer, .. } = next(&mut taking).await else {
            panic!("not offered");
        };
        assert_eq!(peer, a.endpoint.id());
        let client = b.node.client().await;
        assert!(client.answer(transfer, takes).await.unwrap());
        assert!(!client.answer(transfer, takes).await.unwrap(), "it was");
        let (there, here) = (next(&mut taking).await, next(&mut sent).await);
        if takes {
            assert!(matches!(there, Step::Received { .. }), "{there:?}");
            assert!(matches!(here, Step::Sent { .. }), "{here:?}");
        } else {
            assert_eq!(there, Step::Declined { transfer });
            assert!(is_refused(&here, "does not want them"), "{here:?}");
        }
    }
    assert_eq!(fs::read(b.folder().join("note")).unwrap(), b"hello");
    drop(taking);
    let client = b.node.client().await;
    let ended = async {
        while !b.node.desk.is_idle() {
            client.status().await.unwrap();
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
    let mut sent = sender.send_files(&ask).await.unwrap();
    let mut last = next(&mut sent).await;
    if let Step::Offering { .. } = last {
        last = next(&mut sent).await;
    }
    assert!(is_refused(&last, "nobody receives"), "{last:?}");
}

fn is_refused(step: &Step, why: &str) -> bool {
    let Step::Failed { kind, error, .. } = step else {
        return false;
    };
    *kind == FailureKind::Refused && error.contains(why)
}

#[tokio::test]
async fn who_stops_listening_ends_the_transfer_on_both_sides() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let mut taking = b.receive(true).await;
    let mut sent = a.client().await.send_files(&sending(&a, &b)).await.unwrap();
    next(&mut sent).await;
    let Step::Offered { transfer, .. } = next(&mut taking).await else {
        panic!("not offered");
    };
    drop(sent);
    assert_eq!(next(&mut taking).await, Step::Withdrawn { transfer });

    let mut sent = a.client().await.send_files(&sending(&a, &b)).await.unwrap();
    next(&mut sent).await;
    next(&mut taking).await;
    drop(taking);
    let last = next(&mut sent).await;
    let Step::Failed { kind, .. } = last else {
        panic!("{last:?}");
    };
    assert_eq!(kind, FailureKind::Refused);
}

#[tokio::test]
async fn what_came_and_went_is_told_on_both_sides_and_kept() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let _taking = b.receive(false).await;
    let (sender, receiver) = (a.client().await, b.node.client().await);
    let (mut here, mut there) = (
        sender.events(0).await.unwrap(),
        receiver.events(0).await.unwrap(),
    );
    let mut sent = sender.send_files(&sending(&a, &b)).await.unwrap();
    while !matches!(next(&mut sent).await, Step::Sent { .. }) {}
    let (went, came) = (transferred(&mut here).await, transferred(&mut there).await);
    let what = peerway::Transferred {
        name: Some("note".to_owned()),
        folder: None,
        files: 1,
        bytes: 5,
        missing: 0,
    };
    let peer = b.node.endpoint.id();
    assert_eq!(
        went.kind,
        EventKind::Sent {
            peer,
            what: what.clone()
        }
    );
    let folder = Some(b.folder().canonicalize().unwrap().display().to_string());
    let what = peerway::Transferred { folder, ..what };
    let peer = a.endpoint.id();
    assert_eq!(came.kind, EventKind::Received { peer, what });
    let nameless = crate::transfers::without_names(came.clone());
    let nameless = serde_json::to_value(nameless).unwrap();
    assert!(nameless.get("name").is_none() && nameless.get("folder").is_none());
    assert_eq!(nameless["bytes"], 5);
    let kept = [sender.transfers().await, receiver.transfers().await];
    let [here, there] = kept.map(|kept| kept.unwrap().unwrap());
    assert_eq!((here.received, here.sent), (0, 1));
    assert_eq!((there.received, there.sent), (1, 0));
    assert_eq!((here.last, there.last), ([went].into(), [came].into()));
}

#[tokio::test]
async fn what_was_sent_is_told_also_where_nobody_reads_how_it_went() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let _taking = b.receive(false).await;
    let mut events = a.endpoint.events();
    let SendAsk { ticket, paths } = sending(&a, &b);
    let name = "b".to_owned();
    let _unread = send(
        a.endpoint.clone(),
        Recipient { ticket, name },
        Selection::of(&paths).unwrap(),
        Some(a.desk.journal().clone()),
    );
    let told =
        async { while !matches!(events.recv().await.unwrap().kind, EventKind::Sent { .. }) {} };
    timeout(PATIENCE, told).await.unwrap();
}

/// The next event about files.
async fn transferred(events: &mut Telling<Told>) -> peerway::Event {
    loop {
        let told = timeout(PATIENCE, events.next()).await.unwrap();
        if let Told::Event(event) = told.unwrap().unwrap()
            && matches!(
                event.kind,
                EventKind::Received { .. } | EventKind::Sent { .. }
            )
        {
            return event;
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_becomes_no_file() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let mut taking = b.receive(false).await;
    let client = a.client().await;
    let ticket = b.node.endpoint.ticket();
    let part = || Ok(Bytes::from_static(b"some of it"));
    let whole = stream::iter([part(), part()]);
    let mut sent = client.send_stream(&ticket, "ü/%.txt", whole).await.unwrap();
    while !matches!(next(&mut sent).await, Step::Sent { .. }) {}
    while !matches!(next(&mut taking).await, Step::Received { .. }) {}
    let there = fs::read(b.folder().join("ü_%.txt")).unwrap();
    assert_eq!(there, b"some of itsome of it");

    let (pour, mut poured) = mpsc::channel(1);
    let poured = stream::poll_fn(move |context| poured.poll_recv(context));
    pour.send(part()).await.unwrap();
    let sent = client.send_stream(&ticket, "broken", poured).await.unwrap();
    let offered = next(&mut taking).await;
    assert!(matches!(offered, Step::Offered { .. }), "{offered:?}");
    pour.send(Err(io::ErrorKind::BrokenPipe.into()))
        .await
        .unwrap();
    let end = next(&mut taking).await;
    if let Step::Received { end, .. } = end {
        assert_eq!((end.files, end.missing), (0, 1), "{end:?}");
    } else {
        assert!(matches!(end, Step::Failed { .. }), "{end:?}");
    }
    drop(sent);
    assert!(!b.folder().join("broken").exists());
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_anybody_is_asked() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let to = b.node.endpoint.ticket();
    for (line, body, status) in [
        (
            "POST /v1/send",
            format!(r#"{{"ticket":"{to}","paths":["note"]}}"#),
            400,
        ),
        (
            "POST /v1/send",
            format!(r#"{{"ticket":"{to}","paths":["/no/such"]}}"#),
            422,
        ),
        ("POST /v1/receive", r#"{"folder":"in"}"#.to_owned(), 400),
        (
            "POST /v1/receive",
            r#"{"folder":"/dev/null/in"}"#.to_owned(),
            422,
        ),
        ("POST /v1/receive/7", r#"{"take":true}"#.to_owned(), 404),
    ] {
        let answer = a.raw(&request(line, &body)).await;
        let start = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&start), "{line} {body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_paused_resumed_and_cancelled_and_the_sender_is_told_by_whom() {
    let (a, b) = (Node::start().await, Receiver::start().await);
    let large = a.folder().join("large");
    // Large enough not to be through meanwhile, and nowhere zeros, which are not sent.
    let noise: Vec<u8> = (0..200_000_000_u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    fs::write(&large, noise).unwrap();
    let ask = SendAsk {
        ticket: b.node.endpoint.ticket(),
        paths: vec![large],
    };
    let mut taking = b.receive(false).await;
    let mut sent = a.client().await.send_files(&ask).await.unwrap();
    let Step::Offered { transfer, .. } = next(&mut taking).await else {
        panic!("not offered");
    };
    let client = b.node.client().await;
    let now = async || client.transfers().await.unwrap().unwrap().now;
    timeout(PATIENCE, async { while now().await.is_empty() {} })
        .await
        .unwrap();
    client.order(transfer, Order::Pause).await.unwrap();
    let told = async {
        loop {
            if let Some(Ok(Step::Hint { text })) = taking.next().await
                && text.contains("paused")
            {
                break;
            }
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    let all = now().await;
    assert_eq!((all.len(), all[0].id, all[0].paused), (1, transfer, true));
    assert_eq!(all[0].peer, Some(a.endpoint.id()));
    assert_eq!(
        client.commons().await.unwrap().transfers[0].word(),
        "paused"
    );
    // The sender has it too, by a number of its own.
    let there = a.client().await.transfers().await.unwrap().unwrap().now;
    assert_eq!(there[0].word(), "sending");
    client.order(transfer, Order::Resume).await.unwrap();
    assert!(!now().await[0].paused);
    client.order(transfer, Order::Pause).await.unwrap();
    client.order(transfer, Order::Cancel).await.unwrap();
    let mut last = next(&mut sent).await;
    if let Step::Offering { .. } = last {
        last = next(&mut sent).await;
    }
    assert!(is_refused(&last, "cancelled by the receiver"), "{last:?}");
    let ended = next(&mut taking).await;
    let Step::Failed { error, .. } = ended else {
        panic!("{ended:?}");
    };
    assert!(error.starts_with("cancelled here"), "{error}");
    assert!(now().await.is_empty());
    let gone = client.order(transfer, Order::Resume).await.unwrap_err();
    assert!(gone.to_string().contains("no transfer"), "{gone}");
}
