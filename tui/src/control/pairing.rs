//! A code by which another computer and this one get to know each other, for who asks for it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use peerway::services::pair::{Code, ParseCodeError};

use super::{
    door::Caller,
    refusal::{Refusal, here},
    server::{Control, understood},
    streams,
};
use crate::pairing::{self, PairAsk, Step, host_name};

/// Codes that are shown and typed at a time.
pub(super) const AT_ONCE: usize = 8;

/// Pairs, as long as somebody listens.
pub(super) async fn pair(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<PairAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(
        caller,
        "whom a computer knows is decided by whoever sits at it",
    )?;
    let PairAsk { code, name } = understood(body)?;
    let code = code.map(|code| code.parse::<Code>()).transpose();
    let code = code.map_err(|error: ParseCodeError| {
        Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
    })?;
    let seat = Arc::clone(control.pairings()).try_acquire_owned();
    let seat = seat.map_err(|_| {
        let reason = format!("{AT_ONCE} codes are in use here already: try again when one is over");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason)
    })?;
    let name = name.unwrap_or_else(host_name);
    let links = control.links().clone();
    let steps = pairing::pair(control.party().clone(), code, name).map(move |step| {
        // Held for as long as anything may come.
        let _seat = &seat;
        if let Step::Paired { .. } = step {
            // Whoever is told of it may use it at once.
            links.reread_book();
        }
        step
    });
    Ok(streams::steps(steps, control.ending()).into_response())
}
