//! Writes what comes: the blocking half of the receiving side. [`Work`] is a transfer, shared by its data streams; [`Intake`] is
//! what one of these writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use cap_std::fs::Dir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Inbox, Problem, Progress, ReceiveError, Report,
    journal::{Part, Past, Record},
    name::SafePath,
    place::{Place, finish, open_journal, open_part},
    receive::lied,
    tree::{MAX_SIZE, MIN_UNIT, Tree, stream_value, value},
    wire::{Entry, Frame, FromReceiver, Kind, MAX_HAVE, MAX_RANGES, Time},
};

/// How long the end of a transfer that is displaced is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What files that change while they are sent may grow by, beside as much as was offered.
const GROWTH: u64 = 64 << 20;
/// Problems that are told; what else goes wrong is counted with these.
const MAX_PROBLEMS: usize = 1000;

/// One transfer.
pub(super) struct Work {
    place: Place,
    dir: Dir,
    id: String,
    journal: Mutex<File>,
    targets: Vec<Target>,
    slots: Mutex<Vec<Slot>>,
    /// What is said of what is there already.
    held: Vec<FromReceiver>,
    next_part: AtomicU32,
    growth: AtomicU64,
    progress: Progress,
    report: Mutex<Report>,
    problems: Mutex<Option<UnboundedReceiver<FromReceiver>>>,
    tell: UnboundedSender<FromReceiver>,
}

/// Where a file or folder of the offer belongs.
struct Target {
    entry: Entry,
    path: SafePath,
}

