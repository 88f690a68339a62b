//! `peerway expose`: lets peers reach servers of this home by name.

use std::{collections::BTreeSet, net::SocketAddr};

use peerway::{
    Router, Ticket,
    services::{
        Rate,
        tunnel::{self, ServiceName, Target},
    },
};
use tokio::net::TcpSocket;

use super::{
    args::{Allowed, Expose, Globals, Limited, Offered, Terms},
    failure::Failure,
    kept,
    node::{self, Node},
    out, up,
};
use crate::{
    book::{Book, Name},
    kept::Exposure,
};

pub(super) async fn run(globals: &Globals, args: &Expose) -> Result<(), Failure> {
    if let Some(action) = &args.action {
        return kept::expose(globals, action).await;
    }
    let exposures = exposures(&args.servers, &args.names, &args.terms)?;
    let missing = exposures.iter().filter_map(|(_, it)| missing(&it.target));
    missing.for_each(out::hint);
    #[cfg(unix)]
    if let Some(client) = super::attach::running(globals).await? {
        return attached::expose(globals, &client, args, exposures).await;
    }
    out::hint(node::OWN);
    let names: Vec<_> = exposures.iter().map(|(name, _)| name.clone()).collect();
    let mut lent = None;
    let offer = |router: Router, node: &Node| {
        hint_at_strangers(&args.terms, &node.book().book());
        lent = Some(node.servers().lend(exposures));
        up::diagnostics(router, !args.no_diagnostics)
    };
    let (besides, fail_fast) = (up::Besides::default(), args.fail_fast);
    let served = up::serve(globals, besides, offer, fail_fast, |ticket| {
        commands(ticket, &names)
    });
    let served = served.await;
    // Nobody else takes a name of a node of the command's own.
    drop(lent);
    served
}

/// The router that also leads peers to servers, to those that there are at the moment.
pub(super) fn serve(router: Router, node: &Node) -> Router {
    let exposed = node.servers().exposed().clone();
    router.accept(tunnel::ALPN, move |connection| {
        exposed.clone().serve(connection)
    })
}

/// What the other side has to type.
fn commands(ticket: &Ticket, names: &[ServiceName]) -> Vec<String> {
    let each = names.iter().zip(9000..);
    each.map(|(name, port)| format!("peerway forward {ticket}/{name} --listen {port}"))
        .collect()
}

/// What is to be exposed, each under its name.
pub(super) fn exposures(
    servers: &[Offered],
    names: &[ServiceName],
    terms: &Terms,
) -> Result<Vec<(ServiceName, Exposure)>, Failure> {
    let mut exposures = Vec::new();
    for (name, target) in named(servers, names)? {
        let allow = for_service(&terms.allow, &name);
        let limit = limit_of(&terms.limits, &name)?;
        let exposure = Exposure {
            target,
            allow,
            limit,
        };
        exposures.push((name, exposure));
    }
    let allowed = terms.allow.iter().map(|it| ("--allow", &it.service));
    let limited = terms.limits.iter().map(|it| ("--limit", &it.service));
    for (option, service) in allowed.chain(limited) {
        let Some(service) = service else { continue };
        if exposures.iter().all(|(name, _)| name != service) {
            let name = service.to_string();
            return Err(Failure::OfNothing { option, name });
        }
    }
    Ok(exposures)
}

/// Each server with its name.
fn named(
    servers: &[Offered],
    names: &[ServiceName],
) -> Result<Vec<(ServiceName, Target)>, Failure> {
    let nameless = servers.iter().filter(|it| it.name.is_none()).count();
    if nameless != names.len() {
        return Err(Failure::Names {
            servers: nameless,
            names: names.len(),
        });
    }
    let mut names = names.iter().cloned();
    let each = servers.iter().filter_map(|it| {
        let name = it.name.clone().or_else(|| names.next())?;
        Some((name, it.target.clone()))
    });
    let servers: Vec<_> = each.collect();
    let mut seen = BTreeSet::new();
    if let Some((name, _)) = servers.iter().find(|(name, _)| !seen.insert(name)) {
        return Err(Failure::SameName {
            name: name.to_string(),
        });
    }
    Ok(servers)
}

