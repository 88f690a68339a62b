//! Shared content, for who asks the node about it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use peerway::services::files::Progress;
use peerway_swarm::{
    search::Search,
    share::{GetError, Hash, KeepError, Shared, Sharing, Target},
    store::StoreError,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    door::Caller,
    path::Path,
    refusal::{Refusal, absolute, failed, here},
    server::{Control, understood},
    streams,
};
use crate::{
    book::Book,
    pins::PinLine,
    searches::Asked,
    shares::{ShareLine, Wanted, not_found, why, words},
    transfers::{Direction, Holds, What},
};

const FOR_WHOM: &str =
    "what is shared of a computer's files is listed and changed on that computer alone";

/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// What waits for whoever listens.
pub(super) const AHEAD: usize = 16;

/// What is to be shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareAsk {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) public: bool,
    /// Whether those who may have it may find it.
    #[serde(default)]
    pub(crate) searchable: bool,
}

/// What is to be fetched, and where to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetAsk {
    pub(crate) link: Wanted,
    pub(crate) folder: PathBuf,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) overwrite: bool,
}

/// How far it is, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum GetStep {
    Progress {
        files: u64,
        files_done: u64,
        bytes: u64,
        bytes_done: u64,
        bytes_held: u64,
    },
    Hint {
        text: String,
    },
    Got {
        path: PathBuf,
        files: u64,
        bytes: u64,
        resumed: u64,
    },
    Pinned {
        pin: Box<PinLine>,
    },
    Failed {
        reason: String,
        kind: GetFailure,
    },
}

/// Why nothing was fetched, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GetFailure {
    Unreachable,
    Refused,
    Usage,
    /// All came but what has something in its way.
    InTheWay,
    Failed,
}

impl GetFailure {
    pub(crate) fn of(error: &GetError) -> Self {
        match error {
            GetError::Unreached(_) | GetError::Nowhere { .. } => Self::Unreachable,
            GetError::NotThere(_) => Self::Refused,
            GetError::NoProvider | GetError::NobodyToAsk => Self::Usage,
            GetError::InTheWay(_) => Self::InTheWay,
            GetError::NoList(_) | GetError::Write { .. } | GetError::Ended | _ => Self::Failed,
        }
    }

    pub(crate) fn of_keeping(error: &KeepError) -> Self {
        match error {
            KeepError::Get(error) => Self::of(error),
            KeepError::Store(error) => match **error {
                StoreError::Taken(_) | StoreError::BadName => Self::Usage,
                StoreError::Catalog(_)
                | StoreError::NoRoom { .. }
                | StoreError::Folder { .. }
                | _ => Self::Failed,
            },
            KeepError::Unknown => Self::Usage,
            KeepError::Slow => Self::Unreachable,
            KeepError::NoStore | KeepError::NoFile | KeepError::Gone | _ => Self::Failed,
        }
    }
}

