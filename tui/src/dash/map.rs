//! Where peers and relays stand around this node: on rings by round-trip time, relayed peers below their relay. Angles come from the
//! ids, so that nobody moves because another one does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use peerway::{
    GroupSnapshot, PathInfo, PathKind, PeerId, PeerSnapshot, Presence, RelayState, RelayUrl,
};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::{
    format, group,
    model::Model,
    words::{Measured, Standing},
};

/// With less room a tree takes the map's place.
const LEAST: (u16, u16) = (58, 14);
/// What the rings stand for.
pub(super) const RINGS: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(150),
];
/// The rings' radii as parts of the largest; the last is for all that is farther, or not measured.
pub(super) const RADII: [f64; 5] = [0.28, 0.46, 0.64, 0.82, 1.0];
/// Peers for whom a place is looked for, in the order of the table.
const TRIED: usize = 200;
/// Columns for a name.
const NAME_WIDTH: usize = 14;

/// Everything that has a place.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) center: (u16, u16),
    /// Half width and half height of the largest ring.
    pub(super) radius: (f64, f64),
    pub(super) peers: Vec<Place>,
    pub(super) relays: Vec<Hub>,
    /// Between members of groups of whom neither is this node.
    pub(super) links: Vec<Link>,
    /// Peers for whom there is no room.
    pub(super) hidden: usize,
}

/// Who has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// In this row of the table.
    Peer(usize),
    /// A member of a group to whom this node has no link.
    Stranger(PeerId),
}

/// A link between two who are both on the map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) ends: [Who; 2],
    pub(super) from: (u16, u16),
    pub(super) to: (u16, u16),
    pub(super) path: PathKind,
}

/// A peer on the map, or another member of a group.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) who: Who,
    id: PeerId,
    /// Of its glyph.
    pub(super) at: (u16, u16),
    /// Where glyph and name are.
    pub(super) label: Rect,
    pub(super) text: String,
    /// The relay that it hangs under.
    pub(super) hub: Option<usize>,
}

/// A relay on the map.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) url: RelayUrl,
    pub(super) at: (u16, u16),
    pub(super) label: Rect,
    pub(super) text: String,
    /// Whether the node is registered there; none if it is a peer's.
    pub(super) state: Option<RelayState>,
}

/// A direction on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Left,
    Right,
    Up,
    Down,
}

/// Peers that are reached in one way, or members of a group that are not reached at all, for the tree.
pub(super) struct Branch<'a> {
    pub(super) kind: Standing,
    pub(super) relay: Option<&'a RelayUrl>,
    pub(super) group: Option<&'a GroupSnapshot>,
    pub(super) whos: Vec<Who>,
}

impl Who {
    /// Who is selected.
    pub(super) fn selected(model: &Model) -> Self {
        let stranger = model.stranger.map(Self::Stranger);
        stranger.unwrap_or(Self::Peer(model.cursor))
    }

    pub(super) fn select(self, model: &mut Model) {
        match self {
            Self::Peer(row) => {
                model.stranger = None;
                model.select_row(row);
            }
            Self::Stranger(id) => model.stranger = Some(id),
        }
    }
}

/// Whether a map fits in there.
pub(super) fn fits(area: Rect) -> bool {
    area.width >= LEAST.0 && area.height >= LEAST.1
}

impl Map {
    pub(super) fn of(model: &Model, area: Rect) -> Self {
        let center = (area.x + area.width / 2, area.y + area.height / 2);
        let radius = (
            f64::from(area.width / 2).max(1.0) - 2.0,
            f64::from(area.height / 2).max(1.0) - 1.0,
        );
        let mut map = Self {
            center,
            radius,
            peers: Vec::new(),
            relays: Vec::new(),
            links: Vec::new(),
            hidden: 0,
        };
        map.place_relays(model, area);
        let is_relayed = |row: &usize| {
            (model.peer(*row)).is_some_and(|peer| model.words().kind(peer) == Standing::Relay)
        };
        let (relayed, others): (Vec<usize>, Vec<usize>) =
            (0..model.rows.len()).partition(is_relayed);
        // Those that are relayed first: there is something to find out about them.
        let relayed = relayed.into_iter().take(TRIED / 2);
        for row in relayed.chain(others).take(TRIED) {
            if let Some(peer) = model.peer(row) {
                map.place(model, area, row, peer);
            }
        }
        let strangers = group::strangers(model);
        for (id, presence) in &strangers {
            map.place_stranger(model, area, *id, *presence);
        }
        let all = model.rows.len() + strangers.len();
        map.hidden = all.saturating_sub(map.peers.len());
        map.link(model);
        map
    }

    /// The links of others, as far as both ends have a place.
    fn link(&mut self, model: &Model) {
        let places: BTreeMap<PeerId, &Place> =
            self.peers.iter().map(|place| (place.id, place)).collect();
        let pairs = model.data().swarm.groups.iter().flat_map(|it| &it.pairs);
        let links = pairs.filter_map(|pair| {
            let (_, says) = pair.report()?;
            let (a, b) = (places.get(&pair.a)?, places.get(&pair.b)?);
            Some(Link {
                ends: [a.who, b.who],
                from: a.at,
                to: b.at,
                path: says.path,
            })
        });
        let links: Vec<Link> = links.collect();
        self.links = links;
    }

