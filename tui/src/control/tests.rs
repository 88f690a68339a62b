//! A node that is asked over its socket.

mod afar;
mod files;
mod measuring;
mod serving;

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use peerway::{
    Builder, CandidatePair, Endpoint, EventKind, NodeSnapshot, PairAction, PathPolicy, PeerState,
    Router, Ticket, services::swarm::Swarm,
};
use peerway_swarm::{
    search::{Asker, Search},
    share::Sharing,
    store::catalog::Catalog,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{
    Client, Control, ControlError, GcAsk, GetAsk, GetStep, Host, PinAsk, Place, ShareAsk,
    StartOptions, Telling, client::Way,
};
use crate::{
    Links, Told,
    book::{Book, BookFile, Draft, Trust},
    pairing::{Party, Passing},
    servers::Servers,
    shares::Wanted,
    transfers::Desk,
};

/// Far longer than anything takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    sharing: Sharing,
    desk: Desk,
    servers: Servers,
    control: Control,
    place: Place,
    serving: JoinHandle<()>,
    dir: TempDir,
}

impl Node {
    pub(super) async fn start() -> Self {
        let (_, book) = watch::channel(Arc::default());
        Self::with(book).await
    }

    /// With an address book.
    async fn with(book: watch::Receiver<Arc<Book>>) -> Self {
        let dir = TempDir::new().unwrap();
        let place = Place::in_folder(dir.path().join("run"), "a.sock");
        let endpoint = endpoint().await;
        let listener = place.open().await.unwrap();
        let sharing = Sharing::with(endpoint.clone(), |_| false, shares(&dir));
        let desk = Desk::new(endpoint.clone(), book.clone());
        let servers = Servers::new(book.clone());
        let control = Control::new(Host {
            links: Links::of(endpoint.clone(), book, Arc::default()),
            swarm: Swarm::new(endpoint.clone()),
            search: Search::new(endpoint.clone(), sharing.clone(), |_| Some(Asker::known())),
            sharing: sharing.clone(),
            desk: desk.clone(),
            servers: servers.clone(),
            #[cfg(all(feature = "subnet", target_os = "linux"))]
            linker: crate::linking::Linker::default(),
            party: Party {
                endpoint: endpoint.clone(),
                book: BookFile::in_folder(dir.path()),
                passing: Passing {
                    builder: passing(),
                    directory: None,
                },
            },
            groups: None,
            groups_trouble: None,
            services: None,
            options: StartOptions::default(),
        });
        let answering = control.clone();
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let serving = tokio::spawn(async move { answering.serve(listener).await });
        Self {
            endpoint,
            sharing,
            desk,
            servers,
            control,
            place,
            serving,
            dir,
        }
    }

    fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(super) async fn client(&self) -> Client {
        Client::find(self.place.clone()).await.unwrap().unwrap()
    }

    /// What is answered to a request in full, whatever it is.
    pub(super) async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.place.socket()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        answer
    }
}

fn shares(dir: &TempDir) -> peerway_swarm::share::Options {
    let mut options = peerway_swarm::share::Options::default();
    options.catalog = Some(Catalog::at(&dir.path().join("shares.redb")));
    options
}

pub(super) async fn endpoint() -> Endpoint {
    let builder = passing().alpns([peerway::services::ping::ALPN]);
    builder.bind().await.unwrap()
}

fn passing() -> Builder {
    Endpoint::builder()
        .bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .port_mapping(false)
        .lan_discovery(false)
}

pub(super) fn request(line: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: peerway\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_node_that_is_asked_to_dial_keeps_the_link_until_it_is_let_go() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    client.connect(&peer.ticket()).await.unwrap();
    let mut snapshots = node.endpoint.snapshots();
    let seen = snapshots.wait_for(|seen| seen.peers.iter().any(|it| it.connections > 0));
    timeout(PATIENCE, seen).await.unwrap().unwrap();
    let status = client.status().await.unwrap();
    assert_eq!(status.id, node.endpoint.id());
    let [known] = &status.peers[..] else {
        panic!("{:?}", status.peers);
    };
    assert_eq!((known.id, known.connections), (peer.id(), 1));
    let path = format!("DELETE /v1/peers/{}", peer.id());
    let answer = node.raw(&request(&path, "")).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let parted = snapshots.wait_for(|seen| seen.peers.iter().all(|peer| peer.connections == 0));
    timeout(PATIENCE, parted).await.unwrap().unwrap();
    let again = node.raw(&request(&path, "")).await;
    assert!(again.starts_with("HTTP/1.1 404"), "{again}");
}

