//! What is wrong with the whole node rather than with one peer, as far as it can be told from what is shown.

use std::{collections::BTreeMap, time::Duration};

use peerway::{EventKind, NodeSnapshot, RelaySnapshot, RelayState, RelayUrl};

use super::{
    format,
    model::{Data, Model},
    words::Standing,
};
use crate::printable::printable;

/// Peers of whom all are relayed, so that it is no matter of one of them.
const MANY: usize = 2;
/// A relay that is lost so often in this time comes and goes.
const LOST: usize = 3;
const LOST_WITHIN: Duration = Duration::from_secs(600);
/// Clocks that are kept in step move less at once.
const JUMP: Duration = Duration::from_secs(5);
/// For how long of the node's life a jump is told of.
const JUMP_TOLD: Duration = Duration::from_secs(600);

/// The clock that others see was set, as the one that nobody sets tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// How long the node ran then.
    uptime: Duration,
    ahead: bool,
    by: Duration,
}

impl Jump {
    /// Between two looks at the same node.
    pub(super) fn between(before: &NodeSnapshot, now: &NodeSnapshot) -> Option<Self> {
        if before.id != now.id || now.uptime <= before.uptime {
            return None;
        }
        let ran = now.uptime.saturating_sub(before.uptime).as_millis();
        let expected = u128::from(before.at_ms).saturating_add(ran);
        let at = u128::from(now.at_ms);
        let by = Duration::from_millis(u64::try_from(at.abs_diff(expected)).unwrap_or(u64::MAX));
        (by >= JUMP).then_some(Self {
            uptime: now.uptime,
            ahead: at > expected,
            by,
        })
    }
}

/// One line for each thing that is wrong.
pub(super) fn of(model: &Model) -> Vec<String> {
    let data = model.data();
    let all = [
        unreachable(&data.snapshot).map(|line| model.words().foreign(&line)),
        relayed(model),
        udp(&data.snapshot),
        clock(data),
    ];
    let mut lines: Vec<String> = all.into_iter().flatten().collect();
    lines.extend(flapping(model));
    lines
}

/// That no relay of the node's own answers, why, and what to do; none as long as one does, or the first try still runs.
pub(crate) fn unreachable(node: &NodeSnapshot) -> Option<String> {
    let own: Vec<_> = node.relays.iter().filter(|relay| relay.home).collect();
    let is_down = |relay: &&RelaySnapshot| {
        let is_again = relay.state == RelayState::Connecting && relay.error.is_some();
        relay.state == RelayState::Down || is_again
    };
    if own.is_empty() || !own.iter().all(is_down) {
        return None;
    }
    let why = own.iter().find_map(|relay| relay.error.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" ({})", printable(why)));
    Some(format!(
        "no relay answers: who is not linked yet cannot reach this node from elsewhere{why}; see `peerway netcheck`, or name another relay with --relay URL"
    ))
}

/// Each of them may have its own reason, but so many seldom do.
fn relayed(model: &Model) -> Option<String> {
    let words = model.words();
    let peers = &model.data().snapshot.peers;
    let kinds = || peers.iter().map(|peer| words.kind(peer));
    if kinds().any(|kind| matches!(kind, Standing::Direct | Standing::Suspect)) {
        return None;
    }
    let relayed = kinds().filter(|kind| *kind == Standing::Relay).count();
    let is_all = relayed >= MANY;
    is_all.then(|| {
        format!("all {relayed} reached peers are relayed: `peerway netcheck` says what would help")
    })
}

fn udp(node: &NodeSnapshot) -> Option<String> {
    let up = || {
        node.relays
            .iter()
            .filter(|relay| relay.state == RelayState::Up)
    };
    let is_blocked = up().count() > 0 && up().all(|relay| relay.tcp_port.is_some());
    is_blocked.then(|| {
        "UDP does not get through: relays are reached by TCP, and peers seldom directly".to_owned()
    })
}

fn clock(data: &Data) -> Option<String> {
    let jump = data.jump?;
    let ago = data.snapshot.uptime.saturating_sub(jump.uptime);
    let way = if jump.ahead { "ahead" } else { "back" };
    (ago < JUMP_TOLD).then(|| {
        let (by, ago) = (format::age(jump.by), format::age(ago));
        format!("the clock of the node's computer was set {way} by {by}, or it slept, {ago} ago")
    })
}

fn flapping(model: &Model) -> Vec<String> {
    let data = model.data();
    let since = data
        .snapshot
        .at_ms
        .saturating_sub(LOST_WITHIN.as_millis() as u64);
    // Each try that fails while it is away is told of, too.
    let mut lost = BTreeMap::<&RelayUrl, (usize, bool)>::new();
    for event in data.events.iter().filter(|event| event.at_ms >= since) {
        if let EventKind::RelayDown { relay, .. } = &event.kind {
            let (count, is_away) = lost.entry(relay).or_default();
            *count += usize::from(!std::mem::replace(is_away, true));
        } else if let EventKind::RelayUp { relay, .. } = &event.kind {
            lost.entry(relay).or_default().1 = false;
        }
    }
    let often = lost.into_iter().map(|(relay, (count, _))| (relay, count));
    let often = often.filter(|(_, count)| *count >= LOST);
    let words = model.words();
    let line = |(relay, count)| {
        let name = words.relay(relay);
        format!(
            "relay {name} comes and goes: lost {count} times within {}",
            format::age(LOST_WITHIN)
        )
    };
    often.map(line).collect()
}
