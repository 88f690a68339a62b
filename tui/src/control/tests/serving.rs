//! A node that forwards and exposes for who asks it, and for no longer.

use std::net::SocketAddr;

use peerway::services::tunnel::{self, Exposed, ForwardError, Forwarder};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{
    control::{PipeStep, Telling},
    forwarding::{ForwardAsk, Step},
    kept::Exposure,
    operations::FailureKind,
    proxying::{self, ProxyAsk},
    servers::{self, ExposeAsk, Server},
    written::Written,
};

/// A node that leads peers to what is exposed there, and answers them.
struct Exposing {
    node: Node,
    serving: JoinHandle<()>,
}

impl Exposing {
    async fn start() -> Self {
        let node = Node::start().await;
        let exposed: Exposed = node.servers.exposed().clone();
        let router = Router::new(node.endpoint.clone());
        let router = router.accept(tunnel::ALPN, move |connection| {
            exposed.clone().serve(connection)
        });
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let serving = tokio::spawn(router.run());
        Self { node, serving }
    }

    async fn expose(&self, target: &str) -> Result<Telling<servers::Step>, ControlError> {
        let exposure = Exposure {
            target: target.parse().unwrap(),
            allow: Vec::new(),
            limit: None,
        };
        let ask = ExposeAsk {
            servers: vec![Server::new("web".parse().unwrap(), exposure)],
        };
        self.node.client().await.expose(&ask).await
    }
}

impl Drop for Exposing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Some bytes and what comes back of them, by a pipe of this node.
async fn piped(node: &Node, to: &Exposing, said: &[u8]) -> (Vec<u8>, PipeStep) {
    let (to, name) = (to.node.endpoint.ticket(), "web".parse().unwrap());
    let pipe = node.client().await.pipe(&to, &name).await.unwrap();
    let mut heard = Vec::new();
    let mut steps = Vec::new();
    let running = pipe.run(said, &mut heard, |step| steps.push(step.clone()));
    let last = timeout(PATIENCE, running).await.unwrap().unwrap();
    let reached = matches!(last, PipeStep::Done);
    assert_eq!(steps.contains(&PipeStep::Reached), reached, "{steps:?}");
    (heard, last)
}

/// A server that says back what it hears, and where it is.
async fn echo() -> (String, JoinHandle<()>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    (addr, serving)
}

fn ask(to: &Exposing) -> ForwardAsk {
    ForwardAsk {
        ticket: to.node.endpoint.ticket(),
        service: Written("web".parse().unwrap()),
        listen: Written("127.0.0.1:0".parse().unwrap()),
        fail_fast: false,
    }
}

async fn next<T>(steps: &mut Telling<T>) -> T {
    let step = timeout(PATIENCE, steps.next()).await.unwrap();
    step.unwrap().unwrap()
}

/// Asks again and again until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn what_is_forwarded_and_exposed_for_a_command_is_there_until_it_ends() {
    let (a, b) = (Node::start().await, Exposing::start().await);
    let (target, server) = echo().await;
    let mut exposing = b.expose(&target).await.unwrap();
    let names = vec!["web".to_owned()];
    assert_eq!(next(&mut exposing).await, servers::Step::Exposed { names });
    let Err(ControlError::Refused(taken)) = b.expose(&target).await.map(drop) else {
        panic!("one name for two servers");
    };
    assert!(taken.contains("choose another name"), "{taken}");

    let mut forwarding = a.client().await.forward(&ask(&b)).await.unwrap();
    let Step::Listening { addr } = next(&mut forwarding).await else {
        panic!("not listening");
    };
    let mut stream = TcpStream::connect(&addr).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    let read = timeout(PATIENCE, stream.read_exact(&mut heard)).await;
    read.unwrap().unwrap();
    assert_eq!(&heard, b"hello");

    let told = b.node.client().await.commons().await.unwrap().servers;
    let [web] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&web.name[..], &web.target, web.kept),
        ("web", &target, false)
    );
    assert_eq!((web.received, web.sent), (5, 5));
    let clients = web.clients.iter().map(|it| (it.id, it.open));
    assert_eq!(clients.collect::<Vec<_>>(), [(a.endpoint.id(), 1)]);

    drop(forwarding);
    let ended = timeout(PATIENCE, stream.read(&mut heard)).await.unwrap();
    assert!(
        matches!(ended, Ok(0) | Err(_)),
        "the connection goes with it"
    );
    let addr: SocketAddr = addr.parse().unwrap();
    until(async || TcpListener::bind(addr).await.is_ok()).await;

    drop(exposing);
    let forwarder = Forwarder::new(
        a.endpoint.clone(),
        b.node.endpoint.ticket(),
        "web".parse().unwrap(),
    );
    until(async || {
        let found = forwarder.check().await;
        matches!(found, Err(ForwardError::UnknownService { .. }))
    })
    .await;
    let mut anew = b.expose(&target).await.unwrap();
    next(&mut anew).await;
    assert!(forwarder.check().await.is_ok());
    server.abort();
}

