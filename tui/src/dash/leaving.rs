//! How the dashboard is left, also from a terminal that is too small to show it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    keymap::{Action, Context},
    model::{Model, Overlay},
    msg::Effect,
};

/// Whether the terminal is too small to show anything.
pub(super) fn is_unseen(model: &Model) -> bool {
    model.areas(model.screen).is_none()
}

/// What the notice of a terminal that is too small says, which asks too if others' connections would end.
pub(super) fn leave(model: &mut Model, key: &KeyEvent, effects: &mut Vec<Effect>) {
    model.dirty = true;
    let asked = if let Some(Overlay::ConfirmQuit { keep_screen }) = model.overlay {
        Some(keep_screen)
    } else {
        None
    };
    let context = asked.map_or(Context::Peers, |_| Context::Confirm);
    let action = model.keys.find(context, key);
    if is_interrupt(key) {
        effects.push(Effect::Quit { keep_screen: false });
    } else if action == Some(Action::Suspend) {
        effects.push(Effect::Suspend);
    } else if action == Some(Action::Quit) {
        quit(model, false, effects);
    } else if let Some(keep_screen) = asked {
        if action == Some(Action::Accept) {
            effects.push(Effect::Quit { keep_screen });
        } else if action == Some(Action::Back) {
            model.overlay = None;
        }
    }
}

/// Of who wants to go back to one.
pub(super) fn no_shell(model: &Model) -> String {
    let quit = model.quit_key();
    format!("there is no shell to go back to: {quit} quits")
}

pub(super) fn is_interrupt(key: &KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Asks first if other programs' connections would end with the dashboard.
pub(super) fn quit(model: &mut Model, keep_screen: bool, effects: &mut Vec<Effect>) {
    let peers = &model.data().snapshot.peers;
    let busy = peers.iter().any(|peer| peer.connections > 0);
    if model.owns_node && busy {
        model.overlay = Some(Overlay::ConfirmQuit { keep_screen });
    } else {
        effects.push(Effect::Quit { keep_screen });
    }
}
