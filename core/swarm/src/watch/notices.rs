//! What the system tells of changes in a folder: [`Notices`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use crate::store::file::Stamp;

/// That something in a folder has changed, without what: it is looked at anyway. Beyond what the system holds of such notices it tells
/// that some were lost, which is a notice as well.
#[derive(Debug)]
pub(super) struct Notices {
    folder: PathBuf,
    is: u64,
    _watcher: RecommendedWatcher,
}

impl Notices {
    /// Of a folder and all below it, for whoever waits for `news`. Blocks, as all of these are looked at.
    pub(super) fn of(folder: &Path, news: Arc<Notify>) -> notify::Result<Self> {
        let is = number(folder).map_err(notify::Error::io)?;
        let told = move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, is_change) {
                news.notify_one();
            }
        };
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(told, config)?;
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(Self {
            folder: folder.to_owned(),
            is,
            _watcher: watcher,
        })
    }

    /// Whether that is still the folder which has this name.
    pub(super) fn are_of(&self, folder: &Path) -> bool {
        self.folder == folder && number(folder).is_ok_and(|is| is == self.is)
    }
}

fn number(folder: &Path) -> io::Result<u64> {
    Ok(Stamp::of(&fs::metadata(folder)?).inode)
}

/// That a file is read, as it is for its hash and for whoever fetches it, is no change.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_new_file_in_a_new_folder_is_told_of_and_that_it_is_read_is_not() {
        let top = tempfile::tempdir().unwrap();
        let news = Arc::new(Notify::new());
        let notices = Notices::of(top.path(), news.clone()).unwrap();
        assert!(notices.are_of(top.path()));
        let inner = top.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let told = timeout(Duration::from_secs(60), news.notified()).await;
        told.unwrap();
        let is_read = Event::new(EventKind::Access(AccessKind::Open(AccessMode::Read)));
        let is_written = Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)));
        assert!(!is_change(&is_read) && is_change(&is_written));
        assert!(is_change(&Event::new(EventKind::Other)), "some were lost");
    }
}
