//! Shares and joined groups: what is selected stays so wherever its row goes.

use crate::dash::{
    contents, exposed, joined,
    layout::Panel,
    list::List,
    model::Model,
    sort::{Column, Sort},
    tabs::View,
    transfers,
};

impl Model {
    pub(super) fn arrange_shares(&mut self) {
        self.share_rows = contents::arranged(self);
        let found = self.share.and_then(|hash| {
            let mut rows = contents::rows(self);
            rows.position(|row| row.it.hash == hash)
        });
        self.shares.at = found.unwrap_or(self.shares.at);
        let areas = self.areas(self.screen).unwrap_or_default();
        self.shares
            .keep(self.share_rows.len(), areas.list_rows(Panel::Shares));
        let now = contents::selected(self).map(|content| content.it.hash);
        if now != self.share {
            (self.share, self.holders) = (now, List::default());
        }
        let holders = contents::peers(self).len();
        self.holders.keep(holders, areas.list_rows(Panel::Holders));
    }

    pub(super) fn arrange_joined(&mut self) {
        let found = self.group.as_ref().and_then(|id| {
            let mut groups = joined::all(self.data()).iter();
            groups.position(|joined| joined.group.id == *id)
        });
        self.groups.at = found.unwrap_or(self.groups.at);
        let areas = self.areas(self.screen).unwrap_or_default();
        let count = joined::all(self.data()).len();
        self.groups.keep(count, areas.list_rows(Panel::Groups));
        let now = joined::selected(self).map(|joined| joined.group.id.clone());
        if now != self.group {
            self.group = now;
            (self.fellows, self.posts) = (List::default(), List::default());
        }
        let (fellows, posts) = (joined::fellows(self).len(), joined::posts(self).len());
        self.fellows.keep(fellows, areas.list_rows(Panel::Fellows));
        self.posts.keep(posts, areas.list_rows(Panel::Posts));
    }

    /// The cursor of the table was moved: what is there now is selected.
    pub(in crate::dash) fn follow_cursor(&mut self) {
        match self.focus {
            Panel::Shares => {
                self.share = contents::selected(self).map(|content| content.it.hash);
                self.holders = List::default();
            }
            Panel::Groups => {
                self.group = joined::selected(self).map(|joined| joined.group.id.clone());
                (self.fellows, self.posts) = (List::default(), List::default());
            }
            Panel::Transfers => self.chosen.transfer = transfers::selected(self).map(|it| it.id),
            Panel::Exposed => {
                self.chosen.server = exposed::selected(self).map(|it| it.name.clone())
            }
            Panel::Peers
            | Panel::Page
            | Panel::Pairs
            | Panel::Network
            | Panel::Flows
            | Panel::Map
            | Panel::Members
            | Panel::Links
            | Panel::Events
            | Panel::Holders
            | Panel::Fellows
            | Panel::Posts => {}
        }
    }

    /// By what the table with the focus can be sorted.
    pub(in crate::dash) fn sort_columns(&self) -> &'static [Column] {
        match self.view {
            View::Shares => Column::SHARES,
            View::Overview
            | View::Peers
            | View::Network
            | View::Flows
            | View::Map
            | View::Events
            | View::Groups => Column::PEERS,
        }
    }

    pub(in crate::dash) fn sorted_by(&self) -> Sort {
        if self.view == View::Shares {
            self.share_sort
        } else {
            self.sort
        }
    }

    pub(in crate::dash) fn sorted_by_mut(&mut self) -> &mut Sort {
        if self.view == View::Shares {
            &mut self.share_sort
        } else {
            &mut self.sort
        }
    }
}
