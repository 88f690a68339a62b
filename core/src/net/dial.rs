//! A dial: from the wish for a connection to the connection, as one future.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::flow::LinkMemory;
use crate::{
    ConnectError, Connection, LinkStatus, PeerId, PeerState,
    proto::timing::{CONNECT_TIMEOUT, UNREACHED_TIMEOUT},
    tls,
};

/// Of a handshake that has waited for so long three packets were lost, and QUIC sends the next four seconds later. No line is so slow that an
/// answer is still on its way.
const LOST: Duration = Duration::from_secs(3);

/// Where the outcome of a dial goes; nobody waits for it any more where that is closed.
pub(crate) type Reply = oneshot::Sender<Result<Connection, ConnectError>>;

/// A dial is over; without an outcome if it was given up.
pub(super) struct Dialled {
    pub(super) peer: PeerId,
    pub(super) number: u64,
    pub(super) outcome: Option<(Result<Connection, ConnectError>, Reply)>,
}

/// The dials of a link.
#[derive(Default)]
pub(super) struct Dials(Vec<Dial>);

/// A dial as its link sees it.
struct Dial {
    number: u64,
    outlook: watch::Sender<Outlook>,
    until: watch::Sender<Instant>,
    /// Whether the peer is looked for where it was not before.
    elsewhere: watch::Sender<bool>,
}

/// What a dial may hope for.
#[derive(Clone, Debug)]
enum Outlook {
    /// There is nowhere yet to send to.
    NoRoute,
    Route,
    Failed(ConnectError),
}

/// What a dial goes by.
struct Signs {
    outlook: watch::Receiver<Outlook>,
    end: watch::Receiver<Instant>,
    elsewhere: watch::Receiver<bool>,
}

/// What a dial has to work with.
pub(super) struct Means {
    pub(super) peer: PeerId,
    pub(super) quic: quinn::Endpoint,
    pub(super) config: quinn::ClientConfig,
    /// The link's address, as quinn knows it.
    pub(super) addr: SocketAddr,
    pub(super) memory: LinkMemory,
    pub(super) status: watch::Receiver<LinkStatus>,
}

impl Dials {
    pub(super) fn begin(
        &mut self,
        number: u64,
        means: Means,
        mut reply: Reply,
    ) -> impl Future<Output = Dialled> + Send + use<> {
        let outlook = watch::Sender::new(Outlook::NoRoute);
        let until = watch::Sender::new(Instant::now() + CONNECT_TIMEOUT);
        let elsewhere = watch::Sender::new(false);
        let signs = Signs {
            outlook: outlook.subscribe(),
            end: until.subscribe(),
            elsewhere: elsewhere.subscribe(),
        };
        self.0.push(Dial {
            number,
            outlook,
            until,
            elsewhere,
        });
        async move {
            let peer = means.peer;
            let outcome = tokio::select! {
                outcome = means.dial(signs) => Some(outcome),
                () = reply.closed() => None,
            };
            Dialled {
                peer,
                number,
                outcome: outcome.map(|outcome| (outcome, reply)),
            }
        }
    }

    /// They may take until then, where they may not take longer already.
    pub(super) fn be_patient(&self, until: std::time::Instant) {
        let until = Instant::from_std(until);
        for dial in &self.0 {
            dial.until
                .send_if_modified(|end| until > std::mem::replace(end, until.max(*end)));
        }
    }

    /// The peer is looked for where it was not before.
    pub(super) fn look_elsewhere(&self) {
        for dial in &self.0 {
            dial.elsewhere.send_replace(true);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.0.retain(|dial| dial.number != number);
    }

    /// Whether any has nowhere to send to.
    pub(super) fn wait_for_route(&self) -> bool {
        let waits = |dial: &Dial| matches!(*dial.outlook.borrow(), Outlook::NoRoute);
        self.0.iter().any(waits)
    }

    /// There is somewhere to send to, or somewhere else, or the peer was met there once more.
    pub(super) fn has_route(&self) {
        for dial in &self.0 {
            dial.outlook.send_if_modified(|outlook| {
                let is_hopeful = !matches!(outlook, Outlook::Failed(_));
                if is_hopeful {
                    *outlook = Outlook::Route;
                }
                is_hopeful
            });
        }
    }

    /// All are in vain.
    pub(super) fn fail(&self, error: &ConnectError) {
        for dial in &self.0 {
            dial.outlook.send_replace(Outlook::Failed(error.clone()));
        }
    }
}

impl Means {
    async fn dial(self, signs: Signs) -> Result<Connection, ConnectError> {
        let begun = Instant::now();
        let patience = patience(self.status.clone(), signs.end);
        let mut dialled = tokio::select! {
            connection = self.shake_hands(signs.outlook, signs.elsewhere) => connection,
            () = patience => Err(ConnectError::Timeout { after: CONNECT_TIMEOUT }),
        };
        // Who asked while the peer was looked for already has waited less, and who was asked for patience longer.
        if let Err(ConnectError::Timeout { after }) = &mut dialled {
            *after = begun.elapsed();
        }
        dialled
    }

