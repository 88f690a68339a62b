//! What is shown over a view, and a line in the footer.

use std::time::Duration;

use peerway::PeerId;
use tui_input::Input;

use crate::dash::{
    Request,
    connect::Connect,
    filter::{About, FilterError},
    look::Role,
    prompt::Prompt,
};

#[derive(Debug)]
pub(in crate::dash) enum Overlay {
    Help {
        scrolled: usize,
    },
    Connect(Connect),
    Share,
    Details,
    /// What is known of the selected transfer or connection.
    Flow,
    /// What a peer exposes, of which one is chosen.
    Services {
        peer: PeerId,
        services: Vec<String>,
        at: usize,
    },
    /// Whether this transfer is to be cancelled.
    Cancel(u64),
    /// What is known of somebody to whom there is no link.
    Stranger(PeerId),
    /// The row of the menu that is chosen by Enter.
    Sort {
        at: usize,
    },
    /// A filter is being written; the error is about what stands there now.
    Filter {
        about: About,
        input: Input,
        error: Option<FilterError>,
    },
    /// A command is being written.
    Prompt(Prompt),
    /// A name for a peer is.
    Name {
        peer: PeerId,
        input: Input,
    },
    /// Who called and was not let in, of whom one is chosen.
    Callers {
        at: usize,
    },
    /// The node's own relays, of which one may be preferred; the first row stands for the nearest.
    Homes {
        at: usize,
    },
    /// What is to be done to a peer wants a second key.
    Confirm {
        peer: PeerId,
        request: Request,
    },
    ConfirmQuit {
        keep_screen: bool,
    },
}

/// A line that stands in the footer for a while.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dash) struct Notice {
    pub(in crate::dash) text: String,
    pub(in crate::dash) role: Role,
    pub(in crate::dash) until: Duration,
}
