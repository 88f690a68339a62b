//! Answers over a link, to peers that the address book makes admins: a stream in both directions is what a connection to the
//! socket is here.

use std::{future::pending, io, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, connect_info::Connected},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use peerway::{Connection, RecvStream, SendStream, quic::close};
use tokio::{
    io::{Join, join},
    sync::Semaphore,
};

use super::{door::Caller, refusal::Refusal, seats::Seated, server::Control};
use crate::book::Admin;

/// Requests at a time over one link; more wait.
const AT_ONCE: usize = 32;

impl Control {
    /// Answers a peer for as long as it is an admin, and nobody else.
    pub(crate) async fn visit(&self, connection: Connection) -> Visited {
        let peer = connection.peer();
        let mut book = self.book();
        let admin = book.borrow_and_update().admin(peer);
        let Some(admin) = admin else {
            let reason = format!(
                "this computer is no admin there: `peerway admin {peer} read` on that computer has it see what its owner sees, and `full` do most of what its owner does"
            );
            connection.close(close::NOT_LET_IN, reason.as_bytes());
            return Visited::Refused;
        };
        let changed = book.wait_for(|book| book.admin(peer) != Some(admin));
        tokio::select! {
            () = self.answer(&connection, admin) => {}
            _ = connection.closed() => {}
            _ = changed => connection.close(
                close::NOT_LET_IN,
                b"what this computer may do there has just been changed: ask again",
            ),
        }
        Visited::Answered
    }

    async fn answer(&self, connection: &Connection, admin: Admin) {
        let visits = Visits {
            connection: connection.clone(),
            caller: Caller::Peer {
                id: connection.peer(),
                admin,
            },
            room: Arc::new(Semaphore::new(AT_ONCE)),
        };
        let service = self
            .router()
            .into_make_service_with_connect_info::<Caller>();
        // It ends with the link alone.
        let _ = axum::serve(visits, service).await;
    }
}

/// What became of a peer that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visited {
    Answered,
    /// It is no admin, and was told so.
    Refused,
}

/// Lets nobody do from afar what is not theirs to do.
pub(super) async fn guard(
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    match caller {
        Caller::Peer { .. } if request.uri().path().starts_with("/v1/groups") => {
            let reason = "what is said in its groups is for the node's owner alone";
            Refusal::new(StatusCode::FORBIDDEN, reason).into_response()
        }
        Caller::Peer {
            id,
            admin: Admin::Read,
        } if is_change => {
            let reason = format!(
                "this computer may only look at that node: `peerway admin {id} full` there has it do more"
            );
            Refusal::new(StatusCode::FORBIDDEN, reason).into_response()
        }
        Caller::Peer { .. } | Caller::Program { .. } => next.run(request).await,
    }
}

/// The streams of one link.
struct Visits {
    connection: Connection,
    caller: Caller,
    room: Arc<Semaphore>,
}

type Stream = Join<RecvStream, SendStream>;

impl Listener for Visits {
    type Io = Seated<Stream>;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        let next = async {
            let seat = Arc::clone(&self.room).acquire_owned().await.ok()?;
            let (send, recv) = self.connection.accept_bi().await.ok()?;
            Some(Seated::new(join(recv, send), seat))
        };
        match next.await {
            Some(seated) => (seated, self.caller),
            // Whoever waits for the end of the link ends this.
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        Ok(self.caller)
    }
}

impl Connected<IncomingStream<'_, Visits>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Visits>) -> Self {
        *stream.remote_addr()
    }
}

impl Caller {
    pub(super) fn is_from_afar(self) -> bool {
        matches!(self, Self::Peer { .. })
    }
}
