use std::{
    io::ErrorKind,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

use super::{
    ALPN, Exposed, ForwardError, Forwarder, Offer, ParseNameError, ServiceName, Target, Transport,
    begin::{First, Unbegun, begin},
    expose,
    local::Local,
    request::{Obstacle, Purpose, Request},
    splice::{Broken, ResetOnDrop, StopOnDrop, splice},
};
use crate::{
    Endpoint,
    services::testing::{NodePair, pair},
};

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
    for kind in [Purpose::Check, Purpose::Connect] {
        let error = world.request(kind, unknown.clone()).await;
        assert!(
            matches!(&error, Err(ForwardError::UnknownService { name }) if *name == unknown),
            "{:?}",
            error.err()
        );
    }
    world.target = None;
    for kind in [Purpose::Check, Purpose::Connect] {
        let error = world.request(kind, web()).await;
        assert!(
            matches!(
                &error,
                Err(ForwardError::TargetRefused { name, reason: Obstacle::Refused }) if *name == web()
            ),
            "{:?}",
            error.err()
        );
    }
}

#[tokio::test]
async fn the_first_bytes_travel_with_the_request_and_reach_the_server_once() {
    let world = World::new().await;
    let mut app = TcpStream::connect(world.local.local_addr().unwrap())
        .await
        .unwrap();
    let tcp = Local::Tcp(world.local.accept().await.unwrap().0);
    app.write_all(b"first").await.unwrap();
    let mut first = First::default();

    // A peer that has not answered has them already.
    let silent = pair(ALPN).await;
    let hearing = async {
        let (_send, mut recv) = silent.server.accept_bi().await.unwrap();
        let read = Request::read(&mut recv).await.unwrap();
        assert_eq!(read, Some(connect()));
        let mut bytes = [0; 5];
        recv.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"first");
    };
    let request = connect();
    tokio::select! {
        _ = begin(&silent.client, &request, Some(&tcp), &mut first) => panic!("nobody answered"),
        () = hearing => {}
    }

    // They are kept for another connection, but no server gets them twice.
    let client = &world.pair.client;
    let begun = begin(client, &connect(), Some(&tcp), &mut first).await;
    assert!(begun.is_ok());
    let (mut server, _) = world.target.as_ref().unwrap().accept().await.unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"first");
    let again = begin(client, &connect(), Some(&tcp), &mut first).await;
    assert!(matches!(again, Err(Unbegun::Refused(ForwardError::Cut(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_is_waited_for_and_a_connection_that_ended_says_why() {
    let pair = pair(ALPN).await;
    let slow = async {
        let (mut send, _recv) = pair.server.accept_bi().await.unwrap();
        sleep(Duration::from_secs(25)).await;
        send.write_all(&[0]).await.unwrap();
        let _second = pair.server.accept_bi().await.unwrap();
        pair.server.close(0, b"going");
    };
    let asking = async {
        let mut first = First::default();
        let begun = begin(&pair.client, &connect(), None, &mut first).await;
        assert!(begun.is_ok());
        begin(&pair.client, &connect(), None, &mut first).await
    };
    let (lost, ()) = tokio::join!(asking, slow);
    let Err(Unbegun::Lost { loss, .. }) = lost else {
        panic!("the connection is lost");
    };
    assert!(loss.to_string().contains("going"), "{loss}");
}

#[tokio::test]
async fn a_forwarder_whose_connection_has_ended_dials_anew_to_check() {
    let node = || {
        let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
        builder.lan_discovery(false).alpns([ALPN]).bind()
    };
    let (server, client) = tokio::try_join!(node(), node()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exposed = Exposed::default();
    exposed.insert(web(), Target::from(listener.local_addr().unwrap()));
    let forwarder = Forwarder::new(client, server.ticket(), web());
    let mut serving = JoinSet::new();
    for _ in 0..2 {
        let accepting = async {
            let accepted = server.accept().await.unwrap();
            let (connection, exposed) = (accepted.clone(), exposed.clone());
            serving.spawn(async move { expose::serve(&connection, &exposed).await });
            Ok(accepted)
        };
        let (checked, accepted) = tokio::try_join!(forwarder.check(), accepting).unwrap();
        assert_eq!(checked, Transport::Stream);
        forwarder.close();
        accepted.closed().await;
    }
}

#[tokio::test]
async fn a_check_tells_that_the_server_is_not_there_until_it_is() {
    let node = || {
        let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
        builder.lan_discovery(false).alpns([ALPN]).bind()
    };
    let (server, client) = tokio::try_join!(node(), node()).unwrap();
    // Where no other test takes the port that becomes free.
    let listener = TcpListener::bind("127.3.2.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let exposed = Exposed::default();
    exposed.insert(web(), Target::from(addr));
    let forwarder = Forwarder::new(client, server.ticket(), web());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let accepted = server.accept().await.unwrap();
        expose::serve(&accepted, &exposed).await;
    });
    let error = forwarder.check().await.unwrap_err();
    let is_told = matches!(
        error,
        ForwardError::TargetRefused {
            reason: Obstacle::Refused,
            ..
        }
    );
    assert!(is_told, "{error:?}");
    let _listener = TcpListener::bind(addr).await.unwrap();
    assert_eq!(forwarder.check().await.unwrap(), Transport::Stream);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_peer_that_is_away_hear_of_the_same_dial() {
    let node = || {
        let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
        builder.lan_discovery(false).alpns([ALPN]).bind()
    };
    let (server, client) = tokio::try_join!(node(), node()).unwrap();
    let away = server.ticket();
    server.close().await;
    let forwarder = Forwarder::new(client, away, web());
    let began = Instant::now();
    let alone = forwarder.check().await;
    assert!(matches!(alone, Err(ForwardError::Connect(_))), "{alone:?}");
    let one = began.elapsed();
    let mut many = JoinSet::new();
    for _ in 0..5 {
        let forwarder = forwarder.clone();
        many.spawn(async move { forwarder.check().await });
    }
    while let Some(failed) = many.join_next().await {
        assert!(matches!(failed, Ok(Err(ForwardError::Connect(_)))));
    }
    let all = began.elapsed() - one;
    assert!(all < one * 2, "{all:?}, one by one {one:?}");
}

#[tokio::test]
async fn what_is_exposed_may_change_while_peers_are_connected() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    assert!(world.exposed.remove(&web()));
    assert_reset(&mut app).await;
    assert_reset(&mut server).await;
    let refused = world.request(Purpose::Connect, web()).await.err().unwrap();
    assert!(matches!(refused, ForwardError::UnknownService { .. }));
    let addr = world.target.as_ref().unwrap().local_addr().unwrap();
    world.exposed.insert(web(), addr);
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
}

#[tokio::test]
async fn who_uses_a_server_and_what_went_through_is_counted() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    server.write_all(b"answer").await.unwrap();
    app.read_exact(&mut [0; 6]).await.unwrap();
    let exposed = world.exposed.clone();
    let usage = || exposed.usage()[&web()].clone();
    let client = world.pair.server.peer();
    assert_eq!(usage().open, [(client, 1)].into());
    assert_eq!((usage().from_peers, usage().to_peers), (1, 6));
    let (_app, _server) = world.connect().await;
    assert_eq!(usage().open, [(client, 2)].into());
    assert!(world.exposed.remove(&web()));
    assert_reset(&mut app).await;
    assert!(exposed.usage().is_empty());
}

#[tokio::test]
async fn a_connection_that_ended_is_no_use_of_a_server_any_more() {
    let mut world = World::new().await;
    let (mut app, mut server) = world.connect().await;
    exchange(&mut app, &mut server).await;
    drop((app, server));
    while !world.exposed.usage()[&web()].open.is_empty() {
        yield_now().await;
    }
    assert_eq!(world.exposed.usage()[&web()].from_peers, 1);
}

#[tokio::test]
async fn a_connection_that_ends_with_the_link_is_told_of_as_cut_and_not_as_refused() {
    let node = || {
        let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
        builder.lan_discovery(false).alpns([ALPN]).bind()
    };
    let (server, client) = tokio::try_join!(node(), node()).unwrap();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exposed = Exposed::default();
    exposed.insert(web(), target.local_addr().unwrap());
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = local.local_addr().unwrap();
    let (failures, mut told) = mpsc::unbounded_channel();
    let forwarder = Forwarder::new(client, server.ticket(), web());
    let mut running = JoinSet::new();
    running.spawn(async move {
        let failed = move |error: &ForwardError| failures.send(error.clone()).unwrap();
        forwarder.run(local, failed).await;
    });
    let mut app = TcpStream::connect(addr).await.unwrap();
    let link = server.accept().await.unwrap();
    let serving = link.clone();
    running.spawn(async move { expose::serve(&serving, &exposed).await });
    let (mut end, _) = target.accept().await.unwrap();
    exchange(&mut app, &mut end).await;
    link.close(0, b"going");
    let error = told.recv().await.unwrap();
    assert!(
        matches!(&error, ForwardError::Cut(loss) if loss.to_string().contains("going")),
        "{error}"
    );
    assert_reset(&mut app).await;
}

#[tokio::test]
async fn a_forward_that_is_paused_holds_what_is_open_and_resets_what_is_new() {
    let node = || {
        let builder = Endpoint::builder().bind_addr("127.0.0.1:0".parse().unwrap());
        builder.lan_discovery(false).alpns([ALPN]).bind()
    };
    let (server, client) = tokio::try_join!(node(), node()).unwrap();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let exposed = Exposed::default();
    exposed.insert(web(), target.local_addr().unwrap());
    let local = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = local.local_addr().unwrap();
    let forwarder = Forwarder::new(client, server.ticket(), web());
    let progress = forwarder.progress().clone();
    let mut running = JoinSet::new();
    running.spawn(async move { forwarder.run(local, |_| ()).await });
    let mut app = TcpStream::connect(addr).await.unwrap();
    let link = server.accept().await.unwrap();
    running.spawn(async move { expose::serve(&link, &exposed).await });
    let (mut end, _) = target.accept().await.unwrap();
    exchange(&mut app, &mut end).await;
    let before = progress.bytes_done();
    assert!(before > 0);

    progress.valve().pause();
    app.write_all(b"held").await.unwrap();
    let mut new = TcpStream::connect(addr).await.unwrap();
    assert_reset(&mut new).await;
    assert_eq!(progress.bytes_done(), before);

    progress.valve().resume();
    let mut came = [0; 4];
    end.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"held");
    exchange(&mut app, &mut end).await;

    progress.valve().cancel();
    assert_reset(&mut app).await;
    assert_reset(&mut end).await;
}

#[tokio::test]
async fn a_limited_server_sends_and_gets_no_more_than_its_rate() {
    let mut world = World::new().await;
    let addr = world.target.as_ref().unwrap().local_addr().unwrap();
    let offer = Offer::new(addr).limited_to("1600kbit".parse().unwrap());
    world.exposed.offer(web(), offer);
    let begun = Instant::now();
    let (mut app, mut server) = world.connect().await;
    // A second's worth each way.
    let sent = vec![7; 200_000];
    let (mut to_app, mut to_server) = (vec![0; 200_000], vec![0; 200_000]);
    let took;
    {
        let (mut app, mut app_writes) = app.split();
        let (mut server, mut server_writes) = server.split();
        let writes = async {
            tokio::try_join!(app_writes.write_all(&sent), server_writes.write_all(&sent)).unwrap();
        };
        let to_app = async {
            app.read_exact(&mut to_app).await.unwrap();
            begun.elapsed()
        };
        let to_server = async {
            server.read_exact(&mut to_server).await.unwrap();
            begun.elapsed()
        };
        let ((), to_app, to_server) = tokio::join!(writes, to_app, to_server);
        took = [to_app, to_server];
    }
    assert!(to_app == sent && to_server == sent);
    let least = Duration::from_millis(900);
    assert!(took.iter().all(|took| *took >= least), "{took:?}");
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
    pair: NodePair,
    exposed: Exposed,
    target: Option<TcpListener>,
    local: TcpListener,
    splices: JoinSet<Result<(), Broken>>,
    next: AtomicU64,
    _serving: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let pair = pair(ALPN).await;
        // Where no other test takes the port of one that is down.
        let target = TcpListener::bind("127.3.2.5:0").await.unwrap();
        let exposed = Exposed::default();
        exposed.insert(web(), target.local_addr().unwrap());
        let mut serving = JoinSet::new();
        let (server, serves) = (pair.server.clone(), exposed.clone());
        serving.spawn(async move { expose::serve(&server, &serves).await });
        Self {
            pair,
            exposed,
            target: Some(target),
            local: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            splices: JoinSet::new(),
            next: AtomicU64::new(100),
            _serving: serving,
        }
    }

    /// A connection through the tunnel: the application's end and the server's.
    async fn connect(&mut self) -> (TcpStream, TcpStream) {
        let app = TcpStream::connect(self.local.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, _) = self.local.accept().await.unwrap();
        let (send, recv) = self.request(Purpose::Connect, web()).await.unwrap();
        self.splices.spawn(splice(tcp.into(), send, recv));
        let (server, _) = self.target.as_ref().unwrap().accept().await.unwrap();
        (app, server)
    }

    async fn request(
        &self,
        kind: Purpose,
        name: ServiceName,
    ) -> Result<(ResetOnDrop, StopOnDrop), ForwardError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let request = Request { kind, name, id };
        let mut first = First::default();
        let begun = begin(&self.pair.client, &request, None, &mut first).await;
        begun.map_err(Into::into)
    }
}

fn connect() -> Request {
    Request {
        kind: Purpose::Connect,
        name: web(),
        id: 1,
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