    /// Side by side in the lower half, the node's own first.
    fn place_relays(&mut self, model: &Model, area: Rect) {
        const SLOT: u16 = 22;
        let relays = &model.data().snapshot.relays;
        let used: BTreeSet<&RelayUrl> = model
            .data()
            .snapshot
            .peers
            .iter()
            .filter(|peer| model.words().kind(peer) == Standing::Relay)
            .filter_map(relay_of)
            .collect();
        let known = |url: &RelayUrl| relays.iter().find(|relay| relay.url == *url);
        let mut wanted: Vec<(&RelayUrl, Option<Duration>)> = relays
            .iter()
            .filter(|relay| relay.home || relay.role.is_some() || used.contains(&relay.url))
            .map(|relay| (&relay.url, relay.rtt))
            .collect();
        let foreign = used.into_iter().filter(|url| known(url).is_none());
        wanted.extend(foreign.map(|url| (url, None)));
        wanted.truncate(usize::from(area.width / SLOT).max(1));
        let count = wanted.len() as u16;
        let slot = area.width / count.max(1);
        let y = self.center.1 + ((self.radius.1 * 0.45) as u16).max(2);
        for (index, (url, rtt)) in (0..count).zip(wanted) {
            let name = model.words().relay_label(url);
            let name = format::fit(&name, NAME_WIDTH, model.look.glyphs.ellipsis);
            let is_down = known(url).is_some_and(|relay| relay.state == RelayState::Down);
            let how = match rtt {
                _ if is_down => " down".to_owned(),
                Some(rtt) => format!(" {}", format::rtt(rtt)),
                None => String::new(),
            };
            let text = format!(" {name}{how}");
            let x = area.x + slot * index + slot / 2;
            let label = Rect::new(x, y, text.width() as u16 + 1, 1).intersection(area);
            self.relays.push(Hub {
                url: url.clone(),
                state: known(url).map(|relay| relay.state),
                at: (x, y),
                label,
                text,
            });
        }
    }

    /// Finds the peer a place where it covers nobody, if there is one.
    fn place(&mut self, model: &Model, area: Rect, row: usize, peer: &PeerSnapshot) {
        let words = model.words();
        let kind = words.kind(peer);
        let name = words.name(&peer.id);
        let name = format::fit(&name, NAME_WIDTH, model.look.glyphs.ellipsis);
        let rtt = Measured::rtt(peer).filter(|_| kind.is_reached());
        let text = match rtt {
            Some(rtt) => format!("{name} {}", format::rtt(rtt)),
            None => name,
        };
        let hub = relay_of(peer).filter(|_| kind == Standing::Relay);
        let hub = hub.and_then(|url| self.relays.iter().position(|hub| hub.url == *url));
        let spots: Vec<(u16, u16)> = match hub.and_then(|hub| self.relays.get(hub)) {
            Some(hub) => (hub.at.1 + 1..area.bottom())
                .map(|y| (hub.at.0, y))
                .collect(),
            None => self.spots(ring(rtt), turn(&peer.id), area),
        };
        self.take(Who::Peer(row), peer.id, (text, hub), (spots, area));
    }

    /// Farthest out: what is between it and this node, nobody has measured.
    fn place_stranger(&mut self, model: &Model, area: Rect, id: PeerId, presence: Presence) {
        let name = model.words().name(&id);
        let mut text = format::fit(&name, NAME_WIDTH, model.look.glyphs.ellipsis);
        if presence != Presence::Fresh {
            text = format!("{text} {presence}");
        }
        let spots = self.spots(RINGS.len(), turn(&id), area);
        self.take(Who::Stranger(id), id, (text, None), (spots, area));
    }

    /// Takes the first of these spots at which the text covers nobody.
    fn take(
        &mut self,
        who: Who,
        id: PeerId,
        (text, hub): (String, Option<usize>),
        (spots, area): (Vec<(u16, u16)>, Rect),
    ) {
        let width = text.width() as u16 + 2;
        let found = spots.into_iter().find_map(|at| {
            let to_the_right = at.0 >= self.center.0 || hub.is_some();
            let x = if to_the_right {
                at.0
            } else {
                (at.0 + 1).checked_sub(width)?
            };
            let label = Rect::new(x, at.1, width, 1);
            (area.intersection(label) == label && self.is_free(label)).then_some((at, label))
        });
        let Some((at, label)) = found else {
            return;
        };
        self.peers.push(Place {
            who,
            id,
            at,
            label,
            text,
            hub,
        });
    }

