//! What a route takes of the path of a request.

use axum::{
    extract::{FromRequestParts, Path as Given},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// As axum has it, but that what cannot be understood is refused as everything else here is.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Given::from_request_parts(parts, state).await {
            Ok(Given(given)) => Ok(Self(given)),
            Err(error) => {
                let what = error.body_text();
                let what = what.strip_prefix("Invalid URL: ").unwrap_or(&what);
                let reason = format!("the path is none of this route: {what}; see docs/control.md");
                Err(Refusal::new(error.status(), reason))
            }
        }
    }
}
