use std::io::ErrorKind;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    ALPN, ForwardError, ParseNameError, Registry, ServiceName, expose,
    forward::request,
    request::Kind,
    splice::{Broken, splice},
};
use crate::services::testing::{Pair, pair};

#[tokio::test]
async fn either_side_can_finish_sending_and_go_on_reading() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;

    app.write_all(b"question").await.unwrap();
    app.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.unwrap(), b"question");

    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut app).await.unwrap(), b"answer");
    assert!(world.splices.join_next().await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_reset_by_the_application_reaches_the_server() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    reset(app);
    assert_reset(&mut server).await;
}

#[tokio::test]
async fn a_reset_by_the_server_reaches_the_application() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    reset(server);
    assert_reset(&mut app).await;
}

#[tokio::test]
async fn a_link_that_ends_resets_both_ends() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    world.pair.client.close(0, b"");
    assert_reset(&mut app).await;
    assert_reset(&mut server).await;
}

#[tokio::test]
async fn a_forwarder_that_is_dropped_leaves_no_transfer_that_looks_complete() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    world.splices.abort_all();
    assert_reset(&mut app).await;
    assert_reset(&mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once_keep_their_bytes_apart() {
    let mut world = World::new().await;
    let mut echoes = JoinSet::new();
    for seed in 0..60_u8 {
        let (app, server) = world.connect().await;
        echoes.spawn(echo(server));
        echoes.spawn(send_and_compare(app, seed));
    }
    while let Some(done) = echoes.join_next().await {
        done.unwrap();
    }
    while let Some(done) = world.splices.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_unknown_name_is_told_apart_from_a_server_that_is_down() {
    let mut world = World::new().await;
    let unknown: ServiceName = "nothing".parse().unwrap();
    for kind in [Kind::Check, Kind::Connect] {
        let error = request(&world.pair.client, kind, unknown.clone()).await;
        assert_eq!(
            error.err(),
            Some(ForwardError::UnknownService {
                name: unknown.clone()
            })
        );
    }
    world.target = None;
    let client = &world.pair.client;
    assert!(request(client, Kind::Check, web()).await.is_ok());
    let error = request(client, Kind::Connect, web()).await;
    assert_eq!(
        error.err(),
        Some(ForwardError::TargetRefused { name: web() })
    );
}

#[test]
fn a_bad_name_is_refused_with_the_reason() {
    let parse = str::parse::<ServiceName>;
    assert_eq!(parse(""), Err(ParseNameError::Length { found: 0 }));
    assert_eq!(
        parse(&"x".repeat(64)),
        Err(ParseNameError::Length { found: 64 })
    );
    assert_eq!(
        parse("a b"),
        Err(ParseNameError::Character { character: ' ' })
    );
}

/// An exposed server on loopback, the link to it, and a forwarder.
struct World {
    pair: Pair,
    target: Option<TcpListener>,
    local: TcpListener,
    splices: JoinSet<Result<(), Broken>>,
    _serving: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let pair = pair(ALPN).await;
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Registry::from([(web(), target.local_addr().unwrap())]);
        let mut serving = JoinSet::new();
        let server = pair.server.clone();
        serving.spawn(async move { expose::serve(&server, &registry).await });
        Self {
            pair,
            target: Some(target),
            local: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            splices: JoinSet::new(),
            _serving: serving,
        }
    }

    /// A connection through the tunnel: the application's end and the server's.
    async fn connect(&mut self) -> (TcpStream, TcpStream) {
        let app = TcpStream::connect(self.local.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, _) = self.local.accept().await.unwrap();
        let (send, recv) = request(&self.pair.client, Kind::Connect, web())
            .await
            .unwrap();
        self.splices.spawn(splice(tcp, send, recv));
        let (server, _) = self.target.as_ref().unwrap().accept().await.unwrap();
        (app, server)
    }
}

fn web() -> ServiceName {
    "web".parse().unwrap()
}

async fn exchange(app: &mut TcpStream, server: &mut TcpStream) {
    let mut byte = [0];
    app.write_all(&[7]).await.unwrap();
    server.read_exact(&mut byte).await.unwrap();
    assert_eq!(byte, [7]);
}

fn reset(tcp: TcpStream) {
    tcp.set_zero_linger().unwrap();
}

async fn assert_reset(tcp: &mut TcpStream) {
    let error = read_all(tcp).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

async fn read_all(tcp: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

async fn echo(mut tcp: TcpStream) {
    let (mut reader, mut writer) = tcp.split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

async fn send_and_compare(mut tcp: TcpStream, seed: u8) {
    let sent: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8 ^ seed).collect();
    let (mut reader, mut writer) = tcp.split();
    let mut received = Vec::new();
    let (_, sending) = tokio::join!(reader.read_to_end(&mut received), async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    sending.unwrap();
    assert!(received == sent, "bytes of connection {seed} were changed");
}