    async fn shake_hands(
        &self,
        mut outlook: watch::Receiver<Outlook>,
        elsewhere: watch::Receiver<bool>,
    ) -> Result<Connection, ConnectError> {
        let has_route = |outlook: &Outlook| !matches!(outlook, Outlook::NoRoute);
        let mut failing = outlook.clone();
        match outlook.wait_for(has_route).await.as_deref() {
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
        let mut is_found = *elsewhere.borrow();
        let found = reached_elsewhere(self.status.clone(), elsewhere);
        tokio::pin!(found);
        loop {
            let name = tls::server_name(self.peer);
            let config = self.config.clone();
            let connecting = self.quic.connect_with(config, self.addr, &name);
            let connecting = connecting?;
            let quic = tokio::select! {
                quic = connecting => quic?,
                error = &mut failed => return Err(error),
                // In all cases QUIC waits longer for its next packet than a new handshake takes.
                () = reached_again(self.status.clone()) => continue,
                () = routed_late(outlook.clone()) => continue,
                () = &mut found, if !is_found => {
                    is_found = true;
                    continue;
                }
            };
            let (status, memory) = (self.status.clone(), self.memory.clone());
            return Ok(Connection::new(quic, self.peer, status, memory));
        }
    }
}

/// Ends when a dial has taken too long. As long as the peer's relay does not reach it that is for the machine to say.
async fn patience(mut status: watch::Receiver<LinkStatus>, mut end: watch::Receiver<Instant>) {
    let mut until = *end.borrow_and_update();
    loop {
        let out_of_time = sleep_until(until);
        let is_reached = |status: &LinkStatus| !status.is_unreached();
        tokio::select! {
            () = out_of_time => return,
            Ok(()) = end.changed() => {
                until = *end.borrow_and_update();
                continue;
            }
            Ok(_) = status.wait_for(LinkStatus::is_unreached) => {}
        }
        let reached = timeout(UNREACHED_TIMEOUT, status.wait_for(is_reached)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return;
        }
        until = until.max(Instant::now() + CONNECT_TIMEOUT);
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

/// Waits for a way to the peer, or for the peer to be met again by the same, that comes when much of a handshake was lost by now.
async fn routed_late(mut outlook: watch::Receiver<Outlook>) {
    sleep(LOST).await;
    outlook.mark_unchanged();
    while outlook.changed().await.is_ok() {
        if matches!(*outlook.borrow_and_update(), Outlook::Route) {
            return;
        }
    }
    std::future::pending().await
}

/// Waits until a peer that was not reached at first is, at a place that was found later.
async fn reached_elsewhere(
    mut status: watch::Receiver<LinkStatus>,
    mut elsewhere: watch::Receiver<bool>,
) {
    let is_reached = |status: &LinkStatus| match status.state {
        PeerState::Direct | PeerState::Suspect | PeerState::Relayed | PeerState::Punch => true,
        PeerState::Intro | PeerState::Failed | PeerState::Idle | PeerState::Unknown | _ => false,
    };
    let found = async {
        elsewhere.wait_for(|elsewhere| *elsewhere).await.ok()?;
        if is_reached(&status.borrow()) {
            return None;
        }
        status.wait_for(is_reached).await.ok().map(drop)
    };
    if found.await.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_way_begins_a_handshake_anew_that_has_waited_for_long_and_no_other() {
        let (outlook, signs) = watch::channel(Outlook::NoRoute);
        let late = routed_late(signs);
        tokio::pin!(late);
        for told in [Duration::ZERO, LOST / 2] {
            let early = timeout(told, &mut late).await;
            assert!(early.is_err());
            outlook.send_replace(Outlook::Route);
        }
        let still = timeout(LOST * 10, &mut late).await;
        assert!(still.is_err(), "what it had at the time was lost");
        outlook.send_replace(Outlook::Route);
        late.await;
    }
}
