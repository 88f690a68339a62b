//! How a transfer of files is shown while it goes on, and what is said at its end: to people as bars, to programs as lines.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use peerway::{
    PeerId,
    services::files::{Offer, Problem, Progress, Report},
};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{failure::Failure, out};
use crate::{dash::format, printable::printable};

/// Between two looks at a transfer, for the eye.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines for a program.
const LINE: Duration = Duration::from_millis(250);
/// Problems that are said one by one.
const SAID: usize = 10;

/// Shows how a transfer goes on, until `transfer` is through.
pub(super) async fn shown<T>(
    json: bool,
    progress: &Progress,
    transfer: impl Future<Output = T>,
) -> T {
    let showing = async {
        if json {
            lines(progress).await
        } else {
            bar(progress).await
        }
    };
    tokio::select! {
        biased;
        ended = transfer => ended,
        never = showing => never,
    }
}

async fn lines<T>(progress: &Progress) -> T {
    let mut looks = interval(LINE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = progress.bytes_done();
    loop {
        looks.tick().await;
        if progress.files() == 0 {
            continue;
        }
        let bytes_done = progress.bytes_done();
        let line = Record::Progress {
            files: progress.files(),
            files_done: progress.files_done(),
            bytes: progress.bytes(),
            bytes_done,
            bytes_held: progress.bytes_held(),
            rate: (bytes_done.saturating_sub(before) as f64 / LINE.as_secs_f64()) as u64,
        };
        before = bytes_done;
        // Who does not read is sent the files all the same.
        let _ = out::json(&line);
    }
}

/// Draws a bar at the terminal, if stderr is one.
async fn bar<T>(progress: &Progress) -> T {
    let bar = Bar(ProgressBar::new(0));
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_styled = false;
    loop {
        looks.tick().await;
        if progress.files() == 0 {
            continue;
        }
        if !std::mem::replace(&mut is_styled, true) {
            bar.0.set_style(style(progress.bytes() > 0));
            // What was there is no speed.
            bar.0.set_position(progress.bytes_held());
            bar.0.reset_eta();
        }
        bar.0.set_length(progress.bytes());
        bar.0.set_position(progress.bytes_done());
        let (done, all) = (progress.files_done(), progress.files());
        if all > 1 {
            bar.0.set_message(format!("{done}/{all} files"));
        }
    }
}

fn style(is_sized: bool) -> ProgressStyle {
    let template = if is_sized {
        "{percent:>3}% [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} {msg}"
    } else {
        "{spinner} {decimal_bytes} {decimal_bytes_per_sec} {msg}"
    };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// Gone from the terminal when it is dropped.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// `photos and 2 others: 1204 files, 3.4 GB`.
pub(super) fn offered(offer: &Offer) -> String {
    let first = offer.names.first().map_or("nothing", String::as_str);
    let others = match offer.selected.saturating_sub(1) {
        0 => String::new(),
        1 => " and another".to_owned(),
        others => format!(" and {others} others"),
    };
    let files = match offer.files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let bytes = offer
        .bytes
        .map_or_else(|| "of unknown size".to_owned(), format::bytes);
    format!("{}{others}: {files}, {bytes}", printable(first))
}

/// What is said at the end.
pub(super) struct Told<'a> {
    pub(super) peer: PeerId,
    /// What it is called.
    pub(super) name: String,
    pub(super) report: &'a Report,
    pub(super) began: Instant,
}

impl Told<'_> {
    pub(super) fn sent(&self, json: bool) -> Result<(), Failure> {
        self.say(json, "sent", "to", None)
    }

    pub(super) fn received(&self, json: bool, folder: &str) -> Result<(), Failure> {
        self.say(json, "received", "from", Some(folder))
    }

    fn say(&self, json: bool, what: &str, way: &str, folder: Option<&str>) -> Result<(), Failure> {
        let report = self.report;
        let elapsed = self.began.elapsed();
        if json {
            let end = End {
                peer: self.peer,
                files: report.files,
                bytes: report.bytes,
                resumed: report.resumed,
                elapsed_ms: elapsed.as_millis() as u64,
                problems: &report.problems,
            };
            return Ok(out::json(&end.record(folder))?);
        }
        let moved = report.bytes.saturating_sub(report.resumed);
        let rate = moved as f64 / elapsed.as_secs_f64().max(0.001);
        let files = match report.files {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        let mut line = format!(
            "{what} {files}, {}, {way} {}",
            format::bytes(report.bytes),
            self.name
        );
        if let Some(folder) = folder {
            line += &format!(" into {folder}");
        }
        line += &format!(" at {}", format::rate(rate as u64));
        if report.resumed > 0 {
            line += &format!("; {} were there already", format::bytes(report.resumed));
        }
        out::text(line)?;
        for Problem { path, reason, .. } in report.problems.iter().take(SAID) {
            out::hint(format!("not {what}: {path}: {reason}"));
        }
        if report.problems.len() > SAID {
            out::hint(format!("and {} more", report.problems.len() - SAID));
        }
        Ok(())
    }
}

struct End<'a> {
    peer: PeerId,
    files: u64,
    bytes: u64,
    resumed: u64,
    elapsed_ms: u64,
    problems: &'a [Problem],
}

