//! Reads files and turns them into frames: the blocking half of a data stream.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Progress,
    selection::modified,
    tree::{MAX_SIZE, MIN_UNIT, Tree, stream_value, value},
    wire::{Frame, Time},
};

/// How often a file that changes while it is sent is begun anew.
const TRIES: u32 = 3;
/// Bytes that are handed on at once.
const BATCH: usize = MIN_UNIT as usize;

/// What the receiver has of a file.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) fingerprint: [u8; 32],
    pub(super) ranges: Vec<(u32, u32)>,
}

/// How a file was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) size: u64,
    pub(super) modified: Time,
}

/// Nobody sends any more.
#[derive(Debug)]
pub(super) struct Gone;

/// Why a file, or a try to send it, came to nothing.
enum Trouble {
    /// It is another than when it was looked at.
    Changed,
    Io(io::Error),
    Gone,
}

impl From<Gone> for Trouble {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Changed;
        }
        Self::Io(error)
    }
}

/// The frames of one data stream, handed on in batches.
pub(super) struct Frames {
    out: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    progress: Progress,
    /// Bytes of the present file that count as moved.
    moved: u64,
}

impl Frames {
    pub(super) fn new(out: mpsc::Sender<Bytes>, progress: Progress) -> Self {
        Self {
            out,
            buffer: Vec::new(),
            progress,
            moved: 0,
        }
    }

    /// Sends a file; what went wrong with it, if anything did, which the receiver is told too.
    pub(super) fn file(
        &mut self,
        index: u32,
        path: &Path,
        mut look: Look,
        held: Option<&Held>,
    ) -> Result<Option<String>, Gone> {
        self.put(&Frame::File(index))?;
        let mut held = held;
        for _ in 0..TRIES {
            self.moved = 0;
            match self.once(path, look, held.take()) {
                Ok(root) => {
                    let size = look.size;
                    self.put(&Frame::End { root, size })?;
                    self.progress.file_done();
                    return Ok(None);
                }
                Err(Trouble::Gone) => return Err(Gone),
                Err(Trouble::Io(error)) => return self.failed(error.to_string()),
                Err(Trouble::Changed) => {}
            }
            let now = match fs::metadata(path) {
                Ok(now) if now.is_file() && now.len() <= MAX_SIZE => look_of(&now),
                Ok(_) => return self.failed("it is no such file any more".to_owned()),
                Err(error) => return self.failed(error.to_string()),
            };
            self.progress.anew(look.size, now.size, self.moved);
            look = now;
            let Look { size, modified } = now;
            self.put(&Frame::Anew { size, modified })?;
        }
        self.failed("it changes while it is sent".to_owned())
    }

    /// Sends what comes out of `stream` to its end.
    pub(super) fn stream(
        &mut self,
        index: u32,
        stream: &mut (dyn Read + Send),
    ) -> Result<Option<String>, Gone> {
        self.put(&Frame::File(index))?;
        let mut hasher = blake3::Hasher::new();
        let (mut unit, mut size) = (0, 0);
        let mut data = Vec::new();
        loop {
            data.clear();
            let read = (&mut *stream).take(MIN_UNIT).read_to_end(&mut data);
            if let Err(error) = read {
                return self.failed(error.to_string());
            }
            if data.is_empty() {
                break;
            }
            hasher.update(&data);
            size += data.len() as u64;
            let (len, value) = (data.len() as u32, stream_value(&data));
            self.put(&Frame::Unit { unit, len, value })?;
            self.buffer.extend_from_slice(&data);
            self.moved(data.len());
            self.flush()?;
            unit += 1;
        }
        let root = hasher.finalize().into();
        self.put(&Frame::End { root, size })?;
        self.progress.file_done();
        Ok(None)
    }

