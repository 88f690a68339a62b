//! Writes what one data stream brings, in a thread of its own: the blocking half of the receiving side.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    ReceiveError,
    journal::{Part, Record},
    name::SafePath,
    place::{finish, open_part},
    receive::lied,
    tree::{MAX_SIZE, MAX_UNIT, MIN_UNIT, Tree, stream_value, value},
    wire::{Frame, Kind, Time},
    work::{Slot, Target, Work, failed, locked, part_name},
};

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
            Some(_) => Err(ReceiveError::Left),
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
                Slot::Taken | Slot::Have | Slot::Barred => None,
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
            None if u64::from(len) <= MAX_UNIT => {
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
        let named = match coming.settle(&self.work, size) {
            Ok(named) => named,
            Err(source) => {
                self.work.unplaced(index, source)?;
                let mut slots = locked(&self.work.slots);
                if let Some(slot) = slots.get_mut(index as usize) {
                    *slot = Slot::Barred;
                }
                drop(slots);
                let _ = self.work.dir.remove_file(&coming.name);
                return Ok(());
            }
        };
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
        if self.at != size {
            // Zeros at its end were not written.
            self.file.set_len(size)?;
        }
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
