//! `peerway expose`: lets peers reach servers of this home by name.

use std::{collections::BTreeSet, net::SocketAddr};

use peerway::services::tunnel::{self, Exposed, ServiceName, Target};
use tokio::net::TcpSocket;

use super::{
    args::{Allowed, Expose, Globals, Offered},
    datagrams,
    failure::Failure,
    kept,
    node::Node,
    out, up,
};
use crate::book::{Book, Name};

pub(super) async fn run(globals: &Globals, args: &Expose) -> Result<(), Failure> {
    if let Some(action) = &args.action {
        return kept::expose(globals, action).await;
    }
    let servers = named(&args.servers, &args.names, &args.allow)?;
    let missing = servers.iter().filter_map(|(_, target)| missing(target));
    missing.for_each(out::hint);
    let exposed = Exposed::default();
    let offer = |router, node: &Node| {
        hint_at_strangers(&args.allow, &node.book().book());
        for (name, target) in &servers {
            let who = for_service(&args.allow, name);
            if who.is_empty() {
                exposed.insert(name.clone(), target.clone());
            } else {
                let book = node.book().watch();
                let may = move |peer| book.borrow().is_among(peer, &who);
                exposed.insert_for(name.clone(), target.clone(), may);
            }
        }
        let serving = exposed.clone();
        let serve = move |connection| serving.clone().serve(connection);
        up::diagnostics(router, !args.no_diagnostics).accept(tunnel::ALPN, serve)
    };
    let served = up::serve(
        globals,
        up::Besides::default(),
        offer,
        args.fail_fast,
        |ticket| {
            let each = servers.iter().zip(9000..);
            each.map(|((name, _), port)| format!("peerway forward {ticket}/{name} --listen {port}"))
                .collect()
        },
    )
    .await;
    datagrams::print(exposed.datagrams(), globals.json)?;
    served
}

/// Each server with its name.
pub(super) fn named(
    servers: &[Offered],
    names: &[ServiceName],
    allow: &[Allowed],
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
    let of_none = allow.iter().filter_map(|it| it.service.as_ref());
    if let Some(name) = of_none.into_iter().find(|name| !seen.contains(name)) {
        return Err(Failure::AllowsNothing {
            name: name.to_string(),
        });
    }
    Ok(servers)
}

/// Who may reach a server: those named for it and those for all; whoever is let in, if there are none.
pub(super) fn for_service(allowed: &[Allowed], name: &ServiceName) -> Vec<Name> {
    let own = allowed
        .iter()
        .filter(|it| it.service.as_ref().is_none_or(|of| of == name));
    own.map(|it| it.who.clone()).collect()
}

pub(super) fn hint_at_strangers(allowed: &[Allowed], book: &Book) {
    for Allowed { who, .. } in allowed.iter().filter(|it| !book.has_name(&it.who)) {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_is_free_when_its_server_has_ended() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
