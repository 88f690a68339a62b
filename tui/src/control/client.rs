//! Asks the node that runs here, or that of a peer.

mod commons;
mod files;
mod groups;
mod pins;
mod piping;
mod searches;
mod serving;
mod watching;

use std::{error::Error, net::SocketAddr, pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, SERVER},
};
use hyper_util::rt::TokioIo;
use peerway::{
    Endpoint, NodeSnapshot, PairAction, PathInfo, PathPolicy, PeerId, PeerSnapshot, SwarmSnapshot,
    Ticket,
};
use peerway_swarm::share::Hash;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use sse_stream::{Sse, SseStream};
use tokio::time::timeout;

use super::{
    ControlError, Named, Place, RemoteError, Rights, StartOptions, V1,
    remote::Distant,
    shares::{GetAsk, GetStep, ShareAsk},
    streams::{MISSED, SERVICE},
};
use crate::{
    Told,
    kept::KeptLines,
    operations::{Ask, Step},
    shares::ShareLine,
};

/// No answer is longer: that of a node with 4,096 peers, and much more.
const MAX_ANSWER: usize = 64 << 20;
/// A node that runs answers at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// But to whoever has it dial when that has succeeded or failed, which takes [`links::DIAL_PATIENCE`](crate::links) at most.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(50);

pub(crate) use piping::PipeError;
pub(crate) use watching::Seen;

/// A node that answers.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) way: Way,
}

/// How it is asked.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// At its socket.
    Here(Place),
    /// By the node at a socket, for whom the beginning of each path says which node is meant.
    Through { place: Place, start: String },
    /// Over a link of our own.
    Over(Distant),
}

pub(crate) type Telling<T> = Pin<Box<dyn Stream<Item = Result<T, ControlError>> + Send>>;

impl Client {
    /// The node behind this socket; none if it does not run.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`] if there is a socket that does not let us in.
    pub async fn find(place: Place) -> Result<Option<Self>, ControlError> {
        let found = place.connect().await?;
        let way = Way::Here(place);
        Ok(found.map(|_| Self { way }))
    }

    /// The node of a peer, asked through this one that runs here.
    #[must_use]
    pub fn through(&self, peer: &Ticket) -> Self {
        let way = match &self.way {
            Way::Here(place) => Way::Through {
                place: place.clone(),
                start: format!("{V1}/remote/{peer}"),
            },
            // Nobody is asked in the name of a node that is far away.
            further @ (Way::Through { .. } | Way::Over(_)) => further.clone(),
        };
        Self { way }
    }

    /// The node of a peer, asked over a link that is made for it.
    ///
    /// # Errors
    /// [`RemoteError`], but that the peer may refuse, which shows with what is asked first.
    pub async fn over(endpoint: &Endpoint, peer: Ticket) -> Result<Self, RemoteError> {
        let way = Way::Over(Distant::dial(endpoint, peer).await?);
        Ok(Self { way })
    }

