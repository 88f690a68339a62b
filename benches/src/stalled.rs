//! Streams that nobody reads, and what all others of the connection notice of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use peerway::{PeerState, RelayUrl};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    Failure,
    dials::{peerway_dials, quinn_dials},
};

const STALLED: [usize; 4] = [0, 8, 100, 4000];
/// What a stream is opened for, as its first byte says.
const ECHO: u8 = 0;
const LEAVE_UNREAD: u8 = 1;
const REQUESTS: usize = 11;
/// An answer that takes longer counts as none.
const PATIENCE: Duration = Duration::from_millis(500);
/// Without a byte for so long, the writers count as stopped.
const QUIET: Duration = Duration::from_secs(1);

/// Prints a line for each number of stalled streams and each kind.
pub(crate) async fn run(relay: &RelayUrl) -> Result<(), Failure> {
    println!("stalled            old stream   new stream     datagram       held");
    for stalled in STALLED {
        measure("quinn", stalled, quinn().await?).await?;
        measure("peerway", stalled, peerway(relay).await?).await?;
    }
    Ok(())
}

async fn measure(kind: &str, stalled: usize, (near, far): (Link, Link)) -> Result<(), Failure> {
    let _serving = serve(&far.connection);
    let mut old = near.connection.open(ECHO).await?;
    exchange(&mut old).await?;
    let held = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..stalled {
        writers.spawn(write(near.connection.clone(), held.clone()));
    }
    let mut before = None;
    while before != Some(held.load(Ordering::Relaxed)) {
        before = Some(held.load(Ordering::Relaxed));
        sleep(QUIET).await;
    }

    let mut took = [const { Vec::new() }; 3];
    for _ in 0..REQUESTS {
        took[0].push(timed(exchange(&mut old)).await);
        took[1].push(timed(ask_anew(&near.connection)).await);
        took[2].push(timed(near.connection.ping()).await);
    }
    let [old, new, datagram] = took.map(median);
    let kibibytes = held.load(Ordering::Relaxed) >> 10;
    println!("{stalled:5} {kind:>10} {old} {new} {datagram} {kibibytes:6} KiB");
    near.connection.close();
    Ok(())
}

async fn timed(request: impl Future<Output = Result<(), Failure>>) -> Duration {
    let began = Instant::now();
    match timeout(PATIENCE, request).await {
        Ok(Ok(())) => began.elapsed(),
        Ok(Err(_)) | Err(_) => PATIENCE,
    }
}

fn median(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    match took.get(took.len() / 2) {
        Some(&median) if median < PATIENCE => format!("{:9.2} ms", median.as_secs_f64() * 1e3),
        _ => "no answer".to_owned() + "   ",
    }
}

async fn write(connection: Connection, held: Arc<AtomicU64>) -> Result<(), Failure> {
    let (mut sender, _receiver) = connection.open(LEAVE_UNREAD).await?;
    loop {
        let written = sender.write(&[0; 4096]).await?;
        held.fetch_add(written as u64, Ordering::Relaxed);
    }
}

async fn ask_anew(connection: &Connection) -> Result<(), Failure> {
    exchange(&mut connection.open(ECHO).await?).await
}

async fn exchange((sender, receiver): &mut (Sender, Receiver)) -> Result<(), Failure> {
    let mut bytes = [7; 100];
    sender.write_all(&bytes).await?;
    receiver.read_exact(&mut bytes).await?;
    Ok(())
}

