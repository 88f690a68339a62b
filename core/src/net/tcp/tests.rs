#![expect(clippy::disallowed_methods, reason = "tests have tasks of their own")]

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::{Access, Connection, Endpoint, PathInfo, Ticket};

const TEST: &[u8] = b"test/1";
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// Listens as the node with this key, and where.
fn listener(seed: u8) -> (Listener, SocketAddr, mpsc::Receiver<Established>) {
    let (sender, established) = mpsc::channel(4);
    let tls = Tls::new(&key(seed)).unwrap();
    loop {
        // Where these tests alone listen; one of them may have taken the port by then.
        let free = std::net::TcpListener::bind("127.3.2.4:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        match Listener::spawn(addr, tls.clone(), sender.clone()) {
            Ok(listener) => return (listener, addr, established),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }
}

#[tokio::test]
async fn both_ends_prove_their_keys_and_a_node_dials_from_the_address_that_it_was_given() {
    let (_listener, addr, mut established) = listener(1);
    let tls = Tls::new(&key(2)).unwrap();
    let from = IpAddr::from([127, 3, 2, 1]);
    let dialled = tls.dial(key(1).id(), Some(from), addr).await.unwrap();
    assert_eq!(dialled.peer, key(1).id());
    let accepted = established.recv().await.unwrap();
    assert_eq!((accepted.peer, accepted.addr.ip()), (key(2).id(), from));
}

#[tokio::test]
async fn whoever_does_not_hold_the_dialled_key_is_refused() {
    let (_listener, addr, mut established) = listener(1);
    let tls = Tls::new(&key(2)).unwrap();
    assert!(tls.dial(key(3).id(), None, addr).await.is_err());
    assert!(established.try_recv().is_err());
}

#[tokio::test]
async fn a_handshake_that_comes_byte_by_byte_is_one_all_the_same() {
    let (_listener, addr, mut established) = listener(1);
    let proxy = TcpListener::bind(HERE).await.unwrap();
    let by_proxy = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = proxy.accept().await.unwrap();
        let mut far = TcpStream::connect(addr).await.unwrap();
        far.set_nodelay(true).unwrap();
        near.set_nodelay(true).unwrap();
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.split(), far.split());
        let forth = async {
            while let Ok(byte) = from_near.read_u8().await {
                to_far.write_u8(byte).await.unwrap();
            }
        };
        let back = async {
            while let Ok(byte) = from_far.read_u8().await {
                to_near.write_u8(byte).await.unwrap();
            }
        };
        tokio::join!(forth, back);
    });
    let tls = Tls::new(&key(2)).unwrap();
    let dialled = tls.dial(key(1).id(), None, by_proxy).await.unwrap();
    assert_eq!(dialled.peer, key(1).id());
    assert!(established.recv().await.is_some());
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_hung_up_on_after_ten_seconds() {
    let (_listener, addr, mut established) = listener(1);
    let mut silent = TcpStream::connect(addr).await.unwrap();
    // The door is in the handshake when it has taken another that came later.
    let other = Tls::new(&key(2))
        .unwrap()
        .dial(key(1).id(), None, addr)
        .await;
    established.recv().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(HANDSHAKE + Duration::from_millis(1)).await;
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty());
    drop(other);
}

#[tokio::test]
async fn garbage_is_answered_with_an_alert_at_most() {
    let (_listener, addr, _established) = listener(1);
    let mut stranger = TcpStream::connect(addr).await.unwrap();
    stranger.write_all(&[0x16; 4096]).await.unwrap();
    let mut answer = Vec::new();
    // Unread garbage makes the kernel reset the connection.
    let _ = stranger.read_to_end(&mut answer).await;
    assert!(answer.len() <= 7, "{answer:?}");
}

