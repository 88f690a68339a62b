//! What nodes make of a relay whose operator serves few, or little.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and is its own shell"
)]

use std::time::Duration;

use peerway::{Builder, Connection, Endpoint, InviteToken, PeerState, RelayUrl, SecretKey};
use peerway_relay::{Access, Config, Invite, Limits, Relay, VolumeLimits};
use tokio::time::timeout;

const ALPN: &[u8] = b"test/1";
const PATIENCE: Duration = Duration::from_secs(30);

async fn relay(access: Access, volumes: VolumeLimits) -> Relay {
    let key = SecretKey::generate().unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), key);
    config.access = access;
    config.limits = Limits {
        volumes,
        ..Limits::default()
    };
    let relay = Relay::bind(config).await.unwrap();
    let running = relay.clone();
    tokio::spawn(async move { running.run().await });
    relay
}

fn node() -> Builder {
    Endpoint::builder().alpns([ALPN]).port_mapping(false)
}

async fn online(builder: Builder, url: RelayUrl) -> Endpoint {
    let node = builder.relays([url]).bind().await.unwrap();
    timeout(PATIENCE, node.online()).await.unwrap().unwrap();
    node
}

async fn pair(from: &Endpoint, to: &Endpoint) -> (Connection, Connection) {
    let meeting = async { tokio::join!(from.connect(to.ticket(), ALPN), to.accept()) };
    let (out, incoming) = timeout(PATIENCE, meeting).await.unwrap();
    (out.unwrap(), incoming.unwrap())
}

/// Why the node is not registered with its only relay.
async fn no_relay(node: &Endpoint) -> String {
    let mut snapshots = node.snapshots();
    let why = snapshots.wait_for(|snapshot| snapshot.relays.iter().any(|it| it.error.is_some()));
    let snapshot = timeout(PATIENCE, why).await.unwrap().unwrap();
    snapshot.relays[0].error.clone().unwrap()
}

/// As much as it takes, until the other side has it.
async fn send(from: &Connection, to: &Connection, bytes: usize) {
    let (mut send, _) = from.open_bi().await.unwrap();
    let sending = async {
        let _ = send.write_all(&vec![7; bytes]).await;
        let _ = send.finish();
    };
    let receiving = async {
        let (_, mut recv) = to.accept_bi().await.unwrap();
        recv.read_to_end(bytes).await.unwrap().len()
    };
    let ((), len) = timeout(PATIENCE, async { tokio::join!(sending, receiving) })
        .await
        .unwrap();
    assert_eq!(len, bytes);
}

#[tokio::test]
async fn who_is_invited_is_found_by_everybody_and_who_is_not_reads_why() {
    let relay = relay(
        Access::default().invited_only(true),
        VolumeLimits::default(),
    )
    .await;
    let token = InviteToken::from_bytes([7; InviteToken::LEN]);
    let invite = Invite {
        uses_left: Some(1),
        expires_ms: None,
    };
    relay.invite(&token, invite).unwrap();
    let invited = relay.url().with_invite(token.clone());
    let member = online(node().relay_only(true), invited.clone()).await;
    let ticket = member.ticket();
    assert_eq!(ticket.relays()[0].invite(), None);
    assert!(!ticket.to_string().contains(&token.reveal()));

    let stranger = node().relays([relay.url()]).bind().await.unwrap();
    let why = no_relay(&stranger).await;
    assert!(
        why.contains("its operator does not let this key in"),
        "{why}"
    );
    let late = node().relays([invited]).bind().await.unwrap();
    let why = no_relay(&late).await;
    assert!(why.contains("used up, expired or revoked"), "{why}");

    let by_ticket = node().bind().await.unwrap();
    let (out, _incoming) = pair(&by_ticket, &member).await;
    assert_eq!(out.peer(), member.id());
    let dialler = online(node().visits(true), relay.url()).await;
    let (out, _incoming) = pair(&dialler, &member).await;
    assert_eq!(out.peer(), member.id());
}

#[tokio::test]
async fn whose_volume_is_used_up_reads_until_when_and_direct_paths_go_on() {
    let limits = VolumeLimits {
        client: Some(1 << 20),
        relay: None,
    };
    let relay = relay(Access::default(), limits).await;
    let greedy = online(node().relay_only(true), relay.url()).await;
    let frugal = online(node(), relay.url()).await;
    let direct = online(node(), relay.url()).await;
    let (out, incoming) = pair(&direct, &frugal).await;
    let mut status = out.watch_status();
    let is_direct = status.wait_for(|status| status.state == PeerState::Direct);
    timeout(PATIENCE, is_direct).await.unwrap().unwrap();

    let (relayed, there) = pair(&greedy, &frugal).await;
    let (mut stream, _) = relayed.open_bi().await.unwrap();
    tokio::spawn(async move { stream.write_all(&vec![7; 8 << 20]).await });
    tokio::spawn(async move {
        let (_, mut recv) = there.accept_bi().await.unwrap();
        recv.read_to_end(8 << 20).await
    });
    let why = no_relay(&greedy).await;
    assert!(
        why.contains("its monthly volume for this key is used up until 20"),
        "{why}"
    );
    assert!(
        why.contains("ask its operator for more, or use another relay"),
        "{why}"
    );
    send(&out, &incoming, 4 << 20).await;
    assert_eq!(relay.stats().clients, 2, "others are served");
}
