//! Screens as text, at every breakpoint and in every state.

use crossterm::event::KeyCode;
use insta::assert_snapshot;
use peerway::{RelayUrl, Ticket};
use ratatui::style::{Color, Modifier};
use serde_json::json;

use super::fixtures::{Desk, Row, id, node, options, twelve};
use crate::dash::{ColorChoice, Options, connect::Progress, msg::Msg};

#[test]
fn twelve_peers_fit_every_size() {
    for (width, height) in [(40, 10), (60, 20), (80, 24), (120, 40), (200, 60)] {
        let screen = Desk::twelve(&options()).screen(width, height);
        assert_snapshot!(format!("twelve_{width}x{height}"), screen);
    }
}
