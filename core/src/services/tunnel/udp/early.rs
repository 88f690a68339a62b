//! What clients send while the peer is dialled.

use std::{collections::BTreeMap, io::ErrorKind, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::{net::UdpSocket, task::yield_now};

use super::{
    BATCH, OPENING, SOCKET_BUFFER, TOO_LONG,
    counters::{Counters, add},
    wire::MAX_PAYLOAD,
};

/// What a datagram takes besides its bytes.
const OVERHEAD: usize = 128;

/// Waits for the connection, in the order in which it came; refused if none comes about.
#[derive(Debug)]
pub(in super::super) struct Early {
    waiting: Vec<(SocketAddr, Bytes)>,
    of_client: BTreeMap<SocketAddr, usize>,
    bytes: usize,
    counters: Arc<Counters>,
}

impl Early {
    pub(in super::super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            waiting: Vec::new(),
            of_client: BTreeMap::new(),
            bytes: 0,
            counters,
        }
    }

    /// Reads for as long as it is polled.
    pub(in super::super) async fn read(&mut self, socket: &UdpSocket) {
        let mut buffer = vec![0; TOO_LONG];
        while socket.readable().await.is_ok() {
            for _ in 0..BATCH {
                match socket.try_recv_from(&mut buffer) {
                    Ok((len, client)) => {
                        self.take(client, buffer.get(..len).unwrap_or_default());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A client that is not there any more, as Windows tells it.
                    Err(_) => {}
                }
            }
            yield_now().await;
        }
    }

    fn take(&mut self, client: SocketAddr, payload: &[u8]) {
        if payload.len() > MAX_PAYLOAD {
            return add(&self.counters.refused, 1);
        }
        let bytes = self.bytes + OVERHEAD + payload.len();
        let waiting = self.of_client.get(&client).copied().unwrap_or_default();
        if waiting == OPENING || bytes > SOCKET_BUFFER {
            return add(&self.counters.overflowed, 1);
        }
        self.of_client.insert(client, waiting + 1);
        self.bytes = bytes;
        self.waiting.push((client, Bytes::copy_from_slice(payload)));
    }

    pub(super) fn into_waiting(mut self) -> Vec<(SocketAddr, Bytes)> {
        std::mem::take(&mut self.waiting)
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        add(&self.counters.refused, self.waiting.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_client_has_room_and_what_no_connection_takes_is_refused() {
        let counters = Arc::new(Counters::default());
        let mut early = Early::new(counters.clone());
        let client = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for _ in 0..OPENING + 2 {
            early.take(client(1), b"a");
        }
        early.take(client(2), b"b");
        early.take(client(2), &[0; TOO_LONG]);
        let counts = counters.read();
        assert_eq!((counts.overflowed, counts.refused), (2, 1));
        drop(early);
        assert_eq!(counters.read().refused, 2 + OPENING as u64);
    }

    #[test]
    fn many_clients_take_no_more_than_a_socket_would() {
        let counters = Arc::new(Counters::default());
        let mut early = Early::new(counters.clone());
        for port in 1..=u16::MAX {
            early.take((Ipv4Addr::LOCALHOST, port).into(), &[]);
        }
        let kept = early.into_waiting().len();
        assert_eq!(kept, SOCKET_BUFFER / OVERHEAD);
        assert_eq!(
            counters.read().overflowed,
            u64::from(u16::MAX) - kept as u64
        );
    }
}
