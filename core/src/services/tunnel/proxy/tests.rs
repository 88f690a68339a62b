use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
};

use super::*;
use crate::{
    Router,
    services::tunnel::{ALPN, Exposed, list},
};

#[tokio::test]
async fn names_of_services_lead_to_them_and_nothing_else_does() {
    let world = World::new().await;
    for host in ["web.nas.peer", "web.nas.PEER", "web.nas.peer."] {
        assert_eq!(world.socks(3, host.as_bytes()).await, 0, "{host}");
    }
    assert_eq!(world.socks(3, b"web.nas.home.peer").await, 0, "a dot");
    assert_eq!(world.socks(3, b"web.old.nas.home.peer").await, 0, "two");
    assert_eq!(world.socks(3, b"example.org").await, 2);
    assert_eq!(world.socks(1, &[127, 0, 0, 1]).await, 2, "an open proxy");
    assert_eq!(world.socks(3, b"web.other.peer").await, 4);
    assert_eq!(world.socks(3, b"none.nas.peer").await, 4);
    assert_eq!(world.socks(3, b"private.nas.peer").await, 2);
    assert_eq!(world.socks(3, b"down.nas.peer").await, 5);
    assert_eq!(world.socks(3, b"dns.nas.peer").await, 7);
    assert!(
        world
            .http("CONNECT web.nas.peer:443")
            .await
            .starts_with("HTTP/1.1 200")
    );
    for (request, status) in [
        ("CONNECT example.org:443", "403"),
        ("CONNECT 127.0.0.1:22", "403"),
        ("CONNECT none.nas.peer:1", "404"),
        ("CONNECT down.nas.peer:1", "502"),
        ("GET http://web.nas.peer/", "405"),
    ] {
        let head = world.http(request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {head}"
        );
    }
}

#[tokio::test]
async fn what_is_sent_behind_the_question_reaches_the_server_too() {
    let world = World::new().await;
    let mut tcp = world.connect().await;
    let request = b"CONNECT web.nas.peer:80 HTTP/1.1\r\n\r\nearly";
    tcp.write_all(request).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut read = Vec::new();
    tcp.read_to_end(&mut read).await.unwrap();
    let read = String::from_utf8(read).unwrap();
    assert!(
        read.starts_with("HTTP/1.1 200 ") && read.ends_with("\r\n\r\nearly"),
        "{read}"
    );
}

#[tokio::test]
async fn a_peer_lists_what_it_exposes_to_the_one_who_asks() {
    let world = World::new().await;
    let (node, peer) = (&world.node, &world.peer);
    let connection = node.connect(peer.ticket(), ALPN).await.unwrap();
    let listed = list(&connection).await.unwrap();
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dns", "down", "echo", "web", "web.old"]);
}

