//! The file of what is kept.

use std::path::{Path, PathBuf};

use super::{
    Draft, EditError, Kept,
    text::{self, Mistake},
};
use crate::files::{EditedError, EditedFile, Stamp};

const HOLDS: &str = "the services in";
/// Far more than the services that fit in it.
const MAX_LEN: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct KeptFile(EditedFile);

impl KeptFile {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let path = folder.join("services.toml");
        Self(EditedFile::new(path, HOLDS, MAX_LEN))
    }

    /// What is kept; nothing if there is no file.
    pub(crate) fn read(&self) -> Result<Kept, KeptError> {
        let text = self.0.read()?;
        text::parse(&text).map_err(|mistake| self.mistaken(mistake))
    }

    /// None if there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.0.stamp()
    }

    /// Changes what is kept. Who does so at the same time waits; a change that fails leaves everything as it was.
    pub(crate) fn change<T>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<T, EditError>,
    ) -> Result<T, KeptError> {
        self.0.change(|text| {
            let mut draft = Draft::of(text).map_err(|mistake| self.mistaken(mistake))?;
            let done = edit(&mut draft)?;
            Ok((done, draft.text()))
        })
    }

    fn mistaken(&self, mistake: Mistake) -> KeptError {
        let path = self.0.path().to_owned();
        KeptError::Mistake { path, mistake }
    }
}

/// Why the file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("{HOLDS} {}, {mistake}", path.display(), HOLDS = HOLDS)]
    Mistake { path: PathBuf, mistake: Mistake },
    #[error(transparent)]
    File(#[from] EditedError),
    #[error(transparent)]
    Edit(#[from] EditError),
}
