//! `peerway lab`: two homes of given kinds, one dial, and what comes of it.

use std::time::Duration;

use peerway::{Cause, Connection, Endpoint, LinkStatus, NatBehavior, NatReport, PeerState, Ticket};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    DemoError,
    homes::Homes,
    payload::ALPN,
    timeline::{Form, Outcome, Step, Timeline, milliseconds},
    world::World,
};
use peerway_lab::{Access, Line};

/// How long finding a direct path may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a link has to be given up before nothing more is expected of it.
const RESIGNATION: Duration = Duration::from_secs(3);
/// How long nodes may take to measure their NATs before one dials.
const MEASURING: Duration = Duration::from_secs(3);

/// Two homes, and the line that each of them has.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "this is what a situation is")]
pub struct Situation {
    /// The home that dials.
    pub a: Access,
    /// The home that is dialled.
    pub b: Access,
    /// The line of either.
    pub line: Line,
}

/// Lets home A dial home B and prints what is tried until the link is direct or has been given up, as text or as one JSON
/// object per line. Ending on the relay is no error.
///
/// As [`print()`](super::print()), this may replace the process.
///
/// # Errors
/// Namespaces that are not to be had here, or homes that cannot be connected at all.
pub fn try_out(situation: &Situation, json: bool) -> Result<(), DemoError> {
    let world = World::of(situation)?;
    let timeline = Timeline::new(if json { Form::Json } else { Form::Attempts });
    world.run(async {
        let homes = Homes::start(&world, timeline).await?;
        let mut met = true;
        for (home, node) in homes.nodes() {
            if homes.is_registered(home, node).await {
                let nat = measured(node).await;
                timeline.step(&Step::Nat { home, nat });
            } else {
                met = false;
            }
        }
        let [_, (_, b)] = homes.nodes();
        let ticket = if met { b.ticket() } else { addressed(b) };
        let (outcome, connection) = dial(&world, &homes, ticket).await?;
        timeline.step(&Step::Outcome(Box::new(outcome)));
        drop(connection);
        Ok(())
    })
}

/// A ticket that also leads to the node where no relay does.
fn addressed(node: &Endpoint) -> Ticket {
    let network = node.snapshot().network.clone();
    let addrs = network.public_v4.into_iter().chain(network.public_v6);
    Ticket::new(node.id(), node.ticket().relays().to_vec(), addrs.collect())
}

/// What the node found out about its NAT in time.
async fn measured(node: &Endpoint) -> NatReport {
    let mut snapshots = node.snapshots();
    let known = snapshots.wait_for(|node| {
        let nat = node.network.nat;
        let is_v6 = node.network.public_v4.is_none() && node.network.public_v6.is_some();
        nat.mapping != NatBehavior::Unknown && nat.filtering != NatBehavior::Unknown || is_v6
    });
    // A NAT that stays unknown is worth to be shown as that.
    let _ = timeout(MEASURING, known).await;
    node.snapshot().network.nat
}

async fn dial(
    world: &World,
    homes: &Homes,
    ticket: Ticket,
) -> Result<(Outcome, Connection), DemoError> {
    let [(_, a), (_, b)] = homes.nodes();
    let before = world.packets()?;
    let dialled = Instant::now();
    let connection = a.connect(ticket, ALPN).await?;
    let connected = dialled.elapsed();
    let direct = settled(connection.watch_status(), dialled + PATIENCE).await;
    let took = dialled.elapsed();
    if direct {
        let mut snapshots = b.snapshots();
        let there = snapshots.wait_for(|node| {
            let links = &node.peers;
            links.iter().all(|link| link.state == PeerState::Direct)
        });
        // The other side hears of it half a round trip later; if it does not, that is what it shows.
        let _ = timeout(RESIGNATION, there).await;
    }
    let after = world.packets()?;
    let [why_a, why_b] = [(a, b), (b, a)].map(|(node, peer)| {
        let snapshot = node.snapshot();
        let peer = snapshot.peer(peer.id());
        peer.and_then(|peer| peer.why.clone())
    });
    let outcome = Outcome {
        connected_ms: milliseconds(connected),
        direct_ms: direct.then(|| milliseconds(took)),
        packets: [after[0] - before[0], after[1] - before[1]],
        a: why_a,
        b: why_b,
    };
    Ok((outcome, connection))
}

/// Waits until the link is direct, or nothing more is to be expected; says whether it is direct.
async fn settled(mut path: watch::Receiver<LinkStatus>, end: Instant) -> bool {
    let mut given_up = None;
    loop {
        let (direct, busy) = {
            let link = path.borrow_and_update();
            (link.state == PeerState::Direct, is_busy(&link))
        };
        if direct {
            return true;
        }
        let since = if busy {
            None
        } else {
            given_up.or_else(|| Some(Instant::now()))
        };
        given_up = since;
        let until = since.map_or(end, |since| end.min(since + RESIGNATION));
        tokio::select! {
            changed = path.changed() => if changed.is_err() { return false },
            () = sleep_until(until) => return false,
        }
    }
}

fn is_busy(link: &LinkStatus) -> bool {
    let cause = link.why.as_ref().map(|why| why.cause);
    matches!(
        cause,
        None | Some(Cause::Calling | Cause::Trying | Cause::Guessing)
    )
}
