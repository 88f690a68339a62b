//! `peerway expose`: lets peers reach a local TCP server by name.

use peerway::services::Services;

use super::{
    args::{Expose, Globals},
    failure::Failure,
    up,
};

pub(super) async fn run(globals: &Globals, args: &Expose) -> Result<(), Failure> {
    let services = Services::new()
        .diagnostics(!args.no_diagnostics)
        .expose(args.name.clone(), args.addr);
    up::serve(globals, &services, |ticket| {
        format!(
            "peerway forward {ticket}/{} --listen 127.0.0.1:9000",
            args.name
        )
    })
    .await
}
