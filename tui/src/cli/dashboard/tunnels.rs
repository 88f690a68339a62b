//! Services of peers that a port of this computer leads to, for as long as the dashboard is open.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{PeerId, Ticket, services::tunnel::ServiceName};
use tokio::{sync::mpsc, time::Instant};

use super::requests::{Host, said, ticket_of};
#[cfg(unix)]
use crate::{forwarding::ForwardAsk, written::Written};
use crate::{
    forwarding::{self, Bound, Forward},
    kept::Local,
    operations::{self, Ask, Services},
};

type Steps<T> = BoxStream<'static, Result<T, String>>;

impl Host<'_> {
    /// What a peer exposes to this node.
    pub(super) async fn services(self, peer: PeerId) -> Result<Vec<String>, String> {
        let ticket = self.ticket(peer);
        let ask = Ask::Services(Services { ticket });
        let mut steps: Steps<operations::Step> = match self {
            Self::Own { links, .. } => {
                let steps = ask.begin(links.endpoint().clone(), Instant::now());
                steps.map(Ok).boxed()
            }
            #[cfg(unix)]
            Self::Running { node, .. } => {
                let steps = node.operate(&ask).await.map_err(said)?;
                steps.map(|step| step.map_err(said)).boxed()
            }
            #[cfg(unix)]
            Self::Peer { .. } => return Err(AFAR.to_owned()),
        };
        while let Some(step) = steps.next().await {
            let step = step?;
            if let operations::Step::Failed(failed) = step {
                return Err(failed.to_string());
            }
            if let operations::Step::Services { services } = step {
                return Ok(services.into_iter().map(|line| line.service).collect());
            }
        }
        Err("the node has ended".to_owned())
    }

    /// Leads a free port of this computer to a service, says which, and last why it does so no more.
    pub(super) async fn tunnel(
        self,
        peer: PeerId,
        service: &str,
        replies: &mpsc::Sender<Result<String, String>>,
    ) -> Result<(), String> {
        let mut steps = self.forward(peer, service).await?;
        while let Some(step) = steps.next().await {
            match step? {
                forwarding::Step::Listening { addr } => {
                    // Nobody waits for it once the dashboard is left.
                    let _ = replies.send(Ok(addr)).await;
                }
                forwarding::Step::Failed(failed) => return Err(failed.to_string()),
                forwarding::Step::Hint { .. }
                | forwarding::Step::Reached
                | forwarding::Step::Waiting(_)
                | forwarding::Step::Way { .. }
                | forwarding::Step::Refused { .. }
                | forwarding::Step::Cut { .. }
                | forwarding::Step::Datagrams(_) => {}
            }
        }
        Err("the node has ended".to_owned())
    }

    async fn forward(self, peer: PeerId, service: &str) -> Result<Steps<forwarding::Step>, String> {
        let ticket = self.ticket(peer);
        let name: ServiceName = service.parse().map_err(said)?;
        // Any that is free.
        let listen = Local::Addr(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        match self {
            Self::Own { links, running, .. } => {
                let (bound, addr) = Bound::open(&listen).await.map_err(said)?;
                let forward = Forward::new(links.clone(), ticket, name);
                let steps = match running {
                    Some(running) => forward.begin_shown(running, bound, addr, false),
                    None => forward.begin(bound, addr, false),
                };
                // The forward lives as long as its steps.
                let begin = (steps, forward);
                let steps = stream::unfold(begin, async |(mut steps, forward)| {
                    Some((Ok(steps.next().await?), (steps, forward)))
                });
                Ok(steps.boxed())
            }
            #[cfg(unix)]
            Self::Running { node, .. } => {
                let ask = ForwardAsk {
                    ticket,
                    service: Written(name),
                    listen: Written(listen),
                    fail_fast: false,
                };
                let steps = node.forward(&ask).await.map_err(said)?;
                Ok(steps.map(|step| step.map_err(said)).boxed())
            }
            #[cfg(unix)]
            Self::Peer { .. } => Err(AFAR.to_owned()),
        }
    }

    fn ticket(self, peer: PeerId) -> Ticket {
        let peers = self.peers();
        peers.map_or_else(|| peer.into(), |peers| ticket_of(peers, peer))
    }
}

/// Whose port it would be nobody here could use.
#[cfg(unix)]
const AFAR: &str = "a port of that computer is of no use here: open it in the dashboard of the node that runs on this one";

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use peerway::{
        Endpoint, Router,
        services::{
            ping,
            tunnel::{self, Exposed},
        },
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;
    use crate::{
        links::Links,
        transfers::{Order, Running},
    };

    /// Far longer than anything takes.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn endpoint() -> Endpoint {
        let builder = Endpoint::builder()
            .bind_addr((Ipv4Addr::LOCALHOST, 0).into())
            .alpns([ping::ALPN])
            .port_mapping(false)
            .lan_discovery(false);
        builder.bind().await.unwrap()
    }

    #[tokio::test]
    async fn a_port_leads_to_a_service_of_the_peer_for_as_long_as_somebody_wants_it() {
        let (a, b) = (endpoint().await, endpoint().await);
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let exposed = Exposed::default();
        exposed.insert("web".parse().unwrap(), server.local_addr().unwrap());
        let router = Router::new(b.clone()).accept(ping::ALPN, ping::serve);
        let router = router.accept(tunnel::ALPN, move |connection| {
            exposed.clone().serve(connection)
        });
        let (links, running) = (Links::new(a.clone()), Running::default());
        let host = Host::Own {
            links: &links,
            peers: None,
            groups: None,
            running: Some(&running),
        };
        let body = async {
            links.connect(b.ticket()).await.unwrap();
            assert_eq!(host.services(b.id()).await.unwrap(), ["web"]);
            let (replies, mut answers) = mpsc::channel::<Result<String, String>>(4);
            let using = async {
                let addr = answers.recv().await.unwrap().unwrap();
                let mut client = TcpStream::connect(&addr).await.unwrap();
                client.write_all(b"hello").await.unwrap();
                let (mut served, _) = server.accept().await.unwrap();
                let mut heard = [0; 5];
                served.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"hello");
                served.write_all(b"yes").await.unwrap();
                let mut answer = [0; 3];
                client.read_exact(&mut answer).await.unwrap();
                let [shown] = &running.all()[..] else {
                    panic!("a forward is shown");
                };
                assert_eq!((shown.word(), shown.moved.bytes_done), ("forwarding", 8));

                running.order(shown.id, Order::Pause).unwrap();
                client.write_all(b"again").await.unwrap();
                let mut new = TcpStream::connect(&addr).await.unwrap();
                assert!(new.read(&mut heard).await.is_err(), "it is reset");
                assert_eq!(running.all()[0].moved.bytes_done, 8);
                running.order(shown.id, Order::Resume).unwrap();
                served.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"again");
                addr
            };
            let addr = tokio::select! {
                ended = host.tunnel(b.id(), "web", &replies) => panic!("{ended:?}"),
                addr = using => addr,
            };
            let addr: SocketAddr = addr.parse().unwrap();
            while TcpListener::bind(addr).await.is_err() {
                tokio::task::yield_now().await;
            }
            assert!(running.all().is_empty());
        };
        let body = timeout(PATIENCE, body);
        tokio::select! {
            () = router.run() => panic!("the node ended"),
            done = body => done.unwrap(),
        }
    }
}