    /// Hands on what is left.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.buffer);
        self.out.blocking_send(batch.into()).map_err(|_| Gone)
    }

    /// The root of the file, whose missing parts are sent.
    fn once(&mut self, path: &Path, look: Look, held: Option<&Held>) -> Result<[u8; 32], Trouble> {
        let mut file = File::open(path)?;
        if look_of(&file.metadata()?) != look {
            return Err(Trouble::Changed);
        }
        let mut tree = Tree::new(look.size);
        if let Some(held) = held {
            match self.same(&mut file, look.size, held)? {
                Some(same) => tree = same,
                None => {
                    let Look { size, modified } = look;
                    self.put(&Frame::Anew { size, modified })?;
                }
            }
        }
        let held_bytes = tree.held_bytes();
        self.progress.held(held_bytes);
        self.moved += held_bytes;
        // The unit that would be read next, if that is known.
        let mut at = held.is_none().then_some(0);
        for unit in 0..tree.units() {
            let Some(len) = tree.len(unit) else { break };
            if tree.has(unit) {
                continue;
            }
            if at != Some(unit) {
                io::Seek::seek(&mut file, io::SeekFrom::Start(tree.offset(unit)))?;
            }
            let value = self.unit(&mut file, &tree, unit, len)?;
            tree.put(unit, value);
            at = Some(unit + 1);
        }
        if look_of(&file.metadata()?) != look {
            return Err(Trouble::Changed);
        }
        tree.root().ok_or(Trouble::Changed)
    }

    /// Reads a unit behind the place of its frame, and sends it.
    fn unit(
        &mut self,
        file: &mut File,
        tree: &Tree,
        unit: u32,
        len: usize,
    ) -> Result<[u8; 32], Trouble> {
        if self.buffer.len() + len > BATCH {
            self.flush()?;
        }
        let start = self.buffer.len();
        let from = start + Frame::UNIT_LEN;
        // Behind a large unit there is room for what ends the file.
        self.buffer
            .reserve(from + len.max(BATCH) + Frame::UNIT_LEN - start);
        self.buffer.resize(from, 0);
        let read = file.take(len as u64).read_to_end(&mut self.buffer);
        if !matches!(read, Ok(read) if read == len) {
            self.buffer.truncate(start);
            read?;
            return Err(Trouble::Changed);
        }
        let data = &self.buffer[from..];
        let value = value(tree.size(), tree.offset(unit), data);
        let len = len as u32;
        let mut frame = Vec::with_capacity(Frame::UNIT_LEN);
        if is_zero(data) {
            Frame::Zeros { unit, len, value }.emit(&mut frame);
            self.buffer.truncate(from);
        } else {
            Frame::Unit { unit, len, value }.emit(&mut frame);
        }
        self.buffer[start..from].copy_from_slice(&frame);
        self.moved(len as usize);
        if self.buffer.len() >= BATCH {
            self.flush()?;
        }
        Ok(value)
    }

    /// What the receiver has of the file, if that is what the file has there.
    fn same(&self, file: &mut File, size: u64, held: &Held) -> Result<Option<Tree>, Trouble> {
        let mut tree = Tree::new(size);
        let mut data = Vec::new();
        let mut next = 0;
        for (first, count) in &held.ranges {
            let end = first.checked_add(*count);
            let Some(end) = end.filter(|end| *end <= tree.units() && *first >= next) else {
                return Ok(None);
            };
            next = end;
            io::Seek::seek(file, io::SeekFrom::Start(tree.offset(*first)))?;
            for unit in *first..end {
                data.resize(tree.len(unit).unwrap_or(0), 0);
                file.read_exact(&mut data)?;
                tree.put(unit, value(size, tree.offset(unit), &data));
                if self.out.is_closed() {
                    return Err(Trouble::Gone);
                }
            }
        }
        Ok((tree.fingerprint() == held.fingerprint).then_some(tree))
    }

    fn put(&mut self, frame: &Frame) -> Result<(), Gone> {
        if self.buffer.len() >= BATCH {
            self.flush()?;
        }
        frame.emit(&mut self.buffer);
        Ok(())
    }

    fn moved(&mut self, len: usize) {
        self.moved += len as u64;
        self.progress.moved(len as u64);
    }

    fn failed(&mut self, reason: String) -> Result<Option<String>, Gone> {
        self.put(&Frame::Failed(reason.clone()))?;
        Ok(Some(reason))
    }
}

fn look_of(metadata: &fs::Metadata) -> Look {
    Look {
        size: metadata.len(),
        modified: modified(metadata),
    }
}

/// As in holes of a sparse file.
fn is_zero(data: &[u8]) -> bool {
    data.len() >= 4096 && data[..64].iter().all(|byte| *byte == 0) && {
        let (pairs, rest) = data.as_chunks::<64>();
        pairs.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|byte| *byte == 0)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_opens_and_cannot_be_read_the_receiver_is_told_why_and_nothing_else() {
        // A folder opens as a file does, and is read as a bad sector is: not at all.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in it"), b"1").unwrap();
        let look = look_of(&fs::metadata(folder.path()).unwrap());
        assert!(look.size > 0);
        let (out, mut batches) = mpsc::channel(8);
        let mut frames = Frames::new(out, Progress::default());
        let reason = frames.file(3, folder.path(), look, None).unwrap().unwrap();
        assert!(reason.contains("directory"), "{reason}");
        frames.flush().unwrap();
        let mut sent = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            sent.extend_from_slice(&batch);
        }
        let mut expected = Vec::new();
        Frame::File(3).emit(&mut expected);
        Frame::Failed(reason).emit(&mut expected);
        assert_eq!(sent, expected);
    }
}
