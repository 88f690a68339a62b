//! Clients over TCP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use peerway::{PeerId, tls};
use peerway_carrier::{Outbox, PATH, Side, carry};
use peerway_relay::{BindError, Certificate, CertificateError, Config, Limits, Relay, Tcp};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_websockets::{ClientBuilder, Message};

use crate::{
    program::Program,
    world::{ANY, Client, PATIENCE, Running, id, lane_datagram, own_addr, secret},
};
use peerway::wire::relay::ToClient;

/// Beyond the two seconds in which not a byte gets on, and well below what the kernel waits for an acknowledgement.
const LEFT: Duration = Duration::from_secs(8);

/// A stream to the relay in TLS with its key.
async fn dial(
    relay: SocketAddr,
    key: PeerId,
) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
    let tcp = TcpStream::connect(relay).await.unwrap();
    let config = tls::web::pinned_client().unwrap();
    let name = ServerName::try_from(tls::server_name(key)).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap()
}

/// A UDP port on this computer whose datagrams go to the relay over `stream`, and back.
async fn bridge(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SocketAddr {
    let uri = format!("ws://relay{PATH}").parse().unwrap();
    let (socket, _) = ClientBuilder::from_uri(uri)
        .connect_on(stream)
        .await
        .unwrap();
    let udp = UdpSocket::bind(ANY).await.unwrap();
    let addr = udp.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the bridge runs beside the test")]
    tokio::spawn(async move {
        let outbox = Outbox::default();
        let (back, mut coming) = tokio::sync::mpsc::unbounded_channel();
        let there = async {
            let mut buffer = [0; 2048];
            let mut client = None;
            loop {
                tokio::select! {
                    received = udp.recv_from(&mut buffer) => {
                        let (len, from) = received.unwrap();
                        client = Some(from);
                        outbox.push(std::iter::once(&buffer[..len]));
                    }
                    Some(datagram) = coming.recv() => {
                        let datagram: bytes::Bytes = datagram;
                        udp.send_to(&datagram, client.unwrap()).await.unwrap();
                    }
                }
            }
        };
        let carried = carry(socket, &outbox, Side::Client, |datagrams| {
            datagrams.for_each(|datagram| drop(back.send(datagram)));
        });
        tokio::select! {
            () = there => {}
            _ = carried => {}
        }
    });
    addr
}

/// A stream to the relay that is read from until it is told not to be; it stays open.
fn read_until(stop: Arc<Notify>, tcp: TcpStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 14);
    #[expect(clippy::disallowed_methods, reason = "ends with its stream")]
    tokio::spawn(async move {
        let (mut from_relay, mut to_relay) = tcp.into_split();
        let (mut from_client, mut to_client) = tokio::io::split(far);
        let reading = async {
            tokio::select! {
                _ = tokio::io::copy(&mut from_relay, &mut to_client) => {}
                () = stop.notified() => {}
            }
        };
        let _ = tokio::join!(reading, tokio::io::copy(&mut from_client, &mut to_relay));
    });
    near
}

/// What the relay's TCP port answers to a request in plain text.
async fn ask(relay: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(relay).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, tcp.read_to_string(&mut answer)).await;
    read.expect("it answers").unwrap();
    answer
}