/// Where a file stands.
enum Slot {
    /// It has not come yet; so much of it is there.
    Due(Option<Part>),
    /// It comes, or came.
    Taken,
    /// It was there.
    Have,
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
            .all(|slot| !matches!(slot, Slot::Due(_)));
        if has_all && let Err(error) = self.place.clear(&self.id) {
            tracing::debug!(%error, "the folder of a transfer that is through stays");
        }
        report
    }

    fn make_folders(&self) -> Result<(), ReceiveError> {
        for target in &self.targets {
            if let Kind::Folder = target.entry.kind
                && let Err(source) = self.place.make_folder(&target.path)
            {
                return Err(failed(&target.path.to_text(), source));
            }
        }
        Ok(())
    }

    /// Which files are there, whole or in part.
    fn look(&mut self, mut past: Past) -> Result<(), ReceiveError> {
        let (mut have, mut slots, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut used = BTreeSet::new();
        for (index, target) in self.targets.iter().enumerate() {
            let path = &target.entry.path;
            let Kind::File {
                size: Some(size),
                modified,
                ..
            } = target.entry.kind
            else {
                slots.push(match target.entry.kind {
                    Kind::Folder => Slot::Have,
                    Kind::File { .. } => Slot::Due(None),
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

    fn note(&self, record: &Record) -> Result<(), ReceiveError> {
        let written = locked(&self.journal).write_all(&record.emit());
        written.map_err(|source| failed("the journal", source))
    }

    fn count(&self, bytes: u64, resumed: u64) {
        let mut report = locked(&self.report);
        report.files += 1;
        report.bytes += bytes;
        report.resumed += resumed;
        self.progress.file_done();
    }

    /// Notes what became of a file, and tells the sender if it does not know.
    fn problem(&self, index: u32, reason: String, is_news: bool) {
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
}

/// What one data stream writes.
pub(super) struct Intake {
    work: Arc<Work>,
    coming: Option<Coming>,
}

/// The file that comes.
struct Coming {
    index: u32,
    executable: bool,
    modified: Time,
    body: Body,
    file: File,
    name: String,
    /// Where the next byte would be written.
    at: u64,
    /// Bytes that count as there.
    came: u64,
    resumed: u64,
}

enum Body {
    /// Its number in the journal, if that has one.
    Sized { tree: Tree, part: Option<u32> },
    Stream {
        hasher: Box<blake3::Hasher>,
        size: u64,
        next: u32,
    },
}

impl Intake {
    pub(super) fn new(work: Arc<Work>) -> Self {
        Self { work, coming: None }
    }

    /// Does what the next frame says.
    pub(super) fn take(&mut self, frame: Frame, data: Vec<u8>) -> Result<(), ReceiveError> {
        match frame {
            Frame::File(index) => self.begin(index),
            Frame::Unit { unit, len, value } => self.unit(unit, len, value, Some(&data)),
            Frame::Zeros { unit, len, value } => self.unit(unit, len, value, None),
            Frame::End { root, size } => self.finish(root, size),
            Frame::Anew { size, modified } => self.anew(size, modified),
            Frame::Failed(reason) => self.give_up(reason),
        }
    }

    /// The stream has ended.
    pub(super) fn end(self) -> Result<(), ReceiveError> {
        match self.coming {
            None => Ok(()),
            Some(_) => Err(lied("it ended in the middle of a file")),
        }
    }

    fn begin(&mut self, index: u32) -> Result<(), ReceiveError> {
        if self.coming.is_some() {
            return Err(lied("it began a file within another"));
        }
        let work = self.work.clone();
        let slot = locked(&work.slots)
            .get_mut(index as usize)
            .map(|slot| match slot {
                Slot::Due(part) => Some((part.take(), std::mem::replace(slot, Slot::Taken))),
                Slot::Taken | Slot::Have => None,
            });
        let Some(Some((part, _))) = slot else {
            return Err(lied("it sends a file that is not due"));
        };
        let Some(Target { entry, .. }) = work.targets.get(index as usize) else {
            return Err(lied("it sends a file that is not due"));
        };
        let Kind::File {
            executable,
            size,
            modified,
        } = entry.kind
        else {
            return Err(lied("it sends a folder as a file"));
        };
        let (body, name, anew) = match (part, size) {
            (Some(Part { part, tree, .. }), _) => (
                Body::Sized {
                    tree,
                    part: Some(part),
                },
                part_name(part),
                false,
            ),
            (None, Some(size)) => {
                let part = self.new_part(&entry.path, size, modified)?;
                let name = part.map_or_else(|| format!("{index}.file"), part_name);
                (
                    Body::Sized {
                        tree: Tree::new(size),
                        part,
                    },
                    name,
                    true,
                )
            }
            (None, None) => (
                Body::Stream {
                    hasher: Box::default(),
                    size: 0,
                    next: 0,
                },
                format!("{index}.file"),
                true,
            ),
        };
        let held = match &body {
            Body::Sized { tree, .. } => tree.held_bytes(),
            Body::Stream { .. } => 0,
        };
        let file = open_part(&work.dir, &name, anew).map_err(|source| failed(&name, source))?;
        work.progress.held(held);
        self.coming = Some(Coming {
            index,
            executable,
            modified,
            body,
            file,
            name,
            at: 0,
            came: held,
            resumed: held,
        });
        Ok(())
    }

    /// The number of a partial file that is worth going on with.
    fn new_part(&self, path: &str, size: u64, modified: Time) -> Result<Option<u32>, ReceiveError> {
        if size <= MIN_UNIT {
            return Ok(None);
        }
        let part = self.work.next_part.fetch_add(1, Relaxed);
        let path = path.to_owned();
        self.work.note(&Record::Part {
            part,
            path,
            size,
            modified,
        })?;
        Ok(Some(part))
    }

    fn unit(
        &mut self,
        unit: u32,
        len: u32,
        told: [u8; 32],
        data: Option<&[u8]>,
    ) -> Result<(), ReceiveError> {
        let work = &self.work;
        let coming = self
            .coming
            .as_mut()
            .ok_or_else(|| lied("it sends data of no file"))?;
        let zeros;
        let bytes = match data {
            Some(data) => data,
            None if u64::from(len) <= super::tree::MAX_UNIT => {
                zeros = vec![0; len as usize];
                &zeros
            }
            None => return Err(lied("it sends a unit that is too long")),
        };
        let (offset, part) = match &mut coming.body {
            Body::Sized { tree, part } => {
                if tree.len(unit) != Some(len as usize) || tree.has(unit) {
                    return Err(lied("it sends another part of a file than is due"));
                }
                let offset = tree.offset(unit);
                if value(tree.size(), offset, bytes) != told {
                    return Err(lied("a part of a file is not what its hash says"));
                }
                tree.put(unit, told);
                (offset, *part)
            }
            Body::Stream { hasher, size, next } => {
                let is_due = *next == unit && u64::from(len) <= MIN_UNIT;
                if !is_due || stream_value(bytes) != told || *size >= MAX_SIZE {
                    return Err(lied("a part of a stream is not what its hash says"));
                }
                hasher.update(bytes);
                let offset = *size;
                *size += u64::from(len);
                *next += 1;
                (offset, None)
            }
        };
        if let Some(data) = data {
            coming
                .write(offset, data)
                .map_err(|source| failed(&work.name_of(coming.index), source))?;
        }
        coming.came += u64::from(len);
        work.progress.moved(len.into());
        if let Some(part) = part {
            work.note(&Record::Unit {
                part,
                unit,
                value: told,
            })?;
        }
        Ok(())
    }

    fn finish(&mut self, root: [u8; 32], size: u64) -> Result<(), ReceiveError> {
        let coming = self.coming.take().ok_or_else(|| lied("it ends no file"))?;
        let (found, len) = match &coming.body {
            Body::Sized { tree, .. } => (tree.root(), tree.size()),
            Body::Stream { hasher, size, .. } => (Some(hasher.finalize().into()), *size),
        };
        if found != Some(root) || len != size {
            let _ = self.work.dir.remove_file(&coming.name);
            return Err(lied("a file is not what its hash says"));
        }
        let index = coming.index;
        let named = coming.settle(&self.work, size);
        let named = named.map_err(|source| failed(&self.work.name_of(index), source))?;
        self.work.count(size, coming.resumed);
        let Some(target) = self.work.targets.get(index as usize) else {
            return Ok(());
        };
        if named != target.path {
            let name = named.to_text();
            tracing::debug!(name, "a file got another name");
        }
        Ok(())
    }

    fn anew(&mut self, size: u64, modified: Time) -> Result<(), ReceiveError> {
        let coming = self
            .coming
            .as_mut()
            .ok_or_else(|| lied("it begins no file anew"))?;
        let Body::Sized { tree, .. } = &coming.body else {
            return Err(lied("it begins a stream anew"));
        };
        let before = tree.size();
        let growth = size.saturating_sub(before);
        let growing = self
            .work
            .growth
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(growth));
        if size > MAX_SIZE || growing.is_err() {
            return Err(lied("it sends more than it offered"));
        }
        self.work.progress.anew(before, size, coming.came);
        (coming.came, coming.resumed, coming.at) = (0, 0, 0);
        coming.modified = modified;
        let restarted = coming.file.set_len(0).and_then(|()| coming.file.rewind());
        let name = self.work.name_of(coming.index);
        restarted.map_err(|source| failed(&name, source))?;
        let part = match &coming.body {
            Body::Sized {
                part: Some(part), ..
            } => {
                // Under the number of its file, so that the journal's units are none of it.
                let path = self
                    .work
                    .targets
                    .get(coming.index as usize)
                    .map(|it| it.entry.path.clone());
                let (part, path) = (*part, path.unwrap_or_default());
                self.work.note(&Record::Part {
                    part,
                    path,
                    size,
                    modified,
                })?;
                Some(part)
            }
            Body::Sized { part: None, .. } | Body::Stream { .. } => None,
        };
        coming.body = Body::Sized {
            tree: Tree::new(size),
            part,
        };
        Ok(())
    }

    /// The sender could not read the file to its end. What came of it waits for another try.
    fn give_up(&mut self, reason: String) -> Result<(), ReceiveError> {
        let coming = self
            .coming
            .take()
            .ok_or_else(|| lied("it gives up no file"))?;
        if let Body::Sized { part: None, .. } | Body::Stream { .. } = coming.body {
            let _ = self.work.dir.remove_file(&coming.name);
        }
        self.work.problem(coming.index, reason, false);
        Ok(())
    }
}

impl Coming {
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.at != offset {
            self.file.seek(SeekFrom::Start(offset))?;
        }
        self.file.write_all(data)?;
        self.at = offset + data.len() as u64;
        Ok(())
    }

    /// Gives the whole file its name, which is the one that it should have or near to it.
    fn settle(&self, work: &Work, size: u64) -> io::Result<SafePath> {
        // Zeros at its end were not written.
        self.file.set_len(size)?;
        finish(&self.file, self.modified, self.executable)?;
        let Some(Target { entry, path }) = work.targets.get(self.index as usize) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        loop {
            let named = work.place.free(path)?;
            // First, as otherwise a crash would leave a file that comes once more.
            let done = Record::Done {
                path: entry.path.clone(),
                size,
                modified: self.modified,
                place: named.to_text(),
            };
            locked(&work.journal).write_all(&done.emit())?;
            if work.place.put(&work.dir, &self.name, &named)? {
                return Ok(named);
            }
        }
    }
}

impl Work {
    fn name_of(&self, index: u32) -> String {
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

fn part_name(part: u32) -> String {
    format!("{part}.part")
}

fn failed(what: &str, source: io::Error) -> ReceiveError {
    ReceiveError::Write {
        what: what.to_owned(),
        source: Arc::new(source),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
