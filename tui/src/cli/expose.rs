//! `peerway expose`: lets peers reach local TCP servers by name.

use std::{net::SocketAddr, time::Duration};

use peerway::services::Services;
use tokio::{net::TcpStream, time::timeout};

use super::{
    args::{Expose, Globals},
    failure::Failure,
    out, up,
};

/// What a server may take to accept a connection.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(globals: &Globals, args: &Expose) -> Result<(), Failure> {
    if args.addrs.len() != args.names.len() {
        return Err(Failure::Names {
            servers: args.addrs.len(),
            names: args.names.len(),
        });
    }
    let mut services = Services::new().diagnostics(!args.no_diagnostics);
    for (addr, name) in args.addrs.iter().zip(&args.names) {
        services = services.expose(name.clone(), *addr);
    }
    let serving = up::serve(globals, &services, args.fail_fast, |ticket| {
        let ports = 9000..;
        let each = args.names.iter().zip(ports);
        each.map(|(name, port)| format!("peerway forward {ticket}/{name} --listen {port}"))
            .collect()
    });
    let (served, ()) = tokio::join!(serving, warn_of_the_dead(&args.addrs));
    served
}

/// Says which servers do not run: whoever asks for them will be refused.
async fn warn_of_the_dead(servers: &[SocketAddr]) {
    for addr in servers {
        let reason = match timeout(LOOK, TcpStream::connect(addr)).await {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        out::hint(format!(
            "no server at {addr} yet: {reason}; peers are refused until there is one"
        ));
    }
}
