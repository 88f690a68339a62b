//! A home of a demonstration: a node on the loopback interface with what `peerway up` would have it do.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use peerway::{
    BindError, Builder, Endpoint, PeerId, Router, SecretKey, Ticket, services::files::Progress,
};
use peerway_swarm::{
    group::GroupId,
    groups::{self, Groups},
    search::{self, Asker, NoAnswer, Row, Search, Step, Summary},
    share::{self, Got, Hash, Link, Options, Shared, Sharing, Target},
    store::{Pin, catalog::Catalog},
};
use tokio::{
    net::TcpListener,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep},
};

use super::{super::gateway, LOOK, error::GalleryError};

/// How long a search waits for answers.
const ANSWERS: Duration = Duration::from_secs(3);

/// Whom a home tells what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// All the others, as if they were in its address book.
    All,
    /// Members of a group that it belongs to, of what is public.
    Members,
}

/// How a home is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) known: Known,
    /// Bytes a second that it sends at most.
    pub(super) uplink: Option<u64>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            known: Known::All,
            uplink: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Home {
    letter: char,
    manner: Manner,
    key: SecretKey,
    folder: PathBuf,
    pub(super) endpoint: Endpoint,
    pub(super) sharing: Sharing,
    pub(super) search: Search,
    pub(super) groups: Groups,
    /// They end with it.
    tasks: JoinSet<()>,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "home {}", self.letter)
    }
}

impl Home {
    /// A new one, which has a folder below this one.
    pub(super) async fn open(
        letter: char,
        folder: &Path,
        manner: Manner,
    ) -> Result<Self, GalleryError> {
        let folder = folder.join(letter.to_string());
        fs::create_dir(&folder).map_err(GalleryError::Folder)?;
        let key = SecretKey::generate().map_err(BindError::Random)?;
        Self::start(letter, folder, key, manner).await
    }

    async fn start(
        letter: char,
        folder: PathBuf,
        key: SecretKey,
        manner: Manner,
    ) -> Result<Self, GalleryError> {
        let endpoint = builder().secret_key(key.clone()).bind().await?;
        let mut options = Options::default();
        options.limit = manner.uplink;
        options.catalog = Some(Catalog::at(&folder.join("shares.redb")));
        let sharing = Sharing::with(endpoint.clone(), |_| true, options);
        let groups = Groups::open(&folder, endpoint.clone(), builder())?;
        let (asked, known) = (groups.clone(), manner.known);
        let who = move |peer| match known {
            Known::All => Some(Asker::known()),
            Known::Members => asked.common(peer).map(Asker::of_group),
        };
        let search = Search::new(endpoint.clone(), sharing.clone(), who);
        let router = Router::new(endpoint.clone())
            .accept(share::ALPN, {
                let sharing = sharing.clone();
                move |connection| sharing.clone().serve(connection)
            })
            .accept(search::ALPN, {
                let search = search.clone();
                move |connection| search.clone().serve(connection)
            })
            .accept(groups::ALPN, {
                let groups = groups.clone();
                move |connection| groups.clone().serve(connection)
            });
        let mut tasks = JoinSet::new();
        tasks.spawn(router.run());
        let living = groups.clone();
        tasks.spawn(async move { living.run().await });
        Ok(Self {
            letter,
            manner,
            key,
            folder,
            endpoint,
            sharing,
            search,
            groups,
            tasks,
        })
    }

    /// Ends its node; the others hear that it has gone.
    pub(super) async fn leave(&self) {
        self.endpoint.close().await;
    }

    /// Ends its node, and starts it again with its key and all that it has kept once `meanwhile` is over; what that came to.
    pub(super) async fn away<T>(
        mut self,
        meanwhile: impl Future<Output = Result<T, GalleryError>>,
    ) -> Result<(Self, T), GalleryError> {
        self.leave().await;
        self.tasks.shutdown().await;
        let (letter, manner, key) = (self.letter, self.manner, self.key.clone());
        let folder = self.folder.clone();
        // What it has open nobody else can open.
        drop(self);
        let done = meanwhile.await?;
        loop {
            match Self::start(letter, folder.clone(), key.clone(), manner).await {
                // What the one before had open may be so for a moment.
                Err(GalleryError::Groups(error)) => {
                    tracing::debug!(%error, "the home is not there yet");
                    sleep(LOOK).await;
                }
                started => return Ok((started?, done)),
            }
        }
    }

