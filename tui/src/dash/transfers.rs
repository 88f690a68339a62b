//! Files that come and go now: which is selected, how fast it is, and what is wanted of it.

use std::time::Duration;

use super::{
    exposed, filter,
    joined::apart,
    layout::{Areas, Panel},
    look::{Glyphs, Role},
    model::{Data, Model, Overlay},
    msg::Effect,
    tabs::View,
    update::notify,
};
use crate::{
    TransferOrder,
    printable::printable,
    servers::Served,
    transfers::{Direction, Transfer},
};

/// All that is told of; none of a node that does not tell.
pub(super) fn all(data: &Data) -> &[Transfer] {
    data.commons
        .as_ref()
        .map_or(&[], |commons| &commons.transfers)
}

/// Those that the filter lets through.
pub(super) fn listed(model: &Model) -> Vec<&Transfer> {
    let rule = &model.filters.flows;
    let shows = |it: &&Transfer| rule.is_empty() || rule.shows(&filter::of_transfer(it, model));
    all(model.data()).iter().filter(shows).collect()
}

pub(super) fn selected(model: &Model) -> Option<&Transfer> {
    listed(model).get(model.transfers.at).copied()
}

/// Bytes a second; 0 of what stands still.
pub(super) fn rate(data: &Data, transfer: &Transfer) -> u64 {
    if transfer.paused {
        return 0;
    }
    data.meters.of_transfer(transfer.id, data.snapshot.at_ms)
}

/// How long it takes at this rate.
pub(super) fn left(transfer: &Transfer, rate: u64) -> Option<Duration> {
    let rest = transfer
        .moved
        .bytes
        .checked_sub(transfer.moved.bytes_done)?;
    (rate > 0 && transfer.moved.bytes > 0).then(|| Duration::from_secs(rest / rate.max(1)))
}

pub(super) fn name(transfer: &Transfer) -> String {
    let name = transfer.name.as_deref().map(|it| apart(&printable(it)));
    name.unwrap_or_else(|| format!("transfer {}", transfer.id))
}

/// The same on a screen, where addresses may be hidden: a forward is called by the one at which it is found.
pub(super) fn shown(model: &Model, transfer: &Transfer) -> String {
    model.words().foreign(&name(transfer))
}

pub(super) fn glyph(transfer: &Transfer, glyphs: &Glyphs) -> (&'static str, Role) {
    if transfer.paused {
        return (glyphs.idle, Role::Warn);
    }
    match transfer.direction {
        Direction::Receiving | Direction::Fetching => (glyphs.down, Role::Info),
        Direction::Sending => (glyphs.up, Role::Good),
        Direction::Forwarding => (glyphs.right, Role::Info),
    }
}

/// With whom it is, as far as that is one.
pub(super) fn whom(model: &Model, transfer: &Transfer) -> String {
    let peer = transfer.peer.map(|peer| model.words().name(&peer));
    peer.unwrap_or_else(|| "many".to_owned())
}

/// Pauses the selected one, or lets it go on.
pub(super) fn hold(model: &mut Model, now: Duration, effects: &mut Vec<Effect>) {
    let chosen = chosen(model).map(|it| (it.id, it.paused));
    match chosen {
        Some((id, true)) => effects.push(Effect::Order(id, TransferOrder::Resume)),
        Some((id, false)) => effects.push(Effect::Order(id, TransferOrder::Pause)),
        None => nothing(model, now),
    }
}

/// Asks whether the selected one is to be cancelled.
pub(super) fn ask_to_cancel(model: &mut Model, now: Duration) {
    match chosen(model).map(|it| it.id) {
        Some(id) => confirm(model, id, now),
        None => nothing(model, now),
    }
}

/// Asks for a second key; a forward would only begin again.
fn confirm(model: &mut Model, id: u64, now: Duration) {
    let found = all(model.data()).iter().find(|it| it.id == id);
    if found.is_none_or(|it| it.direction != Direction::Forwarding) {
        return model.overlay = Some(Overlay::Cancel(id));
    }
    let text = "a forward ends with the command that began it, or by `peerway forward remove`";
    notify(model, text.to_owned(), Role::Warn, now);
}