/// More than there is room for, half of which begin a request.
#[tokio::test]
async fn programs_that_connect_and_ask_nothing_keep_nobody_out_and_end_nothing() {
    let node = Node::start().await;
    let client = node.client().await;
    let mut told = client.snapshots().await.unwrap();
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = UnixStream::connect(node.place.socket()).await.unwrap();
        if number % 2 == 0 {
            let half = b"GET /v1/status HTTP/1.1\r\n";
            stream.write_all(half).await.unwrap();
        }
        silent.push(stream);
    }
    let status = client.status().await.unwrap();
    assert_eq!(status.id, node.endpoint.id());
    for _ in 0..2 {
        let more = timeout(PATIENCE, told.next()).await.unwrap();
        more.unwrap().unwrap();
    }
    drop(silent);
}

#[tokio::test]
async fn a_link_is_pinged_retried_and_ended_by_request() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let answering = Router::new(peer.clone()).diagnostics();
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let answering = tokio::spawn(async move { answering.run().await });
    client.connect(&peer.ticket()).await.unwrap();
    let (rtt, path) = client.ping(peer.id()).await.unwrap();
    assert!(rtt < PATIENCE && path.is_some(), "{rtt:?} {path:?}");
    let mut snapshots = node.endpoint.snapshots();
    let isdirect =
        |seen: &Arc<NodeSnapshot>| seen.peers.iter().any(|it| it.state == PeerState::Direct);
    timeout(PATIENCE, snapshots.wait_for(isdirect))
        .await
        .unwrap()
        .unwrap();
    let refused = client.retry(peer.id()).await.unwrap_err().to_string();
    assert!(refused.contains("direct already"), "{refused}");
    let refused = client.retry(endpoint().await.id()).await.unwrap_err();
    assert!(refused.to_string().contains("no link"), "{refused}");
    let pair = client.peer(peer.id()).await.unwrap().pairs.remove(0);
    for action in [PairAction::Force, PairAction::Release] {
        let named = (pair.remote, pair.is_tcp());
        let chosen = client.choose_pair(peer.id(), named, action).await;
        chosen.unwrap();
        let is_shown = |seen: &Arc<NodeSnapshot>| {
            let pairs = seen.peer(peer.id()).map(|it| &it.pairs[..]);
            let is_forced = |pairs: &[CandidatePair]| pairs.iter().any(|it| it.forced);
            pairs.is_some_and(|pairs| is_forced(pairs) == (action == PairAction::Force))
        };
        let shown = timeout(PATIENCE, snapshots.wait_for(is_shown)).await;
        shown.unwrap().unwrap();
    }
    let other = ((Ipv4Addr::LOCALHOST, 9).into(), false);
    for (pair, action, reason) in [
        (other, PairAction::Force, "no such address"),
        (other, PairAction::Unknown, "give probe, force"),
    ] {
        let refused = client.choose_pair(peer.id(), pair, action).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    for policy in [PathPolicy::DirectOnly, PathPolicy::Auto] {
        client.set_policy(peer.id(), policy).await.unwrap();
        assert_eq!(client.policy(peer.id()).await.unwrap(), policy);
        let is_shown = |seen: &Arc<NodeSnapshot>| {
            let shown = seen.peer(peer.id());
            shown.is_some_and(|it| it.policy == policy)
        };
        let shown = timeout(PATIENCE, snapshots.wait_for(is_shown)).await;
        shown.unwrap().unwrap();
    }
    let unknown = client.set_policy(peer.id(), PathPolicy::Unknown).await;
    let refused = unknown.unwrap_err().to_string();
    assert!(refused.contains("direct_only"), "{refused}");
    client.measure_nat().await.unwrap();
    client.renew_mappings().await.unwrap();
    client.disconnect(peer.id()).await.unwrap();
    let parted = snapshots.wait_for(|seen| seen.peers.iter().all(|peer| peer.connections == 0));
    timeout(PATIENCE, parted).await.unwrap().unwrap();
    answering.abort();
}

