//! What concerns the whole screen, and stands in a line of its own.

use super::{look::Role, model::Model, words::Reach};

/// That the node has stopped, what it shows, or who can reach it; none if all is as it should be.
pub(super) fn note(model: &Model) -> Option<(&str, Role)> {
    let network = &model.data().snapshot.network;
    if model.stopped {
        let text = if model.replay {
            "the recording ends here"
        } else {
            "the node has stopped; what you see is the last of it"
        };
        Some((text, Role::Bad))
    } else if !model.note.is_empty() {
        Some((model.note.as_str(), Role::Accent))
    } else if let Some(reach) = Reach::without_relay(&model.data().snapshot.ticket) {
        Some((reach.line(network.lan_trouble.is_none()), reach.role()))
    } else if network.lan_trouble.is_some() {
        let text = "peers on this network are found by ticket, not by id alone";
        Some((text, Role::Warn))
    } else {
        None
    }
}
