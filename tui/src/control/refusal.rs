//! Why a request is not done, and the checks that several routes share.

use std::path::Path;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::door::Caller;

/// Why something was not done, in one line.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { status, error }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error });
        (self.status, Json(body)).into_response()
    }
}

/// Refuses, for this reason, who is not at the computer, whatever else an admin from afar may do.
pub(super) fn here(caller: Caller, reason: &str) -> Result<(), Refusal> {
    if caller.is_from_afar() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(())
}

pub(super) fn absolute(path: &Path) -> Result<(), Refusal> {
    if path.is_absolute() {
        return Ok(());
    }
    let reason = "a path has to be absolute: the node has a working folder of its own";
    Err(Refusal::new(StatusCode::BAD_REQUEST, reason))
}

/// What was asked for was understood and did not succeed.
pub(super) fn failed(error: &impl ToString) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
}
