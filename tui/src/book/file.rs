//! The book's file.

use std::path::{Path, PathBuf};

use peerway::Ticket;

use super::{
    Book, Draft, EditError,
    draft::news,
    text::{self, Mistake},
};
use crate::files::{EditedError, EditedFile, Stamp};

const HOLDS: &str = "the address book";
/// For some ten thousand peers; what is longer is no book.
const MAX_LEN: u64 = 4 << 20;

#[derive(Clone, Debug)]
pub(crate) struct BookFile(EditedFile);

impl BookFile {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let path = folder.join("book.toml");
        Self(EditedFile::new(path, HOLDS, MAX_LEN))
    }

    /// The book; an empty one if there is no file.
    pub(crate) fn read(&self) -> Result<Book, BookError> {
        let text = self.0.read()?;
        text::parse(&text).map_err(|mistake| self.mistaken(mistake))
    }

    /// None if there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.0.stamp()
    }

    /// Changes the book. Who does so at the same time waits; a change that fails leaves everything as it was.
    pub(crate) fn change<T>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<T, EditError>,
    ) -> Result<T, BookError> {
        self.0.change(|text| {
            let mut draft = Draft::of(text).map_err(|mistake| self.mistaken(mistake))?;
            let done = edit(&mut draft)?;
            Ok((done, draft.text()))
        })
    }

    /// A peer was reached by this ticket: if the book has it, so be it there.
    pub(crate) fn reached(&self, ticket: &Ticket) -> Result<(), BookError> {
        if news(&self.read()?, ticket).is_some() {
            self.change(|draft| draft.reached(ticket))?;
        }
        Ok(())
    }

    fn mistaken(&self, mistake: Mistake) -> BookError {
        let path = self.0.path().to_owned();
        BookError::Mistake { path, mistake }
    }
}

/// Why the book could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    #[error("{HOLDS} {}, {mistake}", path.display(), HOLDS = HOLDS)]
    Mistake { path: PathBuf, mistake: Mistake },
    #[error(transparent)]
    File(#[from] EditedError),
    #[error(transparent)]
    Edit(#[from] EditError),
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use tempfile::TempDir;

    use super::{super::tests::id, *};
    use crate::book::Trust;

    #[test]
    fn where_there_is_no_file_the_book_is_empty_and_reading_makes_none() {
        let folder = TempDir::new().unwrap();
        let file = BookFile::in_folder(&folder.path().join("new"));
        assert_eq!(file.read().unwrap(), Book::default());
        assert_eq!(file.stamp(), None);
        file.reached(&id(1).into()).unwrap();
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn peers_that_are_added_at_the_same_time_are_all_in_the_book() {
        let folder = TempDir::new().unwrap();
        let file = BookFile::in_folder(folder.path());
        thread::scope(|scope| {
            for seed in 1..=8 {
                let file = &file;
                scope.spawn(move || {
                    let name = format!("peer{seed}").parse().unwrap();
                    file.change(|draft| draft.add(&name, &id(seed).into(), None))
                        .unwrap();
                });
            }
        });
        assert_eq!(file.read().unwrap().entries().count(), 8);
    }

    #[test]
    fn a_change_that_is_refused_leaves_the_file_as_it_was() {
        let folder = TempDir::new().unwrap();
        let file = BookFile::in_folder(folder.path());
        let nonsense = "strangers = \n";
        fs::write(file.0.path(), nonsense).unwrap();
        let refused = file.change(|draft| draft.trust_strangers(Trust::Block));
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("book.toml, line 1: "), "{said}");
        assert_eq!(fs::read_to_string(file.0.path()).unwrap(), nonsense);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_book_is_its_owners_and_an_old_one_keeps_its_mode_and_its_link() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("config/peerway");
        let file = BookFile::in_folder(&config);
        let block = |file: &BookFile, trust| file.change(|draft| draft.trust_strangers(trust));
        block(&file, Trust::Block).unwrap();
        assert_eq!((mode(&config), mode(file.0.path())), (0o700, 0o600));
        let elsewhere = folder.path().join("dotfiles.toml");
        fs::rename(file.0.path(), &elsewhere).unwrap();
        fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o644)).unwrap();
        symlink(&elsewhere, file.0.path()).unwrap();
        block(&file, Trust::Allow).unwrap();
        assert!(file.0.path().is_symlink());
        assert_eq!(mode(&elsewhere), 0o644);
        assert_eq!(file.read().unwrap().strangers(), Trust::Allow);
        fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o666)).unwrap();
        let refused = file.read().unwrap_err().to_string();
        assert!(refused.contains("chmod o-w"), "{refused}");
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let folder = TempDir::new().unwrap();
        let file = BookFile::in_folder(folder.path());
        fs::write(file.0.path(), "#".repeat(MAX_LEN as usize + 1)).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("too large"));
        fs::write(file.0.path(), [0xff, 0xfe]).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("UTF-8"));
    }
}
