//! Asks the node of a peer, which has to have this one's key among its admins: HTTP over the streams of a link.

use std::sync::{Arc, Weak};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use peerway::{
    ConnectError, Connection, Endpoint, Ticket,
    quic::{ConnectionError, VarInt, close},
};
use tokio::{io::join, sync::Mutex, time::timeout};

use crate::{links::DIAL_PATIENCE, printable::printable};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/control/1";

/// A node that is asked over a link; clones share it, and it is let go with the last and the last answer.
#[derive(Clone, Debug)]
pub(super) struct Remote(Arc<Connection>);

/// Why the node of a peer is not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nothing of this program is offered there to anybody, or it is older.
    #[error(
        "the peer runs nothing that can be looked into from afar: it takes `peerway up` of this version there"
    )]
    NoNode,
    #[error(transparent)]
    Connect(ConnectError),
    #[error("the dial takes too long")]
    Slow,
    /// In the peer's words, which say what is to be done there.
    #[error("the peer refuses: {0}")]
    Refused(String),
    #[error("the link to the peer's node was lost: {0}")]
    Lost(ConnectionError),
    #[error("the peer's node broke off ({0}), as one does that ends")]
    Broken(hyper::Error),
}

/// A peer's node, and the link over which it is asked; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Distant {
    endpoint: Endpoint,
    peer: Ticket,
    link: Arc<Mutex<Remote>>,
}

impl Distant {
    pub(super) async fn dial(endpoint: &Endpoint, peer: Ticket) -> Result<Self, RemoteError> {
        let link = Remote::dial(endpoint, peer.clone()).await?;
        Ok(Self {
            endpoint: endpoint.clone(),
            peer,
            link: Arc::new(Mutex::new(link)),
        })
    }

    pub(super) async fn ask<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, RemoteError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let link = self.link.lock().await.clone();
        link.ask(request).await
    }

    /// Dials anew if the link was lost.
    pub(super) async fn mend(&self) -> Result<(), RemoteError> {
        let mut link = self.link.lock().await;
        if link.0.close_reason().is_some() {
            *link = Remote::dial(&self.endpoint, self.peer.clone()).await?;
        }
        Ok(())
    }
}

impl Remote {
    /// Dials; whether it may ask shows with the first answer.
    pub(super) async fn dial(endpoint: &Endpoint, peer: Ticket) -> Result<Self, RemoteError> {
        let dial = timeout(DIAL_PATIENCE, endpoint.connect(peer, ALPN));
        let connection = dial.await.map_err(|_| RemoteError::Slow)?;
        let connection = connection.map_err(|error| {
            if let ConnectError::NoSuchService = error {
                RemoteError::NoNode
            } else {
                RemoteError::Connect(error)
            }
        })?;
        Ok(Self(Arc::new(connection)))
    }

    /// Asks, and gives what is answered.
    pub(super) async fn ask<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, RemoteError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let opened = self.0.open_bi().await;
        let (send, recv) = opened.map_err(|lost| ended(&lost))?;
        let io = TokioIo::new(join(recv, send));
        let handshake = http1::handshake(io).await;
        let (mut sender, driver) = handshake.map_err(|error| self.why(error))?;
        self.drive(driver);
        let answer = sender.send_request(request).await;
        answer.map_err(|error| self.why(error))
    }

    pub(super) fn downgrade(&self) -> Weak<Connection> {
        Arc::downgrade(&self.0)
    }

    /// The same link, if somebody still asks over it.
    pub(super) fn kept(link: &Weak<Connection>) -> Option<Self> {
        let link = link.upgrade()?;
        link.close_reason().is_none().then_some(Self(link))
    }

    /// Until the answer has been read, or is dropped.
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    fn drive(&self, driver: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        let kept = self.clone();
        tokio::spawn(async move {
            // Whoever reads the answer is told the same.
            let _ = driver.await;
            drop(kept);
        });
    }

    /// The end of the link says more than that of a stream.
    fn why(&self, error: hyper::Error) -> RemoteError {
        let end = self.0.close_reason();
        end.map_or(RemoteError::Broken(error), |end| ended(&end))
    }
}

fn ended(end: &ConnectionError) -> RemoteError {
    if let ConnectionError::ApplicationClosed(said) = end
        && [close::NOT_LET_IN, close::BUSY]
            .map(VarInt::from)
            .contains(&said.error_code)
    {
        let reason = String::from_utf8_lossy(&said.reason);
        return RemoteError::Refused(printable(&reason));
    }
    RemoteError::Lost(end.clone())
}
