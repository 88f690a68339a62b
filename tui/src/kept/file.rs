//! The file of what is kept: read as a whole, and replaced as a whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Draft, EditError, Kept,
    text::{self, Mistake},
};
use crate::{
    book::Stamp,
    files::{self, ReadError},
};

/// Far more than the services that fit in it.
const MAX_LEN: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
}

impl KeptFile {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("services.toml"),
        }
    }

    /// What is kept; nothing if there is no file.
    pub(crate) fn read(&self) -> Result<Kept, KeptError> {
        let text = self.text()?;
        text::parse(&text).map_err(|mistake| self.mistaken(mistake))
    }

    /// None if there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    /// Changes what is kept. Who does so at the same time waits; a change that fails leaves everything as it was.
    pub(crate) fn change<T>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<T, EditError>,
    ) -> Result<T, KeptError> {
        let failed = |action| move |source| self.io(action, source);
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        files::create_folder(folder).map_err(failed("make the folder of"))?;
        let _lock = files::lock(&folder.join("services.lock")).map_err(failed("lock"))?;
        let text = self.text()?;
        let mut draft = Draft::of(&text).map_err(|mistake| self.mistaken(mistake))?;
        let done = edit(&mut draft)?;
        let new = draft.text();
        if new != text {
            files::replace(&self.path, &new).map_err(failed("write"))?;
        }
        Ok(done)
    }

    fn text(&self) -> Result<String, KeptError> {
        files::read(&self.path, MAX_LEN).map_err(|error| match error {
            ReadError::Writable => KeptError::Writable {
                path: self.path.clone(),
            },
            ReadError::Io(source) => self.io("read", source),
        })
    }

    fn mistaken(&self, mistake: Mistake) -> KeptError {
        KeptError::Mistake {
            path: self.path.clone(),
            mistake,
        }
    }

    fn io(&self, action: &'static str, source: io::Error) -> KeptError {
        KeptError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// Why the file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    #[error("the services in {}, {mistake}", path.display())]
    Mistake { path: PathBuf, mistake: Mistake },
    #[error(
        "everybody on this computer can write {path}, and so open this home to others: run `chmod o-w {path}`",
        path = path.display()
    )]
    Writable { path: PathBuf },
    #[error(
        "cannot {action} {}: {source}; check its permissions and the room there, or choose another folder with --config-dir",
        path.display()
    )]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Edit(#[from] EditError),
}