/// Who may reach a server: those named for it and those for all; whoever is let in, if there are none.
fn for_service(allowed: &[Allowed], name: &ServiceName) -> Vec<Name> {
    let own = allowed
        .iter()
        .filter(|it| it.service.as_ref().is_none_or(|of| of == name));
    own.map(|it| it.who.clone()).collect()
}

/// What is said for it, or else for all.
fn limit_of(limits: &[Limited], name: &ServiceName) -> Result<Option<Rate>, Failure> {
    let said = |of: Option<&ServiceName>| {
        let mut said = limits.iter().filter(|it| it.service.as_ref() == of);
        let first = said.next().map(|it| it.rate);
        match (said.next(), of) {
            (None, _) => Ok(first),
            (Some(_), Some(name)) => Err(format!("for {name}")),
            (Some(_), None) => Err("for all servers".to_owned()),
        }
    };
    let limit = said(Some(name)).and_then(|own| Ok(own.or(said(None)?)));
    limit.map_err(|what| Failure::Limits { what })
}

pub(super) fn hint_at_strangers(terms: &Terms, book: &Book) {
    let allowed = terms.allow.iter();
    for Allowed { who, .. } in allowed.filter(|it| !book.has_name(&it.who)) {
        out::hint(format!(
            "nobody in the address book is called {who} or belongs to a group of that name yet"
        ));
    }
}

/// That there is no server, where that is known.
pub(super) fn missing(target: &Target) -> Option<String> {
    let addr = tcp_addr(target).filter(|addr| is_free(*addr))?;
    Some(format!(
        "no server at {addr} yet: peers are refused until there is one"
    ))
}

fn tcp_addr(target: &Target) -> Option<SocketAddr> {
    let Target::Tcp(host) = target else {
        return None;
    };
    host.addr()
}

/// Whether the address is this computer's and nobody has it. A connection would tell of other computers too, but to a server that
/// takes just one it would be that one.
fn is_free(addr: SocketAddr) -> bool {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    socket.is_ok_and(|socket| socket.bind(addr).is_ok())
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use futures_util::StreamExt;
    use peerway::RelayState;

    use super::{
        Expose, Exposure, Failure, Globals, ServiceName, commands, hint_at_strangers, out, up,
    };
    use crate::{
        cli::{attach, node::interrupted, state::StateDir},
        control::Client,
        operations::no_relay,
        servers::{ExposeAsk, Server, Step},
    };

    pub(super) async fn expose(
        globals: &Globals,
        client: &Client,
        args: &Expose,
        exposures: Vec<(ServiceName, Exposure)>,
    ) -> Result<(), Failure> {
        if let Some(option) = attach::lacking(globals, client).await? {
            return Err(Failure::Lacks(option));
        }
        if args.no_diagnostics {
            out::hint(
                "whether ping and speed are answered is up to the node that runs here, as it was started",
            );
        }
        hint_at_strangers(&args.terms, &StateDir::open(globals)?.names());
        // Before anything is begun.
        let interrupted = interrupted();
        let names: Vec<_> = exposures.iter().map(|(name, _)| name.clone()).collect();
        let servers = exposures
            .into_iter()
            .map(|(name, exposure)| Server::new(name, exposure));
        let ask = ExposeAsk {
            servers: servers.collect(),
        };
        let exposing = async {
            let node = client.status().await?;
            if args.fail_fast
                && !node.relays.is_empty()
                && node.relays.iter().all(|it| it.state != RelayState::Up)
            {
                return Err(no_relay(&node).into());
            }
            let mut steps = client.expose(&ask).await?;
            while let Some(step) = steps.next().await {
                let Step::Exposed { .. } = step?;
                let (socket, ticket) = (attach::socket(globals)?, node.ticket.clone());
                let commands = commands(&ticket, &names);
                let print = up::print_ready(ticket, socket, None, commands, globals.json);
                match print.await {
                    Err(failure) if failure.is_silent() => {}
                    printed => printed?,
                }
            }
            Err(Failure::NodeEnded)
        };
        tokio::select! {
            exposed = exposing => exposed,
            () = interrupted => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_is_free_when_its_server_has_ended() {
        // Where no other test takes the port that becomes free.
        let server = TcpListener::bind("127.3.2.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        assert!(!is_free(addr));
        drop(server);
        assert!(is_free(addr));
        assert!(
            !is_free("192.0.2.1:80".parse().unwrap()),
            "another computer's"
        );
    }
}
