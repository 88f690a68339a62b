//! The part of the kernel's nfnetlink_queue protocol (`linux/netfilter/nfnetlink_queue.h`) that holding and releasing packets
//! takes.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

const SUBSYSTEM: u16 = 3 << 8;
const MSG_PACKET: u16 = SUBSYSTEM;
const MSG_VERDICT: u16 = SUBSYSTEM | 1;
const MSG_CONFIG: u16 = SUBSYSTEM | 2;
const MSG_ERROR: u16 = 2;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMS: u16 = 2;
const CONFIG_MAX_LENGTH: u16 = 3;
const PACKET_HEADER: u16 = 1;
const PACKET_IN: u16 = 5;
const PACKET_OUT: u16 = 6;
const PACKET_LENGTH: u16 = 13;
const VERDICT_HEADER: u16 = 2;

const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
/// Netlink header and nfgenmsg.
const HEADERS: usize = 16 + 4;
/// 300 Mbit/s of full packets wait for a second before the queue drops.
const MAX_LENGTH: u32 = 30_000;
/// Verdicts in one message: it must fit the socket's buffer.
const BATCH: usize = 1_000;

/// Queue 0 of the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Queue {
    socket: OwnedFd,
}

/// A packet that the kernel holds until its id is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: u32,
    /// Index of the interface it came from.
    pub(super) iif: u32,
    /// Index of the interface it is about to leave by.
    pub(super) oif: u32,
    /// From the IP header on.
    pub(super) bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop,
    Accept,
}

impl Queue {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        let queue = Self { socket };
        queue.configure(CONFIG_COMMAND, &[1, 0, 0, 0])?;
        // Only of packets that are cut short the kernel tells the length: one byte of each, in mode 2.
        queue.configure(CONFIG_PARAMS, &[0, 0, 0, 1, 2])?;
        queue.configure(CONFIG_MAX_LENGTH, &MAX_LENGTH.to_be_bytes())?;
        Ok(queue)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Packets that the kernel dropped in the calling thread's network namespace because nobody took them out in time.
    pub(super) fn overrun() -> io::Result<u64> {
        let queues = fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue")?;
        // Dropped by the queue, dropped on the way to the socket: the sixth and the seventh number of a line.
        let numbers = queues.lines().flat_map(|line| {
            let numbers = line.split_whitespace().skip(5).take(2);
            numbers.filter_map(|number| number.parse::<u64>().ok())
        });
        Ok(numbers.sum())
    }

    /// The next held packet, or none for now. What a full receive buffer loses counts as overrun.
    pub(super) fn receive(&self) -> io::Result<Option<Held>> {
        let mut buffer = [0; 4096];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    if let Some(held) = buffer.get(..length).and_then(parse_packet) {
                        return Ok(Some(held));
                    }
                }
                Err(nix::Error::EAGAIN) => return Ok(None),
                Err(nix::Error::ENOBUFS | nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn release(&self, verdicts: &[(u32, Verdict)]) -> io::Result<()> {
        for verdicts in verdicts.chunks(BATCH) {
            let mut batch = Vec::with_capacity(verdicts.len() * 32);
            for (id, verdict) in verdicts {
                let mut value = [0; 8];
                value[..4].copy_from_slice(&(*verdict as u32).to_be_bytes());
                value[4..].copy_from_slice(&id.to_be_bytes());
                batch.extend(message(MSG_VERDICT, FLAG_REQUEST, VERDICT_HEADER, &value));
            }
            send(self.socket.as_raw_fd(), &batch, MsgFlags::empty())?;
        }
        Ok(())
    }

    fn configure(&self, attribute: u16, value: &[u8]) -> io::Result<()> {
        let request = message(MSG_CONFIG, FLAG_REQUEST | FLAG_ACK, attribute, value);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut buffer = [0; 4096];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let reply = buffer.get(..length).unwrap_or_default();
            if u16_at(reply, 4) != Some(MSG_ERROR) {
                continue;
            }
            return match u32_at(reply, 16).map(u32::cast_signed) {
                Some(0) => Ok(()),
                error => Err(io::Error::from_raw_os_error(-error.unwrap_or_default())),
            };
        }
    }
}

fn message(kind: u16, flags: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let attribute_length = 4 + value.len();
    let length = HEADERS + attribute_length.next_multiple_of(4);
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and port id of the header, then family, version and queue number: all zero.
    message.extend([0; 12]);
    message.extend((attribute_length as u16).to_ne_bytes());
    message.extend(attribute.to_ne_bytes());
    message.extend(value);
    message.resize(length, 0);
    message
}

fn parse_packet(message: &[u8]) -> Option<Held> {
    if u16_at(message, 4)? != MSG_PACKET {
        return None;
    }
    let (mut id, mut iif, mut oif, mut bytes) = (None, 0, 0, 0);
    let mut at = HEADERS;
    while let (Some(length), Some(kind)) = (u16_at(message, at), u16_at(message, at + 2)) {
        let value = u32_at(message, at + 4).map(u32::from_be);
        match kind {
            PACKET_HEADER => id = value,
            PACKET_IN => iif = value?,
            PACKET_OUT => oif = value?,
            PACKET_LENGTH => bytes = value?,
            _ => {}
        }
        at += usize::from(length.max(4)).next_multiple_of(4);
    }
    let id = id?;
    Some(Held {
        id,
        iif,
        oif,
        bytes,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_known_by_its_id_its_interfaces_and_its_length() {
        let mut bytes = message(MSG_PACKET, 0, PACKET_HEADER, &[0, 0, 0, 7, 8, 0, 2]);
        let attributes = [
            (PACKET_OUT, 101_u32),
            (PACKET_IN, 100),
            (PACKET_LENGTH, 1500),
        ];
        for (kind, value) in attributes {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value.to_be_bytes());
        }
        let expected = Held {
            id: 7,
            iif: 100,
            oif: 101,
            bytes: 1500,
        };
        assert_eq!(parse_packet(&bytes), Some(expected));
    }

    #[test]
    fn messages_that_are_cut_short_hold_no_packet() {
        let bytes = message(MSG_PACKET, 0, PACKET_HEADER, &[0, 0, 0, 7, 8, 0, 2]);
        for length in 0..HEADERS + 8 {
            assert_eq!(parse_packet(&bytes[..length]), None);
        }
    }
}
