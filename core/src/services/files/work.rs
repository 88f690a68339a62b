//! A transfer that is received: where its files belong, what is there from an earlier try, and what became of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64},
    },
    time::Duration,
};

use cap_std::fs::Dir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Inbox, Problem, Progress, ReceiveError, Report,
    journal::{Part, Past, Record},
    name::SafePath,
    place::{Place, open_journal, open_part},
    tree::{Tree, value},
    wire::{Entry, FromReceiver, Kind, MAX_HAVE, MAX_RANGES},
};

/// How long the end of a transfer that is displaced is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What files that change while they are sent may grow by, beside as much as was offered.
const GROWTH: u64 = 64 << 20;
/// Problems that are told; what else goes wrong is counted with these.
const MAX_PROBLEMS: usize = 1000;

/// One transfer.
pub(super) struct Work {
    pub(super) place: Place,
    pub(super) dir: Dir,
    id: String,
    pub(super) journal: Mutex<File>,
    pub(super) targets: Vec<Target>,
    pub(super) slots: Mutex<Vec<Slot>>,
    /// What is said of what is there already.
    held: Vec<FromReceiver>,
    pub(super) next_part: AtomicU32,
    pub(super) growth: AtomicU64,
    pub(super) progress: Progress,
    report: Mutex<Report>,
    problems: Mutex<Option<UnboundedReceiver<FromReceiver>>>,
    tell: UnboundedSender<FromReceiver>,
}

/// Where a file or folder of the offer belongs.
pub(super) struct Target {
    pub(super) entry: Entry,
    pub(super) path: SafePath,
}

/// Where a file stands.
pub(super) enum Slot {
    /// It has not come yet; so much of it is there.
    Due(Option<Part>),
    /// It comes, or came.
    Taken,
    /// It was there.
    Have,
    /// Something is in its way: another try brings it once that is gone.
    Barred,
}

impl Work {
    /// Prepares the folder, and looks at what is there from an earlier try.
    pub(super) fn open(
        inbox: &Inbox,
        id: &str,
        entries: Vec<(Entry, SafePath)>,
        progress: &Progress,
    ) -> Result<Self, ReceiveError> {
        let folder = inbox.folder.display().to_string();
        let failed = |source| failed(&folder, source);
        let place = Place::open(&inbox.folder, inbox.overwrite).map_err(failed)?;
        let dir = place.work(id).map_err(failed)?;
        let mut journal = open_journal(&dir).map_err(failed)?;
        lock(&journal).map_err(failed)?;
        let mut bytes = Vec::new();
        journal.read_to_end(&mut bytes).map_err(failed)?;
        let mut past = Past::read(&bytes);
        journal.set_len(past.len).map_err(failed)?;
        let paths = tops(&place, &mut journal, &mut past.tops, &entries).map_err(failed)?;
        let targets = entries.into_iter().zip(paths);
        let targets = targets.map(|((entry, _), path)| Target { entry, path });
        let (tell, problems) = unbounded_channel();
        let offered: u64 = progress.bytes();
        let mut work = Self {
            place,
            dir,
            id: id.to_owned(),
            journal: Mutex::new(journal),
            targets: targets.collect(),
            slots: Mutex::default(),
            held: Vec::new(),
            next_part: AtomicU32::new(past.next_part),
            growth: AtomicU64::new(offered.saturating_add(GROWTH)),
            progress: progress.clone(),
            report: Mutex::default(),
            problems: Mutex::new(Some(problems)),
            tell,
        };
        work.make_folders()?;
        work.look(past)?;
        Ok(work)
    }

    pub(super) fn held(&self) -> impl Iterator<Item = FromReceiver> {
        self.held.iter().cloned()
    }

    /// What goes wrong with single files, for the sender. Once.
    pub(super) fn problems(&self) -> UnboundedReceiver<FromReceiver> {
        let mut problems = locked(&self.problems);
        problems.take().unwrap_or_else(|| unbounded_channel().1)
    }

