//! What is ordered by a written command, as far as a key does not do it.

use std::{net::SocketAddr, time::Duration};

use peerway::{PairAction, PeerId};

use super::{
    Request, asking,
    filter::Filter,
    keymap::{Action, Ask, Recall},
    layout::Panel,
    look::Role,
    model::{Model, Overlay},
    msg::Effect,
    prompt::{self, Order, Prompt},
    scrub,
    sort::{Column, Sort},
    transfers, tunnels,
    update::{accept, act, notify},
};

pub(super) fn recall(model: &mut Model, which: Recall) {
    if let Some(Overlay::Prompt(prompt)) = &mut model.overlay {
        prompt.recall(&model.history, which == Recall::Older);
    }
}

pub(super) fn complete(model: &mut Model) {
    let known = model.nameable();
    if let Some(Overlay::Prompt(prompt)) = &mut model.overlay {
        prompt.complete(&known);
    }
}

/// Does what was written, and leaves what cannot be done where it is, with the reason.
pub(super) fn run(model: &mut Model, mut prompt: Prompt, now: Duration, effects: &mut Vec<Effect>) {
    let line = prompt.input.value().trim().to_owned();
    let order = match prompt::read(&line, &model.nameable()) {
        Ok(Some(order)) => order,
        Ok(None) => return,
        Err(error) => {
            prompt.error = Some(error);
            model.overlay = Some(Overlay::Prompt(prompt));
            return;
        }
    };
    prompt::remember(&mut model.history, &line);
    if let Order::Filter(text) = order {
        return match Filter::parse(&text, model.about()) {
            Ok(filter) => model.take_filter(model.about(), filter),
            Err(error) => {
                prompt.error = Some(error.to_string());
                model.overlay = Some(Overlay::Prompt(prompt));
            }
        };
    }
    let refusal = kind(&order).and_then(|action| model.refusal(action));
    match refusal {
        Some(text) => notify(model, text.to_owned(), Role::Warn, now),
        None => obey(model, order, now, effects),
    }
}

/// The action that is refused where this is.
fn kind(order: &Order) -> Option<Action> {
    match order {
        Order::Do(action) => Some(*action),
        Order::Ask(_, ask) => Some(Action::Ask(*ask)),
        Order::Pair(..) => Some(Action::Ask(Ask::ForcePair)),
        Order::Name(..) => Some(Action::Ask(Ask::Name)),
        Order::Transfer(..) => Some(Action::Hold),
        Order::Services(_) | Order::Forward(..) => Some(Action::Tunnel),
        Order::Connect(_) => Some(Action::Connect),
        Order::Show(..)
        | Order::Pairs(_)
        | Order::Filter(_)
        | Order::Sort(..)
        | Order::Columns(_)
        | Order::Level(_)
        | Order::Window(_) => None,
    }
}

fn obey(model: &mut Model, order: Order, now: Duration, effects: &mut Vec<Effect>) {
    match order {
        Order::Do(action) => act(model, action, now, effects),
        Order::Ask(None, ask) => act(model, Action::Ask(ask), now, effects),
        Order::Ask(Some(peer), ask) => {
            model.select(peer);
            asking::begin(model, peer, ask, now, effects);
        }
        Order::Show(None, action) => act(model, action, now, effects),
        Order::Show(Some(peer), _) if !can_show(model, peer, now) => {}
        Order::Show(Some(_), Action::Open) => model.open_page(),
        Order::Show(Some(_), action) => act(model, action, now, effects),
        Order::Pairs(peer) => show_pairs(model, peer, now),
        Order::Pair(peer, pair, action) => of_pair(model, peer, pair, action, (now, effects)),
        Order::Connect(text) => {
            act(model, Action::Connect, now, effects);
            if let Some(Overlay::Connect(connect)) = &mut model.overlay {
                connect.insert(&text);
                accept(model, now, effects);
            }
        }
        // Which was read before.
        Order::Filter(_) => {}
        Order::Name(peer, name) => {
            asking::send(model, peer, Request::Rename(name), now, effects);
        }
        Order::Sort(by, reversed) => sort_by(model, by, Some(reversed), now),
        Order::Columns(columns) => model.columns = columns,
        Order::Level(level) => {
            model.level = level;
            scrub::relist(model);
        }
        Order::Window(window) => model.window = window,
        Order::Transfer(id, order) => transfers::order(model, id, order, now, effects),
        Order::Services(peer) => tunnels::ask(model, peer, now, effects),
        Order::Forward(peer, service) => tunnels::choose(model, peer, service, now, effects),
    }
}

/// Selects a peer, if it is in the table.
fn can_show(model: &mut Model, peer: PeerId, now: Duration) -> bool {
    let is_shown = model.select_shown(peer);
    if !is_shown {
        let text = "that peer is not in the table: the filter hides it, or it is not linked";
        notify(model, text.to_owned(), Role::Warn, now);
    }
    is_shown
}

/// The candidate pairs of a peer, or of the one that is selected.
fn show_pairs(model: &mut Model, peer: Option<PeerId>, now: Duration) {
    match peer.or_else(|| asking::subject(model)) {
        Some(peer) if can_show(model, peer, now) => {
            model.open_page();
            model.focus = Panel::Pairs;
        }
        Some(_) => {}
        None => notify(model, "no peer is selected".to_owned(), Role::Warn, now),
    }
}

fn of_pair(
    model: &mut Model,
    peer: Option<PeerId>,
    (remote, tcp): (SocketAddr, bool),
    action: PairAction,
    (now, effects): (Duration, &mut Vec<Effect>),
) {
    let Some(peer) = peer.or_else(|| asking::subject(model)) else {
        return notify(model, "no peer is selected".to_owned(), Role::Warn, now);
    };
    let request = Request::Pair {
        remote,
        tcp,
        action,
    };
    asking::send(model, peer, request, now, effects);
}

/// By a column of the table that is shown; without a direction in its own, or the other way round.
pub(super) fn sort_by(model: &mut Model, by: Column, reversed: Option<bool>, now: Duration) {
    let columns = model.sort_columns();
    if !columns.contains(&by) {
        let words: Vec<_> = columns.iter().map(|column| column.word()).collect();
        let text = format!(
            "this table has no column {}; there is {}",
            by.word(),
            words.join(", ")
        );
        return notify(model, text, Role::Warn, now);
    }
    let sort = model.sorted_by_mut();
    match reversed {
        Some(reversed) => *sort = Sort { by, reversed },
        None => sort.choose(by),
    }
}
