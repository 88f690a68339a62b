//! `peerway logs`: what a node that was left in the background had to say.

use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use tokio::time::sleep;

use super::{
    args::{Globals, LogsArgs},
    failure::Failure,
    out,
    state::StateDir,
};

/// Beyond this the older half goes.
const MAX_LEN: u64 = 1 << 20;
/// How often a log that grows is looked at, by who follows it and by who keeps it short.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const TRIM_EVERY: Duration = Duration::from_secs(30);
/// By so many bytes a place in it is known again.
const KNOWN_AGAIN: usize = 4096;

/// What a node in the background says to nobody, in the state folder.
pub(super) fn file(state: &StateDir) -> PathBuf {
    state.path().join("up.log")
}

pub(super) async fn run(globals: &Globals, args: &LogsArgs) -> Result<(), Failure> {
    let path = file(&StateDir::open(globals)?);
    let log = match bytes_from(&path, 0) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::NoLog),
        read => read?,
    };
    let mut reader = Reader::default();
    // A line that is not whole yet is for who waits for the rest of it.
    let log = if args.follow { reader.more(&log) } else { &log };
    print(globals, last(&String::from_utf8_lossy(log), args.lines))?;
    if args.follow {
        follow(globals, &path, reader).await?;
    }
    Ok(())
}

/// Prints what is written from now on, for as long as it can be read.
async fn follow(globals: &Globals, path: &Path, mut reader: Reader) -> Result<Infallible, Failure> {
    loop {
        sleep(LOOK_EVERY).await;
        let news = reader.news(path)?;
        print(globals, &String::from_utf8_lossy(&news))?;
    }
}

/// How far a log was shown.
#[derive(Debug, Default)]
struct Reader {
    /// So many bytes of the file.
    at: u64,
    /// The last of them, by which the place is found again where the beginning of the file is cut off.
    last: Vec<u8>,
    /// The place was not found at the last look: the file may just have been in the making.
    is_lost: bool,
}

impl Reader {
    /// The whole lines that were not shown yet.
    fn news(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let from = self.at.saturating_sub(self.last.len() as u64);
        Ok(match bytes_from(path, from)?.strip_prefix(&self.last[..]) {
            Some(rest) => self.more(rest).to_vec(),
            // It was cut short, and what is left of it stands elsewhere.
            None => self.after_cut(&bytes_from(path, 0)?).to_vec(),
        })
    }

    /// The whole lines of what follows, which count as shown.
    fn more<'a>(&mut self, log: &'a [u8]) -> &'a [u8] {
        let end = log.iter().rposition(|byte| *byte == b'\n');
        let whole = log.get(..end.map_or(0, |end| end + 1)).unwrap_or_default();
        self.at += whole.len() as u64;
        self.last.extend_from_slice(whole);
        let beyond = self.last.len().saturating_sub(KNOWN_AGAIN);
        self.last.drain(..beyond);
        self.is_lost = false;
        whole
    }

    /// The same of a whole file that does not go on where it did before.
    fn after_cut<'a>(&mut self, log: &'a [u8]) -> &'a [u8] {
        let known = self.last.len();
        let found = log
            .windows(known.max(1))
            .rposition(|part| part == self.last);
        let shown = match found {
            Some(at) => at + known,
            // All of it is newer than what was shown.
            None if self.is_lost => 0,
            None => {
                self.is_lost = true;
                return &[];
            }
        };
        self.at = shown as u64;
        self.more(log.get(shown..).unwrap_or_default())
    }
}

fn print(globals: &Globals, text: &str) -> Result<(), Failure> {
    for line in text.lines() {
        if globals.json {
            out::json(&Line { line })?;
        } else {
            out::text(line)?;
        }
    }
    Ok(())
}

/// So many lines at the end.
fn last(text: &str, lines: usize) -> &str {
    let ends = text.trim_end_matches('\n').rmatch_indices('\n');
    match lines
        .checked_sub(1)
        .map(|before| ends.map(|(at, _)| at).nth(before))
    {
        None => "",
        Some(None) => text,
        Some(Some(at)) => text.get(at + 1..).unwrap_or_default(),
    }
}