    /// All has come: nothing is to go on any more, unless files are missing.
    pub(super) fn close(&self) -> Report {
        let report = locked(&self.report).clone();
        let has_all = locked(&self.slots)
            .iter()
            .all(|slot| !matches!(slot, Slot::Due(_) | Slot::Barred));
        if has_all && let Err(error) = self.place.clear(&self.id) {
            tracing::debug!(%error, "the folder of a transfer that is through stays");
        }
        report
    }

    fn make_folders(&self) -> Result<(), ReceiveError> {
        for (index, target) in (0..).zip(&self.targets) {
            if let Kind::Folder = target.entry.kind
                && let Err(source) = self.place.make_folder(&target.path)
            {
                self.unplaced(index, source)?;
            }
        }
        Ok(())
    }

    /// Something cannot be put where it belongs: where that is for something in its way, all else comes nevertheless.
    pub(super) fn unplaced(&self, index: u32, source: io::Error) -> Result<(), ReceiveError> {
        let target = self.targets.get(index as usize);
        let bar = target.and_then(|Target { entry, path }| {
            let is_folder = matches!(entry.kind, Kind::Folder);
            self.place.bars().of(path, is_folder)
        });
        let Some(bar) = bar else {
            return Err(failed(&self.name_of(index), source));
        };
        self.in_the_way(index, &bar);
        Ok(())
    }

    fn in_the_way(&self, index: u32, bar: &Path) {
        let reason = format!("{} is in the way there", bar.display());
        self.problem(index, reason, true);
    }

