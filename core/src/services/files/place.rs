//! Writes below one folder and nowhere else: also where a symbolic link stands in the way, since everything is opened relative to the
//! folder and never leaves it (crate `cap-std`).

use std::{
    ffi::OsStr,
    fs::{File, FileTimes},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};

use super::{
    name::{SafePath, WORK, numbered},
    wire::{Time, UNKNOWN},
};

/// How many names are tried to find one that is free.
const NAMES: u32 = 1000;

/// How often a folder is made anew that others took away meanwhile.
const ANEW: u32 = 1000;

/// A folder that receives. Blocks, as file systems do.
#[derive(Debug)]
pub struct Place {
    root: Dir,
    overwrite: bool,
}

impl Place {
    /// The folder, which is there. With `overwrite` what is in it gives way to what comes under the same name.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(folder: &Path, overwrite: bool) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(folder, ambient_authority())?;
        Ok(Self { root, overwrite })
    }

    /// The folder for what is not whole yet of something that `id`, a plain name, stands for; made if need be.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn work(&self, id: &str) -> io::Result<Dir> {
        let path = Path::new(WORK).join(id);
        let open = || {
            self.root.create_dir_all(&path)?;
            self.root.open_dir(&path)
        };
        // Whoever is through takes the folder above away: before it is looked into, or while it is found to be there already.
        let was_taken = |error: &io::Error| {
            let kind = error.kind();
            kind == io::ErrorKind::NotFound || kind == io::ErrorKind::AlreadyExists
        };
        for _ in 0..ANEW {
            match open() {
                Err(error) if was_taken(&error) => {}
                opened => return opened,
            }
        }
        open()
    }

    /// Removes the folder for what is not whole yet, when all is.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear(&self, id: &str) -> io::Result<()> {
        self.root.remove_dir_all(Path::new(WORK).join(id))?;
        // Others may be under way.
        let _ = self.root.remove_dir(WORK);
        Ok(())
    }

    /// Makes a folder of this name, or with a number if something is there, and says which. With `overwrite` a folder of this very name
    /// is taken as it is; where something else is, [`bars_top`](Self::bars_top) says so before.
    ///
    /// # Errors
    /// It cannot be made, or too many of that name are there.
    pub fn new_top(&self, name: &str) -> io::Result<String> {
        for number in 0..NAMES {
            let tried = if number == 0 {
                name.to_owned()
            } else {
                numbered(name, number)
            };
            match self.root.create_dir(&tried) {
                Ok(()) => return Ok(tried),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // One with a number is somebody's own.
                    if self.overwrite && number == 0 && self.root.is_dir(&tried) {
                        return Ok(tried);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Whether what comes is to go over what has this name, and that bars a folder: see [`bars_folder`](Self::bars_folder).
    #[must_use]
    pub fn bars_top(&self, name: &str) -> bool {
        self.overwrite && self.bars_folder(Path::new(name))
    }

    /// A folder itself, not a link to one.
    #[must_use]
    pub fn is_folder(&self, name: &str) -> bool {
        let found = self.root.symlink_metadata(name);
        found.is_ok_and(|found| found.is_dir())
    }

    /// Makes a folder, and those above it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_folder(&self, path: &SafePath) -> io::Result<()> {
        self.root.create_dir_all(path.to_path())
    }

    /// Whether something is where a folder belongs that is none, nor a link to one that is in here: it stays.
    #[must_use]
    pub fn bars_folder(&self, path: &Path) -> bool {
        self.root.symlink_metadata(path).is_ok() && !self.root.is_dir(path)
    }

    /// Whether a folder with something in it is where a file belongs to which other things give way: it stays.
    #[must_use]
    pub fn bars_file(&self, path: &Path) -> bool {
        let found = || self.root.symlink_metadata(path);
        let is_folder = self.overwrite && found().is_ok_and(|found| found.is_dir());
        let entries = || self.root.read_dir(path);
        is_folder && entries().map_or(true, |mut entries| entries.next().is_some())
    }

    /// Looks what is in the way of one thing after the other.
    pub(super) fn bars(&self) -> Bars<'_> {
        Bars {
            place: self,
            clear: PathBuf::new(),
        }
    }

    /// Whether a file is there as it was when it was put there.
    pub(super) fn has(&self, path: &str, size: u64, modified: Time) -> bool {
        let found = self.root.symlink_metadata(path);
        found.is_ok_and(|found| {
            let time = found.modified().map(cap_std::time::SystemTime::into_std);
            let is_then = |known| time.is_ok_and(|time| time == known);
            found.is_file() && found.len() == size && system(modified).is_none_or(is_then)
        })
    }

    /// The first name for a file that seems to be free.
    ///
    /// # Errors
    /// Too many of that name are there.
    pub fn free(&self, path: &SafePath) -> io::Result<SafePath> {
        if self.overwrite {
            return Ok(path.clone());
        }
        let numbered = (1..NAMES).map(|number| path.numbered(number));
        let mut names = std::iter::once(path.clone()).chain(numbered);
        let free = names.find(|name| self.root.symlink_metadata(name.to_path()).is_err());
        free.ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// Gives a whole file of `work` its name; false if another took that meanwhile. With `overwrite` an empty folder of that name gives
    /// way too, and one with something in it stays.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn put(&self, work: &Dir, part: &str, path: &SafePath) -> io::Result<bool> {
        let place = path.to_path();
        if self.overwrite {
            let rename = || work.rename(part, &self.root, &place).map(|()| true);
            return rename().or_else(|error| match self.root.remove_dir(&place) {
                Ok(()) => rename(),
                Err(_) => Err(error),
            });
        }
        match self.put_new(work, part, &place) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            // Not every system and file system can tell while it renames. Of all else the reason comes once more.
            Err(_) => {}
        }
        match work.hard_link(part, &self.root, &place) {
            Ok(()) => work.remove_file(part).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // Some file systems have no second names.
            Err(_) if self.root.symlink_metadata(&place).is_ok() => Ok(false),
            Err(_) => work.rename(part, &self.root, place).map(|()| true),
        }
    }

    /// Renames in one step, unless something has that name.
    fn put_new(&self, work: &Dir, part: &str, place: &Path) -> io::Result<()> {
        let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        match place.parent().filter(|above| !above.as_os_str().is_empty()) {
            Some(above) => rename_new(work, part, &self.root.open_dir(above)?, name),
            None => rename_new(work, part, &self.root, name),
        }
    }
}

