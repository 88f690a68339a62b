//! Hands datagrams over to a local socket: a run of equal length in one call where the system cuts it, which is Linux.

use std::{
    io::{self, ErrorKind},
    iter,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use tokio::net::UdpSocket;

/// What Linux cuts a call into at most, before 6.9.
const MOST: usize = 64;
/// What a call may have in all.
const ROOM: usize = 65_507;
/// What leaves whole over Ethernet: what the system cuts is not fragmented besides.
const LONGEST: usize = 1_452;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) socket: Arc<UdpSocket>,
    /// It is known to take no runs.
    one_by_one: AtomicBool,
}

impl Outlet {
    pub(super) fn new(socket: Arc<UdpSocket>) -> Self {
        Self {
            socket,
            one_by_one: AtomicBool::new(cfg!(not(target_os = "linux"))),
        }
    }

    /// Sends in this order, to `to` or where the socket is connected, and tells of each what the system said.
    pub(super) fn send(
        &self,
        to: Option<SocketAddr>,
        payloads: &[Bytes],
        mut told: impl FnMut(io::Result<usize>),
    ) {
        for run in runs(payloads) {
            if run.len() > 1 && self.together(to, run) {
                run.iter().for_each(|payload| told(Ok(payload.len())));
            } else {
                run.iter().for_each(|payload| told(self.one(to, payload)));
            }
        }
    }

    fn one(&self, to: Option<SocketAddr>, payload: &[u8]) -> io::Result<usize> {
        let Some(to) = to else {
            let sent = self.socket.try_send(payload);
            // What an earlier datagram met with is told to the next one, which is not sent for it.
            return match sent {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    self.socket.try_send(payload)
                }
                sent => sent,
            };
        };
        self.socket.try_send_to(payload, to)
    }

    /// Whether the system took the run. If not, nothing of it was sent.
    #[cfg(target_os = "linux")]
    fn together(&self, to: Option<SocketAddr>, run: &[Bytes]) -> bool {
        use std::os::fd::AsRawFd;

        use nix::{
            errno::Errno,
            sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg},
        };
        use tokio::io::Interest;

        let length = run
            .first()
            .and_then(|first| u16::try_from(first.len()).ok());
        let Some(length) = length.filter(|_| !self.one_by_one.load(Relaxed)) else {
            return false;
        };
        let pieces: Vec<_> = run.iter().map(|it| io::IoSlice::new(it)).collect();
        let to = to.map(SockaddrStorage::from);
        let sent = self.socket.try_io(Interest::WRITABLE, || {
            let socket = self.socket.as_raw_fd();
            let cut = [ControlMessage::UdpGsoSegments(&length)];
            Ok(sendmsg(
                socket,
                &pieces,
                &cut,
                MsgFlags::empty(),
                to.as_ref(),
            )?)
        });
        let refused = [
            Errno::EINVAL,
            Errno::EIO,
            Errno::EMSGSIZE,
            Errno::ENOPROTOOPT,
        ];
        if let Err(error) = &sent
            && let Some(code) = error.raw_os_error()
            && refused.contains(&Errno::from_raw(code))
        {
            tracing::debug!(%error, "sends one by one from now on");
            self.one_by_one.store(true, Relaxed);
        }
        sent.is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn together(&self, _: Option<SocketAddr>, _: &[Bytes]) -> bool {
        false
    }
}

/// Cuts into runs of one length each, whose last one may be shorter.
fn runs(mut payloads: &[Bytes]) -> impl Iterator<Item = &[Bytes]> {
    iter::from_fn(move || {
        let length = payloads.first()?.len();
        let most = if (1..=LONGEST).contains(&length) {
            MOST.min(ROOM / length)
        } else {
            1
        };
        let equal = payloads
            .iter()
            .take(most)
            .take_while(|it| it.len() == length);
        let equal = equal.count();
        let is_shorter = |last: &Bytes| equal < most && (1..length).contains(&last.len());
        let run = equal + usize::from(payloads.get(equal).is_some_and(is_shorter));
        let (run, rest) = payloads.split_at(run);
        payloads = rest;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};
    use tokio::time::timeout;

    use super::*;

    fn payloads(lengths: &[usize]) -> Vec<Bytes> {
        let numbered = lengths.iter().zip(0..);
        numbered
            .map(|(len, number)| Bytes::from(vec![number; *len]))
            .collect()
    }

    fn lengths_of_runs(lengths: &[usize]) -> Vec<usize> {
        runs(&payloads(lengths)).map(<[_]>::len).collect()
    }

    #[test]
    fn a_run_is_of_one_length_but_for_its_last_and_neither_empty_nor_long_ones_are_in_it() {
        assert_eq!(lengths_of_runs(&[9, 9, 5, 5, 9]), [3, 1, 1]);
        assert_eq!(lengths_of_runs(&[0, 0, 9, 0]), [1, 1, 1, 1]);
        assert_eq!(lengths_of_runs(&[1453, 1453, 1452, 1452]), [1, 1, 2]);
        assert_eq!(lengths_of_runs(&[10; 130]), [64, 64, 2]);
        assert_eq!(lengths_of_runs(&[1200; 60]), [54, 6]);
    }

    proptest! {
        #[test]
        fn runs_have_all_in_its_order_and_no_more_than_the_system_takes(
            lengths in vec(prop_oneof![0..4_usize, 1190..1210_usize, 0..70_000_usize], 0..200),
        ) {
            let payloads = payloads(&lengths);
            prop_assert_eq!(&runs(&payloads).collect::<Vec<_>>().concat(), &payloads);
            for run in runs(&payloads).filter(|run| run.len() > 1) {
                prop_assert!(run.len() <= MOST && run.iter().map(Bytes::len).sum::<usize>() <= ROOM);
            }
        }
    }

    async fn local() -> Arc<UdpSocket> {
        Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    #[tokio::test]
    async fn what_is_sent_together_arrives_apart_in_its_order() {
        let (from, to) = (local().await, local().await);
        let outlet = Outlet::new(from.clone());
        from.writable().await.unwrap();
        let sent = payloads(&[100, 100, 100, 30, 0, 100, 2000, 100]);
        let mut taken = 0;
        outlet.send(to.local_addr().ok(), &sent, |it| taken += it.unwrap());
        from.connect(to.local_addr().unwrap()).await.unwrap();
        outlet.send(None, &sent, |it| taken += it.unwrap());
        assert_eq!(taken, 2 * 2530);
        let mut buffer = [0; 3000];
        for expected in sent.iter().chain(&sent) {
            let received = timeout(Duration::from_secs(30), to.recv(&mut buffer)).await;
            assert!(buffer[..received.unwrap().unwrap()] == expected[..]);
        }
        assert_eq!(
            outlet.one_by_one.load(Relaxed),
            cfg!(not(target_os = "linux"))
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn where_the_system_refuses_a_run_it_goes_one_by_one() {
        let (from, to) = (local().await, local().await);
        let outlet = Outlet::new(from.clone());
        from.writable().await.unwrap();
        // More than a call may have.
        let too_much = payloads(&[1400; MOST]);
        assert!(!outlet.together(to.local_addr().ok(), &too_much));
        let sent = payloads(&[100; 3]);
        assert!(!outlet.together(to.local_addr().ok(), &sent), "not again");
        let mut taken = 0;
        outlet.send(to.local_addr().ok(), &sent, |it| taken += it.unwrap());
        assert_eq!(taken, 300);
    }
}