    /// Points of a ring, the nearest to where the peer belongs first. Below the node is the relays' place, if there are any.
    fn spots(&self, ring: usize, turn: f64, area: Rect) -> Vec<(u16, u16)> {
        const STEPS: i32 = 48;
        let part = RADII.get(ring).copied().unwrap_or(1.0);
        let (from, span) = if self.relays.is_empty() {
            (0.0, 1.0)
        } else {
            (-0.05, 0.6)
        };
        let steps = (0..STEPS).map(|step| {
            if step % 2 == 0 {
                step / 2
            } else {
                -(step + 1) / 2
            }
        });
        steps
            .filter_map(|step| {
                let turn = (turn + f64::from(step) / f64::from(STEPS)).rem_euclid(1.0);
                let angle = (from + span * turn) * std::f64::consts::TAU;
                let x = f64::from(self.center.0) + part * self.radius.0 * angle.cos();
                let y = f64::from(self.center.1) - part * self.radius.1 * angle.sin();
                let (x, y) = (x.round(), y.round());
                let inside = x >= f64::from(area.x)
                    && y >= f64::from(area.y)
                    && x < f64::from(area.right())
                    && y < f64::from(area.bottom());
                inside.then_some((x as u16, y as u16))
            })
            .collect()
    }

    fn is_free(&self, label: Rect) -> bool {
        // A column between names.
        let wide = Rect {
            x: label.x.saturating_sub(1),
            width: label.width + 2,
            ..label
        };
        let own = Rect::new(self.center.0.saturating_sub(8), self.center.1, 17, 1);
        let peers = self.peers.iter().map(|place| place.label);
        let hubs = self.relays.iter().map(|hub| hub.label);
        peers
            .chain(hubs)
            .chain([own])
            .all(|taken| !taken.intersects(wide))
    }

    /// The next one in that direction.
    pub(super) fn next(&self, from: Who, toward: Toward) -> Option<Who> {
        let here = self.peers.iter().find(|place| place.who == from);
        let (x, y) = here.map_or(self.center, |place| place.at);
        let away = |place: &&Place| {
            let right = i32::from(place.at.0) - i32::from(x);
            // A cell is twice as high as it is wide.
            let down = 2 * (i32::from(place.at.1) - i32::from(y));
            let (ahead, aside) = match toward {
                Toward::Left => (-right, down),
                Toward::Right => (right, down),
                Toward::Up => (-down, right),
                Toward::Down => (down, right),
            };
            (ahead > 0).then_some(ahead + 2 * aside.abs())
        };
        let others = self.peers.iter().filter(|place| place.who != from);
        others
            .filter_map(|place| Some((away(&place)?, place.who)))
            .min()
            .map(|(_, who)| who)
    }
}

/// All rows of the table by the way in which the peers are reached: direct ones, those of each relay, the others. Then the members of
/// each group that are not reached.
pub(super) fn branches(model: &Model) -> Vec<Branch<'_>> {
    let words = model.words();
    let mut branches: Vec<Branch<'_>> = Vec::new();
    for row in 0..model.rows.len() {
        let Some(peer) = model.peer(row) else {
            continue;
        };
        let kind = words.kind(peer);
        let relay = relay_of(peer).filter(|_| kind == Standing::Relay);
        let found = branches
            .iter_mut()
            .find(|branch| branch.kind == kind && branch.relay == relay);
        match found {
            Some(branch) => branch.whos.push(Who::Peer(row)),
            None => branches.push(Branch {
                kind,
                relay,
                group: None,
                whos: vec![Who::Peer(row)],
            }),
        }
    }
    branches.sort_by(|a, b| (a.kind, a.relay).cmp(&(b.kind, b.relay)));
    let mut strangers = group::strangers(model);
    for group in &model.data().swarm.groups {
        let members = group.members.iter().map(|member| member.id);
        // Each once, however many groups it is in.
        let others = members.filter(|id| strangers.remove(id).is_some());
        branches.push(Branch {
            kind: Standing::Unreachable,
            relay: None,
            group: Some(group),
            whos: others.map(Who::Stranger).collect(),
        });
    }
    branches
}

/// How many peers go through a relay.
pub(super) fn users(model: &Model, url: &RelayUrl) -> usize {
    let peers = model.data().snapshot.peers.iter();
    peers.filter(|peer| relay_of(peer) == Some(url)).count()
}

fn relay_of(peer: &PeerSnapshot) -> Option<&RelayUrl> {
    match &peer.path {
        Some(PathInfo::Relay { remote }) => Some(remote),
        Some(PathInfo::Direct { .. } | PathInfo::Unknown | _) | None => None,
    }
}

fn ring(rtt: Option<Duration>) -> usize {
    let rings = || RINGS.iter();
    rtt.and_then(|rtt| rings().position(|ring| rtt <= *ring))
        .unwrap_or(RINGS.len())
}

/// Where around the node a peer is, as a part of a turn.
fn turn(id: &PeerId) -> f64 {
    // FNV-1a: even, and the same on all computers.
    let hash = id
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    f64::from((hash >> 32) as u32) / 4_294_967_296.0
}