#[tokio::test]
async fn a_pipe_carries_both_directions_to_their_ends_and_says_why_if_it_does_not() {
    let (a, b) = (Node::start().await, Exposing::start().await);
    let (nothing, why) = piped(&a, &b, b"hello").await;
    assert_eq!(nothing, b"");
    let PipeStep::Failed(failed) = why else {
        panic!("{why:?}");
    };
    assert_eq!(failed.kind, FailureKind::Failed);
    assert!(failed.error.contains("exposes nothing"), "{}", failed.error);

    let (target, server) = echo().await;
    let mut exposing = b.expose(&target).await.unwrap();
    next(&mut exposing).await;
    // More than all buffers on the way hold.
    let said: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (heard, last) = piped(&a, &b, &said).await;
    assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
    assert_eq!(last, PipeStep::Done);
    server.abort();
}

#[tokio::test]
async fn a_server_hears_that_a_program_left_its_pipe_without_having_ended_it() {
    let (a, b) = (Node::start().await, Exposing::start().await);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap().to_string();
    let mut exposing = b.expose(&target).await.unwrap();
    next(&mut exposing).await;
    let name = "web".parse().unwrap();
    let (client, ticket) = (a.client().await, b.node.endpoint.ticket());
    let pipe = client.pipe(&ticket, &name).await.unwrap();
    let (reader, mut writer) = tokio::io::duplex(64);
    let stdout = tokio::io::sink();
    let mut running = Box::pin(pipe.run(reader, stdout, |_| {}));
    let mut served = tokio::select! {
        served = server.accept() => served.unwrap().0,
        ended = &mut running => panic!("{ended:?}"),
    };
    writer.write_all(b"half").await.unwrap();
    let mut heard = [0; 4];
    tokio::select! {
        read = served.read_exact(&mut heard) => drop(read.unwrap()),
        ended = &mut running => panic!("{ended:?}"),
    }
    drop(running);
    let end = timeout(PATIENCE, served.read(&mut heard)).await.unwrap();
    assert!(end.is_err(), "it was broken off, and did not end: {end:?}");
}

#[tokio::test]
async fn a_proxy_leads_to_services_of_the_address_book_for_as_long_as_its_command_runs() {
    let b = Exposing::start().await;
    let (target, server) = echo().await;
    let mut exposing = b.expose(&target).await.unwrap();
    next(&mut exposing).await;
    let mut draft = Draft::of("").unwrap();
    let ticket = b.node.endpoint.ticket();
    draft.add(&"nas".parse().unwrap(), &ticket, None).unwrap();
    let (_books, book) = watch::channel(Arc::new(draft.book().clone()));
    let a = Node::with(book).await;
    let client = a.client().await;

    let listen = "127.0.0.1:0".parse().unwrap();
    let mut proxying = client.proxy(&ProxyAsk { listen }).await.unwrap();
    let proxying::Step::Listening { addr } = next(&mut proxying).await else {
        panic!("not listening");
    };
    let mut program = TcpStream::connect(addr).await.unwrap();
    let ask = b"CONNECT web.nas.peer:80 HTTP/1.1\r\nHost: web.nas.peer\r\n\r\nhello";
    program.write_all(ask).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        let read = timeout(PATIENCE, program.read_buf(&mut heard)).await;
        assert!(read.unwrap().unwrap() > 0, "{heard:?}");
    }
    let mut other = TcpStream::connect(addr).await.unwrap();
    other
        .write_all(b"CONNECT example.org:80 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let refused = next(&mut proxying).await;
    assert!(matches!(refused, proxying::Step::Refused { name, .. } if name == "example.org"));

    let open = "0.0.0.0:0".parse().unwrap();
    let refused = client.proxy(&ProxyAsk { listen: open }).await.map(drop);
    assert!(
        matches!(refused, Err(ControlError::Refused(_))),
        "{refused:?}"
    );
    drop(proxying);
    until(async || TcpListener::bind(addr).await.is_ok()).await;
    server.abort();
}

#[tokio::test]
async fn who_is_blocked_is_forwarded_to_no_more() {
    let b = Exposing::start().await;
    let (books, book) = watch::channel(Arc::default());
    let a = Node::with(book).await;
    let client = a.client().await;
    let mut forwarding = client.forward(&ask(&b)).await.unwrap();
    let first = next(&mut forwarding).await;
    assert!(matches!(first, Step::Listening { .. }), "{first:?}");
    let mut draft = Draft::of("").unwrap();
    let ticket = b.node.endpoint.ticket();
    draft.trust(&ticket, Trust::Block).unwrap();
    books.send_replace(Arc::new(draft.book().clone()));
    let last = loop {
        if let Step::Failed(failed) = next(&mut forwarding).await {
            break failed;
        }
    };
    assert_eq!(last.kind, FailureKind::Failed);
    assert!(last.error.contains("blocked"), "{}", last.error);
    let refused = client.forward(&ask(&b)).await.map(drop);
    assert!(
        matches!(refused, Err(ControlError::Forbidden(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_before_anybody_is_dialled() {
    let (a, b) = (Node::start().await, Exposing::start().await);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ask = ask(&b);
    ask.listen = Written(taken.local_addr().unwrap().to_string().parse().unwrap());
    let refused = a.client().await.forward(&ask).await.map(drop);
    let Err(ControlError::Refused(reason)) = refused else {
        panic!("two at one address");
    };
    assert!(reason.contains("cannot listen on"), "{reason}");
}