#[tokio::test]
async fn datagrams_reach_udp_services_by_name_and_nothing_else_for_as_long_as_the_program_asks() {
    let mut world = World::new().await;
    let (mut tcp, addr) = world.associate().await;
    let program = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    program.connect(addr).await.unwrap();
    let echo = head("echo.nas.peer");
    let mut answer = vec![0; 65_536];
    for payload in [&b"one"[..], b"", &[7; 60_000]] {
        let sent = [&echo, payload].concat();
        program.send(&sent).await.unwrap();
        let len = program.recv(&mut answer).await.unwrap();
        assert!(answer[..len] == sent[..], "{} bytes", payload.len());
    }

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut piece = [&echo, &b"piece"[..]].concat();
    piece[2] = 0x81;
    let to_addr = [&[0, 0, 0, 1, 127, 0, 0, 1, 0, 53][..], b"question"].concat();
    let to_other = [head("example.org"), b"question".to_vec()].concat();
    stranger
        .send_to(&[&echo, &b"stranger"[..]].concat(), addr)
        .await
        .unwrap();
    for dropped in [&piece, &to_addr, &to_other, &to_other, &vec![0, 0]] {
        program.send(dropped).await.unwrap();
    }
    let to_tcp = [head("web.nas.peer"), b"question".to_vec()].concat();
    program.send(&to_tcp).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(world.told.recv().await.unwrap());
    }
    assert!(told[0].starts_with("an address: "), "{told:?}");
    assert!(told[1].starts_with("example.org: "), "{told:?}");
    assert!(told[2].contains("no UDP server"), "{told:?}");
    // Whatever came before it was dealt with.
    program.send(&[&echo, &b"last"[..]].concat()).await.unwrap();
    let len = program.recv(&mut answer).await.unwrap();
    assert!(answer[..len].ends_with(b"last"));
    let counts = world.counting.datagrams();
    assert_eq!((counts.fragments, counts.strangers), (1, 1));
    assert_eq!((counts.refused, counts.received), (4, 4), "{counts:?}");

    tcp.shutdown().await.unwrap();
    assert_eq!(tcp.read(&mut [0]).await.unwrap(), 0);
    drop(tcp);
    let ended = async {
        // The system says so of a port that nobody has.
        while program.send(&echo).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn a_program_sends_from_where_it_said_it_does() {
    let world = World::new().await;
    let [program, other] = [
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
    ];
    let port = program.local_addr().unwrap().port();
    let (_tcp, addr) = world.associate_from(port).await;
    let sent = [head("echo.nas.peer"), b"question".to_vec()].concat();
    other.send_to(&sent, addr).await.unwrap();
    program.send_to(&sent, addr).await.unwrap();
    let mut answer = [0; 64];
    let (len, _) = program.recv_from(&mut answer).await.unwrap();
    assert_eq!(answer[..len], sent);
    assert_eq!(world.counting.datagrams().strangers, 1);
}

fn head(host: &str) -> Vec<u8> {
    let len = host.len() as u8;
    [&[0, 0, 0, 3, len][..], host.as_bytes(), &[0, 53]].concat()
}

#[tokio::test]
async fn a_pipe_ends_when_both_directions_have() {
    let world = World::new().await;
    let name = |name: &str| name.parse().unwrap();
    let forwarder = Forwarder::new(world.node.clone(), world.peer.ticket(), name("web"));
    let mut out = Vec::new();
    forwarder.pipe(&b"through"[..], &mut out).await.unwrap();
    assert_eq!(out, b"through");
    let refused = forwarder.to(name("none")).pipe(&b""[..], &mut out).await;
    assert!(matches!(refused, Err(ForwardError::UnknownService { .. })));
}

/// A proxy, and a peer that exposes an echo server.
struct World {
    node: Endpoint,
    peer: Endpoint,
    proxy: SocketAddr,
    counting: Proxy,
    told: mpsc::UnboundedReceiver<String>,
    _running: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let node = || {
            let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
            builder.lan_discovery(false).bind()
        };
        let (peer, node) = tokio::try_join!(node(), node()).unwrap();
        let mut running = JoinSet::new();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        running.spawn(async move {
            let mut echoes = JoinSet::new();
            while let Ok((mut tcp, _)) = server.accept().await {
                echoes.spawn(async move {
                    let (mut reader, mut writer) = tcp.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    let _ = writer.shutdown().await;
                });
            }
        });
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let exposed = Exposed::default();
        exposed.insert("web".parse().unwrap(), addr);
        exposed.insert("web.old".parse().unwrap(), addr);
        exposed.insert("down".parse().unwrap(), closed.local_addr().unwrap());
        drop(closed);
        exposed.insert_for("private".parse().unwrap(), addr, |_| false);
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let echo = super::super::Target::Udp(udp.local_addr().unwrap().into());
        exposed.insert("echo".parse().unwrap(), echo);
        running.spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok((len, client)) = udp.recv_from(&mut datagram).await {
                let _ = udp.send_to(&datagram[..len], client).await;
            }
        });
        let dns = super::super::Target::Udp(addr.into());
        exposed.insert("dns".parse().unwrap(), dns);
        let router = Router::new(peer.clone());
        let serve = move |connection| exposed.clone().serve(connection);
        running.spawn(router.accept(ALPN, serve).run());
        let ticket = peer.ticket();
        let nobody = node.ticket();
        let whom = move |name: &str| match name {
            "nas" | "nas.home" => Some(ticket.clone()),
            "home" => Some(nobody.clone()),
            _ => None,
        };
        let proxy = Proxy::new(node.clone(), whom);
        let counting = proxy.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (refused, told) = mpsc::unbounded_channel();
        running.spawn(async move {
            let refused = move |host: &str, error: &ProxyError| {
                let _ = refused.send(format!("{host}: {error}"));
            };
            proxy.run(listener, refused).await;
        });
        Self {
            node,
            peer,
            proxy: addr,
            counting,
            told,
            _running: running,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    /// A connection that has datagrams carried, and where they are taken.
    async fn associate(&self) -> (TcpStream, SocketAddr) {
        self.associate_from(0).await
    }

    async fn associate_from(&self, port: u16) -> (TcpStream, SocketAddr) {
        let mut tcp = self.connect().await;
        let [high, low] = port.to_be_bytes();
        tcp.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, high, low])
            .await
            .unwrap();
        let mut replies = [0; 12];
        tcp.read_exact(&mut replies).await.unwrap();
        assert_eq!(replies[..10], [5, 0, 5, 0, 0, 1, 127, 0, 0, 1]);
        let port = u16::from_be_bytes([replies[10], replies[11]]);
        (tcp, ([127, 0, 0, 1], port).into())
    }

    /// The reply's code, of which 0 was tried out.
    async fn socks(&self, kind: u8, host: &[u8]) -> u8 {
        let mut tcp = self.connect().await;
        let mut request = vec![5, 1, 0, 5, 1, 0, kind];
        if kind == 3 {
            request.push(host.len() as u8);
        }
        request.extend([host, &[0, 80]].concat());
        tcp.write_all(&request).await.unwrap();
        let mut replies = [0; 12];
        tcp.read_exact(&mut replies).await.unwrap();
        assert_eq!(replies[..3], [5, 0, 5]);
        if replies[3] == 0 {
            let mut echoed = [0; 4];
            tcp.write_all(b"echo").await.unwrap();
            tcp.read_exact(&mut echoed).await.unwrap();
            assert_eq!(&echoed, b"echo");
        }
        replies[3]
    }

    async fn http(&self, request: &str) -> String {
        let mut tcp = self.connect().await;
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; 12];
        tcp.read_exact(&mut head).await.unwrap();
        String::from_utf8(head).unwrap() + " "
    }
}