    /// Writes a file below its folder.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, GalleryError> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes));
        written.map_err(GalleryError::Folder)?;
        Ok(path)
    }

    /// Shares what it has, so that others find it, and says where it is to be had.
    pub(super) async fn share(&self, name: &str) -> Result<(Shared, Link), GalleryError> {
        let shared = self.sharing.share(&self.folder.join(name), true).await?;
        self.search.offer(&shared).await;
        let link = self.sharing.link(&shared);
        Ok((shared, link))
    }

    /// Fetches what a link names into its folder.
    pub(super) async fn get(&self, link: &Link) -> Result<Got, GalleryError> {
        let into = Target::folder(&self.folder);
        let got = self.sharing.get(link, &into, &Progress::default()).await?;
        Ok(got)
    }

    /// Reads some bytes of a file, which is fetched as far as it is read.
    pub(super) async fn read(
        &self,
        link: &Link,
        bytes: Range<u64>,
    ) -> Result<Vec<u8>, GalleryError> {
        let mut reader = self.sharing.read(link, link, bytes).await?;
        let mut all = Vec::new();
        while let Some(next) = reader.next().await? {
            all.extend_from_slice(&next);
        }
        Ok(all)
    }

    /// Fetches what a link names into its store, and keeps it there.
    pub(super) async fn pin(&self, link: &Link) -> Result<Pin, GalleryError> {
        let progress = Progress::default();
        let pinned = self.sharing.pin(link, &link.name, None, &progress).await?;
        Ok(pinned)
    }

    /// The link, to be had from these.
    pub(super) fn at<'a>(link: &Link, homes: impl IntoIterator<Item = &'a Self>) -> Link {
        let homes = homes.into_iter().map(|home| home.endpoint.ticket());
        link.clone().from_providers(homes.collect())
    }
}

/// What a search came to.
#[derive(Debug)]
pub(super) struct Found {
    /// Best first, as far as was known then.
    pub(super) rows: Vec<Row>,
    /// When the first of them was there.
    pub(super) first: Duration,
    pub(super) summary: Summary,
    pub(super) unanswered: Vec<(PeerId, NoAnswer)>,
}

impl Found {
    /// The row of this content, and which it is.
    pub(super) fn row(&self, hash: Hash) -> Option<(usize, &Row)> {
        let mut rows = self.rows.iter().enumerate();
        rows.find(|(_, row)| row.hash == hash)
    }
}

impl Home {
    /// Searches what these have.
    pub(super) async fn find(
        &self,
        words: &str,
        peers: Vec<Ticket>,
    ) -> Result<Found, GalleryError> {
        let began = Instant::now();
        let peers = peers.into_iter().map(|peer| (peer, true)).collect();
        let mut searching = self.search.ask(words.parse()?, peers, ANSWERS)?;
        let mut found = Found {
            rows: Vec::new(),
            first: ANSWERS,
            summary: Summary::default(),
            unanswered: Vec::new(),
        };
        while let Some(step) = searching.next().await {
            match step {
                Step::Row(row) => {
                    found.first = found.first.min(began.elapsed());
                    found.rows.push(row);
                }
                Step::Unanswered(peer, why) => found.unanswered.push((peer, why)),
                Step::Done(summary) => found.summary = summary,
                Step::Ask(_) | _ => {}
            }
        }
        Ok(found)
    }

    /// Where the other members of its group are.
    pub(super) fn members(&self, group: GroupId) -> Vec<Ticket> {
        let groups = self.groups.others().into_iter();
        let mut groups = groups.filter(|(id, ..)| *id == group);
        groups.next().map_or_else(Vec::new, |(.., members)| members)
    }

    /// Has it answer at an address of this computer as `peerway gateway` does.
    pub(super) async fn open_gateway(&mut self) -> Result<SocketAddr, GalleryError> {
        let failed = |error: io::Error| GalleryError::Http(error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        self.tasks
            .spawn(gateway::lead(listener, self.sharing.clone()));
        Ok(addr)
    }
}

/// The hash of a file, read anew.
pub(super) async fn hash(path: PathBuf) -> Result<Hash, GalleryError> {
    let read = spawn_blocking(move || fs::read(path).map(|bytes| Hash::of(&bytes))).await?;
    read.map_err(GalleryError::Folder)
}

/// Of a node that nobody beyond this computer hears anything of.
fn builder() -> Builder {
    Endpoint::builder()
        .bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .lan_discovery(false)
        .port_mapping(false)
        .tcp(false)
}
