//! Why the link to a peer is as it is.

use std::time::Duration;

use peerway::{
    Cause, ConnectError, Connection, Endpoint, NetworkSnapshot, NextReason, PeerId, PeerSnapshot,
    PeerState, services::ping,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    DialError, Dialling, OperationError, Patience, Step, Teller, Why, dialling::link, ms, patience,
};

/// How long a link may take to settle.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rounds go on only for links that carry data.
const PING_EVERY: Duration = Duration::from_millis(200);
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// How long a link that nothing can be sent on is looked at.
const UNUSED: Duration = Duration::from_secs(5);
const VERDICT: Duration = Duration::from_secs(1);

pub(super) async fn run(
    endpoint: &Endpoint,
    ask: &Why,
    teller: &Teller,
) -> Result<(), OperationError> {
    let hint = |text: &str| teller.hint(text);
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    let (target, given) = (ask.ticket.id(), patience(ask.timeout_ms));
    dialling.settled().await;
    let dialled_at = Instant::now();
    let dialled = dialling
        .dial(&ask.ticket, ping::ALPN, Patience::within(given))
        .await;
    if dialled.is_ok() {
        teller.tell(Step::Connected {
            connected_ms: ms(dialled_at.elapsed()),
        });
    }
    // The peer's word may be faster than what the link is told by.
    let answered = matches!(
        dialled,
        Ok(_) | Err(DialError::NoDiagnostics | DialError::Connect(ConnectError::Closed(_)))
    );
    if answered || link(&endpoint.snapshot(), target).is_some() {
        // What is known when the time is up is the answer.
        let settled = settle(endpoint, target, dialled.as_ref().ok());
        let _ = timeout(given.unwrap_or(PATIENCE), settled).await;
    } else {
        // The node may go on calling; what it found out comes a moment after the dial's own error.
        let _ = timeout(VERDICT, failed(endpoint, target)).await;
    }
    let snapshot = endpoint.snapshot();
    let peer = snapshot.peer(target);
    let Some((peer, why)) = peer.and_then(|peer| Some((peer, peer.why.as_ref()?))) else {
        return Ok(dialled.map(drop)?);
    };
    teller.tell(Step::Explained {
        peer: Box::new(peer.clone()),
    });
    let settled = matches!(
        why.cause,
        Cause::Direct { .. } | Cause::RelayOnly { .. } | Cause::Policy { .. }
    );
    if let Some(blindness) = blindness(&snapshot.network).filter(|_| !settled) {
        teller.hint(&blindness);
    }
    match dialled {
        // The link is explained, whatever runs over it.
        Err(failure) if link(&snapshot, target).is_some() => {
            teller.hint(&failure.to_string());
            Ok(())
        }
        other => Ok(other.map(drop)?),
    }
}

/// Waits until the link is direct, or until nothing more is to be learnt of why it is not.
async fn settle(endpoint: &Endpoint, peer: PeerId, connection: Option<&Connection>) {
    let pings = async {
        let Some(connection) = connection else {
            // Such a link is kept for some seconds.
            return sleep(UNUSED).await;
        };
        for seq in 0.. {
            // Lost or not, it was traffic.
            let _ = ping::ping(connection, seq, PING_PATIENCE).await;
            sleep(PING_EVERY).await;
        }
    };
    let mut snapshots = endpoint.snapshots();
    let settled = snapshots.wait_for(|snapshot| snapshot.peer(peer).is_some_and(is_settled));
    tokio::select! {
        _ = settled => {}
        () = pings => {}
    }
}

/// Waits until the snapshot says what came of the call.
async fn failed(endpoint: &Endpoint, peer: PeerId) {
    let mut snapshots = endpoint.snapshots();
    let is_failed = |one: &PeerSnapshot| one.id == peer && one.state == PeerState::Failed;
    // An error means that the node has ended, and nothing more comes.
    let _ = snapshots
        .wait_for(|all| all.peers.iter().any(is_failed))
        .await;
}

fn is_settled(peer: &PeerSnapshot) -> bool {
    let Some(why) = &peer.why else { return false };
    let runs = why
        .next_try
        .is_some_and(|next| matches!(next.reason, NextReason::Running | NextReason::Width));
    // What the peer has heard of our probes it tells in the second attempt.
    let vague = matches!(
        why.cause,
        Cause::Silent | Cause::MappingSilent { .. } | Cause::PathLost | Cause::GuessingWaits
    );
    let relayed = peer.state == PeerState::Relayed;
    let told = !vague || why.evidence.tried.rounds > 1;
    !runs && (peer.state == PeerState::Direct || relayed && told)
}

/// What a node cannot do because of what the system keeps from it, if anything.
pub(crate) fn blindness(network: &NetworkSnapshot) -> Option<String> {
    let reason = network.lan_trouble.as_ref();
    if network.interfaces_unread {
        let lan = reason.map_or(
            "",
            |_| ": peers on this network find each other by ticket, not by id alone",
        );
        return Some(format!(
            "the system does not let this program read its interfaces and routes{lan}; only the address that leads to the internet is offered, and no router is asked for a port"
        ));
    }
    reason.map(|reason| {
        format!("peers on this network find each other by ticket, not by id alone: {reason}")
    })
}