#[test]
fn an_option_that_the_node_was_not_started_with_is_named() {
    let url = |seed| {
        let key = peerway::SecretKey::from_seed(&[seed; 32]).id();
        peerway::RelayUrl::new(key, "relay.example.org", 4433).unwrap()
    };
    let node = StartOptions {
        relays: vec![url(1), url(2)],
        bind: Some((Ipv4Addr::LOCALHOST, 9).into()),
        no_lan: true,
        ..StartOptions::default()
    };
    let lacks = |change: fn(&mut StartOptions)| {
        let mut wanted = StartOptions::default();
        change(&mut wanted);
        node.lacks(&wanted)
    };
    assert_eq!(lacks(|_| {}), None, "nothing is asked for");
    assert_eq!(node.lacks(&node.clone()), None);
    assert_eq!(lacks(|wanted| wanted.no_lan = true), None);
    assert_eq!(lacks(|wanted| wanted.no_tcp = true), Some("--no-tcp"));
    assert_eq!(lacks(|wanted| wanted.no_dht = true), Some("--no-dht"));
    let other = |wanted: &mut StartOptions| wanted.bind = Some((Ipv4Addr::LOCALHOST, 8).into());
    assert_eq!(lacks(other), Some("--bind"));
    let relays = |relays| StartOptions {
        relays,
        ..StartOptions::default()
    };
    assert_eq!(node.lacks(&relays(vec![url(2)])), None);
    assert_eq!(node.lacks(&relays(vec![url(2), url(3)])), Some("--relay"));
}

#[tokio::test]
async fn whom_the_address_book_blocks_the_node_does_not_dial() {
    let peer = endpoint().await;
    let mut draft = Draft::of("").unwrap();
    draft.trust(&peer.ticket(), Trust::Block).unwrap();
    let (book, watched) = watch::channel(Arc::new(draft.book().clone()));
    let node = Node::with(watched).await;
    let ping = format!("POST /v1/peers/{}/ping", peer.id());
    let dial = serde_json::json!({ "ticket": peer.ticket() }).to_string();
    let requests = ["POST /v1/peers", "POST /v1/ping", "POST /v1/why"];
    let requests = requests.map(|line| request(line, &dial));
    for request in [request(&ping, "")].into_iter().chain(requests) {
        let answer = node.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("`peerway allow "), "{answer}");
    }
    book.send_replace(Arc::default());
    node.client().await.connect(&peer.ticket()).await.unwrap();
}

#[tokio::test]
async fn a_link_that_was_asked_for_ends_when_the_peer_is_blocked() {
    let (own, peer) = (endpoint().await, endpoint().await);
    let mut draft = Draft::of("").unwrap();
    draft.trust(&peer.ticket(), Trust::Block).unwrap();
    let (book, watched) = watch::channel(Arc::default());
    let links = Links::of(own.clone(), watched, Arc::default());
    links.connect(peer.ticket()).await.unwrap();
    let mut snapshots = own.snapshots();
    let linked = snapshots.wait_for(|seen| seen.peers.iter().any(|peer| peer.connections == 1));
    timeout(PATIENCE, linked).await.unwrap().unwrap();
    book.send_replace(Arc::new(draft.book().clone()));
    let parted = snapshots.wait_for(|seen| seen.peers.iter().all(|peer| peer.connections == 0));
    tokio::select! {
        never = links.heed_book() => match never {},
        parted = timeout(PATIENCE, parted) => drop(parted.unwrap().unwrap()),
    }
}

