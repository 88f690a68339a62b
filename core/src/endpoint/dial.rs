//! One dial, from the wish for a link to the connection.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use super::{ConnectError, Endpoint};
use crate::{
    Connection, LinkStatus, PeerId, Ticket,
    net::driver::{Command, Lease},
    tls,
};

/// How long a dial may take, but for the time that the peer's relay does not reach it.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(9);
/// How long a peer that its relay does not reach is waited for, if the machine does not give it up before.
const UNREACHED_TIMEOUT: Duration = Duration::from_secs(25);

impl Endpoint {
    pub(super) async fn dial(
        &self,
        target: Ticket,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let peer = target.id;
        let (reply, lease) = oneshot::channel();
        let link = Command::Link { target, reply };
        self.0
            .commands
            .send(link)
            .await
            .map_err(|_| ConnectError::Shutdown)?;
        let lease = timeout(CONNECT_TIMEOUT, lease).await;
        let lease = lease.map_err(|_| timed_out())?;
        let lease = lease.map_err(|_| ConnectError::Shutdown)?;
        let patience = patience(lease.status.clone());
        tokio::select! {
            connection = self.shake_hands(peer, lease, alpn) => connection,
            () = patience => Err(timed_out()),
        }
    }

    async fn shake_hands(
        &self,
        peer: PeerId,
        lease: Lease,
        alpn: &[u8],
    ) -> Result<Connection, ConnectError> {
        let Lease {
            addr,
            transport,
            memory,
            mut status,
            ready,
            mut failed,
        } = lease;
        ready.await.map_err(|_| ConnectError::Shutdown)??;
        let crypto = self
            .0
            .clients
            .get(&self.0.key, alpn)
            .map_err(|error| ConnectError::Tls {
                reason: error.to_string(),
            })?;
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(transport);
        loop {
            let connecting = self
                .0
                .quic
                .connect_with(config.clone(), addr, &tls::server_name(peer))
                .map_err(|_| ConnectError::Shutdown)?;
            let quic = tokio::select! {
                quic = connecting => quic.map_err(ConnectError::from_quic)?,
                Ok(error) = &mut failed => return Err(error),
                // QUIC waits longer for its next packet than a new handshake takes.
                () = reached_again(&mut status) => continue,
            };
            return Ok(Connection::new(quic, peer, status, memory));
        }
    }
}

fn timed_out() -> ConnectError {
    let seconds = CONNECT_TIMEOUT.as_secs();
    ConnectError::Timeout { seconds }
}

/// Ends when a dial has taken too long. As long as the peer's relay does not reach it that is for the machine to say.
async fn patience(mut status: watch::Receiver<LinkStatus>) {
    loop {
        let out_of_time = sleep(CONNECT_TIMEOUT);
        let is_reached = |status: &LinkStatus| !status.is_unreached();
        tokio::select! {
            () = out_of_time => return,
            Ok(_) = status.wait_for(LinkStatus::is_unreached) => {}
        }
        let reached = timeout(UNREACHED_TIMEOUT, status.wait_for(is_reached)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return;
        }
    }
}

/// Waits until the peer's relay, which did not reach it, does.
async fn reached_again(status: &mut watch::Receiver<LinkStatus>) {
    let answers = |status: &LinkStatus| !status.is_unreached();
    let back = async {
        status.wait_for(LinkStatus::is_unreached).await?;
        status.wait_for(answers).await
    };
    if back.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells the driver that a dial is over, also if its future was dropped; a link that got its connection is not touched by it.
pub(super) struct DialGuard {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) peer: PeerId,
}

impl Drop for DialGuard {
    fn drop(&mut self) {
        // A full queue costs nothing but that the link is kept for longer than it is needed.
        let _ = self
            .commands
            .try_send(Command::Abandoned { peer: self.peer });
    }
}
