//! What the node shares and fetches, as rows of a table and what is said of the selected one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::PeerId;
use peerway_swarm::share::{ContentPeer, ContentState, ContentView, Hash};

use super::{
    filter, joined,
    look::{Glyphs, Role},
    model::{Data, Model},
    sort::{Column, Sort},
};
use crate::{Commons, printable::printable};

/// The node looks once a second: what was quiet for longer and moves again did so within that time.
const LOOK_MS: u64 = 1000;
/// What has not moved for so long stands still.
const STILL_MS: u64 = 3000;

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) down: u64,
    pub(super) up: u64,
}

/// How fast content moves, by what its counters were before.
#[derive(Clone, Debug, Default)]
pub(super) struct Meters {
    of: BTreeMap<Hash, Meter>,
    transfers: BTreeMap<u64, Meter>,
    servers: BTreeMap<String, Meter>,
}

#[derive(Clone, Copy, Debug)]
struct Meter {
    at_ms: u64,
    received: u64,
    sent: u64,
    rates: Rates,
}

impl Meters {
    pub(super) fn record(&mut self, now: &Commons) {
        self.record_servers(now);
        let known: BTreeSet<Hash> = now.contents.iter().map(|it| it.hash).collect();
        self.of.retain(|hash, _| known.contains(hash));
        for content in &now.contents {
            let first = Meter {
                at_ms: now.at_ms,
                received: content.received,
                sent: content.sent,
                rates: Rates::default(),
            };
            let meter = self.of.entry(content.hash).or_insert(first);
            if (meter.received, meter.sent) != (content.received, content.sent) {
                meter.moved((content.received, content.sent), now.at_ms);
            }
        }
        let known: BTreeSet<u64> = now.transfers.iter().map(|it| it.id).collect();
        self.transfers.retain(|id, _| known.contains(id));
        for transfer in &now.transfers {
            // What was there before does not come.
            let moved = transfer.moved;
            let came = moved.bytes_done.saturating_sub(moved.bytes_held);
            let first = Meter {
                at_ms: now.at_ms,
                received: came,
                sent: 0,
                rates: Rates::default(),
            };
            let meter = self.transfers.entry(transfer.id).or_insert(first);
            if meter.received != came {
                meter.moved((came, 0), now.at_ms);
            }
        }
    }

    fn record_servers(&mut self, now: &Commons) {
        let is_there = |name: &String| now.servers.iter().any(|it| it.name == *name);
        self.servers.retain(|name, _| is_there(name));
        for server in &now.servers {
            let moved = (server.received, server.sent);
            let first = Meter {
                at_ms: now.at_ms,
                received: moved.0,
                sent: moved.1,
                rates: Rates::default(),
            };
            let meter = self.servers.entry(server.name.clone()).or_insert(first);
            if (meter.received, meter.sent) != moved {
                meter.moved(moved, now.at_ms);
            }
        }
    }

    /// What comes from peers to a server and goes to them, as it is at this time.
    pub(super) fn of_server(&self, name: &str, now_ms: u64) -> Rates {
        let meter = self.servers.get(name);
        let moving = meter.filter(|it| now_ms.saturating_sub(it.at_ms) < STILL_MS);
        moving.map(|meter| meter.rates).unwrap_or_default()
    }

    /// Bytes a second of a transfer, whichever way it goes, as they are at this time.
    pub(super) fn of_transfer(&self, id: u64, now_ms: u64) -> u64 {
        let meter = self.transfers.get(&id);
        let moving = meter.filter(|it| now_ms.saturating_sub(it.at_ms) < STILL_MS);
        moving.map_or(0, |meter| meter.rates.down)
    }

    /// As they are at this time.
    fn of(&self, hash: Hash, now_ms: u64) -> Rates {
        let meter = self.of.get(&hash);
        let moving = meter.filter(|it| now_ms.saturating_sub(it.at_ms) < STILL_MS);
        moving.map(|meter| meter.rates).unwrap_or_default()
    }
}