/// Answers each stream as its first byte asks, and every datagram.
fn serve(connection: &Connection) -> JoinSet<()> {
    let mut serving = JoinSet::new();
    let streams = connection.clone();
    serving.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut sender, mut receiver)) = streams.accept().await {
            open.spawn(async move {
                if receiver.read_u8().await.is_ok_and(|kind| kind == ECHO) {
                    tokio::io::copy(&mut receiver, &mut sender).await.ok();
                } else {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    let datagrams = connection.clone();
    serving.spawn(async move { while datagrams.pong().await.is_ok() {} });
    serving
}

/// One end of a connection, with what keeps it alive.
struct Link {
    connection: Connection,
    _endpoint: Endpoint,
}

enum Endpoint {
    Quinn { _quinn: quinn::Endpoint },
    Peerway { _peerway: peerway::Endpoint },
}

type Sender = Box<dyn AsyncWrite + Send + Unpin>;
type Receiver = Box<dyn AsyncRead + Send + Unpin>;

#[derive(Clone)]
enum Connection {
    Quinn(quinn::Connection),
    Peerway(peerway::Connection),
}

impl Connection {
    async fn open(&self, kind: u8) -> Result<(Sender, Receiver), Failure> {
        let (mut sender, receiver): (Sender, Receiver) = match self {
            Self::Quinn(connection) => {
                let (sender, receiver) = connection.open_bi().await?;
                (Box::new(sender), Box::new(receiver))
            }
            Self::Peerway(connection) => {
                let (sender, receiver) = connection.open_bi().await?;
                (Box::new(sender), Box::new(receiver))
            }
        };
        sender.write_u8(kind).await?;
        Ok((sender, receiver))
    }

    async fn accept(&self) -> Result<(Sender, Receiver), Failure> {
        Ok(match self {
            Self::Quinn(connection) => {
                let (sender, receiver) = connection.accept_bi().await?;
                (Box::new(sender), Box::new(receiver))
            }
            Self::Peerway(connection) => {
                let (sender, receiver) = connection.accept_bi().await?;
                (Box::new(sender), Box::new(receiver))
            }
        })
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.send(Bytes::from_static(b"ping"))?;
        self.receive().await?;
        Ok(())
    }

    async fn pong(&self) -> Result<(), Failure> {
        self.send(self.receive().await?)
    }

    fn send(&self, datagram: Bytes) -> Result<(), Failure> {
        match self {
            Self::Quinn(connection) => connection.send_datagram(datagram)?,
            Self::Peerway(connection) => connection.send_datagram(datagram)?,
        }
        Ok(())
    }

    async fn receive(&self) -> Result<Bytes, Failure> {
        Ok(match self {
            Self::Quinn(connection) => connection.read_datagram().await?,
            Self::Peerway(connection) => connection.read_datagram().await?,
        })
    }

    fn close(&self) {
        match self {
            Self::Quinn(connection) => connection.close(0_u32.into(), b""),
            Self::Peerway(connection) => connection.close(0, b""),
        }
    }
}

async fn quinn() -> Result<(Link, Link), Failure> {
    let (server, id) = quinn_dials::listen()?;
    let (client, config) = quinn_dials::client()?;
    let addr = server.local_addr()?;
    let accepting = async {
        let incoming = server.accept().await.ok_or("the endpoint was closed")?;
        Ok::<_, Failure>(incoming.await?)
    };
    let dialling = quinn_dials::dial(&client, config, addr, id);
    let (near, far) = tokio::try_join!(dialling, accepting)?;
    far.set_max_concurrent_bi_streams(4096_u32.into());
    let link = |connection, quinn| Link {
        connection: Connection::Quinn(connection),
        _endpoint: Endpoint::Quinn { _quinn: quinn },
    };
    Ok((link(near, client), link(far, server)))
}

async fn peerway(relay: &RelayUrl) -> Result<(Link, Link), Failure> {
    let server = peerway_dials::node(Some(relay)).await?;
    let client = peerway_dials::client(0, Some(relay)).await?;
    let accepting = async {
        server
            .accept()
            .await
            .ok_or_else(|| "the node was closed".into())
    };
    let dialling = peerway_dials::dial(&client, server.ticket());
    let (near, far) = tokio::try_join!(dialling, accepting)?;
    let mut path = near.watch_status();
    path.wait_for(|link| link.state == PeerState::Direct)
        .await?;
    let link = |connection, peerway| Link {
        connection: Connection::Peerway(connection),
        _endpoint: Endpoint::Peerway { _peerway: peerway },
    };
    Ok((link(near, client), link(far, server)))
}