    /// Which files are there, whole or in part.
    fn look(&mut self, mut past: Past) -> Result<(), ReceiveError> {
        let (mut have, mut slots, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut used = BTreeSet::new();
        let mut bars = self.place.bars();
        for (index, target) in self.targets.iter().enumerate() {
            let path = &target.entry.path;
            let Kind::File {
                size: Some(size),
                modified,
                ..
            } = target.entry.kind
            else {
                let is_folder = matches!(target.entry.kind, Kind::Folder);
                slots.push(match bars.of(&target.path, is_folder) {
                    // It is named already.
                    Some(_) if is_folder => Slot::Barred,
                    Some(bar) => {
                        self.in_the_way(index as u32, &bar);
                        have.push(index as u32);
                        Slot::Barred
                    }
                    None if is_folder => Slot::Have,
                    None => Slot::Due(None),
                });
                continue;
            };
            let done = past
                .done
                .get(path)
                .filter(|done| done.size == size && done.modified == modified);
            if done.is_some_and(|done| self.place.has(&done.place, size, modified)) {
                self.progress.held(size);
                self.count(size, size);
                have.push(index as u32);
                slots.push(Slot::Have);
                continue;
            }
            let part = past.parts.remove(path);
            let part = part.filter(|part| part.modified == modified && part.tree.size() == size);
            if let Some(bar) = bars.of(&target.path, false) {
                // Nothing of it is to be sent, and what came of it waits for another try.
                used.extend(part.map(|part| part_name(part.part)));
                self.in_the_way(index as u32, &bar);
                have.push(index as u32);
                slots.push(Slot::Barred);
                continue;
            }
            let part = match part {
                Some(part) => self.verified(part),
                None => None,
            };
            if let Some(part) = &part {
                used.insert(part_name(part.part));
                held.push(FromReceiver::Held {
                    file: index as u32,
                    fingerprint: part.tree.fingerprint(),
                    ranges: part.tree.held(),
                });
            }
            slots.push(Slot::Due(part));
        }
        self.remove_others(&used)
            .map_err(|source| failed(super::name::WORK, source))?;
        self.held = have
            .chunks(MAX_HAVE)
            .map(|some| FromReceiver::Have(some.to_vec()))
            .collect();
        self.held.extend(held);
        self.slots = Mutex::new(slots);
        Ok(())
    }

    /// The partial file with those units that are what the journal says; none if nothing is.
    fn verified(&self, part: Part) -> Option<Part> {
        let mut file = open_part(&self.dir, &part_name(part.part), false).ok()?;
        let size = part.tree.size();
        let mut tree = Tree::new(size);
        let mut data = Vec::new();
        for (first, count) in part.tree.held().into_iter().take(MAX_RANGES) {
            file.seek(SeekFrom::Start(tree.offset(first))).ok()?;
            for unit in first..first + count {
                data.resize(tree.len(unit)?, 0);
                // A hole at the end that was not written.
                let mut read = 0;
                while read < data.len() {
                    match file.read(&mut data[read..]).ok()? {
                        0 => break,
                        more => read += more,
                    }
                }
                data[read..].fill(0);
                let value = value(size, tree.offset(unit), &data);
                if part.tree.value(unit) == Some(value) {
                    tree.put(unit, value);
                }
            }
        }
        if tree.held().is_empty() || tree.held().len() > MAX_RANGES {
            return None;
        }
        Some(Part { tree, ..part })
    }

    /// Partial files that nothing goes on with.
    fn remove_others(&self, used: &BTreeSet<String>) -> io::Result<()> {
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name != "journal" && !used.contains(&*name) {
                self.dir.remove_file(&*name)?;
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, record: &Record) -> Result<(), ReceiveError> {
        let written = locked(&self.journal).write_all(&record.emit());
        written.map_err(|source| failed("the journal", source))
    }

    pub(super) fn count(&self, bytes: u64, resumed: u64) {
        let mut report = locked(&self.report);
        report.files += 1;
        report.bytes += bytes;
        report.resumed += resumed;
        self.progress.file_done();
    }

    /// Notes what became of a file, and tells the sender if it does not know.
    pub(super) fn problem(&self, index: u32, reason: String, is_news: bool) {
        let Some(target) = self.targets.get(index as usize) else {
            return;
        };
        let mut report = locked(&self.report);
        if report.problems.len() < MAX_PROBLEMS {
            if is_news {
                let reason = reason.clone();
                // Nobody listens once all is lost.
                let _ = self.tell.send(FromReceiver::Problem {
                    file: index,
                    reason,
                });
            }
            let path = target.entry.path.clone();
            report.problems.push(Problem { path, reason });
        }
    }

    pub(super) fn name_of(&self, index: u32) -> String {
        let target = self.targets.get(index as usize);
        target.map_or_else(String::new, |target| target.path.to_text())
    }
}

/// Where all files and folders belong, below folders that are made for those of the offer.
fn tops(
    place: &Place,
    journal: &mut File,
    known: &mut BTreeMap<String, String>,
    entries: &[(Entry, SafePath)],
) -> io::Result<Vec<SafePath>> {
    let mut chosen: BTreeMap<String, String> = BTreeMap::new();
    for (entry, path) in entries {
        let is_folder = path.parts().len() > 1 || matches!(entry.kind, Kind::Folder);
        if !is_folder || chosen.contains_key(path.top()) {
            continue;
        }
        let name = path.top().to_owned();
        let former = known.get(&name).filter(|former| place.is_folder(former));
        let top = match former {
            Some(former) => former.clone(),
            // What is in the way there is named, and nothing is put elsewhere.
            None if place.bars_top(&name) => name.clone(),
            None => {
                let chosen = place.new_top(&name)?;
                let record = Record::Top {
                    name: name.clone(),
                    chosen: chosen.clone(),
                };
                journal.write_all(&record.emit())?;
                chosen
            }
        };
        chosen.insert(name, top);
    }
    let settled = |path: &SafePath| match chosen.get(path.top()) {
        Some(top) => path.with_top(top),
        None => path.clone(),
    };
    Ok(entries.iter().map(|(_, path)| settled(path)).collect())
}

/// One process at a time writes there. A connection of the same sender that was lost may still hold it.
fn lock(journal: &File) -> io::Result<()> {
    let pause = Duration::from_millis(50);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        match journal.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(pause),
            // Some file systems have no locks.
            Err(std::fs::TryLockError::Error(_)) => return Ok(()),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another program receives the same files there",
    ))
}

pub(super) fn part_name(part: u32) -> String {
    format!("{part}.part")
}

pub(super) fn failed(what: &str, source: io::Error) -> ReceiveError {
    ReceiveError::Write {
        what: what.to_owned(),
        source: Arc::new(source),
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
