//! A connection to a service that the node makes and this program has the ends of.

use std::{future::pending, io};

use http_body_util::Empty;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{CONNECTION, HOST, UPGRADE},
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use peerway::{Ticket, services::tunnel::ServiceName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::{Client, Way, at, files::escaped, refused, server};
use crate::control::{
    ControlError, V1,
    pipe::{
        PROTOCOL,
        frame::{self, Frame, Step},
    },
};

/// What is read of this program's end at a time: less than a frame may have.
const CHUNK: usize = 32 << 10;

/// One that the node has agreed to.
pub(crate) struct Pipe(TokioIo<Upgraded>);

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipeError {
    /// An end of this program's.
    #[error(transparent)]
    Local(io::Error),
    #[error("the node that piped has ended")]
    Ended,
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl Client {
    /// Has the node connect to a service of a peer.
    pub(crate) async fn pipe(&self, to: &Ticket, name: &ServiceName) -> Result<Pipe, ControlError> {
        let Way::Here(place) = &self.way else {
            let reason = "what one computer reads is piped by its own node";
            return Err(ControlError::Refused(reason.to_owned()));
        };
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{V1}/pipe/{to}/{}", escaped(name.as_str())))
            .header(HOST, "peerway")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, PROTOCOL)
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| ControlError::Refused(error.to_string()))?;
        let answer = at(place, request).await?;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(Pipe(TokioIo::new(upgrade::on(answer).await?))),
            StatusCode::NOT_FOUND => Err(ControlError::Older {
                server: server(&answer),
            }),
            _ => {
                let _ = refused(answer).await?;
                Err(ControlError::Stream("it does not pipe".to_owned()))
            }
        }
    }
}

impl Pipe {
    /// Leads `reader` to the service and what comes from there to `writer`, until the step that says what became of it, and has each
    /// step noted.
    pub(crate) async fn run(
        self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        mut note: impl FnMut(&Step),
    ) -> Result<Step, PipeError> {
        let (mut from_node, mut to_node) = split(self.0);
        let giving = async {
            let mut buffer = vec![0; CHUNK];
            loop {
                let read = reader.read(&mut buffer).await.map_err(PipeError::Local)?;
                let data = buffer.get(..read).unwrap_or_default().to_vec();
                let given = frame::write(&mut to_node, &Frame::Data(data)).await;
                // What the node says last tells why it takes no more.
                if given.is_err() || read == 0 {
                    return pending().await;
                }
            }
        };
        let taking = async {
            loop {
                let frame = frame::read(&mut from_node).await;
                let frame = frame.map_err(|error| ControlError::Stream(error.to_string()))?;
                match frame {
                    Some(Frame::Data(data)) if data.is_empty() => writer.shutdown().await,
                    Some(Frame::Data(data)) => writer.write_all(&data).await,
                    Some(Frame::Step(last @ (Step::Done | Step::Failed(_)))) => return Ok(last),
                    Some(Frame::Step(step)) => {
                        note(&step);
                        Ok(())
                    }
                    None => return Err(PipeError::Ended),
                }
                .map_err(PipeError::Local)?;
            }
        };
        tokio::select! {
            ended = giving => ended,
            ended = taking => ended,
        }
    }
}
