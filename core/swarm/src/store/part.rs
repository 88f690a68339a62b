//! Content that is fetched, as far as it has come. Blocks, as file systems do.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex},
};

use cap_std::fs::Dir;
use peerway::services::files::{Place, make_executable, open_part};

use super::file::Stamp;
use crate::share::{Hash, Outline, Units, lock};

/// A sparse file, of which some units are there and verified. Nothing is noted beside it: what is there after a crash is found by
/// checking all of it against the outline, which itself has to come to the hash.
#[derive(Debug)]
pub struct Part {
    outline: Arc<Outline>,
    file: Mutex<File>,
    held: Mutex<Units>,
}

impl Part {
    /// The name of its file below the folder for what is not whole yet.
    #[must_use]
    pub fn file_name(hash: Hash) -> String {
        format!("{hash}.part")
    }

    /// What there is of some content in `work`; made if there is nothing.
    ///
    /// # Errors
    /// The file cannot be opened, read or written.
    pub fn open(work: &Dir, outline: Arc<Outline>) -> io::Result<Self> {
        let mut file = open_part(work, &Self::file_name(outline.hash()), false)?;
        let mut held = Units::none(outline.units());
        check(&mut file, &outline, |unit| {
            held.insert(unit);
            true
        })?;
        file.set_len(outline.size())?;
        Ok(Self {
            outline,
            file: Mutex::new(file),
            held: Mutex::new(held),
        })
    }

    /// The outline that was kept for some content; none if there is none that comes to the hash.
    #[must_use]
    pub fn outline(work: &Dir, hash: Hash, size: u64) -> Option<Outline> {
        let bytes = work.read(outline_name(hash)).ok()?;
        Outline::from_bytes(hash, size, &bytes)
    }

    /// Whether there is any of some content in `work`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn has_any(work: &Dir, hash: Hash, size: u64) -> io::Result<bool> {
        let mut file = match work.open(Self::file_name(hash)) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let small = Outline::of_small(hash, size);
        let Some(outline) = small.or_else(|| Self::outline(work, hash, size)) else {
            return Ok(false);
        };
        if is_hole(&file) {
            return Ok(false);
        }
        let mut has_any = false;
        check(&mut file, &outline, |_| {
            has_any = true;
            false
        })?;
        Ok(has_any)
    }

    /// Keeps the outline for the next try.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_outline(work: &Dir, outline: &Outline) -> io::Result<()> {
        work.write(outline_name(outline.hash()), outline.to_bytes())
    }

    /// Which units are there.
    #[must_use]
    pub fn held(&self) -> Units {
        lock(&self.held).clone()
    }

    /// Writes a unit that was verified.
    ///
    /// # Errors
    /// It cannot be written, as on a full disk: it is as if it had not come.
    pub fn write(&self, unit: u32, data: &[u8]) -> io::Result<()> {
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(self.outline.offset(unit)))?;
        file.write_all(data)?;
        drop(file);
        lock(&self.held).insert(unit);
        Ok(())
    }

    /// A unit; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, unit: u32) -> io::Result<Option<Vec<u8>>> {
        if !lock(&self.held).has(unit) {
            return Ok(None);
        }
        let mut data = vec![0; self.outline.len(unit).unwrap_or(0)];
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(self.outline.offset(unit)))?;
        file.read_exact(&mut data)?;
        Ok(Some(data))
    }

    /// Lets whoever may read it run it, where there is such a thing.
    ///
    /// # Errors
    /// It cannot be.
    pub fn make_executable(&self) -> io::Result<()> {
        make_executable(&lock(&self.file))
    }

    /// Puts all of it onto the disk.
    ///
    /// # Errors
    /// It cannot be.
    pub fn sync(&self) -> io::Result<()> {
        lock(&self.file).sync_all()
    }
}

/// Reads what is there, and names the units that are right as long as more are to be.
fn check(file: &mut File, outline: &Outline, mut found: impl FnMut(u32) -> bool) -> io::Result<()> {
    let there = file.metadata()?.len();
    let mut data = Vec::new();
    for unit in 0..outline.units() {
        let (offset, len) = (outline.offset(unit), outline.len(unit).unwrap_or(0));
        if offset + len as u64 > there {
            break;
        }
        data.resize(len, 0);
        file.read_exact(&mut data)?;
        if outline.is_right(unit, &data) && !found(unit) {
            break;
        }
    }
    Ok(())
}

