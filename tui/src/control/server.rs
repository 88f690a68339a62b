//! Answers, for as long as the node runs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    middleware::{from_fn, map_response},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use peerway::{
    NodeSnapshot, PairAction, PathInfo, PathPolicy, PeerId, PeerSnapshot, RelaySnapshot,
    SwarmSnapshot, Ticket, services::speed::MAX_DURATION,
};
use peerway_swarm::groups::Groups;
use peerway_swarm::{search::Search, share::Sharing};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    Host, Named, Rights, StartOptions, V1, blob,
    changes::Grain,
    commons,
    door::{Caller, Door},
    files,
    groups::{self, last},
    metrics,
    operating::{self, Room},
    pairing,
    pass_on::{Remotes, pass_on},
    past::Past,
    path::Path,
    pins, pipe,
    place::Socket,
    refusal::{Refusal, here},
    searches, serving, shares, streams, visits,
};
#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::linking::Linker;
use crate::{
    all_told,
    book::{Admin, Book},
    gateway::{Gateway, site::Sites},
    kept::{KeptLines, Services},
    links::{DIAL_PATIENCE, LinkError, Links},
    operations::{self, Ask, Ping, Speed, Why},
    pairing::Party,
    servers::Servers,
    transfers::Desk,
};

/// Longest body of a request.
const MAX_BODY: usize = 64 << 10;
/// How long those who are connected have to read that the node ends.
const GOODBYE: Duration = Duration::from_secs(1);
/// Who answers.
const SERVER: &str = concat!("peerway/", env!("CARGO_PKG_VERSION"));

/// What answers for a node; clones share it.
#[derive(Clone, Debug)]
pub struct Control {
    host: Host,
    room: Room,
    sends: Room,
    servings: Room,
    pairings: Arc<Semaphore>,
    remotes: Remotes,
    gateway: Gateway,
    sites: Sites,
    past: Past,
    ended: watch::Sender<bool>,
}

impl Control {
    /// For this node, of whose events it keeps the last ones from now on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(host: Host) -> Self {
        let events = host.links.endpoint().events();
        Self {
            past: Past::keep(all_told(events, host.services.as_ref())),
            gateway: Gateway::new(host.sharing.clone()),
            sites: Sites::default(),
            host,
            room: Room::default(),
            sends: Room::default(),
            servings: Room::default(),
            pairings: Arc::new(Semaphore::new(pairing::AT_ONCE)),
            remotes: Remotes::default(),
            ended: watch::Sender::new(false),
        }
    }

    /// Answers whoever may ask at the socket, until one of them has the node end.
    pub async fn serve(&self, socket: Socket) {
        let (mut end, mut last) = (self.ended.subscribe(), self.ended.subscribe());
        let asked = async move {
            // The sender is kept by the router.
            let _ = end.wait_for(|ended| *ended).await;
        };
        let service = self.router();
        let service = service.into_make_service_with_connect_info::<Caller>();
        let serving = axum::serve(Door::new(socket), service).with_graceful_shutdown(asked);
        let over = async {
            let _ = last.wait_for(|ended| *ended).await;
            sleep(GOODBYE).await;
        };
        tokio::select! {
            _ = serving => {}
            () = over => {}
        }
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.host.sharing
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub(super) fn sites(&self) -> &Sites {
        &self.sites
    }

    pub(super) fn search(&self) -> &Search {
        &self.host.search
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.host.desk
    }

    pub(super) fn party(&self) -> &Party {
        &self.host.party
    }

    /// Room for those who pair.
    pub(super) fn pairings(&self) -> &Arc<Semaphore> {
        &self.pairings
    }

    /// Who has files sent.
    pub(super) fn sends(&self) -> &Room {
        &self.sends
    }

    /// Who has something served.
    pub(super) fn servings(&self) -> &Room {
        &self.servings
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.host.servers
    }

    #[cfg(all(feature = "subnet", target_os = "linux"))]
    pub(super) fn linker(&self) -> &Linker {
        &self.host.linker
    }

    pub(super) fn links(&self) -> &Links {
        &self.host.links
    }

    pub(super) fn remotes(&self) -> &Remotes {
        &self.remotes
    }

    pub(super) fn book(&self) -> watch::Receiver<Arc<Book>> {
        self.host.links.book()
    }

    pub(super) fn groups_of_host(&self) -> Option<&Groups> {
        self.host.groups.as_ref()
    }

    pub(super) fn groups_trouble(&self) -> Option<&str> {
        self.host.groups_trouble.as_deref()
    }

    pub(super) fn services(&self) -> Result<&Services, Refusal> {
        let reason = "this node keeps no services, as `peerway up` does";
        let services = self.host.services.as_ref();
        services.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, reason))
    }

    /// True once the node is told to end.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub(super) fn router(&self) -> Router {
        router(self.clone())
    }

    fn begin(&self, ask: Ask, caller: Caller) -> Result<Response, Refusal> {
        operating::begin(&self.host, ask, &self.room, caller, self.ended.subscribe())
    }
}