#[tokio::test]
async fn a_client_over_tcp_meets_one_over_udp() {
    let relay = Running::start().await;
    let tcp = relay.relay.tcp_addr().unwrap();
    assert_eq!(tcp, relay.addr, "the number is the same");
    let key = relay.url().key();
    let between = bridge(dial(tcp, key).await).await;
    let (mut a, observed) = Client::register_through(between, key, 1).await;
    assert_eq!(
        observed,
        SocketAddr::new(relay.addr.ip(), 0),
        "no port of UDP's"
    );
    let mut b = Client::register(&relay, 2).await;
    assert_eq!(relay.relay.stats().tcp_clients, 1);

    a.signal(2, b"hello").await;
    let delivered = b.hear().await;
    assert!(
        matches!(&delivered, ToClient::Deliver { from, observed: seen, .. } if *from == id(1) && *seen == Some(observed)),
        "{delivered:?}"
    );
    b.signal(1, b"hello").await;
    assert!(matches!(a.hear().await, ToClient::Deliver { .. }));
    for round in 0..100_u8 {
        a.lane(2, &[round; 1200]).await;
        assert_eq!(
            b.expect_lane().await,
            lane_datagram(id(1), id(2), &[round; 1200])
        );
        b.lane(1, &[round; 1300]).await;
        assert_eq!(
            a.expect_lane().await,
            lane_datagram(id(1), id(2), &[round; 1300])
        );
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left_soon_and_others_do_not_notice() {
    let relay = Running::start().await;
    let tcp = TcpStream::connect(relay.relay.tcp_addr().unwrap())
        .await
        .unwrap();
    let deaf = Arc::new(Notify::new());
    let between = bridge(read_until(deaf.clone(), tcp)).await;
    let (mut a, _) = Client::register_through(between, relay.url().key(), 1).await;
    let mut b = Client::register(&relay, 2).await;
    let mut c = Client::register(&relay, 3).await;
    for (to, number) in [(&mut a, 1), (&mut c, 3)] {
        b.signal(number, b"hello").await;
        assert!(matches!(to.hear().await, ToClient::Deliver { .. }));
        to.signal(2, b"hello").await;
        assert!(matches!(b.hear().await, ToClient::Deliver { .. }));
    }
    deaf.notify_one();
    let began = Instant::now();
    while relay.relay.stats().tcp_clients > 0 {
        // Much more than what the other is sent, which arrives.
        for _ in 0..20 {
            b.lane(1, &[1; 1200]).await;
        }
        b.lane(3, b"heard").await;
        assert_eq!(c.expect_lane().await, lane_datagram(id(2), id(3), b"heard"));
        assert!(began.elapsed() < LEFT, "it is still carried");
    }
}

/// More than one address may have that are no streams yet.
#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let relay = Running::start().await;
    let tcp = relay.relay.tcp_addr().unwrap();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        stream.write_all(&[22]).await.unwrap();
        slow.push(stream);
    }
    let stream = timeout(PATIENCE / 4, dial(tcp, relay.url().key())).await;
    let between = bridge(stream.expect("it is let in")).await;
    let (_client, _) = Client::register_through(between, relay.url().key(), 1).await;
    assert_eq!(relay.relay.stats().tcp_clients, 1);
    let mut oldest = slow.remove(0);
    let ended = timeout(PATIENCE / 4, oldest.read(&mut [0])).await;
    assert!(
        !matches!(ended, Ok(Ok(1..)) | Err(_)),
        "it gave way: {ended:?}"
    );
}

#[tokio::test]
async fn the_same_in_plain_http_as_behind_a_reverse_proxy() {
    let relay = Running::start().await;
    let stream = TcpStream::connect(relay.relay.tcp_addr().unwrap())
        .await
        .unwrap();
    let between = bridge(stream).await;
    let (mut a, _) = Client::register_through(between, relay.url().key(), 1).await;
    let (mut b, _) = {
        let stream = TcpStream::connect(relay.relay.tcp_addr().unwrap())
            .await
            .unwrap();
        Client::register_through(bridge(stream).await, relay.url().key(), 2).await
    };
    a.signal(2, b"hello").await;
    assert!(matches!(b.hear().await, ToClient::Deliver { .. }));
    a.lane(2, b"there").await;
    assert_eq!(b.expect_lane().await, lane_datagram(id(1), id(2), b"there"));
    b.signal(1, b"hello").await;
    assert!(matches!(a.hear().await, ToClient::Deliver { .. }));
}

#[tokio::test]
async fn a_stream_that_ends_takes_its_registration_with_it() {
    let relay = Running::start().await;
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut to_relay = TcpStream::connect(relay.relay.tcp_addr().unwrap())
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with its stream")]
    let carrying = tokio::spawn(async move {
        let mut far = far;
        tokio::io::copy_bidirectional(&mut far, &mut to_relay).await
    });
    let between = bridge(near).await;
    let (_a, _) = Client::register_through(between, relay.url().key(), 1).await;
    assert_eq!(relay.relay.stats().clients, 1);
    carrying.abort();
    let gone = async {
        while relay.relay.stats().clients > 0 || relay.relay.stats().tcp_clients > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it is gone");
}

#[tokio::test]
async fn the_port_says_whether_the_relay_is_well_and_nothing_else() {
    let relay = Running::start().await;
    let tcp = relay.relay.tcp_addr().unwrap();
    for (request, status) in [
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "200 OK",
        ),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "404 Not Found"),
        (
            format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n"),
            "426 Upgrade Required",
        ),
        ("\u{0}\u{1} nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000)),
            "400 Bad Request",
        ),
    ] {
        let answer = ask(tcp, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(answer.len() < 300, "{answer}");
    }
    let mut tls = dial(tcp, relay.url().key()).await;
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, tls.read_to_end(&mut answer)).await;
    read.expect("it answers").unwrap();
    assert!(answer.ends_with(b"\r\n\r\nok\n"));
}

