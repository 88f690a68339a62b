//! Has the nodes of peers asked in the name of this one, for programs on this computer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, RawQuery, State, rejection::BytesRejection},
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use http_body_util::Full;
use peerway::{Connection, Endpoint, PeerId, Ticket};

use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, here},
    remote::{Remote, RemoteError},
    server::{Control, parse, refused},
};

/// The request without its beginning, and the answer as it comes.
pub(super) async fn pass_on(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path((peer, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    here(
        caller,
        "nobody is asked in another's name from afar: dial that peer yourself",
    )?;
    let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let ticket = peer.parse::<Ticket>();
    let peer = ticket.or_else(|_| parse(&peer).map(Ticket::from))?;
    let links = control.links();
    links.check(peer.id()).map_err(refused)?;
    let query = query.map(|query| format!("?{query}"));
    let request = Request::builder()
        .method(method)
        .uri(format!("/{path}{}", query.unwrap_or_default()))
        .header(header::HOST, "peerway")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let remote = control.remotes().reach(links.endpoint(), peer);
    let answer = remote.await.map_err(failed)?.ask(request).await;
    let (told, body) = answer.map_err(failed)?.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = told.status;
    for name in [header::CONTENT_TYPE, header::SERVER] {
        if let Some(value) = told.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

fn failed(error: RemoteError) -> Refusal {
    let status = match &error {
        RemoteError::Refused(_) => StatusCode::FORBIDDEN,
        RemoteError::Slow => StatusCode::GATEWAY_TIMEOUT,
        RemoteError::NoNode
        | RemoteError::Connect(_)
        | RemoteError::Lost(_)
        | RemoteError::Broken(_) => StatusCode::BAD_GATEWAY,
    };
    Refusal::new(status, error.to_string())
}

/// Those that are asked at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Remotes(Arc<Mutex<BTreeMap<PeerId, Weak<Connection>>>>);

impl Remotes {
    /// Over the link that somebody else asks over, or else over a new one.
    async fn reach(&self, endpoint: &Endpoint, peer: Ticket) -> Result<Remote, RemoteError> {
        let id = peer.id();
        let kept = self.all().get(&id).and_then(Remote::kept);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let remote = Remote::dial(endpoint, peer).await?;
        let mut all = self.all();
        all.retain(|_, kept| kept.strong_count() > 0);
        all.insert(id, remote.downgrade());
        Ok(remote)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PeerId, Weak<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
