//! The beginning of a forwarded TCP connection: the request and the connection's first bytes leave together.
//!
//! Nobody waits for the answer before that, so that a question and its answer take one round trip. Until the peer has answered,
//! the first bytes are kept: if it turns out that nobody is there, they are sent once more over another connection. A peer that
//! was there after all knows the request by its id and refuses it, so that no byte reaches a server twice.

use std::{future::pending, io, time::Duration};

use quinn::{ReadError, ReadExactError, WriteError};
use tokio::time::sleep;

use super::{
    ForwardError, Loss, ServiceName,
    local::Local,
    request::{Answer, Request},
    splice::{ResetOnDrop, StopOnDrop},
};
use crate::Connection;

/// What a peer may take to acknowledge a request, after which nobody is there. How long a server behind it takes does not
/// matter.
const SILENCE: Duration = Duration::from_secs(5);
/// First bytes that travel before the answer: with the request less than a stream may carry without credit.
const FIRST: usize = 12 * 1024;

/// What of a TCP connection was sent before the peer answered.
#[derive(Debug, Default)]
pub(super) struct First(Vec<u8>);

impl First {
    /// What came before there was anywhere to send it.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Opens a stream for `request` and sends it with the first bytes of `tcp`, if there is one. Ready when the peer has answered.
pub(super) async fn begin(
    connection: &Connection,
    request: &Request,
    tcp: Option<&Local>,
    first: &mut First,
) -> Result<(ResetOnDrop, StopOnDrop), Unbegun> {
    let opened = connection.open_bi().await;
    let (send, recv) = opened.map_err(|error| Unbegun::Lost {
        acknowledged: false,
        loss: error.into(),
    })?;
    let (mut send, mut recv) = (ResetOnDrop(send), StopOnDrop(recv));
    let acks = connection.acks();
    let lost = |loss: Loss| Unbegun::Lost {
        acknowledged: connection.acks() != acks,
        loss,
    };
    let silence = async {
        sleep(SILENCE).await;
        if connection.acks() != acks {
            pending().await
        }
    };
    let mut answer = [0];
    let mut sent = 0;
    tokio::select! {
        answered = recv.0.read_exact(&mut answer) => answered.map_err(|error| match error {
            ReadExactError::ReadError(ReadError::ConnectionLost(error)) => lost(error.into()),
            ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_) => {
                Unbegun::Refused(ForwardError::Lost(Loss::Unanswered))
            }
        })?,
        error = send_first(&mut send, request, tcp, first, &mut sent) => return Err(match error {
            Unsent::Local(error) => Unbegun::Local(error),
            Unsent::Stream(error) => lost(error.into()),
        }),
        () = silence => return Err(lost(Loss::Silent)),
    }
    accepted(Answer::from_byte(answer[0]), &request.name).map_err(Unbegun::Refused)?;
    let rest = first.0.get(sent..).unwrap_or_default();
    let written = send.0.write_all(rest).await;
    written.map_err(|error| lost(error.into()))?;
    Ok((send, recv))
}

pub(super) fn accepted(answer: Answer, name: &ServiceName) -> Result<(), ForwardError> {
    let name = name.clone();
    match answer {
        Answer::Ok => Ok(()),
        Answer::UnknownService => Err(ForwardError::UnknownService { name }),
        Answer::NoTarget(reason) => Err(ForwardError::TargetRefused { name, reason }),
        Answer::Malformed => Err(ForwardError::Version),
        Answer::IsUdp => Err(ForwardError::IsUdp { name }),
        Answer::IsTcp => Err(ForwardError::IsTcp { name }),
        Answer::NotAllowed => Err(ForwardError::NotAllowed { name }),
        Answer::Repeated => Err(ForwardError::Cut(Loss::Repeated)),
    }
}

/// Sends the request, what was kept of an earlier try, and what comes from TCP, up to [`FIRST`] bytes of which `sent` are on
/// their way. Ready only if that fails.
async fn send_first(
    send: &mut ResetOnDrop,
    request: &Request,
    tcp: Option<&Local>,
    first: &mut First,
    sent: &mut usize,
) -> Unsent {
    let mut failed = send.0.write_all(&request.to_bytes()).await.err();
    while failed.is_none() {
        match first.0.get(*sent..) {
            Some(rest) if !rest.is_empty() => match send.0.write(rest).await {
                Ok(bytes) => *sent += bytes,
                Err(error) => failed = Some(error),
            },
            _ => {
                if let Err(error) = more(tcp, first).await {
                    return Unsent::Local(error);
                }
            }
        }
    }
    match failed {
        // A peer that refuses may stop the stream before its answer is here.
        None | Some(WriteError::Stopped(_)) => pending().await,
        Some(error) => Unsent::Stream(error),
    }
}

/// Waits for more from TCP, as long as there is room for it and it has not ended.
async fn more(tcp: Option<&Local>, first: &mut First) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let room = bytes.len().min(FIRST.saturating_sub(first.0.len()));
    let (Some(tcp), Some(room @ [_, ..])) = (tcp, bytes.get_mut(..room)) else {
        return pending().await;
    };
    tcp.readable().await?;
    match tcp.try_read(room) {
        // Whoever copies from here on reads the end once more.
        Ok(0) => pending().await,
        Ok(read) => first.0.extend(room.iter().take(read)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

enum Unsent {
    Local(io::Error),
    Stream(WriteError),
}

/// Why a TCP connection was not begun.
#[derive(Debug)]
pub(super) enum Unbegun {
    /// The QUIC connection is dead.
    Lost {
        /// Whether the peer acknowledged anything since the request: then it may have begun, and nobody knows how far it got.
        acknowledged: bool,
        loss: Loss,
    },
    Refused(ForwardError),
    Local(io::Error),
}

impl From<Unbegun> for ForwardError {
    fn from(error: Unbegun) -> Self {
        match error {
            Unbegun::Lost {
                acknowledged: true,
                loss,
            } => Self::Cut(loss),
            Unbegun::Lost { loss, .. } => Self::Lost(loss),
            Unbegun::Refused(error) => error,
            Unbegun::Local(error) => error.into(),
        }
    }
}
