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

/// What a node in the background says to nobody, in the state folder.
pub(super) fn file(state: &StateDir) -> PathBuf {
    state.path().join("up.log")
}

pub(super) async fn run(globals: &Globals, args: &LogsArgs) -> Result<(), Failure> {
    let path = file(&StateDir::open(globals)?);
    let text = match read_from(&path, 0) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Failure::NoLog),
        read => read?,
    };
    print(globals, last(&text, args.lines))?;
    if args.follow {
        follow(globals, &path, text.len() as u64).await?;
    }
    Ok(())
}

/// Prints what is written after the first bytes, for as long as it can be read.
async fn follow(globals: &Globals, path: &Path, mut at: u64) -> Result<Infallible, Failure> {
    loop {
        sleep(LOOK_EVERY).await;
        let len = fs::metadata(path)?.len();
        if len < at {
            // It was cut short: what is left was shown before.
            at = len;
        }
        let text = read_from(path, at)?;
        // A line that is not whole yet is read again.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        print(globals, text.get(..whole).unwrap_or_default())?;
        at += whole as u64;
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
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(2 * MAX_LEN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
    let rest = read_from(path, len - most / 2)?;
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    // The same file, as whoever writes to it has it open.
    OpenOptions::new().write(true).open(path)?.set_len(0)?;
    open(path)?.write_all(rest.as_bytes())
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
    fn what_is_no_text_hides_nothing_of_the_rest() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("up.log");
        fs::write(&path, [b'a', 0xff, b'\n', b'b', b'\n']).unwrap();
        assert_eq!(read_from(&path, 0).unwrap(), "a\u{fffd}\nb\n");
    }
}