#[tokio::test]
async fn two_listeners_and_a_watcher_see_the_same_link_come_up() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let mut snapshots = client.snapshots().await.unwrap();
    assert!(snapshots.next().await.unwrap().unwrap().peers.is_empty());
    let listeners = [
        client.events(0).await.unwrap(),
        client.events(0).await.unwrap(),
    ];
    client.connect(&peer.ticket()).await.unwrap();
    for mut events in listeners {
        let direct = async {
            loop {
                let Told::Event(event) = events.next().await.unwrap().unwrap() else {
                    panic!("events were missed");
                };
                if let EventKind::PeerState {
                    peer: id,
                    to: PeerState::Direct,
                    ..
                } = event.kind
                {
                    break id;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, direct).await.unwrap(), peer.id());
    }
    let linked = async { while snapshots.next().await.unwrap().unwrap().peers.is_empty() {} };
    timeout(PATIENCE, linked).await.unwrap();
}

#[tokio::test]
async fn who_listens_later_hears_first_what_happened_last() {
    let (node, peer) = (Node::start().await, endpoint().await);
    let client = node.client().await;
    let live = client.events(0).await.unwrap();
    client.connect(&peer.ticket()).await.unwrap();
    let is_direct = |told: &Told| {
        matches!(
            told,
            Told::Event(event) if matches!(event.kind, EventKind::PeerState { to: PeerState::Direct, .. })
        )
    };
    let upto_direct = async |mut events: Telling<Told>| {
        let mut all = Vec::new();
        while !all.last().is_some_and(is_direct) {
            all.push(events.next().await.unwrap().unwrap());
        }
        all
    };
    let heard = timeout(PATIENCE, upto_direct(live)).await.unwrap();
    let later = client.events(500).await.unwrap();
    let told = timeout(PATIENCE, upto_direct(later)).await.unwrap();
    assert!(told.ends_with(&heard), "{told:?} and {heard:?}");
    let last = node.raw(&request("GET /v1/events?last=many", "")).await;
    assert!(last.contains("400 Bad Request"), "{last}");
}

