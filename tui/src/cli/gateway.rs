//! `peerway gateway`: content over HTTP, for browsers and players of this computer. The node that runs here fetches it, if one does.

mod front;

use std::net::SocketAddr;

use axum::Router;
use peerway::Router as Protocols;
#[cfg(feature = "demo")]
use peerway_swarm::share::Sharing;
use serde::Serialize;
use tokio::net::TcpListener;

use super::{
    args::{GatewayArgs, Globals},
    attach,
    failure::Failure,
    feed,
    keep::limited,
    node::interrupted,
    out, pin, proxy, share,
    state::StateDir,
};
use crate::{
    forwarding::ListenError,
    gateway::{Gateway, origin::OriginUrl},
};

pub(super) async fn run(globals: &Globals, args: &GatewayArgs) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::OpenGateway(args.listen));
    }
    let failed = |source| ListenError {
        addr: args.listen.to_string(),
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let ready = || say(globals, addr, args.site.as_deref());
    let site = match &args.site {
        Some(feed) => Some(feed::meant(&StateDir::open(globals)?.feeds(), feed)?.id),
        None => None,
    };
    if let Some(node) = attach::willing(globals).await? {
        ready()?;
        let asked = front::Asked {
            node,
            origin: args.origin.clone(),
            site,
        };
        return tokio::select! {
            () = front::serve(listener, front::by_node(asked)) => Ok(()),
            () = interrupted() => Ok(()),
        };
    }
    if site.is_some() {
        return Err(Failure::NoNode);
    }
    by_itself(globals, listener, args.origin.clone(), ready).await
}

/// A node for the duration of the command fetches.
async fn by_itself(
    globals: &Globals,
    listener: TcpListener,
    origin: Option<OriginUrl>,
    ready: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let node = pin::keeping(globals, proxy::relays(globals)?).await?;
    let content: Router = front::by_itself(Gateway::new(node.sharing().clone()), origin);
    let router = share::serve(Protocols::new(node.endpoint.clone()), &node);
    let body = async {
        node.settled().await;
        ready()?;
        tokio::select! {
            () = front::serve(listener, content) => Ok(()),
            () = router.run() => Ok(()),
            never = node.sharing().tend() => match never {},
            never = limited(globals, &node, out::hint) => match never {},
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
        }
    };
    node.run(body).await?;
    Ok(())
}

/// Leads whoever asks there to the content of a node that somebody else runs, until this is dropped.
#[cfg(feature = "demo")]
pub(super) async fn lead(listener: TcpListener, sharing: Sharing) {
    front::serve(listener, front::by_itself(Gateway::new(sharing), None)).await;
}

fn say(globals: &Globals, addr: SocketAddr, site: Option<&str>) -> Result<(), Failure> {
    if globals.json {
        let event = "listening";
        return Ok(out::json(&Record { event, addr })?);
    }
    if let Some(feed) = site {
        out::text(format!("the site of {feed} at http://{addr}/"))?;
    }
    Ok(out::text(format!(
        "content at http://{addr}/blob/LINK, or HASH of what is here or pinned; behind a folder a path in it"
    ))?)
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    addr: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_line_keeps_its_keys() {
        let addr = ([127, 0, 0, 1], 8080).into();
        let event = "listening";
        assert_keys("gateway", &Record { event, addr });
    }
}