/// What was written after the first bytes; what is no text is shown as such.
pub(super) fn read_from(path: &Path, at: u64) -> io::Result<String> {
    let bytes = bytes_from(path, at)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes_from(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(2 * MAX_LEN).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opened for its owner alone, to be written to at its end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// Keeps the log of this process short for as long as it runs.
pub(super) async fn keep_short(path: &Path) -> Infallible {
    loop {
        if let Err(error) = trim(path, MAX_LEN) {
            tracing::warn!(%error, "the log is not kept short");
        }
        sleep(TRIM_EVERY).await;
    }
}

/// Cuts the older half off, at a line, where it is too long.
fn trim(path: &Path, most: u64) -> io::Result<()> {
    let len = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if len <= most {
        return Ok(());
    }
    let mut rest = bytes_from(path, len - most / 2)?;
    let line = rest.iter().position(|byte| *byte == b'\n');
    rest.drain(..line.map_or(rest.len(), |end| end + 1));
    let mut read = len;
    // What is written meanwhile is part of it.
    loop {
        let more = bytes_from(path, read)?;
        if more.is_empty() {
            break;
        }
        read += more.len() as u64;
        rest.extend(more);
    }
    // The same file, as whoever writes to it has it open.
    OpenOptions::new().write(true).open(path)?.set_len(0)?;
    open(path)?.write_all(&rest)
}

#[derive(Serialize)]
struct Line<'a> {
    line: &'a str,
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_key_of_the_lines_is_documented() {
        assert_keys("logs", &Line { line: "x" });
    }

    #[test]
    fn the_last_lines_are_shown_whole() {
        let text = "one\ntwo\nthree\n";
        for (lines, shown) in [
            (0, ""),
            (1, "three\n"),
            (2, "two\nthree\n"),
            (3, text),
            (9, text),
        ] {
            assert_eq!(last(text, lines), shown, "{lines}");
        }
        assert_eq!(last("", 3), "");
    }

    #[test]
    fn a_log_that_is_too_long_loses_its_older_half_and_is_written_on() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("up.log");
        trim(&path, 100).unwrap();
        let mut log = open(&path).unwrap();
        for number in 0..50 {
            writeln!(log, "line {number}").unwrap();
        }
        trim(&path, 100).unwrap();
        writeln!(log, "line 50").unwrap();
        let text = read_from(&path, 0).unwrap();
        assert!(text.len() < 100, "{text}");
        let first: u32 = text.lines().next().unwrap()[5..].parse().unwrap();
        let lines: Vec<_> = (first..=50)
            .map(|number| format!("line {number}"))
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn who_follows_a_log_is_shown_each_line_once_also_where_it_is_cut() {
        let mut reader = Reader::default();
        assert_eq!(reader.more(b"one\ntwo\nthr"), b"one\ntwo\n");
        assert_eq!(reader.more(b"three\n"), b"three\n");
        // As the file is while it is cut.
        assert_eq!(reader.after_cut(b""), b"");
        assert_eq!(reader.after_cut(b"one\ntwo\nthree\nfour\nfi"), b"four\n");
        assert_eq!(reader.at, 19);
        // It was cut twice, and much was written between.
        assert_eq!(reader.after_cut(b"seven\n"), b"");
        assert_eq!(reader.after_cut(b"seven\neight\n"), b"seven\neight\n");
        assert_eq!(reader.at, 12);
    }

    #[test]
    fn a_log_is_found_again_after_it_was_cut() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("up.log");
        let mut log = open(&path).unwrap();
        let mut reader = Reader::default();
        let mut shown = Vec::new();
        for number in 0..200 {
            writeln!(log, "line {number} {:90}", "").unwrap();
            if number % 7 == 0 {
                shown.extend(reader.news(&path).unwrap());
            }
            // What is left is more than the place is known by.
            trim(&path, 12_000).unwrap();
        }
        let shown = String::from_utf8(shown).unwrap();
        let expected: Vec<_> = (0..=196).map(|number| format!("line {number}")).collect();
        assert_eq!(
            shown.lines().map(str::trim_end).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn what_is_no_text_hides_nothing_of_the_rest() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("up.log");
        fs::write(&path, [b'a', 0xff, b'\n', b'b', b'\n']).unwrap();
        assert_eq!(read_from(&path, 0).unwrap(), "a\u{fffd}\nb\n");
    }
}