#[tokio::test]
async fn who_listens_hears_that_the_node_ends_and_the_one_who_ended_it_that_it_will() {
    let node = Node::start().await;
    let client = node.client().await;
    let events = client.events(0).await.unwrap();
    client.down().await.unwrap();
    let rest = timeout(PATIENCE, events.collect::<Vec<_>>()).await.unwrap();
    assert!(rest.iter().all(Result::is_ok), "{rest:?}");
    timeout(PATIENCE, node.serving).await.unwrap().unwrap();
    assert!(Client::find(node.place).await.unwrap().is_none());
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let node = Node::start().await;
    let mut silent = Vec::new();
    for path in ["/v1/events", "/v1/watch"].iter().cycle().take(32) {
        let mut stream = UnixStream::connect(node.place.socket()).await.unwrap();
        let ask = request(&format!("GET {path}"), "");
        stream.write_all(ask.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    let client = node.client().await;
    let asked = timeout(PATIENCE, client.status()).await.unwrap();
    assert_eq!(asked.unwrap().id, node.endpoint.id());
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_refused_in_one_line_of_json() {
    let node = Node::start().await;
    let id = peerway::SecretKey::from_seed(&[9; 32]).id();
    let long = "x".repeat(65 << 10);
    let speed = |ms| {
        format!(
            "{{\"ticket\":\"{}\",\"duration_ms\":{ms}}}",
            Ticket::from(id)
        )
    };
    for (line, body, status) in [
        ("GET /v1/nothing", "", 404),
        ("GET /", "", 404),
        ("DELETE /v1/status", "", 405),
        ("GET /v1/peers/nobody", "", 400),
        ("GET /v1/peers/%ff", "", 400),
        ("POST /v1/transfers/many/pause", "", 400),
        ("GET /v1/groups/home/posts?last=-1", "", 400),
        ("POST /v1/groups", "{\"name\":\"a\u{202e}b\"}", 400),
        (&format!("GET /v1/peers/{id}")[..], "", 404),
        ("POST /v1/peers", "{", 400),
        ("POST /v1/speed", &speed(60_001), 400),
        ("POST /v1/speed", &speed(0), 400),
        ("POST /v1/peers", r#"{"ticket":"PEERWAY1"}"#, 422),
        ("POST /v1/peers", r#"{"ticket":"x","more":1}"#, 422),
        ("POST /v1/peers", &long, 413),
    ] {
        let answer = node.raw(&request(line, body)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {answer}"
        );
        let (_, json) = answer.split_once("\r\n\r\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert!(
            json["error"]
                .as_str()
                .is_some_and(|error| !error.contains('\n')),
            "{json}"
        );
    }
    let mut noise = UnixStream::connect(node.place.socket()).await.unwrap();
    noise
        .write_all(&[0, 159, 146, 150, 13, 10, 13, 10])
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, noise.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
}

#[tokio::test]
async fn a_dial_that_fails_says_why() {
    let node = Node::start().await;
    let client = node.client().await;
    let refused = client.connect(&Ticket::from(node.endpoint.id())).await;
    let Err(ControlError::Unreached(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, peerway::ConnectError::OwnId.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stands_still_is_not_waited_for_without_end() {
    let dir = TempDir::new().unwrap();
    let place = Place::in_folder(dir.path().join("run"), "a.sock");
    // The system takes the connection, and nobody accepts it.
    let _listener = place.open().await.unwrap();
    let asked = Client {
        way: Way::Here(place),
    }
    .status()
    .await;
    assert!(matches!(asked, Err(ControlError::Silent)), "{asked:?}");
}

/// What answers so to one request after the other: the status and what comes after the head.
async fn answer(listener: &super::Socket, answers: &[(&str, String)]) -> Vec<String> {
    let (mut asked, mut open) = (Vec::new(), Vec::new());
    for (status, body) in answers {
        let mut stream = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]);
        asked.push(request.split(' ').nth(1).unwrap().to_owned());
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        if *status == "200 OK" {
            open.push(stream);
        }
    }
    asked
}

#[tokio::test]
async fn who_misses_a_change_asks_for_all_of_it_anew() {
    let dir = TempDir::new().unwrap();
    let place = Place::in_folder(dir.path().join("run"), "a.sock");
    let listener = place.open().await.unwrap();
    let mut node = NodeSnapshot::empty(peerway::SecretKey::from_seed(&[1; 32]).id());
    let whole = |node: &NodeSnapshot| {
        let change = serde_json::json!({"seq": 0, "more": false, "node": node});
        format!("data: {change}\n\n")
    };
    let first = whole(&node);
    let later = serde_json::json!({"seq": 2, "more": false, "node": {"at_ms": 2, "uptime_ms": 0}});
    node.at_ms = 3;
    let answers = [
        ("200 OK", format!("{first}data: {later}\n\n")),
        ("200 OK", whole(&node)),
    ];
    let both = async { tokio::join!(answer(&listener, &answers), two_seen(place)) };
    let (asked, seen) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(asked, ["/v1/changes/fields"; 2]);
    assert_eq!(seen, [0, 3]);
}

/// When the first two snapshots were taken that a client sees there.
async fn two_seen(place: Place) -> Vec<u64> {
    let client = Client {
        way: Way::Here(place),
    };
    let snapshots = client.snapshots().await.unwrap();
    let seen = snapshots.take(2).map(|seen| seen.unwrap().at_ms);
    seen.collect().await
}

#[tokio::test]
async fn a_node_of_an_older_version_is_followed_by_what_it_tells() {
    let dir = TempDir::new().unwrap();
    let place = Place::in_folder(dir.path().join("run"), "a.sock");
    let listener = place.open().await.unwrap();
    let mut node = NodeSnapshot::empty(peerway::SecretKey::from_seed(&[1; 32]).id());
    let first = serde_json::to_string(&node).unwrap();
    node.at_ms = 1;
    let second = serde_json::to_string(&node).unwrap();
    let answers = [
        ("404 Not Found", String::new()),
        ("404 Not Found", String::new()),
        ("200 OK", format!("data: {first}\n\ndata: {second}\n\n")),
    ];
    let both = async { tokio::join!(answer(&listener, &answers), two_seen(place)) };
    let (asked, seen) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(asked, ["/v1/changes/fields", "/v1/changes", "/v1/watch"]);
    assert_eq!(seen, [0, 1]);
}

/// A daemon of another version, or one that dies: what a command says of it.
#[tokio::test]
async fn a_node_that_breaks_off_or_speaks_otherwise_is_said_to() {
    let dir = TempDir::new().unwrap();
    let place = Place::in_folder(dir.path().join("run"), "a.sock");
    let listener = place.open().await.unwrap();
    let answers = async {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":",
            "HTTP/1.1 200 OK\r\nserver: peerway/9.9.9\r\ncontent-length: 2\r\n\r\n[]",
        ] {
            let mut stream = listener.accept().await?;
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked).await?;
            stream.write_all(answer.as_bytes()).await?;
        }
        io::Result::Ok(())
    };
    let asked = async {
        let client = Client {
            way: Way::Here(place),
        };
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(client.status().await.unwrap_err().to_string());
        }
        said
    };
    let (answered, said) = tokio::join!(answers, asked);
    answered.unwrap();
    assert!(said[0].contains("as one does that ends"), "{said:?}");
    assert!(said[1].contains("as one does that ends"), "{said:?}");
    assert!(
        said[2].contains("peerway/9.9.9") && said[2].contains("restart it"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_the_node_shares_is_fetched_by_another_and_stopped() {
    let (node, getter) = (Node::start().await, Node::start().await);
    let (client, other) = (node.client().await, getter.client().await);
    let path = node.folder().join("a");
    std::fs::write(&path, b"content").unwrap();
    let ask = |path| ShareAsk {
        path,
        public: true,
        searchable: true,
    };
    let line = client.share(&ask(path)).await.unwrap();
    let shares = client.shares().await.unwrap();
    assert_eq!(shares, std::slice::from_ref(&line));
    let relative = client.share(&ask("a".into())).await.unwrap_err();
    assert!(relative.to_string().contains("absolute"), "{relative}");
    let served = node.sharing.clone();
    let serve = move |connection| served.clone().serve(connection);
    let router = Router::new(node.endpoint.clone()).accept(peerway_swarm::share::ALPN, serve);
    let fetching = async {
        let folder = getter.folder().to_owned();
        let get = GetAsk {
            link: Wanted::Link(line.link.clone().unwrap()),
            folder: folder.clone(),
            name: Some("b".to_owned()),
            overwrite: false,
        };
        let mut steps = other.fetch(&get).await.unwrap();
        let mut last = None;
        while let Some(step) = steps.next().await {
            last = Some(step.unwrap());
        }
        assert!(
            matches!(last, Some(GetStep::Got { bytes: 7, .. })),
            "{last:?}"
        );
        assert_eq!(std::fs::read(folder.join("b")).unwrap(), b"content");
        keep(&other, line.link.clone().unwrap()).await;
    };
    let fetching = timeout(PATIENCE, fetching);
    tokio::select! {
        () = router.run() => panic!("the node has ended"),
        fetched = fetching => fetched.unwrap(),
    }
    client.stop_sharing(line.hash).await.unwrap();
    assert_eq!(client.shares().await.unwrap(), []);
    let twice = client.stop_sharing(line.hash).await.unwrap_err();
    assert!(
        twice.to_string().contains("nothing of this hash"),
        "{twice}"
    );
}

/// Has a node keep something, and not any more.
async fn keep(client: &Client, link: peerway_swarm::share::Link) {
    let pin = PinAsk {
        link,
        name: Some("c/d".to_owned()),
        until_ms: None,
    };
    let steps = client.pin(&pin).await.unwrap();
    let last = steps.fold(None, async |_, step| Some(step.unwrap())).await;
    let Some(GetStep::Pinned { pin }) = last else {
        panic!("{last:?}");
    };
    let kept = client.pins().await.unwrap();
    assert_eq!(kept.pins, [*pin]);
    assert_eq!((kept.store.bytes, kept.store.pinned), (7, 7));
    let gc = |all| GcAsk {
        all,
        quota: Some(20),
    };
    let freed = client.gc(gc(true)).await.unwrap();
    assert_eq!((freed.contents, freed.store.quota), (0, 20));
    assert_eq!(client.unpin("c/d").await.unwrap().len(), 1);
    let twice = client.unpin("c/d").await.unwrap_err();
    assert!(
        twice.to_string().contains("nothing that is pinned"),
        "{twice}"
    );
    let freed = client.gc(gc(true)).await.unwrap();
    assert_eq!((freed.contents, freed.freed, freed.store.bytes), (1, 7, 0));
}
