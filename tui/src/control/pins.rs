//! What the node keeps, for who asks it about that.

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use peerway::services::files::Progress;
use peerway_swarm::{
    share::{KeepError, Link, Sharing},
    store::sweep::Extent,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, failed, here},
    server::{Control, understood},
    shares::{self, GetFailure, GetStep},
    streams,
};
use crate::{
    pins::{Freed, PinLine, PinLines},
    shares::why,
    transfers::{Direction, What},
};

const FOR_WHOM: &str = "what is kept on a computer is listed and changed on that computer alone";

/// What is to be kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinAsk {
    pub(crate) link: Link,
    /// What it is called here; none for what the link says.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Until when, in milliseconds since 1970.
    #[serde(default)]
    pub(crate) until_ms: Option<u64>,
}

/// What is to be freed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GcAsk {
    /// All that is not pinned.
    #[serde(default)]
    pub(crate) all: bool,
    /// How many bytes are kept from now on.
    #[serde(default)]
    pub(crate) quota: Option<u64>,
}

impl GcAsk {
    pub(crate) fn extent(self) -> Extent {
        if self.all { Extent::All } else { Extent::Tidy }
    }
}

pub(super) async fn list(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<PinLines>, Refusal> {
    here(caller, FOR_WHOM)?;
    let pins = control.sharing().pins().await;
    let (pins, room) = pins.map_err(|error| failed(&error))?;
    let pins = pins.into_iter().map(|pin| line(&control, pin));
    Ok(Json(PinLines {
        pins: pins.collect(),
        store: room.into(),
    }))
}

/// Fetches and keeps, as long as somebody listens.
pub(super) async fn add(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<PinAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    let (tell, told) = mpsc::channel(shares::AHEAD);
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(pin(control.clone(), ask, tell));
    let steps = stream::unfold(told, |mut told| async {
        let step: GetStep = told.recv().await?;
        Some((step, told))
    });
    Ok(streams::steps(steps, control.ending()).into_response())
}

async fn pin(control: Control, ask: PinAsk, tell: mpsc::Sender<GetStep>) {
    let (sharing, progress): (&Sharing, _) = (control.sharing(), Progress::default());
    let name = ask.name.as_deref().unwrap_or(&ask.link.name);
    let until = ask.until_ms.map(|until| until / 1000);
    let telling = shares::tell(sharing, control.book(), ask.link.hash, &progress, &tell);
    let what = What {
        direction: Direction::Fetching,
        peer: None,
        name: Some(name.to_owned()),
        folder: None,
    };
    let pinning = sharing.pin(&ask.link, name, until, &progress);
    let running = control.desk().journal().running();
    let pinned = tokio::select! {
        pinned = running.during(what, &progress, pinning) => pinned,
        () = tell.closed() => return,
        () = telling => return,
    };
    let last = match pinned {
        Ok(pin) => GetStep::Pinned {
            pin: Box::new(line(&control, pin)),
        },
        Err(error) => GetStep::Failed {
            reason: if let KeepError::Get(error) = &error {
                why(error, &**control.book().borrow())
            } else {
                error.to_string()
            },
            kind: GetFailure::of_keeping(&error),
        },
    };
    for step in [shares::now(&progress), last] {
        // Nobody may listen any more.
        let _ = tell.send(step).await;
    }
}

/// Takes pins away, and says which.
pub(super) async fn remove(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(which): Path<String>,
) -> Result<Json<Vec<PinLine>>, Refusal> {
    here(caller, FOR_WHOM)?;
    let taken = control.sharing().unpin(&which).await;
    let taken = taken.map_err(|error| failed(&error))?;
    if taken.is_empty() {
        let reason = "nothing that is pinned is called so: GET /v1/pins lists what is";
        return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
    }
    let taken = taken.into_iter().map(|pin| line(&control, pin));
    Ok(Json(taken.collect()))
}

pub(super) async fn gc(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<GcAsk>, JsonRejection>,
) -> Result<Json<Freed>, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    let swept = control.sharing().sweep(ask.extent(), ask.quota).await;
    let swept = swept.map_err(|error| failed(&error))?;
    Ok(Json(Freed {
        contents: swept.contents,
        freed: swept.bytes,
        store: swept.room.into(),
    }))
}

fn line(control: &Control, pin: peerway_swarm::store::Pin) -> PinLine {
    PinLine::of(pin, Some(control.links().endpoint().ticket()))
}
