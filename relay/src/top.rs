//! `peerway-relay top`: what the status says, as it changes.

mod view;

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::{Duration, Instant},
};

use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use serde_json::{Map, Value};

use self::view::{Screen, Trouble, view};
use crate::control::{ControlError, Request, ask};

/// How often the relay is asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows the relay of this folder until q is pressed.
pub(crate) fn run(state_dir: &Path) -> Result<(), ControlError> {
    if !io::stdout().is_terminal() {
        return Err(ControlError::NoTerminal);
    }
    // What is wrong from the start is said where it can be read.
    let mut screen = Screen::default();
    screen.take(&ask(state_dir, &Request::Status)?, None);
    let mut terminal = ratatui::try_init()?;
    let shown = show(state_dir, &mut screen, &mut terminal);
    ratatui::try_restore()?;
    Ok(shown?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "rates are measured by this clock"
)]
fn show(
    state_dir: &Path,
    screen: &mut Screen,
    terminal: &mut ratatui::DefaultTerminal,
) -> io::Result<()> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| view(frame, screen))?;
        let left = PAUSE.saturating_sub(asked.elapsed());
        if event::poll(left)? {
            if ends(&event::read()?) {
                return Ok(());
            }
            continue;
        }
        let since = asked.elapsed();
        asked = Instant::now();
        let answer = ask(state_dir, &Request::Status);
        update(screen, answer, since);
    }
}

fn update(screen: &mut Screen, answer: Result<Map<String, Value>, ControlError>, since: Duration) {
    match answer {
        Ok(status) => screen.take(&status, Some(since)),
        Err(error) => screen.trouble = Some(Trouble(error.to_string())),
    }
}

fn ends(event: &Event) -> bool {
    let Some(key) = event.as_key_press_event() else {
        return false;
    };
    let interrupts =
        key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    interrupts || key.code == KeyCode::Char('q') || key.code == KeyCode::Esc
}
