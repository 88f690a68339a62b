//! `peerway pipe`: stdin and stdout as the ends of a connection to a service.

use std::io;

use peerway::services::tunnel::{ForwardError, Forwarder, Transport};
use tokio::fs::File;

use super::{
    args::{Globals, Pipe},
    failure::Failure,
    node::{self, Node, Patience, relays_for},
};

pub(super) async fn run(globals: &Globals, args: &Pipe) -> Result<(), Failure> {
    let peer = node::meet(globals, &args.service.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let name = args.service.name.clone();
    let forwarder = Forwarder::new(node.endpoint.clone(), peer.clone(), name.clone());
    let body = async {
        node.settled().await;
        let checking = forwarder.check();
        let found = node.answer(&peer, Patience::within(None), checking).await?;
        if found == Transport::Datagrams {
            return Err(ForwardError::IsUdp { name }.into());
        }
        let (stdin, stdout) = ends()?;
        Ok(forwarder.pipe(stdin, stdout).await?)
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// Standard input and output, of which nothing else may hold a part back.
#[cfg(unix)]
fn ends() -> io::Result<(File, File)> {
    use std::os::fd::AsFd;
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Ok((open(stdin), open(stdout)))
}

#[cfg(windows)]
fn ends() -> io::Result<(File, File)> {
    use std::os::windows::io::AsHandle;
    let stdin = io::stdin().as_handle().try_clone_to_owned()?;
    let stdout = io::stdout().as_handle().try_clone_to_owned()?;
    Ok((open(stdin), open(stdout)))
}

fn open(end: impl Into<std::fs::File>) -> File {
    File::from_std(end.into())
}
