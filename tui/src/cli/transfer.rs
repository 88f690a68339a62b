//! How a transfer of files is shown while it goes on, and what is said at its end: to people as bars, to programs as lines.

use std::{io::IsTerminal, path::Path, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use peerway::{PeerId, services::files::Progress};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{args::Globals, failure::Failure, out};
use crate::{
    dash::format,
    operations::Failed,
    printable::printable,
    transfers::{End, Missing, Moved, Offers, Step},
};

/// Between two looks at a transfer, for the eye.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines for a program.
const LINE: Duration = Duration::from_millis(250);
/// After so long without a byte it is said that nothing moves.
const STILL: Duration = Duration::from_secs(5);
/// A rate is told of what took that long: of less it says how soon the end was heard of.
const MEASURABLE: Duration = Duration::from_millis(100);
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
    let (mut before, mut moved_at) = ((0, 0), Instant::now());
    loop {
        let now = looks.tick().await;
        if progress.files() == 0 {
            // Before files are agreed on nothing can move.
            moved_at = now;
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
        let moved = (progress.bytes_done(), progress.files_done());
        if moved != before {
            (before, moved_at) = (moved, now);
        }
        let files = (moved.1, progress.files());
        bar.0.set_message(beside_bar(files, now - moved_at));
    }
}

/// How many files there are, and for how long nothing has moved.
fn beside_bar((done, all): (u64, u64), still: Duration) -> String {
    let mut message = String::new();
    if all > 1 {
        message = format!("{done}/{all} files  ");
    }
    if still >= STILL {
        message += &format!("nothing moves for {}", format::age(still));
    }
    message
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
pub(super) fn offered(offer: &Offers) -> String {
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

/// Follows files that are sent to their end; `reached` is told once they are offered.
pub(super) async fn follow_sending(
    globals: &Globals,
    steps: impl Stream<Item = Result<Step, Failure>>,
    reached: impl FnOnce(),
) -> Result<(), Failure> {
    let progress = Progress::default();
    let (mut began, mut reached) = (Instant::now(), Some(reached));
    let following = async {
        let mut steps = pin!(steps);
        while let Some(step) = steps.next().await {
            match step? {
                Step::Hint { text } => out::hint(text),
                Step::Progress { moved, .. } => catch_up(&progress, &moved),
                Step::Offering { name, offer, .. } => {
                    began = Instant::now();
                    if let Some(reached) = reached.take() {
                        reached();
                    }
                    if !globals.json {
                        out::hint(format!("offering {}, to {name}", offered(&offer)));
                    }
                }
                Step::Sent { peer, name, end } => return Ok((peer, name, end)),
                Step::Failed { kind, error, .. } => {
                    return Err(Failure::Operation(Failed { kind, error }));
                }
                Step::Receiving { .. }
                | Step::Offered { .. }
                | Step::Withdrawn { .. }
                | Step::Declined { .. }
                | Step::Received { .. } => {}
            }
        }
        Err(Failure::BrokenOff)
    };
    let (peer, name, end) = shown(globals.json, &progress, following).await?;
    let told = Told {
        peer,
        name: &name,
        end: &end,
        elapsed: began.elapsed(),
    };
    told.say(globals.json, None)?;
    told.complete()
}

/// Has counters show what was told last.
pub(super) fn catch_up(progress: &Progress, moved: &Moved) {
    progress.begin(moved.files, moved.bytes);
    progress.held(moved.bytes_held.saturating_sub(progress.bytes_held()));
    progress.moved(moved.bytes_done.saturating_sub(progress.bytes_done()));
    for _ in progress.files_done()..moved.files_done {
        progress.file_done();
    }
}

/// How much was transferred.
pub(super) fn amount(end: &End) -> String {
    let bytes = format::bytes(end.bytes);
    match end.files {
        1 => format!("1 file, {bytes}"),
        files => format!("{files} files, {bytes}"),
    }
}

/// What is said at the end.
pub(super) struct Told<'a> {
    pub(super) peer: PeerId,
    /// What it is called.
    pub(super) name: &'a str,
    pub(super) end: &'a End,
    pub(super) elapsed: Duration,
}

impl Told<'_> {
    /// Of what was received, with the folder that it is in.
    pub(super) fn say(&self, json: bool, folder: Option<&Path>) -> Result<(), Failure> {
        let end = self.end;
        if json {
            return Ok(out::json(&self.record(folder))?);
        }
        let (what, way) = match folder {
            None => ("sent", "to"),
            Some(_) => ("received", "from"),
        };
        let mut line = format!("{what} {}, {way} {}", amount(end), self.name);
        if let Some(folder) = folder {
            line += &format!(" into {}", folder.display());
        }
        if self.elapsed >= MEASURABLE {
            let moved = end.bytes.saturating_sub(end.resumed);
            let rate = moved as f64 / self.elapsed.as_secs_f64();
            line += &format!(" at {}", format::rate(rate as u64));
        }
        if end.resumed > 0 {
            line += &format!("; {} were there already", format::bytes(end.resumed));
        }
        out::text(line)?;
        for Missing { path, reason } in end.problems.iter().take(SAID) {
            out::hint(format!("not {what}: {path}: {reason}"));
        }
        if let Some(more @ 1..) = end.missing.checked_sub(SAID as u64) {
            out::hint(format!("and {more} more"));
        }
        Ok(())
    }

    pub(super) fn complete(&self) -> Result<(), Failure> {
        match self.end.missing {
            0 => Ok(()),
            missing => Err(Failure::NotAll(missing)),
        }
    }

    fn record<'a>(&'a self, folder: Option<&'a Path>) -> Record<'a> {
        let peer = self.peer;
        let elapsed_ms = self.elapsed.as_millis() as u64;
        let End {
            files,
            bytes,
            resumed,
            ref problems,
            ..
        } = *self.end;
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
        problems: &'a [Missing],
    },
    Received {
        peer: PeerId,
        files: u64,
        bytes: u64,
        resumed: u64,
        elapsed_ms: u64,
        problems: &'a [Missing],
        folder: &'a Path,
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
    fn a_bar_says_how_many_files_there_are_and_for_how_long_nothing_moves() {
        let beside = |files, seconds| beside_bar(files, Duration::from_secs(seconds));
        assert_eq!(beside((0, 1), 4), "");
        assert_eq!(beside((3, 9), 4), "3/9 files  ");
        assert_eq!(beside((3, 9), 75), "3/9 files  nothing moves for 1m");
        assert_eq!(beside((0, 1), 20), "nothing moves for 20s");
    }

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
            problems: &[],
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
            problems: &[],
            folder: Path::new("/x"),
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
