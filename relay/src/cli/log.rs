//! The log on stderr: its form, its level, that it never fills a disk by itself, and that nobody waits for whoever reads it.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Lines that may come at once, and a second on average.
const BURST: u32 = 200;
const PER_SECOND: u32 = 20;
/// Lines that wait for whoever reads stderr, as a pager that was left open does not.
const WAITING: usize = 2 * BURST as usize;
/// How long the last lines may take to leave.
const PATIENCE: Duration = Duration::from_millis(500);

/// What lines of the log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// What is to be written.
enum Word {
    Line(Vec<u8>),
    /// Whoever waits for what came before.
    Done(SyncSender<()>),
}

/// The log, as long as the program runs.
pub(crate) struct Log(SyncSender<Word>);

impl Log {
    /// Waits until what was logged is written, but not for ever.
    pub(crate) fn finish(self) {
        let (done, written) = sync_channel(1);
        if self.0.try_send(Word::Done(done)).is_ok() {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

/// Logs at this level: 0 for warnings only.
///
/// # Errors
/// The system's, if there is no thread to be had.
pub(super) fn start(format: LogFormat, verbose: u8) -> io::Result<Log> {
    let level = match verbose {
        0 => "warn",
        1 => "peerway=info,peerway_relay=info,warn",
        2 => "peerway=debug,peerway_relay=debug,info",
        _ => "trace",
    };
    let (words, waiting) = sync_channel(WAITING);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write(&waiting, io::stderr()))?;
    let log = tracing_subscriber::fmt()
        .with_writer(Limited::new(format, words.clone()))
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(EnvFilter::new(level));
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(Log(words))
}

fn write(waiting: &Receiver<Word>, mut to: impl Write) {
    for word in waiting {
        match word {
            // Where nobody can read it any more the relay serves on.
            Word::Line(line) => drop(to.write_all(&line)),
            Word::Done(done) => drop(done.try_send(())),
        }
    }
}

/// What goes to the thread that writes, but for lines beyond the quota.
#[derive(Clone)]
struct Limited {
    format: LogFormat,
    quota: Arc<Mutex<Quota>>,
    words: SyncSender<Word>,
}

impl Limited {
    #[expect(clippy::disallowed_methods, reason = "the log has a clock of its own")]
    fn new(format: LogFormat, words: SyncSender<Word>) -> Self {
        Self {
            format,
            quota: Arc::new(Mutex::new(Quota::new(Instant::now()))),
            words,
        }
    }
}

impl<'a> MakeWriter<'a> for Limited {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Limited {
    /// Takes one whole line, as the subscriber writes them.
    #[expect(clippy::disallowed_methods, reason = "the log has a clock of its own")]
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = quota.take(Instant::now()) else {
            return Ok(line.len());
        };
        let mut lines = Vec::new();
        if left_out > 0 {
            lines.extend_from_slice(notice(self.format, left_out).as_bytes());
        }
        lines.extend_from_slice(line);
        if self.words.try_send(Word::Line(lines)).is_err() {
            quota.left_out += left_out + 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn notice(format: LogFormat, left_out: u64) -> String {
    match format {
        LogFormat::Text => format!("WARN {left_out} lines were left out, as too many came\n"),
        LogFormat::Json => {
            let message = "lines were left out, as too many came";
            let line =
                serde_json::json!({ "level": "WARN", "message": message, "left_out": left_out });
            format!("{line}\n")
        }
    }
}

/// How many lines may still come.
struct Quota {
    left: f64,
    since: Instant,
    left_out: u64,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self {
            left: f64::from(BURST),
            since: now,
            left_out: 0,
        }
    }

    /// Takes one line: how many were left out before it, or none if it is one of them.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.since);
        self.since = now;
        let more = passed.min(Duration::from_secs(3600)).as_secs_f64() * f64::from(PER_SECOND);
        self.left = (self.left + more).min(f64::from(BURST));
        if self.left < 1.0 {
            self.left_out += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_reader_that_stopped_and_what_it_missed_is_counted() {
        let (words, waiting) = sync_channel(WAITING);
        let mut limited = Limited::new(LogFormat::Text, words);
        for _ in 0..WAITING + 7 {
            limited.quota.lock().unwrap().left = 2.0;
            limited.write_all(b"a line\n").unwrap();
        }
        assert_eq!(limited.quota.lock().unwrap().left_out, 7);
        let mut written = Vec::new();
        for word in waiting.try_iter() {
            if let Word::Line(line) = word {
                written.extend(line);
            }
        }
        limited.write_all(b"the next\n").unwrap();
        let Ok(Word::Line(line)) = waiting.try_recv() else {
            panic!("nothing is to be written")
        };
        written.extend(line);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(
            written.lines().filter(|it| *it == "a line").count(),
            WAITING
        );
        assert!(
            written.ends_with("WARN 7 lines were left out, as too many came\nthe next\n"),
            "{written}"
        );
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_what_was_left_out_is_counted() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let written = (0..10_000).filter(|_| quota.take(start).is_some()).count();
        assert_eq!(written, BURST as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!(quota.take(later), Some(10_000 - u64::from(BURST)));
        let more = (0..100).filter(|_| quota.take(later) == Some(0)).count();
        assert_eq!(more, PER_SECOND as usize - 1);
        let json = notice(LogFormat::Json, 3);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    }
}
