//! What the node does for a command as long as that listens: leads a local address to a service of a peer, lets peers reach servers of
//! this home, links networks.

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{
    Stream, StreamExt,
    future::ready,
    stream::{once, pending},
};
use serde::Serialize;

use super::{
    door::Caller,
    operating::Seat,
    refusal::{Refusal, failed, here},
    server::{Control, refused, understood},
    streams,
};
#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::linking::{LinkAsk, Step};
use crate::{
    forwarding::{Bound, Forward, ForwardAsk},
    kept::Exposure,
    proxying::{ProxyAsk, Proxying},
    servers::ExposeAsk,
};

pub(super) const FOR_WHOM: &str =
    "what a computer serves and reaches is decided by whoever sits at it";

/// Forwards, as long as somebody listens.
pub(super) async fn forward(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<ForwardAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    let links = control.links().clone();
    links.check(ask.ticket.id()).map_err(refused)?;
    let bound = Bound::open(&ask.listen.0).await;
    let (bound, addr) = bound.map_err(|error| failed(&error))?;
    let forward = Forward::new(links, ask.ticket, ask.service.0);
    let running = control.desk().journal().running();
    let steps = forward.begin_shown(running, bound, addr, ask.fail_fast);
    seated(&control, caller, steps)
}

/// Exposes, as long as somebody listens.
pub(super) async fn expose(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<ExposeAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let servers = understood(body)?.servers.into_iter().map(|server| {
        let exposure = Exposure {
            target: server.target.0,
            allow: server.allow.into_iter().map(|who| who.0).collect(),
            limit: server.limit.map(|limit| limit.0),
        };
        (server.name.0, exposure)
    });
    let lent = control.servers().lend(servers);
    let lent = lent.map_err(|error| Refusal::new(StatusCode::CONFLICT, error.to_string()))?;
    let steps = once(ready(lent.step())).chain(pending()).map(move |step| {
        // Held for as long as anybody listens.
        let _lent = &lent;
        step
    });
    seated(&control, caller, steps)
}

/// Leads programs that speak SOCKS5 or HTTP CONNECT to services, as long as somebody listens.
pub(super) async fn proxy(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<ProxyAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ProxyAsk { listen } = understood(body)?;
    let proxying = Proxying::open(control.links(), listen).await;
    let proxying = proxying.map_err(|error| failed(&error))?;
    seated(&control, caller, proxying.begin())
}

/// Links, as long as somebody listens.
#[cfg(all(feature = "subnet", target_os = "linux"))]
pub(super) async fn link(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<LinkAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    use peerway::services::subnet::Offer;

    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    let endpoint = control.links().endpoint().clone();
    for ticket in &ask.tickets {
        control.links().check(ticket.id()).map_err(refused)?;
        if ticket.id() == endpoint.id() {
            let reason = "this is the id of this computer's own node: give the other side's ticket";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
        }
    }
    let offer = Offer {
        advertised: ask.advertise.into_iter().map(|net| net.0).collect(),
        accepted: ask.accept.into_iter().map(|net| net.0).collect(),
    };
    let linked = control.linker().link(endpoint, ask.tickets, offer).await;
    let steps = linked.unwrap_or_else(|error| once(ready(Step::Failed(error.failed()))).boxed());
    seated(&control, caller, steps)
}

/// One of those that are served at the same time.
pub(super) fn seat(control: &Control, caller: Caller) -> Result<Seat, Refusal> {
    control.servings().take(caller).ok_or_else(|| {
        let reason =
            "the node serves enough commands already: try again when one of them has ended";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason)
    })
}

/// Tells the steps of one of those that are served at the same time.
fn seated<T: Serialize + 'static>(
    control: &Control,
    caller: Caller,
    steps: impl Stream<Item = T> + Send + 'static,
) -> Result<Response, Refusal> {
    let seat = seat(control, caller)?;
    let steps = steps.map(move |step| {
        // Held for as long as anything may come.
        let _seat = &seat;
        step
    });
    Ok(streams::steps(steps, control.ending()).into_response())
}
