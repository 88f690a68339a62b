//! Whether this network has a NAT64 and no IPv4 of its own (RFC 7050).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::{AbortHandle, Aborted, abortable};
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};

use crate::addr::Nat64;

/// For the resolver to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Pauses between questions that nobody answers: the first one and the longest.
const RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// A search, which ends when this is dropped.
pub(crate) struct Search(AbortHandle);

impl Search {
    /// Begins one; the future is it.
    pub(crate) fn begin() -> (Self, impl Future<Output = Result<Option<Nat64>, Aborted>>) {
        let (search, handle) = abortable(discover());
        (Self(handle), search)
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks the system's resolver for the IPv6 addresses of a name that has none, and so gets what the network's DNS64 makes.
/// Without an answer it asks again, as long as it takes.
async fn discover() -> Option<Nat64> {
    let mut pause = RETRY;
    loop {
        match timeout(LIMIT, lookup_host(("ipv4only.arpa", 0))).await {
            Ok(Ok(found)) => return of_answer(found),
            Ok(Err(_)) | Err(_) => sleep(pause).await,
        }
        pause = MAX_RETRY.min(pause * 2);
    }
}

fn of_answer(found: impl Iterator<Item = SocketAddr>) -> Option<Nat64> {
    let v6 = found.filter_map(|addr| match addr.ip() {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    });
    v6.filter_map(Nat64::of_ipv4only_arpa).next()
}