/// Of the one with this number, or of the selected one, or of the only one.
pub(super) fn order(
    model: &mut Model,
    id: Option<u64>,
    order: TransferOrder,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let all = all(model.data());
    let only = all.first().filter(|_| all.len() == 1);
    let shown = selected(model).filter(|_| model.view == View::Flows);
    let meant = id.or_else(|| shown.or(only).map(|it| it.id));
    match (meant, order) {
        (Some(id), TransferOrder::Cancel) => confirm(model, id, now),
        (Some(id), order) => effects.push(Effect::Order(id, order)),
        (None, _) if all.is_empty() => {
            let text = "nothing is sent, received or fetched now".to_owned();
            notify(model, text, Role::Warn, now);
        }
        (None, _) => {
            let text = "several go on: name one behind it, or select it in view 4".to_owned();
            notify(model, text, Role::Warn, now);
        }
    }
}

fn chosen(model: &Model) -> Option<&Transfer> {
    selected(model).filter(|_| model.focus == Panel::Transfers)
}

fn nothing(model: &mut Model, now: Duration) {
    let text = "no transfer is selected".to_owned();
    notify(model, text, Role::Warn, now);
}

/// What came of it.
pub(super) fn ordered(
    model: &mut Model,
    id: u64,
    order: TransferOrder,
    done: Result<(), String>,
    now: Duration,
) {
    model.dirty = true;
    let found = all(model.data()).iter().find(|it| it.id == id);
    let name = found.map_or_else(|| format!("transfer {id}"), |it| shown(model, it));
    let (said, role) = match (done, order) {
        (Err(reason), _) => (
            format!("{name}: {}", model.words().foreign(&reason)),
            Role::Bad,
        ),
        (Ok(()), TransferOrder::Pause) => (format!("{name} is paused"), Role::Good),
        (Ok(()), TransferOrder::Resume) => (format!("{name} goes on"), Role::Good),
        (Ok(()), TransferOrder::Cancel) => {
            let text = format!("{name} is cancelled; what is there stays for another try");
            (text, Role::Good)
        }
    };
    notify(model, said, role, now);
}

/// What is selected in view 4 stays so wherever its row goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// By its number.
    pub(super) transfer: Option<u64>,
    /// By its name.
    pub(super) server: Option<String>,
}

impl Model {
    /// What is selected stays so while others come to their end.
    pub(super) fn arrange_transfers(&mut self) {
        let of_this = |it: &Transfer| Some(it.id) == self.chosen.transfer;
        let listed = listed(self);
        let (found, count) = (listed.iter().position(|it| of_this(it)), listed.len());
        if found.is_none() && self.focus == Panel::Transfers {
            self.close_flow();
        }
        self.transfers.at = found.unwrap_or(self.transfers.at);
        let areas = self.areas(self.screen).unwrap_or_default();
        self.transfers
            .keep(count, areas.list_rows(Panel::Transfers));
        self.chosen.transfer = selected(self).map(|it| it.id);
        self.arrange_exposed(&areas);
    }

    fn arrange_exposed(&mut self, areas: &Areas) {
        let of_this = |it: &Served| Some(&it.name) == self.chosen.server.as_ref();
        let listed = exposed::listed(self);
        let (found, count) = (listed.iter().position(|it| of_this(it)), listed.len());
        if found.is_none() && self.focus == Panel::Exposed {
            self.close_flow();
        }
        self.exposed.at = found.unwrap_or(self.exposed.at);
        self.exposed.keep(count, areas.list_rows(Panel::Exposed));
        self.chosen.server = exposed::selected(self).map(|it| it.name.clone());
    }

    /// What was told of is gone: keys would be about another.
    pub(super) fn close_flow(&mut self) {
        if matches!(self.overlay, Some(Overlay::Flow)) {
            self.overlay = None;
        }
    }

    /// Those of its panels that list something, and the connections.
    pub(super) fn panels_of_flows(&self) -> &'static [Panel] {
        let has_transfers = !all(self.data()).is_empty();
        let has_exposed = !exposed::all(self.data()).is_empty();
        match (has_transfers, has_exposed) {
            (true, true) => View::Flows.panels(),
            (true, false) => &[Panel::Transfers, Panel::Flows],
            (false, true) => &[Panel::Flows, Panel::Exposed],
            (false, false) => &[Panel::Flows],
        }
    }
}
