//! Content, for who asks the node for it: `peerway gateway` does.

use std::sync::Arc;

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, Method, Uri},
    response::Response,
};

use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, here},
    server::Control,
};
use crate::gateway::{origin::OriginUrl, site::SiteAsk};

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

/// What is asked of a node for a site of a feed.
type Asked = (State<Control>, ConnectInfo<Caller>, Method, Uri, HeaderMap);

pub(super) async fn read_top(Path(feed): Path<String>, asked: Asked) -> Result<Response, Refusal> {
    site(&feed, "", asked).await
}

pub(super) async fn read_site(
    Path((feed, path)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, Refusal> {
    site(&feed, &path, asked).await
}

async fn site(feed: &str, path: &str, asked: Asked) -> Result<Response, Refusal> {
    let (State(control), ConnectInfo(caller), method, uri, headers) = asked;
    here(caller, FOR_WHOM)?;
    let (groups, group) = control.group(feed)?;
    let (name, link) = (groups.view(group)?.name, control.sites().of(groups, group)?);
    let ask = SiteAsk {
        method: &method,
        path,
        uri: &uri,
        headers: &headers,
        origin: OriginUrl::of(&headers).map(Arc::new),
    };
    Ok(control.gateway().answer_site(&name, link, ask).await)
}