/// What is in the way.
pub(super) struct Bars<'a> {
    place: &'a Place,
    /// The folder of the thing before, above which nothing was.
    clear: PathBuf,
}

impl Bars<'_> {
    /// What is in the way of something of this name, and stays: at its place, or where a folder belongs that it is in.
    pub(super) fn of(&mut self, path: &SafePath, is_folder: bool) -> Option<PathBuf> {
        let own = path.to_path();
        let folder = own.parent().unwrap_or_else(|| Path::new(""));
        if folder != self.clear {
            let mut above: Vec<_> = folder.ancestors().collect();
            above.retain(|above| !above.as_os_str().is_empty());
            let mut folders = above.into_iter().rev();
            if let Some(bar) = folders.find(|above| self.place.bars_folder(above)) {
                return Some(bar.to_owned());
            }
            self.clear = folder.to_owned();
        }
        let is_barred = match is_folder {
            true => self.place.bars_folder(&own),
            false => self.place.bars_file(&own),
        };
        is_barred.then_some(own)
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(work: &Dir, part: &str, folder: &Dir, name: &OsStr) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    Ok(renameat_with(
        work,
        part,
        folder,
        name,
        RenameFlags::NOREPLACE,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &Dir, _: &str, _: &Dir, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Opens a file of the folder for what is not whole yet, made if need be, and empty if it is to begin `anew`.
///
/// # Errors
/// It cannot be opened.
pub fn open_part(work: &Dir, name: &str, anew: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(anew);
    Ok(work.open_with(name, &options)?.into_std())
}

pub(super) fn open_journal(work: &Dir) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    Ok(work.open_with("journal", &options)?.into_std())
}

/// Gives a file the time, where that is known, and the leave to be run, that it has at the sender.
pub(super) fn finish(file: &File, modified: Time, executable: bool) -> io::Result<()> {
    if executable {
        make_executable(file)?;
    }
    match system(modified) {
        Some(time) => file.set_times(FileTimes::new().set_modified(time)),
        None => Ok(()),
    }
}

/// Lets whoever may read a file run it, where there is such a thing.
///
/// # Errors
/// It cannot be.
#[cfg(unix)]
pub fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = file.metadata()?.permissions();
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    file.set_permissions(permissions)
}

/// There is no such thing here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}

/// None if it is not known, or none of this system's.
fn system(time: Time) -> Option<SystemTime> {
    if time == UNKNOWN {
        return None;
    }
    let since = Duration::from_nanos(time.unsigned_abs());
    if time < 0 {
        UNIX_EPOCH.checked_sub(since)
    } else {
        UNIX_EPOCH.checked_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::name::sanitise, *};

    #[test]
    fn what_goes_over_a_folder_goes_over_none_of_the_same_name_with_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path(), true).unwrap();
        for name in ["it", "it (1)"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert!(!place.bars_top("it"));
        assert_eq!(place.new_top("it").unwrap(), "it");
        std::fs::remove_dir(folder.path().join("it")).unwrap();
        std::fs::write(folder.path().join("it"), b"own").unwrap();
        assert!(place.bars_top("it"));
        assert_eq!(place.new_top("it").unwrap(), "it (2)");
    }

    #[test]
    fn a_file_is_put_neither_where_a_link_leads_nor_into_a_folder_that_was_moved_away() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = Place::open(folder.path(), false).unwrap();
        let work = place.work("id").unwrap();
        let put = |name: &str| {
            work.write("part", name).unwrap();
            place.put(&work, "part", &sanitise(&format!("in/{name}")).unwrap())
        };
        let (inner, moved) = (folder.path().join("in"), elsewhere.path().join("moved"));
        std::fs::create_dir(&inner).unwrap();
        assert!(put("one").unwrap());
        assert!(!put("one").unwrap(), "it is taken");
        std::fs::rename(&inner, &moved).unwrap();
        put("two").unwrap_err();
        std::fs::create_dir(&inner).unwrap();
        assert!(put("three").unwrap());
        assert!(inner.join("three").is_file());
        #[cfg(unix)]
        {
            std::fs::remove_dir_all(&inner).unwrap();
            std::os::unix::fs::symlink(&moved, &inner).unwrap();
            put("four").unwrap_err();
        }
        assert_eq!(moved.read_dir().unwrap().count(), 1);
    }

    #[test]
    fn who_is_through_takes_no_folder_from_under_others_who_begin() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path(), false).unwrap();
        let all = |id: &str| {
            for _ in 0..2_000 {
                place.work(id).unwrap().write("part", b"1").unwrap();
                place.clear(id).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for id in ["a", "b", "c", "d"] {
                scope.spawn(move || all(id));
            }
        });
    }
}
