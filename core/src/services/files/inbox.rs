//! A folder that takes what peers send: [`Inbox`], and what one of them offers: [`Offered`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{
    InboxError, Offer, Progress, ReceiveError, Refusal, Report,
    receive::{Control, take},
    wire::{FromReceiver, FromSender},
};
use crate::{Connection, PeerId, SendStream};

/// How long a peer that connects may take to say what it offers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a refusal may take to be heard.
const GOODBYE: Duration = Duration::from_secs(5);

/// A folder that takes files. Clones are the same folder.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(super) folder: Arc<Path>,
    pub(super) overwrite: bool,
    pub(super) any_sender: bool,
    active: Arc<Mutex<Active>>,
}

/// Transfers under way, with what ends them.
type Active = BTreeMap<String, watch::Sender<bool>>;

impl Inbox {
    /// The folder, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, InboxError> {
        let folder = folder.into();
        let opened = fs::create_dir_all(&folder).and_then(|()| fs::canonicalize(&folder));
        let folder = opened.map_err(|source| InboxError { folder, source })?;
        Ok(Self {
            folder: folder.into(),
            overwrite: false,
            any_sender: false,
            active: Arc::default(),
        })
    }

    /// Whether files that are there give way to those of the same name that come; otherwise these get another name.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Whether a transfer goes on that another key began: of senders that have a new one each time, and are known by a code.
    #[must_use]
    pub fn any_sender(mut self, any: bool) -> Self {
        self.any_sender = any;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a peer that connected offers.
    ///
    /// # Errors
    /// It says nothing, or nothing that is understood.
    pub async fn offered(&self, connection: &Connection) -> Result<Offered, ReceiveError> {
        let first = async {
            let (send, recv) = connection.accept_bi().await?;
            let mut control = Control::new(send, recv);
            let message = control.read().await?;
            Ok::<_, ReceiveError>((control, message))
        };
        let lied = |what: &str| ReceiveError::Lied(what.to_owned());
        let first = timeout(PATIENCE, first).await;
        match first.map_err(|_| lied("it offers nothing"))?? {
            (control, FromSender::Offer(offer)) => Ok(Offered {
                inbox: self.clone(),
                connection: connection.clone(),
                control,
                offer,
            }),
            (
                _,
                FromSender::Entries(_)
                | FromSender::Listed
                | FromSender::Sent { .. }
                | FromSender::Cancelled,
            ) => Err(lied("it offers nothing")),
        }
    }

    /// Takes whatever a peer that connected offers: a handler for a [`Router`](crate::Router).
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub async fn receive(&self, connection: &Connection) -> Result<Report, ReceiveError> {
        let offered = self.offered(connection).await?;
        offered.accept(&Progress::default()).await
    }

    /// Ends what is under way of a transfer: its sender began anew, perhaps before the end of the last connection was noticed.
    pub(super) fn begin(&self, id: &str) -> watch::Receiver<bool> {
        let (displace, displaced) = watch::channel(false);
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|_, former| !former.is_closed());
        if let Some(former) = active.insert(id.to_owned(), displace) {
            former.send_replace(true);
        }
        displaced
    }
}

/// What a peer would like to send. Dropped, it is refused without a word.
#[derive(Debug)]
pub struct Offered {
    pub(super) inbox: Inbox,
    pub(super) connection: Connection,
    pub(super) control: Control,
    pub(super) offer: Offer,
}

impl Offered {
    /// What it is.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Who offers it.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.connection.peer()
    }

    /// Waits until the sender does not offer it any more.
    pub async fn withdrawn(&self) {
        self.connection.closed().await;
    }

    /// Takes it, which `progress` shows.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub async fn accept(self, progress: &Progress) -> Result<Report, ReceiveError> {
        take(self, progress).await
    }

    /// Says why it is not taken.
    pub async fn refuse(self, refusal: Refusal) {
        let Self {
            connection,
            mut control,
            ..
        } = self;
        if control.write(&FromReceiver::Refused(refusal)).await.is_ok() {
            goodbye(control.into_send(), &connection).await;
        }
    }
}

/// Until the other side has heard the last word, and hung up.
pub(super) async fn goodbye(mut send: SendStream, connection: &Connection) {
    let _ = send.finish();
    let _ = timeout(GOODBYE, connection.closed()).await;
}
