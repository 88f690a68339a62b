//! The terminal while the dashboard has it, given back as it was on every way out.

use std::{
    io::{self, Stdout, Write, stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

#[cfg(not(unix))]
use crossterm::event::EnableMouseCapture;
use crossterm::{
    clipboard::CopyToClipboard,
    cursor::{MoveTo, Show},
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste},
    execute,
    style::force_color_output,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};
use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::{Backend as _, CrosstermBackend},
    buffer::{Buffer, CellWidth},
    layout::Rect,
};

use super::{Error, model::Model, view::view};

/// The terminal is in the dashboard's hands.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Clicks and the wheel are reported to it.
static MOUSE: AtomicBool = AtomicBool::new(false);
/// The first line that the dashboard has at the bottom of the screen, where it does not have all of it.
static INLINE: AtomicU16 = AtomicU16::new(ALL);
const ALL: u16 = u16::MAX;
static PANIC_HOOK: Once = Once::new();

#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Held<Stdout>>>,
    /// The lines at the bottom that it has, if not all.
    inline: Option<Rect>,
}

impl Screen {
    /// Takes the terminal over; the guard gives it back when dropped, and a panic anywhere does so before it is printed.
    /// With `inline` it has these lines at the bottom alone, and what stood there moves up.
    pub(super) fn open(colored: bool, mouse: bool, inline: Option<Rect>) -> Result<Self, Error> {
        force_color_output(colored);
        MOUSE.store(mouse, Ordering::SeqCst);
        PANIC_HOOK.call_once(|| {
            let print = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                print(info);
            }));
        });
        INLINE.store(inline.map_or(ALL, |area| area.y), Ordering::SeqCst);
        let terminal = terminal(inline)?;
        let screen = Self { terminal, inline };
        take(inline)?;
        Ok(screen)
    }

    /// Gives the terminal back for a while, with a word to whom it goes.
    pub(super) fn lend(&mut self, word: &str) -> Result<(), Error> {
        give_back();
        let mut stdout = stdout();
        stdout.write_all(word.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Takes the terminal over again, in whatever state it is, and paints every cell with the next frame.
    pub(super) fn retake(&mut self, model: &Model) -> Result<(), Error> {
        disable_raw_mode()?;
        let inline = self.inline.map(|_| model.screen);
        INLINE.store(inline.map_or(ALL, |area| area.y), Ordering::SeqCst);
        take(inline)?;
        self.repaint()
    }

    pub(super) fn draw(&mut self, model: &Model) -> Result<(), Error> {
        if !TAKEN.load(Ordering::SeqCst) {
            return Err(Error::Panicked);
        }
        self.follow(model)?;
        self.terminal.draw(|frame| view(model, frame))?;
        Ok(())
    }

    /// Where the lines at the bottom are after the terminal became another size. ratatui's own inline viewport would ask the
    /// terminal for its cursor, whose answer the keyboard's reader takes.
    fn follow(&mut self, model: &Model) -> Result<(), Error> {
        let Some(before) = self.inline.filter(|before| *before != model.screen) else {
            return Ok(());
        };
        let top = before.y.min(model.screen.y);
        execute!(stdout(), MoveTo(0, top), Clear(ClearType::FromCursorDown))?;
        INLINE.store(model.screen.y, Ordering::SeqCst);
        self.inline = Some(model.screen);
        self.terminal = terminal(self.inline)?;
        Ok(())
    }

    /// Forgets what was painted, so that the next frame paints every cell. ratatui's own `clear` asks the terminal for its
    /// cursor, and gives up after two seconds when the answer is read as input.
    pub(super) fn repaint(&mut self) -> Result<(), Error> {
        match self.inline {
            Some(area) => {
                execute!(
                    stdout(),
                    MoveTo(0, area.y),
                    Clear(ClearType::FromCursorDown)
                )?;
            }
            None => self.terminal.backend_mut().clear()?,
        }
        self.terminal.swap_buffers();
        Ok(())
    }

    /// OSC 52: reaches the clipboard of the person's own computer, over SSH too, if the terminal lets it.
    pub(super) fn copy(&mut self, text: &str) -> Result<(), Error> {
        Ok(execute!(
            stdout(),
            CopyToClipboard::to_clipboard_from(text)
        )?)
    }

    /// Copies what stands in a part of the screen.
    pub(super) fn copy_area(&mut self, model: &Model, area: Rect) -> Result<(), Error> {
        let text = text_of(&self.painted(model)?, area);
        self.copy(&text)
    }

    fn painted(&mut self, model: &Model) -> Result<Buffer, Error> {
        let mut painted = Buffer::default();
        self.terminal.draw(|frame| {
            view(model, frame);
            painted = frame.buffer_mut().clone();
        })?;
        Ok(painted)
    }

    /// Gives the terminal back with the last screen left in it as text.
    pub(super) fn close_keeping_screen(mut self, model: &Model) -> Result<(), Error> {
        let kept = self.painted(model)?;
        drop(self);
        Ok(stdout().write_all(text_of(&kept, kept.area).as_bytes())?)
    }
}

/// What a terminal is written through. Once it was given back, and it may be gone by then, nothing is written any more:
/// ratatui would show the cursor again when it is dropped, and would complain of a failure to a stderr that may be gone too.
#[derive(Debug)]
struct Held<W>(W);

impl<W: Write> Write for Held<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if TAKEN.load(Ordering::SeqCst) {
            self.0.write(bytes)
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if TAKEN.load(Ordering::SeqCst) {
            self.0.flush()
        } else {
            Ok(())
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn terminal(inline: Option<Rect>) -> io::Result<Terminal<CrosstermBackend<Held<Stdout>>>> {
    let viewport = inline.map_or(Viewport::Fullscreen, Viewport::Fixed);
    let backend = CrosstermBackend::new(Held(stdout()));
    Terminal::with_options(backend, TerminalOptions { viewport })
}

fn take(inline: Option<Rect>) -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    match inline {
        Some(area) => {
            // What stands at the bottom moves up, out of the way.
            let mut stdout = stdout();
            stdout.write_all("\r\n".repeat(usize::from(area.height)).as_bytes())?;
            execute!(stdout, MoveTo(0, area.y), Clear(ClearType::FromCursorDown))?;
        }
        None => execute!(stdout(), EnterAlternateScreen)?,
    }
    execute!(stdout(), EnableBracketedPaste)?;
    if MOUSE.load(Ordering::SeqCst) {
        watch_mouse()?;
    }
    Ok(())
}

/// Presses and the wheel alone: crossterm's own command has every motion reported too, which wakes the program for nothing.
#[cfg(unix)]
fn watch_mouse() -> io::Result<()> {
    let mut stdout = stdout();
    stdout.write_all(b"\x1b[?1000h\x1b[?1006h")?;
    stdout.flush()
}

#[cfg(not(unix))]
fn watch_mouse() -> io::Result<()> {
    execute!(stdout(), EnableMouseCapture)
}

/// Undoes everything that `take` did, once. There is nothing to be done about failures: the terminal is gone then.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if MOUSE.load(Ordering::SeqCst) {
            let _ = execute!(stdout(), DisableMouseCapture);
        }
        let _ = match INLINE.load(Ordering::SeqCst) {
            ALL => execute!(stdout(), LeaveAlternateScreen),
            top => execute!(stdout(), MoveTo(0, top), Clear(ClearType::FromCursorDown)),
        };
        let _ = execute!(stdout(), DisableBracketedPaste, Show);
        let _ = disable_raw_mode();
    }
}

/// A part of the screen as lines of text without trailing blanks.
fn text_of(buffer: &Buffer, area: Rect) -> String {
    let mut text = String::new();
    for row in area.intersection(buffer.area).rows() {
        let mut line = String::new();
        let mut covered = 0;
        for position in row.positions() {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            if let Some(cell) = buffer.cell(position) {
                line.push_str(cell.symbol());
                covered = cell.cell_width().saturating_sub(1);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that is gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn nothing_is_written_to_a_terminal_that_was_given_back() {
        let backend = CrosstermBackend::new(Held(Gone));
        TAKEN.store(true, Ordering::SeqCst);
        let mut terminal = Terminal::with_options(
            backend,
            TerminalOptions {
                viewport: Viewport::Fixed(Rect::new(0, 0, 9, 3)),
            },
        )
        .unwrap();
        assert!(terminal.hide_cursor().is_err());
        TAKEN.store(false, Ordering::SeqCst);
        assert!(terminal.show_cursor().is_ok());
    }
}
