//! The only way to stdout.

use std::io::{self, IsTerminal, Write, stderr, stdout};

use serde::Serialize;
use tokio::task::spawn_blocking;
use unicode_width::UnicodeWidthStr;

use crate::printable::{printable, printable_json};

/// Prints one JSON object as a line.
pub(super) fn json(object: &impl Serialize) -> io::Result<()> {
    let line = printable_json(&serde_json::to_string(object)?);
    print(format!("{line}\n").as_bytes())
}

/// Prints lines of text, of which some was perhaps written by others.
pub(super) fn text(line: impl AsRef<str>) -> io::Result<()> {
    print(format!("{}\n", lines(line.as_ref())).as_bytes())
}

/// Before text that takes the place of what was printed: on a terminal the screen is cleared, and elsewhere a line is left empty.
pub(super) fn turn_page(is_first: bool) -> io::Result<()> {
    if stdout().is_terminal() {
        print(b"\x1b[H\x1b[2J")
    } else if is_first {
        Ok(())
    } else {
        print(b"\n")
    }
}

/// Prints without holding up everything else while the reader of a pipe, or of a stopped terminal, does not read.
pub(super) async fn aside(
    print: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    spawn_blocking(print).await?
}

/// Tells the person at the terminal something that no script wants to read: goes to stderr.
pub(super) fn hint(line: impl AsRef<str>) {
    // Without a stderr nobody is there to be told.
    let _ = writeln!(stderr(), "{}", lines(line.as_ref()));
}

/// Prints why the command failed, unless nobody is left to read.
pub(super) fn failure(failure: &super::Failure) {
    if !failure.is_silent() {
        hint(format!("error: {failure}"));
    }
}

/// Columns as wide as what is in them.
pub(super) fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.width()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| {
            let room = " ".repeat(width.saturating_sub(cell.width()));
            format!("{cell}{room}")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// No line holds anything but what is seen.
fn lines(text: &str) -> String {
    let each = text.split('\n').map(printable);
    each.collect::<Vec<_>>().join("\n")
}

/// Whole lines, at once: readers of a pipe must never wait for the rest of one.
fn print(line: &[u8]) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(line)?;
    stdout.flush()
}