pub(super) async fn list(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<ShareLine>>, Refusal> {
    here(caller, FOR_WHOM)?;
    let (sharing, search) = (control.sharing(), control.search());
    let shares = sharing.shares().await.map_err(|error| failed(&error))?;
    let changed = sharing.changed().await.map_err(|error| failed(&error))?;
    let watch = control.services().map(|it| it.lines().watch);
    let watch = watch.unwrap_or_default();
    let lines = shares.into_iter().map(|shared| {
        let changed = changed.get(&shared.hash).copied().unwrap_or_default();
        let line = line(shared, sharing, search).with_changed(changed);
        line.with_watched(watch.iter().map(|it| &it.folder))
    });
    Ok(Json(lines.collect()))
}

pub(super) async fn add(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<ShareAsk>, JsonRejection>,
) -> Result<Json<ShareLine>, Refusal> {
    here(caller, FOR_WHOM)?;
    let ShareAsk {
        path,
        public,
        searchable,
    } = understood(body)?;
    absolute(&path)?;
    let (sharing, search) = (control.sharing(), control.search());
    let shared = sharing.keep(&path, public).await;
    let mut shared = shared.map_err(|error| failed(&error))?;
    let left_out = search.keep(&shared, searchable).await;
    let left_out = left_out.map_err(|error| failed(&error))?;
    shared.skipped.extend(not_found(left_out));
    Ok(Json(line(shared, sharing, search)))
}

pub(super) async fn stop(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(hash): Path<String>,
) -> Result<StatusCode, Refusal> {
    here(caller, FOR_WHOM)?;
    let hash = hash.parse::<Hash>();
    let hash = hash.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    control.search().withdraw(hash);
    let stopped = control.sharing().stop(hash).await;
    if stopped.map_err(|error| failed(&error))? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let reason = "nothing of this hash is shared: GET /v1/shares lists what is";
    Err(Refusal::new(StatusCode::NOT_FOUND, reason))
}

/// Fetches, as long as somebody listens.
pub(super) async fn get(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<GetAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    absolute(&ask.folder)?;
    let (tell, told) = mpsc::channel(AHEAD);
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(fetch(control.clone(), ask, tell));
    let steps = stream::unfold(told, |mut told| async {
        let step: GetStep = told.recv().await?;
        Some((step, told))
    });
    Ok(streams::steps(steps, control.ending()).into_response())
}

async fn fetch(control: Control, ask: GetAsk, tell: mpsc::Sender<GetStep>) {
    let (sharing, book) = (control.sharing(), control.book());
    let progress = Progress::default();
    let mut target = Target::folder(ask.folder);
    (target.name, target.overwrite) = (ask.name, ask.overwrite);
    let telling = self::tell(sharing, book.clone(), ask.link.hash(), &progress, &tell);
    let getting = async {
        let known = book.borrow().clone();
        let link = Asked::link(&ask.link, sharing, known, control.groups_of_host()).await?;
        let what = What {
            direction: Direction::Fetching,
            peer: None,
            name: Some(link.name.clone()),
            folder: Some(target.folder.clone()),
        };
        let getting = sharing.get(&link, &target, &progress);
        control
            .desk()
            .journal()
            .running()
            .during(what, &progress, getting)
            .await
    };
    let got = tokio::select! {
        got = getting => got,
        () = tell.closed() => return,
        () = telling => return,
    };
    let last = match got {
        Ok(got) => GetStep::Got {
            path: got.path,
            files: got.files,
            bytes: got.bytes,
            resumed: got.resumed,
        },
        Err(error) => GetStep::Failed {
            reason: why(&error, &**book.borrow()),
            kind: GetFailure::of(&error),
        },
    };
    for step in [now(&progress), last] {
        // Nobody may listen any more.
        let _ = tell.send(step).await;
    }
}

/// Tells how far it is, and what happens to what is fetched.
pub(super) async fn tell(
    sharing: &Sharing,
    book: watch::Receiver<Arc<Book>>,
    hash: Hash,
    progress: &Progress,
    tell: &mpsc::Sender<GetStep>,
) {
    let mut notices = sharing.notices();
    let mut holds = Holds::default();
    loop {
        let step = tokio::select! {
            () = sleep(TELL_EVERY) => match holds.news(progress) {
                Some(text) => GetStep::Hint {
                    text: text.to_owned(),
                },
                None => now(progress),
            },
            Ok(notice) = notices.recv() => {
                if notice.hash() != hash {
                    continue;
                }
                let words = words(&notice, &**book.borrow());
                let Some(text) = words else { continue };
                GetStep::Hint { text }
            }
        };
        // Who reads slowly hears less often.
        let _ = tell.try_send(step);
    }
}

fn line(shared: Shared, sharing: &Sharing, search: &Search) -> ShareLine {
    let (link, searchable) = (sharing.link(&shared), search.offers(shared.hash));
    ShareLine::of(shared, searchable, Some(link))
}

pub(super) fn now(progress: &Progress) -> GetStep {
    GetStep::Progress {
        files: progress.files(),
        files_done: progress.files_done(),
        bytes: progress.bytes(),
        bytes_done: progress.bytes_done(),
        bytes_held: progress.bytes_held(),
    }
}