/// Whether nothing was ever written, where the system knows: all of a part that is long need not be read for that.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn is_hole(file: &File) -> bool {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };
    let is_hole = seek(file, SeekFrom::Data(0)) == Err(Errno::NXIO);
    is_hole || seek(file, SeekFrom::Start(0)).is_err()
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn is_hole(_: &File) -> bool {
    false
}

/// The folder for what is not whole yet of `id`, for one who fetches there at a time: until the file is dropped. None as long as
/// another does.
pub(crate) fn alone(place: &Place, id: &str) -> io::Result<Option<File>> {
    let open = || open_part(&place.work(id)?, "lock", false);
    let lock = open()?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // Some file systems have no locks.
        Err(TryLockError::Error(_)) => return Ok(Some(lock)),
    }
    // Whoever had it may have cleared the folder away with it.
    let is_same = Stamp::of(&open()?.metadata()?) == Stamp::of(&lock.metadata()?);
    Ok(is_same.then_some(lock))
}

pub(crate) fn outline_name(hash: Hash) -> String {
    format!("{hash}.outline")
}

#[cfg(test)]
mod tests {
    use peerway::services::files::tree;

    use super::*;

    #[test]
    fn what_is_there_after_a_crash_is_what_is_right_and_nothing_else() {
        let data: Vec<u8> = (0..900_000u32).map(|at| (at / 3) as u8).collect();
        let unit = tree::MIN_UNIT as usize;
        let size = data.len() as u64;
        let pieces: Vec<_> = data.chunks(unit).collect();
        let values = pieces.iter().enumerate();
        let values = values.map(|(at, piece)| tree::value(size, (at * unit) as u64, piece));
        let outline = Arc::new(Outline::computed(size, values.collect()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path(), false).unwrap();
        let work = place.work("x").unwrap();
        let part = Part::open(&work, outline.clone()).unwrap();
        assert!(part.held().is_empty());
        assert_eq!(part.read(2).unwrap(), None);
        for unit in [0, 2, 3] {
            part.write(unit, pieces[unit as usize]).unwrap();
        }
        assert_eq!(part.read(3).unwrap().as_deref(), Some(pieces[3]));
        drop(part);
        let has_any = || Part::has_any(&work, outline.hash(), size).unwrap();
        assert!(!has_any(), "without an outline nothing is known of it");
        // What a crash may leave of a unit.
        let file = open_part(&work, &Part::file_name(outline.hash()), false).unwrap();
        let mut file = io::BufWriter::new(file);
        file.seek(SeekFrom::Start(outline.offset(2) + 5)).unwrap();
        file.write_all(&[0; 4096]).unwrap();
        drop(file);
        Part::keep_outline(&work, &outline).unwrap();
        let kept = Part::outline(&work, outline.hash(), size).unwrap();
        let part = Part::open(&work, Arc::new(kept)).unwrap();
        assert_eq!(part.held().iter().collect::<Vec<_>>(), [0, 3]);
        assert!(has_any());
        work.write(outline_name(outline.hash()), [0; 128]).unwrap();
        assert_eq!(Part::outline(&work, outline.hash(), size), None);
    }

    #[test]
    fn of_a_part_in_which_nothing_right_is_nothing_came() {
        let folder = tempfile::tempdir().unwrap();
        let work = Place::open(folder.path(), false).unwrap().work("x");
        let (work, hash) = (work.unwrap(), Hash::of(&[7; 1000]));
        let has_any = || Part::has_any(&work, hash, 1000).unwrap();
        assert!(!has_any(), "it is missing");
        let outline = Arc::new(Outline::of_small(hash, 1000).unwrap());
        let part = Part::open(&work, outline).unwrap();
        assert!(!has_any(), "it is a hole");
        part.write(0, &[8; 1000]).unwrap();
        assert!(!has_any());
        part.write(0, &[7; 1000]).unwrap();
        assert!(has_any(), "however many blocks it takes");
    }
}
