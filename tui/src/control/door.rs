//! Who gets in at the control socket, and how many at a time.

use std::{io, pin::pin, time::Duration};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use peerway::PeerId;
use tokio::{net::UnixStream, sync::OwnedSemaphorePermit, time::sleep};
use tracing::{debug, warn};

use super::{
    place::{Socket, is_let_in},
    seats::{Seated, Seats},
};
use crate::book::Admin;

/// Connections at a time.
const AT_ONCE: usize = 128;
/// How long nobody is answered after the system refused a connection.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the socket is where commands look for it.
const LOOK: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// A process of the owner's, if the system says which.
    Program { pid: Option<i32> },
    /// A peer that may look into this node.
    Peer { id: PeerId, admin: Admin },
}

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        *stream.remote_addr()
    }
}

/// Lets in whoever may talk to this node.
pub(super) struct Door {
    socket: Socket,
    seats: Seats,
}

impl Door {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            seats: Seats::new(AT_ONCE),
        }
    }

    async fn next(&mut self) -> io::Result<Option<(Seated<UnixStream>, Caller)>> {
        let stream = loop {
            tokio::select! {
                accepted = self.socket.accept() => break accepted?,
                () = sleep(LOOK) => self.look().await,
            }
        };
        match is_let_in(&stream) {
            Ok(true) => {
                let pid = stream.peer_cred()?.pid();
                let seat = self.seat().await?;
                let seated = self.seats.seat(stream, seat);
                return Ok(Some((seated, Caller::Program { pid })));
            }
            Ok(false) => warn!("a program of another user was not let in to the control socket"),
            Err(error) => debug!(%error, "it is not known who asks at the control socket"),
        }
        Ok(None)
    }

    /// A place for whoever came.
    async fn seat(&mut self) -> io::Result<OwnedSemaphorePermit> {
        let seats = self.seats.clone();
        let mut seat = pin!(seats.take());
        loop {
            tokio::select! {
                seat = &mut seat => return seat,
                () = sleep(LOOK) => self.look().await,
            }
        }
    }

    /// Has the socket where commands look for it.
    async fn look(&mut self) {
        if let Err(error) = self.socket.renew().await {
            debug!(%error, "the control socket was taken away and cannot be opened again yet");
        }
    }
}

impl Listener for Door {
    type Io = Seated<UnixStream>;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        loop {
            match self.next().await {
                Ok(Some(accepted)) => return accepted,
                Ok(None) => {}
                Err(error) => {
                    warn!(%error, "cannot take a request at the control socket");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        let pid = i32::try_from(std::process::id()).ok();
        Ok(Caller::Program { pid })
    }
}
