//! Links where this program makes none.

use std::collections::BTreeMap;

use crate::{
    cli::{clock::now_ms, node::Node},
    kept::{LinkTerms, Linked, Services, State, Whom},
};

pub(super) struct Linking(Services);

impl Linking {
    pub(super) fn begin(_: &Node, services: &Services) -> Self {
        Self(services.clone())
    }

    /// Says why there is none of them.
    pub(super) fn set(&self, links: &BTreeMap<Whom, LinkTerms>) {
        for whom in links.keys() {
            let reason = "this program makes no network device, which it does on Linux";
            let how = (State::Failed, Some(reason.to_owned()));
            self.0
                .tell_linked(whom.as_str(), how, Linked::default(), now_ms());
        }
    }
}
