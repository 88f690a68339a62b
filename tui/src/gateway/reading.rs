//! The bytes of a file as they are asked for: from peers, and where these do not give them from the origin.

use std::{ops::Range, sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use peerway_swarm::share::{GetError, KeepError, Link, Reader};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Gateway, NoAnswer,
    origin::{OriginUrl, Want},
};

/// How long peers may take before the origin is asked.
pub(super) const PEERS_FIRST: Duration = Duration::from_secs(5);

pub(super) struct Reading {
    pub(super) gateway: Gateway,
    /// The link by which the file was found: its own or that of its folder.
    pub(super) root: Link,
    pub(super) file: Link,
    /// Its path at the origin, if that is not its hash.
    pub(super) at: Option<String>,
    pub(super) left: Range<u64>,
    /// None once it was asked.
    pub(super) origin: Option<Arc<OriginUrl>>,
    pub(super) reader: Option<Reader>,
    pub(super) _seat: OwnedSemaphorePermit,
}

impl Reading {
    /// The next of them; none behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        let why = match self.of_peers().await {
            Ok(bytes) => return Ok(bytes),
            Err(why) => why,
        };
        let Some(origin) = self.origin.take().filter(|_| is_lacking(&why)) else {
            return Err(why.into());
        };
        self.reader = None;
        let want = Want {
            hash: self.file.hash,
            at: self.at.take(),
            size: Some(self.file.size),
            public: self.file.public,
        };
        self.gateway.ask_origin(&origin, want, why).await?;
        Ok(self.of_peers().await?)
    }

    async fn of_peers(&mut self) -> Result<Option<Bytes>, KeepError> {
        let coming = async {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                empty @ None => {
                    let sharing = &self.gateway.sharing;
                    let reading = sharing.read(&self.root, &self.file, self.left.clone());
                    empty.insert(reading.await?)
                }
            };
            reader.next().await
        };
        let bytes = match self.origin {
            Some(_) => {
                let came = timeout(PEERS_FIRST, coming).await;
                came.map_err(|_| KeepError::Slow)??
            }
            None => coming.await?,
        };
        self.left.start += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }

    /// All of them as they come, after the first; whoever stops reading ends the fetching from peers.
    pub(super) fn body(self, first: Option<Bytes>) -> Body {
        Body::from_stream(stream::try_unfold(
            (first, self),
            |(first, mut reading)| async {
                let next = match first {
                    Some(first) => Some(first),
                    None => reading.next().await?,
                };
                Ok::<_, NoAnswer>(next.map(|bytes| (bytes, (None, reading))))
            },
        ))
    }
}

/// Whether another source may have it.
pub(super) fn is_lacking(error: &KeepError) -> bool {
    match error {
        KeepError::Unknown | KeepError::Gone | KeepError::Slow => true,
        KeepError::Get(error) => match **error {
            GetError::Unreached(_)
            | GetError::NotThere(_)
            | GetError::Nowhere { .. }
            | GetError::NobodyToAsk
            | GetError::NoProvider => true,
            GetError::NoList(_)
            | GetError::Write { .. }
            | GetError::InTheWay(_)
            | GetError::Ended
            | _ => false,
        },
        KeepError::Store(_) | KeepError::NoStore | KeepError::NoFile | _ => false,
    }
}