#[tokio::test]
async fn one_network_has_as_many_streams_as_connections_and_others_still_get_in() {
    let limits = Limits {
        connections_per_ip: 2,
        ..Limits::default()
    };
    let relay = Running::with(ANY, limits).await;
    let tcp = relay.relay.tcp_addr().unwrap();
    let uri: fn() -> _ = || format!("ws://relay{PATH}").parse().unwrap();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(tcp).await.unwrap();
        streams.push(
            ClientBuilder::from_uri(uri())
                .connect_on(stream)
                .await
                .unwrap(),
        );
    }
    let stream = TcpStream::connect(tcp).await.unwrap();
    let (mut third, _) = ClientBuilder::from_uri(uri())
        .connect_on(stream)
        .await
        .unwrap();
    let ended = timeout(PATIENCE, futures_util::StreamExt::next(&mut third)).await;
    assert!(ended.expect("it is closed").is_none_or(|it| it.is_err()));
    let (first, _) = &mut streams[0];
    futures_util::SinkExt::send(first, Message::binary(BytesMut::from(&[0, 1, 0x40][..])))
        .await
        .unwrap();
    Client::register(&relay, 1).await;
}

#[tokio::test]
async fn whoever_says_too_little_is_hung_up_on_and_others_get_in_meanwhile() {
    let relay = Running::start().await;
    let tcp = relay.relay.tcp_addr().unwrap();
    let mut slow = Vec::new();
    for said in [
        &b""[..],
        b"G",
        b"GET / HTTP/1.1\r\nHost",
        &[22, 3],
        &[22, 3, 1, 2, 0, 1],
    ] {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        stream.write_all(said).await.unwrap();
        slow.push(stream);
    }
    let between = bridge(dial(tcp, relay.url().key()).await).await;
    Client::register_through(between, relay.url().key(), 1).await;
    for mut stream in slow {
        let ended = timeout(PATIENCE, stream.read(&mut [0; 64])).await;
        assert!(matches!(ended.expect("in time"), Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn a_reverse_proxy_that_is_trusted_says_where_clients_are_and_nobody_else_does() {
    for trusted in [true, false] {
        let mut config = Config::new(ANY, secret(200));
        config.tcp = Some(Tcp {
            trusted_proxies: trusted.then_some(ANY.ip()).into_iter().collect(),
            ..Tcp::default()
        });
        let relay = Relay::bind(config).await.unwrap();
        let serving = relay.clone();
        #[expect(clippy::disallowed_methods, reason = "the relay runs beside the test")]
        tokio::spawn(async move { serving.run().await });
        let tcp = relay.tcp_addr().unwrap();
        let key = relay.url().key();
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        let line = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";
        if trusted {
            stream.write_all(line).await.unwrap();
            let (_client, observed) = Client::register_through(bridge(stream).await, key, 1).await;
            assert_eq!(observed, "192.0.2.7:0".parse().unwrap());
        } else {
            stream.write_all(line).await.unwrap();
            let mut answer = String::new();
            stream.write_all(b"\r\n").await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bind = |tcp: Tcp| async {
        let mut config = Config::new(ANY, secret(200));
        config.tcp = Some(tcp);
        Relay::bind(config).await.unwrap_err()
    };
    let addr = taken.local_addr().unwrap();
    let error = bind(Tcp {
        bind: Some(addr),
        ..Tcp::default()
    })
    .await;
    assert!(matches!(error, BindError::Tcp { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("cannot open TCP {addr}")),
        "{error}"
    );

    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    let tcp = || Tcp {
        certificate: Some(Certificate::new(chain.clone(), key.clone())),
        ..Tcp::default()
    };
    let error = bind(tcp()).await;
    assert!(
        matches!(&error, BindError::Certificate(CertificateError::Read { path, .. }) if *path == chain),
        "{error}"
    );
    std::fs::write(&chain, "no certificate").unwrap();
    std::fs::write(&key, "no key").unwrap();
    let error = bind(tcp()).await;
    assert!(
        error.to_string().contains("holds no certificate"),
        "{error}"
    );
}

#[test]
fn the_program_serves_tcp_where_it_is_told_to() {
    let state = tempfile::tempdir().unwrap();
    let (udp, tcp) = (own_addr(), own_addr());
    let port = tcp.port().to_string();
    let _relay = Program::start_at(udp, state.path(), &["--json", "--tcp", &port]);
    std::net::TcpStream::connect(tcp).unwrap();
}
