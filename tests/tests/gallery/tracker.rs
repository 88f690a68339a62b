//! A tracker of torrents over UDP (BEP 15), which tells each who announces itself of the others.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
/// In seconds, until a program asks again.
const INTERVAL: u32 = 5;
/// Of an announcement's event: all of it is there.
const COMPLETED: u32 = 1;

/// It ends with its test.
pub(super) struct Tracker {
    completed: Arc<Mutex<BTreeSet<SocketAddrV4>>>,
}

impl Tracker {
    pub(super) fn serve(socket: UdpSocket) -> Self {
        let tracker = Self {
            completed: Arc::default(),
        };
        let completed = tracker.completed.clone();
        thread::spawn(move || {
            let (mut peers, mut buffer) = (BTreeSet::new(), [0; 2048]);
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let asked = &buffer[..length];
                let action = number(asked, 8);
                let mut answer = [action.to_be_bytes(), number(asked, 12).to_be_bytes()].concat();
                match (action, from) {
                    (CONNECT, _) => answer.extend([7; 8]),
                    (ANNOUNCE, SocketAddr::V4(from)) => {
                        let port = u16::from_be_bytes([asked[96], asked[97]]);
                        let own = SocketAddrV4::new(*from.ip(), port);
                        if number(asked, 80) == COMPLETED {
                            completed.lock().unwrap().insert(own);
                        }
                        peers.insert(own);
                        let counts = [INTERVAL, 0, 1].map(u32::to_be_bytes);
                        answer.extend(counts.concat());
                        for peer in peers.iter().filter(|peer| **peer != own) {
                            answer.extend(peer.ip().octets());
                            answer.extend(peer.port().to_be_bytes());
                        }
                    }
                    _ => continue,
                }
                // Who does not get it asks again.
                let _ = socket.send_to(&answer, from);
            }
        });
        tracker
    }

    /// How many have said that they have all of it now.
    pub(super) fn completed(&self) -> usize {
        self.completed.lock().unwrap().len()
    }
}

fn number(asked: &[u8], at: usize) -> u32 {
    let bytes = asked.get(at..at + 4).unwrap_or_default();
    bytes.try_into().map_or(u32::MAX, u32::from_be_bytes)
}
