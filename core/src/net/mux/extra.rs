//! The IPv4 sockets that are open besides the endpoint's own: many for some seconds while ports are guessed, and the one
//! that carries a link from then on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};

use super::socket::Socket;
use crate::proto::io::Sock;

/// Descriptors that are left to the rest of the program, besides a quarter of all that it may have.
const RESERVED_DESCRIPTORS: u64 = 64;

/// An open socket and its number.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    pub(super) sock: Sock,
    pub(super) socket: Arc<Socket>,
}

/// See the [module](self). Sorted by number; a change makes a new list, and readers never wait.
#[derive(Debug, Default)]
pub(super) struct Extras(ArcSwap<Vec<Extra>>);

impl Extras {
    /// Opens sockets on `ip` with numbers from `first` up; returns how many of them are open then.
    pub(super) fn open(&self, ip: IpAddr, first: Sock, count: u16) -> u16 {
        let old = self.list();
        let mut list = Vec::clone(&old);
        let mut room = spare_descriptors();
        let mut open = 0;
        for number in first.0..first.0.saturating_add(count.into()) {
            let sock = Sock(number);
            if find(&old, sock).is_none() {
                if room == 0 {
                    tracing::debug!(open, wanted = count, "too few descriptors for more sockets");
                    break;
                }
                match Socket::bind_small(SocketAddr::new(ip, 0)) {
                    Ok(socket) => list.push(Extra {
                        sock,
                        socket: Arc::new(socket),
                    }),
                    Err(error) => {
                        tracing::debug!(%error, open, wanted = count, "no more sockets");
                        break;
                    }
                }
                room -= 1;
            }
            open += 1;
        }
        list.sort_by_key(|extra| extra.sock);
        self.0.store(Arc::new(list));
        open
    }

    /// Closes those that are open of the `count` sockets from `first` up.
    pub(super) fn close(&self, first: Sock, count: u16) {
        let closed = first.0..first.0.saturating_add(count.into());
        let mut list = Vec::clone(&self.list());
        list.retain(|extra| !closed.contains(&extra.sock.0));
        self.0.store(Arc::new(list));
    }

    /// The sockets as they are now.
    pub(super) fn list(&self) -> Guard<Arc<Vec<Extra>>> {
        self.0.load()
    }

    /// Whether no socket was opened or closed since `list` was current.
    pub(super) fn are_still(&self, list: &Arc<Vec<Extra>>) -> bool {
        Arc::ptr_eq(list, &self.list())
    }
}

/// The socket of that number.
pub(super) fn find(list: &[Extra], sock: Sock) -> Option<&Socket> {
    let position = list.binary_search_by_key(&sock, |extra| extra.sock).ok()?;
    list.get(position).map(|extra| &*extra.socket)
}

/// How many descriptors may be opened without anybody else running short.
fn spare_descriptors() -> u64 {
    match descriptors() {
        Ok((limit, used)) => spare(limit, used),
        Err(error) => {
            tracing::debug!(%error, "cannot tell how many descriptors are left");
            0
        }
    }
}

fn spare(limit: u64, used: u64) -> u64 {
    (limit - limit / 4).saturating_sub(used.saturating_add(RESERVED_DESCRIPTORS))
}

/// How many descriptors the program may have, and how many it has.
#[cfg(unix)]
fn descriptors() -> io::Result<(u64, u64)> {
    use nix::sys::resource::{Resource, getrlimit};

    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let used = std::fs::read_dir("/dev/fd")?.count();
    Ok((limit, used as u64))
}

/// Windows has no such limit.
#[cfg(not(unix))]
fn descriptors() -> io::Result<(u64, u64)> {
    Ok((u64::MAX, 0))
}

#[cfg(test)]
mod tests {
    use super::spare;

    #[test]
    fn a_quarter_of_all_descriptors_and_64_more_stay_free() {
        assert_eq!(spare(1024, 20), 684);
        assert_eq!(spare(256, 20), 108);
        assert_eq!(spare(256, 128), 0);
        assert_eq!(spare(256, 1000), 0);
        assert_eq!(spare(u64::MAX, u64::MAX), 0);
    }
}
