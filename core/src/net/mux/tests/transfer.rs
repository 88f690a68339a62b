//! Real quinn connections whose path changes under them.

use std::{cell::Cell, sync::Arc, time::Duration};

use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, Side, TokioRuntime};
use tokio::net::UdpSocket;

use super::*;
use crate::{
    net::transport::{nudge, transport_config},
    proto::credit,
    tls,
};

const ALPN: &[u8] = b"test";
const DIRECT: u32 = 1;
const RELAYED: u32 = 2;
const EXTRA: u32 = 3;
/// Tells a datagram from all other packets.
const LARGE: usize = 900;

/// One end: a mux, the link to the other end, and quinn over it.
struct End {
    mux: Arc<Mux>,
    link: Arc<Link>,
    endpoint: Endpoint,
}

impl End {
    fn new(key: &SecretKey, is_server: bool) -> Self {
        let (mux, _side) = mux();
        let link = mux.add_link();
        let transport = |side| Arc::new(transport_config(link.epoch().clone(), side));
        let server = is_server.then(|| {
            let tls = tls::server_config(key, &[ALPN.to_vec()]).unwrap();
            let mut config = ServerConfig::with_crypto(Arc::new(tls));
            config.transport_config(transport(Side::Server));
            config
        });
        let mut endpoint = Endpoint::new_with_abstract_socket(
            tls::endpoint_config(key, "node"),
            server,
            mux.clone(),
            Arc::new(TokioRuntime),
        )
        .unwrap();
        let mut config = ClientConfig::new(Arc::new(tls::client_config(key, ALPN).unwrap()));
        config.transport_config(transport(Side::Client));
        endpoint.set_default_client_config(config);
        Self {
            mux,
            link,
            endpoint,
        }
    }

    fn go_direct(&self, other: &Self) {
        self.mux.admit(addr(&other.mux), &self.link);
        let route = direct(addr(&other.mux));
        self.mux.set_route(&self.link, route, DIRECT, true);
    }

    /// Goes on from a socket that was opened for the purpose; returns its address as the other end sees it.
    async fn go_extra(&self, other: &Self, sock: Sock) -> SocketAddr {
        assert_eq!(self.mux.open_sockets(sock, 1), 1);
        let probe = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to_probe = Pair {
            sock,
            addr: probe.local_addr().unwrap(),
        };
        self.mux.send_message(to_probe, None, &[0]).unwrap();
        let (_, local) = probe.recv_from(&mut [0]).await.unwrap();
        other.mux.admit(local, &other.link);
        let pair = Pair {
            sock,
            addr: addr(&other.mux),
        };
        let route = Destinations {
            dests: vec![Dest::Direct(pair)],
        };
        self.mux.set_route(&self.link, route, EXTRA, true);
        local
    }

    fn go_relayed(&self, relay: SocketAddr) {
        let channel = channel(1, 2);
        self.mux.admit_channel(relay, channel, &self.link);
        let lane = Dest::Lane { relay, channel };
        let route = Destinations { dests: vec![lane] };
        self.mux.set_route(&self.link, route, RELAYED, true);
    }
}

/// A client and a server connected directly.
async fn connected() -> (End, End, Connection, Connection) {
    let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
    let client = End::new(&keys[0], false);
    let server = End::new(&keys[1], true);
    client.go_direct(&server);
    server.go_direct(&client);
    let dialling = client
        .endpoint
        .connect(
            virtual_addr(client.link.handle()),
            &tls::server_name(keys[1].id()),
        )
        .unwrap();
    let accepting = async { server.endpoint.accept().await.unwrap().await.unwrap() };
    let (dialled, accepted) = tokio::join!(dialling, accepting);
    (client, server, dialled.unwrap(), accepted)
}

/// Passes datagrams on between two addresses, as a relay does with lane frames.
async fn forward(socket: UdpSocket, ends: [SocketAddr; 2]) {
    let mut buf = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buf).await.unwrap();
        let to = if from == ends[0] { ends[1] } else { ends[0] };
        socket.send_to(&buf[..len], to).await.unwrap();
    }
}

