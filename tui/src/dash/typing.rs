//! What is typed and pasted into the fields of dialogs.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

use super::{
    connect::Connect,
    filter::Filter,
    model::{Model, Overlay},
};

pub(super) fn type_key(model: &mut Model, key: &KeyEvent) {
    let Some(request) = edit_request(key) else {
        return;
    };
    match (&mut model.overlay, request) {
        (Some(Overlay::Connect(connect)), InputRequest::InsertChar(c)) => {
            connect.insert(c.encode_utf8(&mut [0; 4]));
        }
        (Some(Overlay::Connect(connect)), request) => connect.edit(request),
        (Some(Overlay::Prompt(prompt)), request) => prompt.edit(request),
        (Some(Overlay::Name { input, .. }), request) if is_full(input, &request) => {}
        (Some(Overlay::Name { input, .. }), request) => {
            input.handle(request);
        }
        (Some(Overlay::Filter { input, .. }), request) => {
            input.handle(request);
            read_filter(model);
        }
        _ => {}
    }
}

/// Names are short.
fn is_full(input: &Input, request: &InputRequest) -> bool {
    matches!(request, InputRequest::InsertChar(_)) && input.value().chars().count() >= 32
}

pub(super) fn paste(model: &mut Model, text: &str) {
    match &mut model.overlay {
        None if model.read_only => {}
        Some(Overlay::Prompt(prompt)) => prompt.insert(text),
        Some(Overlay::Name { input, .. }) => {
            for c in text.chars().filter(|c| !c.is_control()) {
                let request = InputRequest::InsertChar(c);
                if !is_full(input, &request) {
                    input.handle(request);
                }
            }
        }
        None => {
            let mut connect = Connect::default();
            connect.insert(text);
            model.overlay = Some(Overlay::Connect(connect));
        }
        Some(Overlay::Connect(connect)) => connect.insert(text),
        Some(Overlay::Filter { input, .. }) => {
            for c in text.chars().filter(|c| !c.is_control()).take(80) {
                input.handle(InputRequest::InsertChar(c));
            }
            read_filter(model);
        }
        Some(_) => {}
    }
}

/// Applies what was typed; while it is wrong, the last right filter stays.
fn read_filter(model: &mut Model) {
    let Some(Overlay::Filter {
        about,
        input,
        error,
    }) = &mut model.overlay
    else {
        return;
    };
    let about = *about;
    match Filter::parse(input.value(), about) {
        Ok(filter) => {
            *error = None;
            model.take_filter(about, filter);
        }
        Err(wrong) => *error = Some(wrong),
    }
}

fn edit_request(key: &KeyEvent) -> Option<InputRequest> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match (key.code, control) {
        (KeyCode::Char('a'), true) | (KeyCode::Home, _) => InputRequest::GoToStart,
        (KeyCode::Char('e'), true) | (KeyCode::End, _) => InputRequest::GoToEnd,
        (KeyCode::Char('u'), true) => InputRequest::DeleteLine,
        (KeyCode::Char('k'), true) => InputRequest::DeleteTillEnd,
        (KeyCode::Char('w'), true) => InputRequest::DeletePrevWord,
        (KeyCode::Char(c), false) => InputRequest::InsertChar(c),
        (KeyCode::Backspace, _) => InputRequest::DeletePrevChar,
        (KeyCode::Delete, _) => InputRequest::DeleteNextChar,
        (KeyCode::Left, _) => InputRequest::GoToPrevChar,
        (KeyCode::Right, _) => InputRequest::GoToNextChar,
        _ => return None,
    })
}