    /// Has a link of our own made anew if it was lost: whoever asks over one that was is told why.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub(crate) async fn mend(&self) -> Result<(), RemoteError> {
        match &self.way {
            Way::Here(_) | Way::Through { .. } => Ok(()),
            Way::Over(distant) => distant.mend().await,
        }
    }

    /// The node as it is now.
    ///
    /// # Errors
    /// As [`ControlError`] says; so of all that follows.
    pub async fn status(&self) -> Result<NodeSnapshot, ControlError> {
        self.get("/status").await
    }

    /// A peer of the node's.
    pub async fn peer(&self, peer: PeerId) -> Result<PeerSnapshot, ControlError> {
        self.get(&format!("/peers/{peer}")).await
    }

    /// What the node knows of the groups that it shares with.
    pub async fn swarm(&self) -> Result<SwarmSnapshot, ControlError> {
        self.get("/swarm").await
    }

    /// Has the node dial a peer and keep the link.
    pub async fn connect(&self, ticket: &Ticket) -> Result<(), ControlError> {
        let body = serde_json::json!({ "ticket": ticket }).to_string();
        let dial = self.ask(Method::POST, "/peers", body);
        let answer = timeout(OUTCOME_PATIENCE, dial).await;
        let answer = answer.map_err(|_| ControlError::Silent)??;
        refused(answer).await.map(drop)
    }

    /// Has the node read the address book at once.
    pub async fn reread_book(&self) -> Result<(), ControlError> {
        let answer = self.send(Method::POST, "/book", String::new()).await?;
        refused(answer).await.map(drop)
    }

    /// What the node exposes and forwards whenever it runs; none if it keeps nothing, or is of a version that does not.
    pub(crate) async fn services(&self) -> Result<Option<KeptLines>, ControlError> {
        let answer = self.send(Method::GET, "/services", String::new()).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?).map(Some)
    }

    /// Has the node read at once what it is to keep, and tell what came of it.
    pub(crate) async fn reread_services(&self) -> Result<KeptLines, ControlError> {
        let answer = self.send(Method::POST, "/services", String::new()).await?;
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }

    /// One round trip to a peer, and by which path.
    pub async fn ping(&self, peer: PeerId) -> Result<(Duration, Option<PathInfo>), ControlError> {
        let path = format!("/peers/{peer}/ping");
        let ping = self.ask(Method::POST, &path, String::new());
        let answer = timeout(OUTCOME_PATIENCE, ping).await;
        let (server, body) = refused(answer.map_err(|_| ControlError::Silent)??).await?;
        let Pinged { rtt_ms, path } = read(&server, &collect(body).await?)?;
        let rtt = Duration::try_from_secs_f64(rtt_ms / 1000.0);
        Ok((rtt.unwrap_or(Duration::MAX), path))
    }

    /// Has the node look for a direct path to a peer now.
    pub async fn retry(&self, peer: PeerId) -> Result<(), ControlError> {
        self.post(&format!("/peers/{peer}/retry")).await
    }

    /// Which paths the node uses for a peer.
    pub async fn policy(&self, peer: PeerId) -> Result<PathPolicy, ControlError> {
        let path = format!("/peers/{peer}/policy");
        let Policy { policy } = self.get(&path).await?;
        Ok(policy)
    }

    /// Has the node use only such paths for a peer, as long as it runs.
    pub async fn set_policy(&self, peer: PeerId, policy: PathPolicy) -> Result<(), ControlError> {
        let body = serde_json::json!({ "policy": policy }).to_string();
        let path = format!("/peers/{peer}/policy");
        let answer = self.send(Method::POST, &path, body).await?;
        refused(answer).await.map(drop)
    }

    /// Has the node do something with the peer's pair of this address, over TCP or not, as long as the link lasts.
    pub async fn choose_pair(
        &self,
        peer: PeerId,
        (remote, tcp): (SocketAddr, bool),
        action: PairAction,
    ) -> Result<(), ControlError> {
        let body = serde_json::json!({ "action": action, "remote": remote, "tcp": tcp });
        let path = format!("/peers/{peer}/pairs");
        let answer = self.send(Method::POST, &path, body.to_string()).await?;
        refused(answer).await.map(drop)
    }

    /// Has the node end all connections with a peer.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), ControlError> {
        self.post(&format!("/peers/{peer}/disconnect")).await
    }

    /// Has the node measure its NAT anew.
    pub async fn measure_nat(&self) -> Result<(), ControlError> {
        self.post("/network/measure").await
    }

    /// Has the node ask routers anew for the ports that they forward.
    pub async fn renew_mappings(&self) -> Result<(), ControlError> {
        self.post("/network/mapping").await
    }

    /// Has the node's own relay with this key be its home relay whenever it is up, or with none the nearest.
    pub async fn prefer_home(&self, relay: Option<PeerId>) -> Result<(), ControlError> {
        let body = serde_json::json!({ "relay": relay }).to_string();
        let answer = self.send(Method::POST, "/network/home", body).await?;
        refused(answer).await.map(drop)
    }

    /// How the node was started, if it is of a version that says so.
    pub(crate) async fn version(&self) -> Result<Version, ControlError> {
        self.get("/version").await
    }

    /// Whom the node's address book names.
    pub(crate) async fn book(&self) -> Result<Vec<Named>, ControlError> {
        self.get("/book").await
    }

    /// What the node shares.
    pub(crate) async fn shares(&self) -> Result<Vec<ShareLine>, ControlError> {
        self.get("/shares").await
    }

    /// Has the node share something, which it reads first: that may take its time.
    pub(crate) async fn share(&self, ask: &ShareAsk) -> Result<ShareLine, ControlError> {
        let answer = self.ask(Method::POST, "/shares", to_json(ask)?).await?;
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }

    /// Has the node share something no more.
    pub(crate) async fn stop_sharing(&self, hash: Hash) -> Result<(), ControlError> {
        let path = format!("/shares/{hash}");
        let answer = self.send(Method::DELETE, &path, String::new()).await?;
        refused(answer).await.map(drop)
    }

    /// Has the node fetch something, which ends when nobody listens to the steps any more.
    pub(crate) async fn fetch(&self, ask: &GetAsk) -> Result<Telling<GetStep>, ControlError> {
        let answer = self.send(Method::POST, "/get", to_json(ask)?).await?;
        Ok(self.each(refused(answer).await?))
    }

    /// Has the node measure something, which ends when nobody listens to the steps any more.
    pub(crate) async fn operate(&self, ask: &Ask) -> Result<Telling<Step>, ControlError> {
        let (path, body) = match ask {
            Ask::Ping(ping) => ("/ping", to_json(ping)?),
            Ask::Why(why) => ("/why", to_json(why)?),
            Ask::Speed(speed) => ("/speed", to_json(speed)?),
            Ask::Netcheck => ("/netcheck", String::new()),
            Ask::Services(services) => ("/services/of", to_json(services)?),
        };
        let answer = self.send(Method::POST, path, body).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            let server = server(&answer);
            return Err(ControlError::Older { server });
        }
        Ok(self.each(refused(answer).await?))
    }

    /// Has the node end.
    pub async fn down(&self) -> Result<(), ControlError> {
        self.post("/down").await
    }

    async fn post(&self, path: &str) -> Result<(), ControlError> {
        let answer = self.send(Method::POST, path, String::new()).await?;
        refused(answer).await.map(drop)
    }

    /// So many of what happened on the node last, 500 at most, and what happens from now on. An older node
    /// tells the latter alone.
    pub async fn events(&self, last: usize) -> Result<Telling<Told>, ControlError> {
        let (server, body) = self.listen(&format!("/events?last={last}")).await?;
        Ok(self.told(body, move |sent| {
            sent.data.map(|data| match sent.event.as_deref() {
                Some(MISSED) => {
                    read(&server, data.as_bytes()).map(|missed: Missed| Told::Missed(missed.count))
                }
                Some(SERVICE) => read(&server, data.as_bytes()).map(Told::Service),
                _ => read(&server, data.as_bytes()).map(Told::Event),
            })
        }))
    }

    /// What each of the server-sent events holds.
    fn each<T: DeserializeOwned + Send + 'static>(
        &self,
        (server, body): (String, Incoming),
    ) -> Telling<T> {
        self.told(body, move |sent| {
            sent.data.map(|data| read(&server, data.as_bytes()))
        })
    }

    fn told<T: Send + 'static>(
        &self,
        body: Incoming,
        read: impl Fn(Sse) -> Option<Result<T, ControlError>> + Send + 'static,
    ) -> Telling<T> {
        let client = self.clone();
        let told = SseStream::new(body).filter_map(move |sent| {
            let told = match sent {
                Ok(sent) => Ok(read(sent)),
                Err(error) => Err((client.clone(), error.to_string())),
            };
            async {
                match told {
                    Ok(told) => told,
                    Err((client, error)) => Some(Err(client.why_broken(error).await)),
                }
            }
        });
        Box::pin(told)
    }

    /// Why an answer breaks off. The node of a peer that does not let us ask any more says so to who asks again.
    async fn why_broken(&self, error: String) -> ControlError {
        match &self.way {
            Way::Here(_) => ControlError::Stream(error),
            Way::Through { .. } | Way::Over(_) => {
                let again = self.get::<IgnoredAny>("/version").await;
                again.err().unwrap_or(ControlError::Stream(error))
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let answer = self.send(Method::GET, path, String::new()).await?;
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }

    async fn listen(&self, path: &str) -> Result<(String, Incoming), ControlError> {
        let answer = self.send(Method::GET, path, String::new()).await?;
        refused(answer).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>, ControlError> {
        let patience = match self.way {
            Way::Here(_) => PATIENCE,
            Way::Through { .. } | Way::Over(_) => OUTCOME_PATIENCE,
        };
        let answer = timeout(patience, self.ask(method, path, body)).await;
        answer.map_err(|_| ControlError::Silent)?
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>, ControlError> {
        let start = match &self.way {
            Way::Here(_) | Way::Over(_) => "",
            Way::Through { start, .. } => start,
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{start}{V1}{path}"))
            .header(HOST, "peerway")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| ControlError::Refused(error.to_string()))?;
        match &self.way {
            Way::Here(place) | Way::Through { place, .. } => at(place, request).await,
            Way::Over(distant) => Ok(distant.ask(request).await?),
        }
    }
}

async fn at<B>(place: &Place, request: Request<B>) -> Result<Response<Incoming>, ControlError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let ended = || ControlError::Unreachable {
        path: place.socket().to_owned(),
        source: std::io::ErrorKind::ConnectionRefused.into(),
    };
    let stream = place.connect().await?.ok_or_else(ended)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    drive(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// Drives a connection until its answer has been read.
#[expect(clippy::disallowed_methods, reason = "the shell")]
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    tokio::spawn(async {
        // Whoever reads the answer is told the same.
        let _ = connection.await;
    });
}

fn to_json(ask: &impl Serialize) -> Result<String, ControlError> {
    serde_json::to_string(ask).map_err(|error| ControlError::Refused(error.to_string()))
}

/// Of which version whoever answers is.
fn server(answer: &Response<Incoming>) -> String {
    let server = answer.headers().get(SERVER);
    let server = server.and_then(|server| server.to_str().ok());
    server
        .unwrap_or("of a version that does not say which")
        .to_owned()
}

/// Who answers and what, unless it is why not.
async fn refused(answer: Response<Incoming>) -> Result<(String, Incoming), ControlError> {
    let server = server(&answer);
    let status = answer.status();
    if status.is_success() {
        return Ok((server, answer.into_body()));
    }
    let text = collect(answer.into_body()).await?;
    let reason = serde_json::from_slice(&text).map(|Refused { error }| error);
    Err(match reason {
        // It has not what we ask for, and says so in words that are not ours.
        Err(source) if status == StatusCode::NOT_FOUND => ControlError::Foreign { server, source },
        Err(_) => ControlError::Refused(format!("{server} refuses it with {status}")),
        Ok(error) if status == StatusCode::NOT_FOUND => ControlError::Unknown(error),
        Ok(error) if status == StatusCode::FORBIDDEN => ControlError::Forbidden(error),
        Ok(error) if status == StatusCode::TOO_MANY_REQUESTS => ControlError::Busy(error),
        // Of the node's own disk.
        Ok(error) if status == StatusCode::INTERNAL_SERVER_ERROR => ControlError::Refused(error),
        Ok(error) if status.is_server_error() => ControlError::Unreached(error),
        Ok(error) => ControlError::Refused(error),
    })
}

async fn collect(body: Incoming) -> Result<Bytes, ControlError> {
    let collected = Limited::new(body, MAX_ANSWER).collect().await;
    let collected = collected.map_err(|error| ControlError::Stream(error.to_string()))?;
    Ok(collected.to_bytes())
}

fn read<T: DeserializeOwned>(server: &str, text: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(text).map_err(|source| ControlError::Foreign {
        server: server.to_owned(),
        source,
    })
}

/// What a node says of itself.
#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) version: String,
    /// None if it is of a version that does not say.
    pub(crate) options: Option<StartOptions>,
    /// The same.
    pub(crate) rights: Option<Rights>,
}

#[derive(Deserialize)]
struct Pinged {
    rtt_ms: f64,
    path: Option<PathInfo>,
}

#[derive(Deserialize)]
struct Policy {
    policy: PathPolicy,
}

#[derive(Deserialize)]
struct Missed {
    count: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}
