//! What the node has in common with others, for its owner.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{ConnectInfo, State},
    response::sse::{Event as Sent, Sse},
};
use futures_util::Stream;

use super::{
    door::Caller,
    refusal::{Refusal, here},
    server::Control,
    streams,
};
use crate::commons::{Commons, Lookout};

const FOR_WHOM: &str = "what a computer shares, exposes, and what is said in its groups, is shown on that computer alone";

/// All of it as it is now.
pub(super) async fn all(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Commons>, Refusal> {
    here(caller, FOR_WHOM)?;
    Ok(Json(lookout(&control).look().await))
}

/// The same as what has changed, each time that something has.
pub(super) async fn changes(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Refusal> {
    here(caller, FOR_WHOM)?;
    let changes = lookout(&control).changes();
    Ok(streams::each(changes, control.ending()))
}

fn lookout(control: &Control) -> Lookout {
    let groups = control.groups_of_host().cloned();
    let running = control.desk().journal().running().clone();
    let serving = (control.servers().clone(), control.services().ok().cloned());
    Lookout::new(control.sharing().clone(), groups, running, serving)
}
