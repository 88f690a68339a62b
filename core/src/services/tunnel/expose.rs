//! The exposing side: streams of a peer, each led to the server that it names.

use std::time::Duration;

use quinn::{ReadExactError, WriteError};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tracing::debug;

use super::{
    Registry,
    request::{Answer, Kind, Request},
    splice::{Broken, splice},
};
use crate::{Connection, RecvStream, SendStream};

/// TCP connections carried for one QUIC connection; more wait.
const MAX_STREAMS: usize = 4096;
/// What a peer may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What an exposed server may take to accept; less than the forwarding side's patience.
const TARGET_TIMEOUT: Duration = Duration::from_secs(3);

pub(in super::super) async fn serve(connection: &Connection, registry: &Registry) {
    let mut streams = JoinSet::new();
    while let Ok((send, recv)) = connection.accept_bi().await {
        while streams.try_join_next().is_some() {}
        if streams.len() >= MAX_STREAMS {
            streams.join_next().await;
        }
        let registry = registry.clone();
        streams.spawn(async move {
            if let Err(error) = serve_stream(send, recv, &registry).await {
                debug!(%error, "tunnelled connection ended early");
            }
        });
    }
}

async fn serve_stream(
    mut send: SendStream,
    mut recv: RecvStream,
    registry: &Registry,
) -> Result<(), StreamError> {
    let request = timeout(REQUEST_TIMEOUT, Request::read(&mut recv))
        .await
        .map_err(|_| StreamError::Timeout)??;
    let (answer, tcp) = lead(request, registry).await;
    send.write_all(&[answer.to_byte()]).await?;
    match tcp {
        Some(tcp) => Ok(splice(tcp, send, recv).await?),
        None => Ok(()),
    }
}

async fn lead(request: Option<Request>, registry: &Registry) -> (Answer, Option<TcpStream>) {
    let Some(Request { kind, name }) = request else {
        return (Answer::Malformed, None);
    };
    let Some(target) = registry.get(&name) else {
        return (Answer::UnknownService, None);
    };
    match kind {
        Kind::Check => (Answer::Ok, None),
        Kind::Connect => match timeout(TARGET_TIMEOUT, TcpStream::connect(target)).await {
            Ok(Ok(tcp)) => (Answer::Ok, Some(tcp)),
            Ok(Err(_)) | Err(_) => (Answer::TargetRefused, None),
        },
    }
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("no request came")]
    Timeout,
    #[error("while reading the request: {0}")]
    Request(#[from] ReadExactError),
    #[error("while answering: {0}")]
    Answer(#[from] WriteError),
    #[error(transparent)]
    Broken(#[from] Broken),
}