/// Passes datagrams on, but what the client adds to the handshake after the server's answer only after the datagram.
async fn hold_up_the_handshake(socket: UdpSocket, client: SocketAddr, server: SocketAddr) {
    let mut buf = [0; 2048];
    let mut held = Vec::new();
    let mut answered = false;
    loop {
        let (len, from) = socket.recv_from(&mut buf).await.unwrap();
        let packet = &buf[..len];
        if from == server {
            answered = true;
            socket.send_to(packet, client).await.unwrap();
            continue;
        }
        let is_long = packet[0] & 0x80 != 0;
        if is_long && answered {
            held.push(packet.to_vec());
            continue;
        }
        socket.send_to(packet, server).await.unwrap();
        if !is_long && (LARGE..LARGE + 100).contains(&len) {
            for packet in held.drain(..) {
                socket.send_to(&packet, server).await.unwrap();
            }
        }
    }
}

fn byte_at(position: usize) -> u8 {
    (position % 251) as u8
}

#[tokio::test]
async fn a_transfer_goes_on_from_direct_to_the_lane_and_back_without_losing_a_byte() {
    const PART: usize = 4 << 20;
    let (client, server, dialled, accepted) = connected().await;
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay_addr = relay.local_addr().unwrap();
    let forwarding = forward(relay, [addr(&client.mux), addr(&server.mux)]);

    let sending = async {
        let mut stream = dialled.open_uni().await.unwrap();
        for part in 0..3 {
            let bytes: Vec<u8> = (part * PART..(part + 1) * PART).map(byte_at).collect();
            stream.write_all(&bytes).await.unwrap();
        }
        stream.finish().unwrap();
    };
    let receiving = async {
        let mut stream = accepted.accept_uni().await.unwrap();
        let mut position = 0;
        while let Some(chunk) = stream.read_chunk(1 << 16, true).await.unwrap() {
            let before = position / PART;
            for byte in chunk.bytes {
                assert_eq!(byte, byte_at(position));
                position += 1;
            }
            match (before, position / PART) {
                (0, 1) => [&client, &server].map(|end| end.go_relayed(relay_addr)),
                (1, 2) => {
                    client.go_direct(&server);
                    server.go_direct(&client);
                    continue;
                }
                _ => continue,
            };
            nudge(&dialled, credit::FLOOR);
            nudge(&accepted, credit::FLOOR);
        }
        position
    };
    let received = tokio::select! {
        (received, ()) = async { tokio::join!(receiving, sending) } => received,
        () = forwarding => unreachable!("it has no end"),
    };
    assert_eq!(received, 3 * PART);
    assert!(client.link.lane().sent_bytes > 0);
    assert!(client.link.direct().sent_bytes > PART as u64);
    assert!(dialled.close_reason().is_none());
    assert_eq!(dialled.remote_address(), virtual_addr(client.link.handle()));
}

#[tokio::test]
async fn a_link_goes_on_over_a_socket_that_was_opened_for_it() {
    const LEN: usize = 8 << 20;
    let (client, server, dialled, accepted) = connected().await;
    client.mux.open_sockets(Sock(1), 64);
    let extra = client.go_extra(&server, Sock(7)).await;
    client.mux.close_sockets(Sock(1), 6);
    client.mux.close_sockets(Sock(8), 100);
    server.mux.expel(addr(&client.mux), server.link.handle());
    let route = direct(extra);
    server.mux.set_route(&server.link, route, EXTRA, true);

    let before = server.link.direct().received_bytes;
    let sending = async {
        let mut stream = dialled.open_uni().await.unwrap();
        let bytes: Vec<u8> = (0..LEN).map(byte_at).collect();
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
    };
    let receiving = async {
        let mut stream = accepted.accept_uni().await.unwrap();
        let bytes = stream.read_to_end(LEN).await.unwrap();
        assert!((0..LEN).map(byte_at).eq(bytes));
    };
    tokio::join!(receiving, sending);
    assert!(server.link.direct().received_bytes - before > LEN as u64);
}

#[tokio::test]
async fn a_nudge_makes_an_idle_connection_send_every_time() {
    let (_client, _server, dialled, accepted) = connected().await;
    for round in 1..=3 {
        nudge(&dialled, credit::FLOOR);
        while accepted.stats().frame_rx.max_data < round {
            tokio::task::yield_now().await;
        }
        assert_eq!(dialled.stats().frame_tx.max_data, round);
    }
}

