use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::{Instant, timeout},
};

use super::wire::MAX_PAYLOAD;
use crate::{
    Connection, Endpoint, Router,
    services::tunnel::{
        ALPN, DatagramCounts, Exposed, ForwardError, Forwarder, Obstacle, Offer, Target, Transport,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_that_begin_at_once_get_each_its_own_answers() {
    let world = World::new().await;
    let mut clients = JoinSet::new();
    for seed in 0..200_u8 {
        let client = world.client().await;
        clients.spawn(async move {
            let mut answer = [255; 8];
            for round in 0..3 {
                // Whoever speaks UDP asks again, and may be answered twice.
                while answer[..2] != [seed, round] {
                    client.send(&[seed, round]).await.unwrap();
                    if let Ok(received) = timeout(RETRY, client.recv(&mut answer)).await {
                        assert_eq!((received.unwrap(), answer[0]), (2, seed));
                    }
                }
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    // The last answer is counted after it is sent.
    let counted = async {
        while world.forwarder.datagrams().received < 600 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
    let counts = world.forwarder.datagrams();
    assert_eq!(
        (counts.flows, counts.overflowed, counts.refused),
        (200, 0, 0)
    );
    assert!(counts.sent >= 600, "{counts:?}");
    assert_eq!(world.exposed_counts().flows, 200, "a socket for each");
}

#[tokio::test]
async fn a_datagram_of_any_size_arrives_whole() {
    let world = World::new().await;
    let client = world.client().await;
    let mut answer = vec![0; MAX_PAYLOAD + 1];
    for len in [0, 1, 1171, 1300, 9000, MAX_PAYLOAD] {
        let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        client.send(&sent).await.unwrap();
        let received = timeout(PATIENCE, client.recv(&mut answer)).await;
        assert!(answer[..received.unwrap().unwrap()] == sent, "{len}");
    }
    let usage = &world.exposed.usage()[&"echo".parse().unwrap()];
    let all = 1 + 1171 + 1300 + 9000 + MAX_PAYLOAD as u64;
    assert_eq!((usage.from_peers, usage.to_peers), (all, all));
    assert_eq!(usage.open, [(world.node.id(), 1)].into());
}

#[tokio::test]
async fn what_is_longer_than_a_datagram_may_be_is_refused_and_not_cut() {
    let world = World::new().await;
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    let client = UdpSocket::bind("[::1]:0").await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let (node, ticket) = (world.node.clone(), world.peer.ticket());
    let forwarder = Forwarder::new(node, ticket, "echo".parse().unwrap());
    let asking = async {
        client.send(&vec![0; MAX_PAYLOAD + 20]).await.unwrap();
        client.send(b"a").await.unwrap();
        let mut answer = [0; 8];
        let received = timeout(PATIENCE, client.recv(&mut answer)).await;
        assert_eq!(received.unwrap().unwrap(), 1);
        // Now it is connected.
        client.send(&vec![0; MAX_PAYLOAD + 20]).await.unwrap();
        client.send(b"b").await.unwrap();
        let received = timeout(PATIENCE, client.recv(&mut answer)).await;
        assert_eq!(received.unwrap().unwrap(), 1);
    };
    tokio::select! {
        () = forwarder.run_udp(socket, |_| {}) => panic!("it ended"),
        () = asking => {}
    }
    let counts = forwarder.datagrams();
    assert_eq!((counts.sent, counts.refused), (2, 2), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_peer_that_is_away_is_dialled_is_counted() {
    let world = World::new().await;
    let away = world.peer.ticket();
    world.peer.close().await;
    let socket = local().await;
    let client = local().await;
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    for _ in 0..20 {
        client.send(b"a").await.unwrap();
    }
    let forwarder = Forwarder::new(world.node.clone(), away, "echo".parse().unwrap());
    let (failures, mut told) = mpsc::unbounded_channel();
    let running = forwarder.run_udp(socket, move |error| failures.send(error.clone()).unwrap());
    tokio::select! {
        () = running => panic!("it ended"),
        error = told.recv() => assert!(matches!(error, Some(ForwardError::Connect(_)))),
    }
    let counts = forwarder.datagrams();
    assert_eq!((counts.overflowed, counts.refused), (4, 16), "{counts:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of_and_reached_once_it_is() {
    let mut world = World::new().await;
    world.echo.shutdown().await;
    let client = world.client().await;
    client.send(b"a").await.unwrap();
    let refused = world.failure().await;
    assert!(
        matches!(
            refused,
            ForwardError::TargetRefused {
                reason: Obstacle::Refused,
                ..
            }
        ),
        "{refused}"
    );
    world
        .echo
        .spawn(echo(UdpSocket::bind(world.server).await.unwrap()));
    client.send(b"b").await.unwrap();
    let mut answer = [0; 8];
    let len = timeout(PATIENCE, client.recv(&mut answer)).await.unwrap();
    assert_eq!(answer[..len.unwrap()], *b"b");
}

#[tokio::test]
async fn a_connection_that_ends_is_replaced_at_the_next_datagram() {
    let mut world = World::new().await;
    let client = world.client().await;
    let mut answer = [0; 8];
    for end in [true, false] {
        client.send(b"a").await.unwrap();
        timeout(PATIENCE, client.recv(&mut answer))
            .await
            .unwrap()
            .unwrap();
        if end {
            let connection = world.connections.recv().await.unwrap();
            connection.close(0, b"going");
            let cut = world.failure().await;
            assert!(matches!(cut, ForwardError::Cut(_)), "{cut}");
        }
    }
}

#[tokio::test]
async fn what_a_service_takes_and_who_may_use_it_is_told() {
    let world = World::new().await;
    let checked = world.forwarder.check().await.unwrap();
    assert_eq!(checked, Transport::Datagrams);
    let other = |name: &str| {
        let (node, ticket) = (world.node.clone(), world.peer.ticket());
        Forwarder::new(node, ticket, name.parse().unwrap())
    };
    let checked = other("web").check().await.unwrap();
    assert_eq!(checked, Transport::Stream);
    let refused = other("private").check().await.unwrap_err();
    assert!(
        matches!(refused, ForwardError::NotAllowed { .. }),
        "{refused}"
    );
    let (failures, mut told) = mpsc::unbounded_channel();
    let socket = local().await;
    let client = local().await;
    client
        .send_to(b"a", socket.local_addr().unwrap())
        .await
        .unwrap();
    let web = other("web");
    let running = web.run_udp(socket, move |error| failures.send(error.clone()).unwrap());
    let error = tokio::select! {
        () = running => panic!("it ended"),
        error = told.recv() => error.unwrap(),
    };
    assert!(matches!(error, ForwardError::IsTcp { .. }), "{error}");
    assert_eq!(web.datagrams().flows, 1);
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_dropped_either_way_and_counted() {
    // Questions beyond it, and answers.
    for len in [1000, 1] {
        let mut world = World::new().await;
        let server = local().await;
        let offer = Offer::new(Target::Udp(server.local_addr().unwrap().into()));
        let offer = offer.limited_to("80kbit".parse().unwrap());
        world.exposed.offer("echo".parse().unwrap(), offer);
        world.echo.spawn(answer_at_length(server));
        let client = world.client().await;
        let mut answer = [0; 1000];
        client.send(b"a").await.unwrap();
        let received = timeout(PATIENCE, client.recv(&mut answer)).await;
        assert_eq!(received.unwrap().unwrap(), 1000);
        let begun = Instant::now();
        for _ in 0..200 {
            client.send(&vec![0; len]).await.unwrap();
            // Not more at once than sockets hold.
            let _ = timeout(Duration::from_millis(5), client.recv(&mut answer)).await;
        }
        let counted = async {
            while world.exposed_counts().sent + world.exposed_counts().overflowed < 201 {
                yield_now().await;
            }
        };
        timeout(PATIENCE, counted).await.unwrap();
        let counts = world.exposed_counts();
        // What was saved for the peer and for all, with a debt of each, and what was earned meanwhile.
        let most = 6 + begun.elapsed().as_millis() as u64 / 100;
        assert!(counts.sent <= most, "{counts:?}, of {most}");
        assert!(len == 1 || counts.received <= most, "{counts:?}, of {most}");
    }
}

/// An echo server, exposed at a peer, and a socket that leads to it.
struct World {
    node: Endpoint,
    peer: Endpoint,
    server: SocketAddr,
    forwarder: Forwarder,
    exposed: Exposed,
    local: SocketAddr,
    failures: mpsc::UnboundedReceiver<ForwardError>,
    connections: mpsc::UnboundedReceiver<Connection>,
    echo: JoinSet<()>,
    _running: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let node = || {
            let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
            builder.lan_discovery(false).bind()
        };
        let (peer, node) = tokio::try_join!(node(), node()).unwrap();
        let (mut running, mut echoes) = (JoinSet::new(), JoinSet::new());
        // Where no other test takes the port while it is down.
        let server = UdpSocket::bind("127.3.2.5:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        echoes.spawn(echo(server));
        let exposed = Exposed::default();
        exposed.insert("echo".parse().unwrap(), Target::Udp(addr.into()));
        // Of another computer, whether it is there is not known.
        let web: Target = "192.0.2.1:80".parse().unwrap();
        exposed.insert("web".parse().unwrap(), web);
        exposed.insert_for("private".parse().unwrap(), addr, |_| false);
        let (seen, connections) = mpsc::unbounded_channel();
        let serving = exposed.clone();
        let router = Router::new(peer.clone()).accept(ALPN, move |connection: Connection| {
            let _ = seen.send(connection.clone());
            serving.clone().serve(connection)
        });
        running.spawn(router.run());
        let socket = local().await;
        let local = socket.local_addr().unwrap();
        let forwarder = Forwarder::new(node.clone(), peer.ticket(), "echo".parse().unwrap());
        let (told, failures) = mpsc::unbounded_channel();
        let forwarding = forwarder.clone();
        running.spawn(async move {
            let failed = move |error: &ForwardError| drop(told.send(error.clone()));
            forwarding.run_udp(socket, failed).await;
        });
        Self {
            node,
            peer,
            server: addr,
            forwarder,
            exposed,
            local,
            failures,
            connections,
            echo: echoes,
            _running: running,
        }
    }

    async fn client(&self) -> UdpSocket {
        let client = local().await;
        client.connect(self.local).await.unwrap();
        client
    }

    async fn failure(&mut self) -> ForwardError {
        let failure = timeout(PATIENCE, self.failures.recv()).await;
        failure.unwrap().unwrap()
    }

    fn exposed_counts(&self) -> DatagramCounts {
        self.exposed.datagrams()
    }
}

async fn local() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn echo(socket: UdpSocket) {
    let mut buffer = vec![0; MAX_PAYLOAD];
    // A client that has gone is told as an error here and there.
    loop {
        if let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    }
}

async fn answer_at_length(socket: UdpSocket) {
    let mut buffer = [0; 1000];
    loop {
        if let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer, from).await;
        }
    }
}