fn router(control: Control) -> Router {
    let v1 = Router::new()
        .route("/version", get(version))
        .route("/openapi.json", get(openapi))
        .route("/status", get(status))
        .route("/watch", get(watch_status))
        .route("/changes", get(changes))
        .route("/changes/fields", get(changes_by_field))
        .route("/events", get(events))
        .route("/peers", get(peers).post(connect))
        .route("/peers/{id}", get(peer).delete(disconnect))
        .route("/peers/{id}/ping", post(ping_peer))
        .route("/peers/{id}/retry", post(retry))
        .route("/peers/{id}/policy", get(policy).post(set_policy))
        .route("/peers/{id}/pairs", post(choose_pair))
        .route("/peers/{id}/disconnect", post(hang_up))
        .route("/network/measure", post(measure_nat))
        .route("/network/mapping", post(renew_mappings))
        .route("/network/home", post(prefer_home))
        .route("/ping", post(ping))
        .route("/why", post(why))
        .route("/speed", post(speed))
        .route("/netcheck", post(netcheck))
        .route("/swarm", get(swarm))
        .route("/commons", get(commons::all))
        .route("/commons/changes", get(commons::changes))
        .route("/shares", get(shares::list).post(shares::add))
        .route("/shares/{id}", delete(shares::stop))
        .route("/get", post(shares::get))
        .route("/blob/{*path}", get(blob::read))
        .route("/site/{id}/", get(blob::read_top))
        .route("/site/{id}/{*path}", get(blob::read_site))
        .route("/pins", get(pins::list).post(pins::add))
        .route("/pins/{name}", delete(pins::remove))
        .route("/gc", post(pins::gc))
        .route("/search", post(searches::search))
        .route("/browse", post(searches::browse))
        .route("/send", post(files::send_files))
        .route("/send/{id}/{name}", post(files::send_stream))
        .route("/pair", post(pairing::pair))
        .route("/receive", post(files::receive))
        .route("/receive/{id}", post(files::answer))
        .route("/groups", get(groups::all).post(groups::create))
        .route("/groups/join", post(groups::join))
        .route("/groups/{id}", get(groups::one).delete(groups::leave))
        .route("/groups/{id}/invites", post(groups::invite))
        .route("/groups/{id}/members", post(groups::add))
        .route("/groups/{id}/remove", post(groups::remove))
        .route("/groups/{id}/posts", get(groups::posts).post(groups::post))
        .route("/groups/{id}/read", post(groups::read))
        .route("/groups/{id}/follow", get(groups::follow))
        .route("/forward", post(serving::forward))
        .route("/expose", post(serving::expose))
        .route("/proxy", post(serving::proxy))
        .route("/pipe/{id}/{name}", get(pipe::pipe))
        .route("/services", get(services).post(reread_services))
        .route("/services/of", post(services_of))
        .route("/transfers", get(files::transfers))
        .route("/transfers/{id}/pause", post(files::pause))
        .route("/transfers/{id}/resume", post(files::resume))
        .route("/transfers/{id}/cancel", post(files::cancel))
        .route("/book", get(book).post(reread_book))
        .route(
            "/remote/{id}/{*path}",
            get(pass_on).post(pass_on).delete(pass_on),
        )
        .route("/down", post(down));
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    let v1 = v1.route("/link", post(serving::link));
    Router::new()
        .nest(V1, v1)
        .route("/metrics", get(metrics))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(visits::guard))
        .layer(map_response(signed))
        .with_state(control)
}

/// What can be asked, for programs that make programs.
async fn openapi() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, include_str!("openapi.json")).into_response()
}