#[tokio::test]
async fn one_address_has_eight_handshakes_at_once() {
    let (_listener, addr, _established) = listener(1);
    let mut open = Vec::new();
    for _ in 0..12 {
        open.push(TcpStream::connect(addr).await.unwrap());
    }
    let hung_up = |mut stream: TcpStream| async move {
        let mut byte = [0];
        let read = timeout(Duration::from_millis(500), stream.read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    };
    let ended = futures_util::future::join_all(open.into_iter().map(hung_up)).await;
    assert_eq!(ended.into_iter().filter(|ended| *ended).count(), 4);
}

/// Says nothing, from an address of loopback.
async fn silent(network: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, network, 0, 1], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn handshakes_that_never_end_give_way_to_those_of_an_address_that_has_none() {
    let (_listener, addr, mut established) = listener(1);
    let mut held = Vec::new();
    for at in 0..64 {
        held.push(silent(1 + at / 8, addr).await);
    }
    for seed in 2..10 {
        let dialled = Tls::new(&key(seed))
            .unwrap()
            .dial(key(1).id(), None, addr)
            .await;
        assert_eq!(dialled.unwrap().peer, key(1).id());
        assert_eq!(established.recv().await.unwrap().peer, key(seed).id());
    }
}

/// A way to the node that carries TCP only.
async fn tcp_only(node: SocketAddr) -> SocketAddr {
    let proxy = TcpListener::bind(HERE).await.unwrap();
    let addr = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = proxy.accept().await {
            let mut far = TcpStream::connect(node).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    addr
}

async fn node(seed: u8, access: Access) -> Endpoint {
    let builder = Endpoint::builder().secret_key(key(seed)).access(access);
    // Where no other test listens at the TCP port of its number.
    let builder = builder.bind_addr(([127, 3, 2, 3], 0).into());
    builder.alpns([TEST]).bind().await.unwrap()
}

/// Sends 16 MiB, and returns what the other end sent.
async fn exchange(connection: &Connection, dialled: bool) -> Vec<u8> {
    let (mut send, mut receive) = if dialled {
        connection.open_bi().await.unwrap()
    } else {
        connection.accept_bi().await.unwrap()
    };
    let sent = async {
        send.write_all(&cargo(dialled)).await.unwrap();
        send.finish().unwrap();
    };
    let received = async { receive.read_to_end(cargo(!dialled).len()).await.unwrap() };
    tokio::join!(sent, received).1
}

fn cargo(dialled: bool) -> Vec<u8> {
    let first = u64::from(dialled);
    let words =
        (0..2 * 1024 * 1024).map(|at| (at as u64 ^ first).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_be_bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_only_tcp_joins_exchange_16_mib_directly() {
    let (a, b) = (
        node(1, Access::Anyone).await,
        node(2, Access::Only(vec![key(1).id()])).await,
    );
    let there = tcp_only(b.ticket().addrs()[0]).await;
    let target = Ticket::new(b.id(), Vec::new(), vec![there]);
    let (dialled, accepted) = tokio::join!(a.connect(target, TEST), b.accept());
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    let (at_a, at_b) = tokio::join!(exchange(&dialled, true), exchange(&accepted, false));
    assert!(at_a == cargo(false) && at_b == cargo(true));
    for (connection, remote) in [(&dialled, Some(there)), (&accepted, None)] {
        let Some(PathInfo::Direct {
            tcp: true,
            remote: addr,
            ..
        }) = connection.path()
        else {
            panic!("{:?}", connection.status());
        };
        assert!(remote.is_none_or(|remote| remote == addr));
    }
    dialled.close(0, b"done");
    tokio::join!(a.close(), b.close());
}

#[tokio::test]
async fn a_node_that_wants_no_tcp_does_not_listen() {
    // Where no other test listens.
    let builder = Endpoint::builder().bind_addr(([127, 3, 2, 2], 0).into());
    let quiet = builder.clone().tcp(false).bind().await.unwrap();
    let open = builder.bind().await.unwrap();
    let mut answers = BTreeSet::new();
    for (name, node) in [("quiet", &quiet), ("open", &open)] {
        if TcpStream::connect(node.ticket().addrs()[0]).await.is_ok() {
            answers.insert(name);
        }
    }
    assert_eq!(answers, BTreeSet::from(["open"]));
}
