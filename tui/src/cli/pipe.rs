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
    #[cfg(unix)]
    if let Some(client) = super::attach::willing(globals).await? {
        return attached::pipe(globals, &client, &args.service).await;
    }
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

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use peerway::services::tunnel::ForwardError;

    use super::{
        super::{args::Service, node::interrupted, out, state::StateDir},
        Failure, Globals, ends, node,
    };
    use crate::control::{Client, PipeError, PipeStep};

    pub(super) async fn pipe(
        globals: &Globals,
        client: &Client,
        service: &Service,
    ) -> Result<(), Failure> {
        // Before anything is begun.
        let interrupted = interrupted();
        let peer = node::meet(globals, &service.peer).await?;
        let peers = StateDir::open(globals)?.peers();
        let note = |step: &PipeStep| match step {
            PipeStep::Hint { text } => out::hint(text),
            PipeStep::Reached => peers.remember(&peer),
            PipeStep::Done | PipeStep::Failed(_) => {}
        };
        let piping = async {
            let pipe = client.pipe(&peer, &service.name).await?;
            let (stdin, stdout) = ends()?;
            match pipe.run(stdin, stdout, note).await {
                Ok(PipeStep::Failed(failed)) => Err(failed.into()),
                Ok(PipeStep::Done | PipeStep::Hint { .. } | PipeStep::Reached) => Ok(()),
                Err(PipeError::Local(error)) => Err(ForwardError::from(error).into()),
                Err(PipeError::Ended) => Err(Failure::NodeEnded),
                Err(PipeError::Control(error)) => Err(error.into()),
            }
        };
        tokio::select! {
            piped = piping => piped,
            () = interrupted => Err(Failure::Interrupted),
        }
    }
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