impl Meter {
    fn moved(&mut self, (received, sent): (u64, u64), at_ms: u64) {
        let passed = at_ms.saturating_sub(self.at_ms).max(1);
        let was_still = passed >= STILL_MS || self.rates == Rates::default();
        let passed = if passed > 2 * LOOK_MS {
            LOOK_MS
        } else {
            passed
        };
        let rate = |now: u64, before: u64| {
            // A counter that begins anew has no rate yet.
            let moved = u128::from(now.saturating_sub(before)) * 1000;
            u64::try_from(moved / u128::from(passed)).unwrap_or(u64::MAX)
        };
        let (down, up) = (rate(received, self.received), rate(sent, self.sent));
        // Units come in lumps: two samples together are calmer.
        let calm = |now: u64, before: u64| if was_still { now } else { now / 2 + before / 2 };
        self.rates = Rates {
            down: calm(down, self.rates.down),
            up: calm(up, self.rates.up),
        };
        (self.at_ms, self.received, self.sent) = (at_ms, received, sent);
    }
}

/// Some content as it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) it: &'a ContentView,
    pub(super) rates: Rates,
}

impl Content<'_> {
    /// Percent of it that are here; 100 only when all is, and nothing of what is another now.
    pub(super) fn done(&self) -> u8 {
        let it = self.it;
        if is_whole(it.state) {
            return 100;
        }
        if it.state == ContentState::Changed {
            return 0;
        }
        let percent = u128::from(it.bytes_done) * 100 / u128::from(it.bytes.max(1));
        u8::try_from(percent).unwrap_or(99).min(99)
    }

    /// How long it takes at this rate.
    pub(super) fn left(&self) -> Option<Duration> {
        let it = self.it;
        let rest = it.bytes.saturating_sub(it.bytes_done);
        let moves = it.state == ContentState::Fetching && self.rates.down > 0;
        moves.then(|| Duration::from_secs(rest / self.rates.down.max(1)))
    }

    /// Peers that have some of it.
    pub(super) fn holders(&self) -> usize {
        self.it.peers.iter().filter(|peer| peer.is_holder()).count()
    }

    pub(super) fn name(&self) -> String {
        joined::apart(&printable(&self.it.name))
    }
}

fn is_whole(state: ContentState) -> bool {
    matches!(state, ContentState::Fetched | ContentState::Shared)
}

/// What is told of content now; none if the node tells nothing.
pub(super) fn told(data: &Data) -> &[ContentView] {
    data.commons
        .as_ref()
        .map_or(&[], |commons| &commons.contents)
}

fn of<'a>(data: &'a Data, it: &'a ContentView) -> Content<'a> {
    let rates = data.meters.of(it.hash, data.snapshot.at_ms);
    Content { it, rates }
}

/// Those that the filter lets through, in the order of the table, as positions in what is told.
pub(super) fn arranged(model: &Model) -> Vec<usize> {
    let data = model.data();
    let contents: Vec<_> = told(data).iter().map(|it| of(data, it)).collect();
    let (rule, words) = (&model.filters.shares, model.words());
    let shows = |it: &Content<'_>| rule.is_empty() || rule.shows(&filter::of_content(it, &words));
    let mut rows: Vec<_> = contents
        .iter()
        .enumerate()
        .filter(|(_, it)| shows(it))
        .collect();
    let Sort { by, reversed } = model.share_sort;
    // What is equal stays in the order of its state and name.
    rows.sort_by(|(_, a), (_, b)| match by {
        Column::Name => a.it.name.cmp(&b.it.name),
        Column::Size => b.it.bytes.cmp(&a.it.bytes),
        Column::Done => a.done().cmp(&b.done()),
        Column::Holders => b.holders().cmp(&a.holders()),
        Column::Down => b.rates.down.cmp(&a.rates.down),
        Column::Up => b.rates.up.cmp(&a.rates.up),
        Column::Total => moved(b).cmp(&moved(a)),
        Column::State | Column::Rtt | Column::Loss | Column::Age => a.it.state.cmp(&b.it.state),
    });
    if reversed {
        rows.reverse();
    }
    rows.into_iter().map(|(at, _)| at).collect()
}

