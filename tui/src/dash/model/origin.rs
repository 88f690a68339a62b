//! Where a page was opened from, which is where Esc leads back to.

use peerway::Event;

use crate::dash::{layout::Panel, model::Model, tabs::View};

/// A view other than those that list peers alone, which a page is a part of.
#[derive(Debug)]
pub(super) struct Origin {
    view: View,
    focus: Panel,
    /// The one that was selected, if events had the focus.
    event: Option<Event>,
}

impl Origin {
    fn of(model: &Model) -> Option<Self> {
        let event = model.listed_events().nth(model.events.at);
        let is_of_peers = matches!(model.view, View::Overview | View::Peers);
        (!is_of_peers).then(|| Self {
            view: model.view,
            focus: model.focus,
            event: event.filter(|_| model.focus == Panel::Events).cloned(),
        })
    }
}

impl Model {
    /// As long as one page follows another, where the first was opened from.
    pub(super) fn take_origin(&mut self) -> Option<Origin> {
        match self.page {
            Some(_) => self.origin.take(),
            None => Origin::of(self),
        }
    }

    /// Back to what the page was opened from, and to what was selected there.
    pub(in crate::dash) fn close_page(&mut self) {
        let Some(origin) = self.origin.take() else {
            return self.go_to(View::Peers);
        };
        self.go_to(origin.view);
        if self.panels().contains(&origin.focus) {
            self.focus = origin.focus;
        }
        if let Some(event) = origin.event {
            let found = self.listed_events().position(|it| *it == event);
            self.events.at = found.unwrap_or_default();
        }
    }
}
