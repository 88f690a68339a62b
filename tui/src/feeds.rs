//! The feeds that this computer writes and follows. Each is a group that one member writes in; its link is kept beside its name, as any
//! follower may give it on.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{EditedError, EditedFile};

const HOLDS: &str = "the list of feeds";
/// Bytes of the file: as many links as a node may be in groups, of the longest.
const MAX_FILE: u64 = 1 << 20;
/// Letters of a group's id that a feed is meant by.
const SHORT: usize = 8;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feed {
    /// What it is called here.
    pub(crate) name: String,
    /// The group's id.
    pub(crate) id: String,
    /// An invite into the group, for readers.
    pub(crate) link: String,
    /// Until when the link is good, in milliseconds since the Unix epoch; none of a feed that is followed, whose writer knows.
    pub(crate) until_ms: Option<u64>,
}

impl Feed {
    /// Whether it is written here.
    pub(crate) fn is_own(&self) -> bool {
        self.until_ms.is_some()
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Feeds {
    feeds: Vec<Feed>,
}

impl Feeds {
    pub(crate) fn all(&self) -> &[Feed] {
        &self.feeds
    }

    /// The one that is written here.
    pub(crate) fn own(&self) -> Option<&Feed> {
        self.feeds.iter().find(|feed| feed.is_own())
    }

    /// The one of this name, or whose id begins so.
    pub(crate) fn find(&self, name: &str) -> Option<&Feed> {
        let named = self.feeds.iter().find(|feed| feed.name == name);
        let start = name.to_ascii_lowercase();
        let begins_so = |feed: &&Feed| start.len() >= SHORT && feed.id.starts_with(&start);
        named.or_else(|| self.feeds.iter().find(begins_so))
    }

    /// The name that a feed gets: the one that is wished, with a part of its id if another has that already.
    pub(crate) fn free_name(&self, wished: &str, id: &str) -> String {
        let is_taken = self
            .feeds
            .iter()
            .any(|feed| feed.name == wished && feed.id != id);
        if is_taken {
            let short: String = id.chars().take(SHORT).collect();
            format!("{wished}-{short}")
        } else {
            wished.to_owned()
        }
    }

    /// Has this be the one that is written here, in place of the one that was, and with a name that no other has.
    pub(crate) fn insert_own(&mut self, wished: &str, feed: Feed) -> Feed {
        self.feeds.retain(|it| !it.is_own());
        let name = self.free_name(wished, &feed.id);
        let feed = Feed { name, ..feed };
        self.insert(feed.clone());
        feed
    }

    /// In place of what was known of it before.
    pub(crate) fn insert(&mut self, feed: Feed) {
        self.remove(&feed.id);
        self.feeds.push(feed);
        self.feeds
            .sort_by(|a, b| (!a.is_own(), &a.name).cmp(&(!b.is_own(), &b.name)));
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.feeds.retain(|feed| feed.id != id);
    }
}

/// Where they are kept.
#[derive(Clone, Debug)]
pub(crate) struct FeedFile(EditedFile);

impl FeedFile {
    pub(crate) fn in_folder(state: &Path) -> Self {
        Self(EditedFile::new(state.join("feeds"), HOLDS, MAX_FILE))
    }

    /// All of them; none if there is no file.
    pub(crate) fn read(&self) -> Result<Feeds, FeedFileError> {
        self.parse(&self.0.read()?)
    }

    /// Changes them. Who does so at the same time waits.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Feeds) -> T,
    ) -> Result<T, FeedFileError> {
        self.0.change(|text| {
            let mut feeds = self.parse(text)?;
            let done = change(&mut feeds);
            let text = serde_json::to_string(&feeds);
            let text = text.map_err(|source| self.not_json("write", source))?;
            Ok((done, format!("{text}\n")))
        })
    }

    fn parse(&self, text: &str) -> Result<Feeds, FeedFileError> {
        if text.is_empty() {
            let path = self.0.path();
            return match path.symlink_metadata() {
                // Nothing that is written here leaves one.
                Ok(_) => Err(FeedFileError::Empty(path.to_owned())),
                Err(_) => Ok(Feeds::default()),
            };
        }
        serde_json::from_str(text).map_err(|source| self.not_json("understand", source))
    }

    fn not_json(&self, action: &'static str, source: serde_json::Error) -> FeedFileError {
        let path = self.0.path().to_owned();
        FeedFileError::Json {
            action,
            path,
            source,
        }
    }
}

/// Why the list of feeds could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedFileError {
    #[error(
        "{HOLDS} {} is empty, as after a damage: restore it, or move it away: the feeds are groups too, which `peerway group` shows",
        .0.display(), HOLDS = HOLDS
    )]
    Empty(PathBuf),
    #[error(
        "cannot {action} {HOLDS} {}: {source}; move it away: the feeds are groups too, which `peerway group` shows",
        path.display(),
        HOLDS = HOLDS
    )]
    Json {
        action: &'static str,
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error(transparent)]
    File(#[from] EditedError),
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn feed(name: &str, id: &str, until_ms: Option<u64>) -> Feed {
        Feed {
            name: name.to_owned(),
            id: id.to_owned(),
            link: "peerway-group1".to_owned(),
            until_ms,
        }
    }

    #[test]
    fn a_feed_is_found_by_its_name_or_eight_letters_of_its_id() {
        let mut feeds = Feeds::default();
        feeds.insert(feed("zoe", "abcdefgh1", None));
        feeds.insert(feed("abcdefgh", "ijklmnop2", None));
        feeds.insert(feed("mine", "qrstuvwx3", Some(1)));
        let id = |name: &str| feeds.find(name).map(|feed| &feed.id[..]);
        assert_eq!(id("zoe"), Some("abcdefgh1"));
        assert_eq!(id("IJKLMNOP"), Some("ijklmnop2"));
        // A name comes before an id.
        assert_eq!(id("abcdefgh"), Some("ijklmnop2"));
        assert_eq!(id("ijklmno"), None);
        assert_eq!(feeds.own().map(|feed| &feed.name[..]), Some("mine"));
        assert_eq!(feeds.all()[0].name, "mine");
    }

    #[test]
    fn two_feeds_have_two_names_and_one_feed_is_there_once() {
        let mut feeds = Feeds::default();
        feeds.insert(feed("zoe", "abcdefgh1", None));
        assert_eq!(feeds.free_name("zoe", "abcdefgh1"), "zoe");
        assert_eq!(feeds.free_name("zoe", "ijklmnop2"), "zoe-ijklmnop");
        feeds.insert(feed("anna", "abcdefgh1", None));
        assert_eq!(feeds.all().len(), 1);
        feeds.remove("abcdefgh1");
        assert_eq!(feeds.all(), []);
    }

    #[test]
    fn what_is_written_here_is_one_feed_and_takes_nobodys_name() {
        let mut feeds = Feeds::default();
        feeds.insert(feed("zoe", "abcdefgh1", None));
        feeds.insert(feed("mine", "ijklmnop2", Some(1)));
        let own = feeds.insert_own("mine", feed("", "qrstuvwx3", Some(2)));
        assert_eq!(own.name, "mine");
        assert_eq!(feeds.own(), Some(&own));
        let own = feeds.insert_own("zoe", own);
        assert_eq!(own.name, "zoe-qrstuvwx");
        assert_eq!(feeds.all().len(), 2);
    }

    #[test]
    fn the_file_keeps_them_and_says_when_it_cannot_be_understood() {
        let folder = TempDir::new().unwrap();
        let file = FeedFile::in_folder(folder.path());
        assert_eq!(file.read().unwrap(), Feeds::default());
        file.change(|feeds| feeds.insert(feed("zoe", "abcdefgh1", None)))
            .unwrap();
        assert_eq!(file.read().unwrap().all()[0].name, "zoe");
        std::fs::write(folder.path().join("feeds"), "{").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.starts_with("cannot understand the list of feeds"));
        assert!(file.change(|_| ()).is_err());
        std::fs::write(folder.path().join("feeds"), b"\xff").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("is no text in UTF-8"), "{error}");
        std::fs::write(folder.path().join("feeds"), "").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("is empty"), "{error}");
        assert!(file.change(|_| ()).is_err());
    }
}