fn moved(content: &Content<'_>) -> u64 {
    content.it.received.saturating_add(content.it.sent)
}

/// The rows of the table.
pub(super) fn rows(model: &Model) -> impl Iterator<Item = Content<'_>> {
    let data = model.data();
    let rows = model.share_rows.iter();
    rows.filter_map(move |row| told(data).get(*row).map(|it| of(data, it)))
}

pub(super) fn selected(model: &Model) -> Option<Content<'_>> {
    rows(model).nth(model.shares.at)
}

/// With whom the selected content is exchanged; those first with whom it is now, and with whom most was.
pub(super) fn peers(model: &Model) -> Vec<&ContentPeer> {
    let Some(content) = selected(model) else {
        return Vec::new();
    };
    let mut peers: Vec<_> = content.it.peers.iter().collect();
    let words = model.words();
    peers.sort_by_cached_key(|peer| {
        let moved = peer.received.saturating_add(peer.sent);
        let order = (!peer.active, u64::MAX - moved);
        (order, words.name(&peer.id))
    });
    peers
}

/// Of which peer a row is.
pub(super) fn peer_at(model: &Model, row: usize) -> Option<PeerId> {
    peers(model).get(row).map(|peer| peer.id)
}

pub(super) fn glyph(state: ContentState, glyphs: &Glyphs) -> (&'static str, Role) {
    match state {
        ContentState::Fetching => (glyphs.down, Role::Info),
        ContentState::Waiting => (glyphs.connecting, Role::Warn),
        ContentState::Paused => (glyphs.warning, Role::Bad),
        ContentState::Fetched => (glyphs.check, Role::Good),
        ContentState::Shared => (glyphs.direct, Role::Good),
        ContentState::Changed => (glyphs.unreachable, Role::Bad),
        ContentState::Unknown | _ => (glyphs.none, Role::Dim),
    }
}

pub(super) fn word(state: ContentState) -> &'static str {
    match state {
        ContentState::Fetching => "fetching",
        ContentState::Waiting => "waiting",
        ContentState::Paused => "paused",
        ContentState::Fetched => "fetched",
        ContentState::Shared => "shared",
        ContentState::Changed => "changed",
        ContentState::Unknown | _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn commons(at_ms: u64, received: u64) -> Commons {
        let content = json!({
            "hash": Hash::of(b"a"), "name": "a", "kind": "file", "state": "fetching", "reason": null, "public": true,
            "path": "/a", "files": 1, "files_done": 0, "bytes": 1000, "bytes_done": received, "received": received,
            "sent": 0, "pieces": [], "peers": [],
        });
        serde_json::from_value(json!({"at_ms": at_ms, "contents": [content], "groups": []}))
            .unwrap()
    }

    #[test]
    fn a_rate_is_of_the_last_second_and_ends_when_nothing_is_told_any_more() {
        let (mut meters, hash) = (Meters::default(), Hash::of(b"a"));
        meters.record(&commons(10_000, 0));
        assert_eq!(meters.of(hash, 10_000), Rates::default());
        meters.record(&commons(60_000, 400));
        assert_eq!(
            meters.of(hash, 60_000).down,
            400,
            "it was still for long before"
        );
        meters.record(&commons(61_000, 600));
        assert_eq!(meters.of(hash, 61_000).down, 300);
        assert_eq!(meters.of(hash, 63_999).down, 300);
        assert_eq!(meters.of(hash, 64_000).down, 0);
        // It is fetched anew.
        meters.record(&commons(70_000, 0));
        assert_eq!(meters.of(hash, 70_000).down, 0);
    }
}
