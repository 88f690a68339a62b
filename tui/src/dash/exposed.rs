//! What this node exposes: which server is selected, how it fares, and who uses it.

use peerway::PeerId;

use super::{
    contents::Rates,
    filter,
    look::{Glyphs, Role},
    model::{Data, Model},
};
use crate::{
    kept::State,
    printable::printable,
    servers::{Client, Served},
};

/// All that is told of; none of a node that does not tell.
pub(super) fn all(data: &Data) -> &[Served] {
    data.commons
        .as_ref()
        .map_or(&[], |commons| &commons.servers)
}

/// Those that the filter lets through.
pub(super) fn listed(model: &Model) -> Vec<&Served> {
    let rule = &model.filters.flows;
    let shows = |it: &&Served| rule.is_empty() || rule.shows(&filter::of_server(it, model));
    all(model.data()).iter().filter(shows).collect()
}

pub(super) fn selected(model: &Model) -> Option<&Served> {
    listed(model).get(model.exposed.at).copied()
}

/// Whose page its row leads to: of all that use it, who has most open.
pub(super) fn first_client(model: &Model) -> Option<PeerId> {
    let clients = selected(model)?.clients.iter();
    clients.max_by_key(|it| it.open).map(|it| it.id)
}

/// Bytes a second, from peers and to them.
pub(super) fn rates(data: &Data, server: &Served) -> Rates {
    data.meters.of_server(&server.name, data.snapshot.at_ms)
}

/// Where it leads; addresses and paths may be hidden.
pub(super) fn target(model: &Model, server: &Served) -> String {
    if model.masked {
        "hidden".to_owned()
    } else {
        printable(&server.target)
    }
}

/// Who may use it.
pub(super) fn whom(server: &Served) -> String {
    match &server.allow[..] {
        [] => "whoever is let in".to_owned(),
        allow => allow.join(", "),
    }
}

/// Who uses it now, those with most first.
pub(super) fn clients(model: &Model, server: &Served) -> String {
    let mut clients: Vec<&Client> = server.clients.iter().collect();
    clients.sort_by_key(|it| std::cmp::Reverse(it.open));
    let words = model.words();
    let clients = clients.into_iter().map(|it| match it.open {
        1 => words.name(&it.id),
        open => format!("{} ({open})", words.name(&it.id)),
    });
    clients.collect::<Vec<_>>().join(", ")
}

/// How it fares, in a word: of one that a command exposes nothing else is known.
pub(super) fn state(server: &Served) -> &'static str {
    match server.state {
        None if !server.kept => "by command",
        None | Some(State::Ready) => "ready",
        Some(State::Waiting) => "waiting",
        Some(State::Failed) => "failed",
    }
}

pub(super) fn glyph(server: &Served, glyphs: &Glyphs) -> (&'static str, Role) {
    match server.state {
        Some(State::Waiting) => (glyphs.connecting, Role::Warn),
        Some(State::Failed) => (glyphs.unreachable, Role::Bad),
        Some(State::Ready) | None if server.clients.is_empty() => (glyphs.idle, Role::Dim),
        Some(State::Ready) | None => (glyphs.direct, Role::Good),
    }
}
