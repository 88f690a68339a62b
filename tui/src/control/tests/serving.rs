//! A node that forwards and exposes for who asks it, and for no longer.

use std::net::SocketAddr;

use peerway::services::tunnel::{self, Exposed, ForwardError, Forwarder};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{
    control::Telling,
    forwarding::{ForwardAsk, Step},
    kept::Exposure,
    operations::FailureKind,
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