async fn version(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Json<Version> {
    Json(Version {
        rights: match caller {
            Caller::Program { .. } => Rights::Owner,
            Caller::Peer {
                admin: Admin::Full, ..
            } => Rights::Full,
            Caller::Peer {
                admin: Admin::Read, ..
            } => Rights::Read,
        },
        version: env!("CARGO_PKG_VERSION"),
        id: control.host.links.endpoint().id(),
        pid: std::process::id(),
        options: control.host.options,
    })
}

async fn status(State(control): State<Control>) -> Json<NodeSnapshot> {
    Json(NodeSnapshot::clone(
        &control.host.links.endpoint().snapshot(),
    ))
}

async fn swarm(State(control): State<Control>) -> Json<SwarmSnapshot> {
    Json(control.host.swarm.snapshot())
}

async fn watch_status(State(control): State<Control>) -> impl IntoResponse {
    streams::snapshots(control.host.links.endpoint(), control.ended.subscribe())
}

async fn changes(State(control): State<Control>) -> impl IntoResponse {
    let endpoint = control.host.links.endpoint();
    streams::changes(endpoint, Grain::Peer, control.ended.subscribe())
}

async fn changes_by_field(State(control): State<Control>) -> impl IntoResponse {
    let endpoint = control.host.links.endpoint();
    streams::changes(endpoint, Grain::Field, control.ended.subscribe())
}

async fn events(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refusal> {
    let last = query.as_deref().map_or(Ok(0), last)?;
    let told = control.past.and_on(last);
    let ended = control.ended.subscribe();
    Ok(streams::events(told, !caller.is_from_afar(), ended))
}

async fn peers(State(control): State<Control>) -> Json<Vec<PeerSnapshot>> {
    Json(control.host.links.endpoint().snapshot().peers.clone())
}

async fn peer(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<PeerSnapshot>, Refusal> {
    let id = parse(&id)?;
    let snapshot = control.host.links.endpoint().snapshot();
    snapshot
        .peer(id)
        .cloned()
        .map(Json)
        .ok_or_else(|| unknown(id))
}

/// Dials, and answers when the link stands.
async fn connect(
    State(control): State<Control>,
    body: Result<Json<Connect>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let Connect { ticket } = understood(body)?;
    let dial = timeout(DIAL_PATIENCE, control.host.links.connect(ticket));
    let linked = dial
        .await
        .map_err(|_| Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the dial takes too long"))?;
    linked.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn disconnect(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    if control.host.links.release(id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let reason = "no link to this peer was asked for here: who dialled it, or was dialled, ends it";
    Err(Refusal::new(StatusCode::NOT_FOUND, reason))
}

/// One round trip over the link that there is, or over one that is made for it.
async fn ping_peer(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<Pinged>, Refusal> {
    let id = parse(&id)?;
    let reply = control.host.links.ping(id).await.map_err(refused)?;
    Ok(Json(Pinged {
        rtt_ms: reply.rtt.as_secs_f64() * 1000.0,
        path: reply.path,
    }))
}

async fn ping(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<Ping>, JsonRejection>,
) -> Result<Response, Refusal> {
    control.begin(Ask::Ping(understood(body)?), caller)
}

async fn why(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<Why>, JsonRejection>,
) -> Result<Response, Refusal> {
    control.begin(Ask::Why(understood(body)?), caller)
}

async fn speed(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<Speed>, JsonRejection>,
) -> Result<Response, Refusal> {
    let ask: Speed = understood(body)?;
    let most = operations::whole_ms(MAX_DURATION);
    if ask.duration_ms.is_some_and(|ms| !(1..=most).contains(&ms)) {
        let reason = format!("duration_ms is a number from 1 to {most}");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    }
    control.begin(Ask::Speed(ask), caller)
}

async fn netcheck(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Response, Refusal> {
    control.begin(Ask::Netcheck, caller)
}

/// What a peer exposes to this node.
async fn services_of(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<operations::Services>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, serving::FOR_WHOM)?;
    control.begin(Ask::Services(understood(body)?), caller)
}

/// What peers are called, and who is let in.
async fn book(State(control): State<Control>) -> Json<Vec<Named>> {
    let book = control.book();
    let book = book.borrow();
    let named = book.entries().map(|(name, entry)| Named {
        id: entry.ticket.id(),
        name: name.to_string(),
        trust: entry.trust.word().into(),
    });
    Json(named.collect())
}

/// Has the address book read that somebody has changed.
async fn reread_book(State(control): State<Control>) -> StatusCode {
    control.host.links.reread_book();
    StatusCode::ACCEPTED
}

/// What is exposed and forwarded whenever the node runs, and how it fares.
async fn services(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<KeptLines>, Refusal> {
    let lines = control.services()?.lines();
    Ok(Json(told_to(&control, caller, lines)))
}

/// What is in a computer's folders, and who uses its servers, is for who is at it.
fn told_to(control: &Control, caller: Caller, mut lines: KeptLines) -> KeptLines {
    if caller.is_from_afar() {
        lines.watch.clear();
    } else {
        lines.note_use(&control.servers().all(None));
    }
    lines
}

/// Has the file read that somebody has changed, and tells what came of it.
async fn reread_services(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<KeptLines>, Refusal> {
    let services = control.services()?;
    services.reread().await;
    Ok(Json(told_to(&control, caller, services.lines())))
}

/// Has the NAT measured anew.
async fn measure_nat(State(control): State<Control>) -> StatusCode {
    control.host.links.endpoint().measure_nat().await;
    StatusCode::ACCEPTED
}

/// Has routers asked anew for the ports that they forward.
async fn renew_mappings(State(control): State<Control>) -> StatusCode {
    control.host.links.endpoint().renew_port_mappings().await;
    StatusCode::ACCEPTED
}

/// Has one of the node's own relays be its home relay whenever it is up.
async fn prefer_home(
    State(control): State<Control>,
    body: Result<Json<PreferHome>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let PreferHome { relay } = understood(body)?;
    let endpoint = control.host.links.endpoint();
    if let Some(key) = relay {
        let is_ours = |it: &RelaySnapshot| it.home && it.url.key() == key;
        if !endpoint.snapshot().relays.iter().any(is_ours) {
            let reason = format!("the node has no relay of its own with the key {key}");
            return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
        }
    }
    endpoint.prefer_home(relay).await;
    Ok(StatusCode::ACCEPTED)
}

/// Has a direct path looked for now.
async fn retry(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    control.host.links.retry(id).await.map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// Which paths are used for a peer, linked or not.
async fn policy(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<Json<Policy>, Refusal> {
    let id = parse(&id)?;
    let endpoint = control.host.links.endpoint();
    let policy = endpoint.path_policy(id).await;
    Ok(Json(Policy { policy }))
}

/// Has only such paths used for a peer, as long as the node runs.
async fn set_policy(
    State(control): State<Control>,
    Path(id): Path<String>,
    body: Result<Json<Policy>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    let Policy { policy } = understood(body)?;
    if policy == PathPolicy::Unknown {
        let reason = "no such policy: give auto, relay_only or direct_only";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    let endpoint = control.host.links.endpoint();
    endpoint.set_path_policy(id, policy).await;
    Ok(StatusCode::ACCEPTED)
}

/// Does something with one of a peer's pairs, as long as the link lasts.
async fn choose_pair(
    State(control): State<Control>,
    Path(id): Path<String>,
    body: Result<Json<OfPair>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    let OfPair {
        action,
        remote,
        tcp,
    } = understood(body)?;
    if action == PairAction::Unknown {
        let reason = "no such action: give probe, force, release or drop";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason));
    }
    let links = &control.host.links;
    let chosen = links.choose_pair(id, (remote, tcp), action).await;
    chosen.map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// Ends all connections with a peer, whoever asked for them.
async fn hang_up(
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = parse(&id)?;
    control.host.links.disconnect(id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Has the node end, once the answer is on its way.
async fn down(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<StatusCode, Refusal> {
    here(
        caller,
        "a node is ended where it can be started again: `peerway down` there",
    )?;
    control.ended.send_replace(true);
    Ok(StatusCode::ACCEPTED)
}

async fn metrics(State(control): State<Control>) -> Response {
    match metrics::text(&control.host.links.endpoint().snapshot()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::OPEN_METRICS)], text).into_response(),
        Err(error) => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn nothing() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "there is nothing here: see docs/control.md for what there is",
    )
}

async fn not_so() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "not with this method: see docs/control.md",
    )
}

async fn signed(mut response: Response) -> Response {
    let server = HeaderValue::from_static(SERVER);
    // What another node answers is its own.
    let headers = response.headers_mut();
    headers.entry(header::SERVER).or_insert(server);
    response
}

pub(super) fn parse(id: &str) -> Result<PeerId, Refusal> {
    id.parse().map_err(|error: peerway::ParseIdError| {
        Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
    })
}

pub(super) fn understood<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| Refusal::new(error.status(), misread(&error.body_text())));
    body.map(|Json(body)| body)
}

/// What is wrong with a body, without the words of the parser around it.
fn misread(text: &str) -> String {
    let what = text
        .rsplit_once(" the target type: ")
        .map_or(text, |(_, what)| what);
    let what = what
        .strip_prefix("Failed to parse the request body as JSON: ")
        .unwrap_or(what);
    format!("the body is not what this route takes: {what}; GET /v1/openapi.json has it")
}

pub(super) fn refused(error: LinkError) -> Refusal {
    let status = match &error {
        LinkError::Blocked { .. } => StatusCode::FORBIDDEN,
        LinkError::Connect(_) | LinkError::Mute | LinkError::Slow | LinkError::Ping(_) => {
            StatusCode::BAD_GATEWAY
        }
        LinkError::NoLink | LinkError::NoPair => StatusCode::NOT_FOUND,
        LinkError::IsDirect | LinkError::KeptToRelays => StatusCode::CONFLICT,
    };
    Refusal::new(status, error.to_string())
}

fn unknown(id: PeerId) -> Refusal {
    let reason = format!("the node knows nothing of {id}: it is linked to nobody of that id");
    Refusal::new(StatusCode::NOT_FOUND, reason)
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    id: PeerId,
    pid: u32,
    options: StartOptions,
    rights: Rights,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Connect {
    ticket: Ticket,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    policy: PathPolicy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPair {
    action: PairAction,
    remote: SocketAddr,
    #[serde(default)]
    tcp: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreferHome {
    relay: Option<PeerId>,
}

#[derive(Serialize)]
struct Pinged {
    rtt_ms: f64,
    path: Option<PathInfo>,
}
