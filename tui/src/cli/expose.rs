//! `peerway expose`: lets peers reach local TCP servers by name.

use std::{collections::BTreeSet, net::SocketAddr};

use peerway::{
    Router,
    services::tunnel::{self, Exposed},
};
use tokio::net::TcpSocket;

use super::{
    args::{Expose, Globals},
    failure::Failure,
    node::Node,
    out, up,
};
use crate::book::Name;

pub(super) async fn run(globals: &Globals, args: &Expose) -> Result<(), Failure> {
    if args.addrs.len() != args.names.len() {
        return Err(Failure::Names {
            servers: args.addrs.len(),
            names: args.names.len(),
        });
    }
    let mut seen = BTreeSet::new();
    if let Some(name) = args.names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Failure::SameName {
            name: name.to_string(),
        });
    }
    let mut exposed = Exposed::default();
    for (addr, name) in args.addrs.iter().zip(&args.names) {
        exposed.insert(name.clone(), *addr);
        if is_free(*addr) {
            out::hint(format!(
                "no server at {addr} yet: peers are refused until there is one"
            ));
        }
    }
    let offer = |router, node: &Node| {
        let serve = move |connection| exposed.clone().serve(connection);
        let router = up::diagnostics(router, !args.no_diagnostics).accept(tunnel::ALPN, serve);
        only(router, &args.allow, node)
    };
    up::serve(globals, None, offer, args.fail_fast, |ticket| {
        let each = args.names.iter().zip(9000..);
        each.map(|(name, port)| format!("peerway forward {ticket}/{name} --listen {port}"))
            .collect()
    })
    .await
}

/// Lets only those of the address book reach the servers, if any are named.
fn only(router: Router, names: &[Name], node: &Node) -> Router {
    if names.is_empty() {
        return router;
    }
    let (book, names) = (node.book().watch(), names.to_vec());
    for name in names.iter().filter(|name| !book.borrow().has_name(name)) {
        out::hint(format!(
            "nobody in the address book is called {name} or belongs to a group of that name yet"
        ));
    }
    router.guard(move |peer, alpn| alpn != tunnel::ALPN || book.borrow().is_among(peer, &names))
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
