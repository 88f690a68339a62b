//! Dials: from the wish for a connection to the connection. Each is one future that the driver polls.

use std::net::SocketAddr;

use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{Done, Driver};
use crate::{
    ConnectError, Connection, LinkStatus, PeerId, Ticket,
    net::{flow::LinkMemory, mux::virtual_addr},
    proto::{
        io::Input,
        timing::{CONNECT_TIMEOUT, UNREACHED_TIMEOUT},
    },
    tls,
};

/// Where the outcome of a dial goes; nobody waits for it any more where that is closed.
pub(crate) type Reply = oneshot::Sender<Result<Connection, ConnectError>>;

/// A dial as its link sees it.
pub(super) struct Dial {
    number: u64,
    outlook: watch::Sender<Outlook>,
}

/// What a dial may hope for.
#[derive(Clone, Debug)]
enum Outlook {
    /// There is nowhere yet to send to.
    NoRoute,
    Route,
    Failed(ConnectError),
}

impl Dial {
    pub(super) fn waits_for_route(&self) -> bool {
        matches!(*self.outlook.borrow(), Outlook::NoRoute)
    }

    pub(super) fn has_route(&self) {
        self.outlook.send_if_modified(|outlook| {
            let waited = matches!(outlook, Outlook::NoRoute);
            if waited {
                *outlook = Outlook::Route;
            }
            waited
        });
    }

    pub(super) fn fail(&self, error: &ConnectError) {
        self.outlook.send_replace(Outlook::Failed(error.clone()));
    }
}

/// What a dial has to work with.
struct Means {
    peer: PeerId,
    quic: quinn::Endpoint,
    config: quinn::ClientConfig,
    /// The link's address, as quinn knows it.
    addr: SocketAddr,
    memory: LinkMemory,
    status: watch::Receiver<LinkStatus>,
    outlook: watch::Receiver<Outlook>,
}

impl Driver {
    /// Begins to dial.
    pub(super) fn dial(&mut self, target: &Ticket, alpn: &[u8], mut reply: Reply) {
        if reply.is_closed() {
            return;
        }
        let crypto = match self.clients.get(&self.key, alpn) {
            Ok(crypto) => crypto,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        let peer = target.id();
        let relays = if target.relays().is_empty() {
            self.relays.home().to_vec()
        } else {
            let theirs = target.relays().iter();
            theirs
                .map(|relay| self.relays.known(relay).clone())
                .collect()
        };
        self.dials += 1;
        let (number, quic) = (self.dials, self.quic.clone());
        let outlook = watch::Sender::new(Outlook::NoRoute);
        let link = self.link(peer);
        link.has_addrs |= !target.addrs().is_empty();
        let mut config = quinn::ClientConfig::new(crypto);
        config.transport_config(link.transport(quinn::Side::Client));
        let means = Means {
            peer,
            quic,
            config,
            addr: virtual_addr(link.link.handle()),
            memory: link.memory.clone(),
            status: link.status.subscribe(),
            outlook: outlook.subscribe(),
        };
        link.dials.push(Dial { number, outlook });
        self.pending.push(Box::pin(async move {
            let outcome = tokio::select! {
                outcome = means.dial() => Some(outcome),
                () = reply.closed() => None,
            };
            Done::Dialled {
                peer,
                number,
                outcome: outcome.map(|outcome| (outcome, reply)),
            }
        }));
        for relay in &relays {
            self.relays.on_link_needs(peer, relay);
        }
        self.look_for(peer);
        self.feed(Input::Connect {
            peer,
            relays,
            addrs: target.addrs().to_vec(),
        });
        self.refuse_impostors();
    }

    /// A dial is over; without an outcome if nobody waits for it any more.
    pub(super) fn on_dialled(
        &mut self,
        peer: PeerId,
        number: u64,
        outcome: Option<(Result<Connection, ConnectError>, Reply)>,
    ) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.dials.retain(|dial| dial.number != number);
        }
        if let Some((outcome, reply)) = outcome {
            if let Ok(connection) = &outcome {
                self.adopt(connection.clone(), None);
            }
            let _ = reply.send(outcome);
        }
        self.release_unused(peer);
    }
}

impl Means {
    async fn dial(mut self) -> Result<Connection, ConnectError> {
        let patience = patience(self.status.clone());
        tokio::select! {
            connection = self.shake_hands() => connection,
            () = patience => Err(ConnectError::Timeout { after: CONNECT_TIMEOUT }),
        }
    }

    async fn shake_hands(&mut self) -> Result<Connection, ConnectError> {
        let has_route = |outlook: &Outlook| !matches!(outlook, Outlook::NoRoute);
        let mut failing = self.outlook.clone();
        match self.outlook.wait_for(has_route).await.as_deref() {
            Ok(Outlook::Failed(error)) => return Err(error.clone()),
            Ok(Outlook::NoRoute | Outlook::Route) => {}
            Err(_) => return Err(ConnectError::Shutdown),
        }
        let failed = async {
            let has_failed = |outlook: &Outlook| matches!(outlook, Outlook::Failed(_));
            match failing.wait_for(has_failed).await.as_deref() {
                Ok(Outlook::Failed(error)) => error.clone(),
                Ok(Outlook::NoRoute | Outlook::Route) | Err(_) => ConnectError::Shutdown,
            }
        };
        tokio::pin!(failed);
        loop {
            let name = tls::server_name(self.peer);
            let config = self.config.clone();
            let connecting = self.quic.connect_with(config, self.addr, &name);
            let connecting = connecting?;
            let quic = tokio::select! {
                quic = connecting => quic?,
                error = &mut failed => return Err(error),
                // QUIC waits longer for its next packet than a new handshake takes.
                () = reached_again(self.status.clone()) => continue,
            };
            let (status, memory) = (self.status.clone(), self.memory.clone());
            return Ok(Connection::new(quic, self.peer, status, memory));
        }
    }
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
async fn reached_again(mut status: watch::Receiver<LinkStatus>) {
    let answers = |status: &LinkStatus| !status.is_unreached();
    let back = async {
        status.wait_for(LinkStatus::is_unreached).await?;
        status.wait_for(answers).await
    };
    if back.await.is_err() {
        std::future::pending::<()>().await;
    }
}