impl End<'_> {
    fn record<'a>(&'a self, folder: Option<&'a str>) -> Record<'a> {
        let problems = self.problems.iter().map(|problem| Line {
            path: &problem.path,
            reason: &problem.reason,
        });
        let problems = problems.collect();
        let &Self {
            peer,
            files,
            bytes,
            resumed,
            elapsed_ms,
            ..
        } = self;
        match folder {
            None => Record::Sent {
                peer,
                files,
                bytes,
                resumed,
                elapsed_ms,
                problems,
            },
            Some(folder) => Record::Received {
                peer,
                files,
                bytes,
                resumed,
                elapsed_ms,
                problems,
                folder,
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Line<'a> {
    path: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Record<'a> {
    Code {
        code: String,
    },
    Offered {
        peer: PeerId,
        names: &'a [String],
        files: u32,
        bytes: Option<u64>,
    },
    Progress {
        files: u64,
        files_done: u64,
        bytes: u64,
        bytes_done: u64,
        bytes_held: u64,
        rate: u64,
    },
    Sent {
        peer: PeerId,
        files: u64,
        bytes: u64,
        resumed: u64,
        elapsed_ms: u64,
        problems: Vec<Line<'a>>,
    },
    Received {
        peer: PeerId,
        files: u64,
        bytes: u64,
        resumed: u64,
        elapsed_ms: u64,
        problems: Vec<Line<'a>>,
        folder: &'a str,
    },
    Failed {
        peer: PeerId,
        reason: String,
    },
}

pub(super) fn is_at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let peer = SecretKey::from_seed(&[1; 32]).id();
        let (files, bytes, resumed, elapsed_ms) = (1, 2, 0, 3);
        let sent = Record::Sent {
            peer,
            files,
            bytes,
            resumed,
            elapsed_ms,
            problems: Vec::new(),
        };
        let progress = Record::Progress {
            files,
            files_done: 0,
            bytes,
            bytes_done: 1,
            bytes_held: 0,
            rate: 1,
        };
        let code = Record::Code {
            code: String::new(),
        };
        for line in [&sent, &progress, &code] {
            assert_keys("send", line);
        }
        let received = Record::Received {
            peer,
            files,
            bytes,
            resumed,
            elapsed_ms,
            problems: Vec::new(),
            folder: "/x",
        };
        let offered = Record::Offered {
            peer,
            names: &[],
            files: 1,
            bytes: None,
        };
        let failed = Record::Failed {
            peer,
            reason: String::new(),
        };
        for line in [&received, &progress, &offered, &failed] {
            assert_keys("receive", line);
        }
    }
}
