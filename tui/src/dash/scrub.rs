//! The cursor in the path history of a peer's page: how the peer was reached at a moment, which the events below follow.

use super::{
    list::List,
    model::Model,
    strip::{Scrub, Strip},
};

/// A border and a blank at each side of the strip.
const MARGIN: u16 = 2;

/// The cells of the strip, if it is on the screen.
fn columns(model: &Model) -> Option<usize> {
    let page = model.areas(model.screen)?.page?;
    let width = page.strip?.width.saturating_sub(2 * MARGIN);
    Some(usize::from(width)).filter(|width| *width > 0)
}

/// The history of the peer whose page is open.
fn strip(model: &Model) -> Option<Strip<'_>> {
    let trail = model.data().trails.peer(&model.page_peer()?.id)?;
    Some(Strip::of(trail, model.data().snapshot.at_ms))
}

/// Whether there is a history on the screen.
pub(super) fn has_history(model: &Model) -> bool {
    columns(model).is_some() && strip(model).is_some()
}

pub(super) fn scrub(model: &mut Model, way: Scrub) {
    let Some(columns) = columns(model) else {
        return;
    };
    let Some(strip) = strip(model) else { return };
    let moment = strip.step(model.moment, way, columns);
    go_to(model, moment);
}

/// Goes to what the cell shows that many columns from the panel's left border.
pub(super) fn point(model: &mut Model, column: u16) {
    let Some(columns) = columns(model) else {
        return;
    };
    let Some(strip) = strip(model) else { return };
    let cell = usize::from(column.saturating_sub(MARGIN)).min(columns - 1);
    let moment = strip.moment_of(cell, columns);
    go_to(model, Some(moment));
}

/// Back to now.
pub(super) fn leave(model: &mut Model) {
    go_to(model, None);
}

/// The strip moves on, and with it what it still shows.
pub(super) fn keep(model: &mut Model) {
    let Some(moment) = model.moment else { return };
    let first = strip(model).map(|strip| strip.first_ms());
    model.moment = first.map(|first| moment.max(first));
}

fn go_to(model: &mut Model, moment: Option<u64>) {
    model.moment = moment;
    model.events = List::default();
    if let Some(at_ms) = moment {
        model.events.at = latest(model, at_ms);
    }
}

/// Others are listed: to the newest event, or to that of the moment.
pub(super) fn relist(model: &mut Model) {
    let moment = model.moment;
    go_to(model, moment);
}

/// The event of the moment is marked again.
pub(super) fn mark(model: &mut Model) {
    if let Some(at_ms) = model.moment {
        model.events.at = latest(model, at_ms);
    }
}

/// To when something happened, as far back as it is known how the peer was reached.
pub(super) fn go_to_event(model: &mut Model, at_ms: u64) {
    let strip = columns(model).and_then(|_| strip(model));
    let is_known = strip.is_some_and(|it| (it.first_ms()..=it.to_ms).contains(&at_ms));
    model.moment = is_known.then_some(at_ms);
    model.events.at = latest(model, at_ms);
}

/// The last event until then; of what was before all of them, the oldest is the nearest.
fn latest(model: &Model, at_ms: u64) -> usize {
    let mut listed = model.listed_events();
    let found = listed.position(|event| event.at_ms <= at_ms);
    found.unwrap_or_else(|| model.listed_events().count().saturating_sub(1))
}