/// Passes datagrams on between two addresses, none that is longer than `mtu` says by then.
async fn forward_narrowly(socket: &UdpSocket, ends: [SocketAddr; 2], mtu: &Cell<usize>) {
    let mut buf = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buf).await.unwrap();
        let to = if from == ends[0] { ends[1] } else { ends[0] };
        if len <= mtu.get() {
            socket.send_to(&buf[..len], to).await.unwrap();
        }
    }
}

/// The path itself looks alive to probes, so it is QUIC that has to find it out.
#[tokio::test]
async fn a_path_that_no_longer_carries_long_packets_stalls_a_transfer_for_seconds_at_most() {
    const PART: usize = 4 << 20;
    /// What an MTU of 1280 leaves for UDP over IPv6.
    const NARROW: usize = 1232;
    let (client, server, dialled, accepted) = connected().await;
    let way = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mtu = Cell::new(usize::MAX);
    for end in [&client, &server] {
        let via = way.local_addr().unwrap();
        end.mux.admit(via, &end.link);
        end.mux.set_route(&end.link, direct(via), EXTRA, true);
    }
    let sending = async {
        let mut stream = dialled.open_uni().await.unwrap();
        let bytes: Vec<u8> = (0..3 * PART).map(byte_at).collect();
        stream.write_all(&bytes).await.unwrap();
        stream.finish().unwrap();
    };
    let receiving = async {
        let mut stream = accepted.accept_uni().await.unwrap();
        let (mut position, mut last, mut gap) = (0, tokio::time::Instant::now(), Duration::ZERO);
        while let Some(chunk) = stream.read_chunk(1 << 16, true).await.unwrap() {
            assert!(
                chunk
                    .bytes
                    .iter()
                    .zip(position..)
                    .all(|(byte, at)| *byte == byte_at(at))
            );
            position += chunk.bytes.len();
            gap = gap.max(last.elapsed());
            last = tokio::time::Instant::now();
            if position >= PART && mtu.get() != NARROW {
                assert!(usize::from(dialled.stats().path.current_mtu) > NARROW);
                mtu.set(NARROW);
            }
        }
        (position, gap)
    };
    let ends = [addr(&client.mux), addr(&server.mux)];
    let ((received, gap), ()) = tokio::select! {
        both = async { tokio::join!(receiving, sending) } => both,
        () = forward_narrowly(&way, ends, &mtu) => unreachable!("it has no end"),
    };
    assert_eq!(received, 3 * PART);
    assert!(gap <= Duration::from_secs(5), "{gap:?}");
    assert!(usize::from(dialled.stats().path.current_mtu) <= NARROW);
}

#[tokio::test]
async fn what_overtakes_the_end_of_the_handshake_arrives_all_the_same() {
    let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
    let (client, server) = (End::new(&keys[0], false), End::new(&keys[1], true));
    let between = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for end in [&client, &server] {
        let route = direct(between.local_addr().unwrap());
        end.mux.admit(between.local_addr().unwrap(), &end.link);
        end.mux.set_route(&end.link, route, DIRECT, true);
    }
    let name = tls::server_name(keys[1].id());
    let to_server = virtual_addr(client.link.handle());
    let dialling = async {
        let dialled = client.endpoint.connect(to_server, &name).unwrap();
        let dialled = dialled.await.unwrap();
        dialled.send_datagram(vec![7; LARGE].into()).unwrap();
        dialled
    };
    let accepting = async {
        let incoming = server.endpoint.accept().await.unwrap();
        let tls = tls::server_config(&keys[1], &[ALPN.to_vec()]).unwrap();
        let called = Called::new(Arc::new(tls), server.mux.clone(), server.link.clone());
        let config = ServerConfig::with_crypto(called.clone());
        let accepted = incoming.accept_with(Arc::new(config)).unwrap().await;
        called.end();
        let accepted = accepted.unwrap();
        let first = accepted.read_datagram().await.unwrap();
        assert_eq!(first, vec![7; LARGE]);
    };
    let holding_up = hold_up_the_handshake(between, addr(&client.mux), addr(&server.mux));
    tokio::select! {
        _ = async { tokio::join!(dialling, accepting) } => {}
        () = holding_up => {}
    }
}
