//! Content, for who asks the node for it: `peerway gateway` does.

use std::sync::Arc;

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, Method},
    response::Response,
};

use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, here},
    server::Control,
};
use crate::gateway::origin::OriginUrl;

const FOR_WHOM: &str =
    "what a computer shares and fetches is read on that computer alone: fetch it by its link";

pub(super) async fn read(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let origin = OriginUrl::of(&headers).map(Arc::new);
    let gateway = control.gateway();
    Ok(gateway.answer(&method, &path, &headers, origin).await)
}
