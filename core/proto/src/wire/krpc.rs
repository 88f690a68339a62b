//! What is said with nodes of the Mainline DHT from the endpoint's own port: a ping (BEP 5), whose answer tells where the asker was seen
//! (key `ip`, BEP 42). A node that is asked so does not take the asker for one that serves others (key `ro`, BEP 43).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longer answers are not read: a node's id, the address and a program's version take some 80 bytes.
pub const MAX_LEN: usize = 512;
/// What is within what within what in an answer, at most.
const MAX_DEPTH: u8 = 4;

/// A ping of the node `id`. Four bytes are what all programs give back.
#[must_use]
pub fn ping(tx: [u8; 4], id: [u8; 20]) -> Vec<u8> {
    [
        b"d1:ad2:id20:",
        &id[..],
        b"e1:q4:ping2:roi1e1:t4:",
        &tx,
        b"1:y1:qe",
    ]
    .concat()
}

/// The answer to a [`ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// As it was asked.
    pub tx: [u8; 4],
    /// Where the asker was seen; some programs do not say.
    pub seen: Option<SocketAddr>,
}

/// Whether a datagram may be a message of the DHT: one of QUIC hardly ever is a dictionary.
#[must_use]
pub fn may_be(datagram: &[u8]) -> bool {
    datagram.len() <= MAX_LEN
        && matches!(datagram, [b'd', b'1'..=b'9', .., b'e'] if datagram.len() > 8)
}

impl Pong {
    /// Reads an answer, which may hold whatever its sender likes beside what is looked for.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if !may_be(datagram) {
            return None;
        }
        let (mut tx, mut seen, mut is_answer) = (None, None, false);
        let mut rest = datagram.strip_prefix(b"d")?;
        while let Some((key, after)) = string(rest) {
            let (value, after) = value(after, MAX_DEPTH)?;
            match (key, string(value)) {
                (b"t", Some((text, _))) => tx = text.try_into().ok(),
                (b"y", Some((text, _))) => is_answer = text == b"r",
                (b"ip", Some((text, _))) => seen = address(text),
                (..) => {}
            }
            rest = after;
        }
        (is_answer && rest == b"e").then_some(Self { tx: tx?, seen })
    }
}

/// An address in the compact form: IPv4 or IPv6, and the port.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = text.split_last_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return Some((Ipv4Addr::from(v4), port).into());
    }
    let v6 = <[u8; 16]>::try_from(ip).ok()?;
    Some((Ipv6Addr::from(v6), port).into())
}

/// A bencoded string, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().take(4).position(|byte| *byte == b':')?;
    let (len, rest) = bytes.split_at_checked(colon)?;
    let len: usize = std::str::from_utf8(len).ok()?.parse().ok()?;
    rest.get(1..)?.split_at_checked(len)
}

/// A bencoded value of any kind, as it stands, and what follows.
fn value(bytes: &[u8], depth: u8) -> Option<(&[u8], &[u8])> {
    let rest = match bytes.first()? {
        b'0'..=b'9' => string(bytes)?.1,
        b'i' => {
            let end = bytes.iter().position(|byte| *byte == b'e')?;
            bytes.get(end + 1..)?
        }
        // A dictionary is a list of keys and values as far as its end is concerned.
        b'l' | b'd' => {
            let mut rest = bytes.get(1..)?;
            while *rest.first()? != b'e' {
                rest = value(rest, depth.checked_sub(1)?)?.1;
            }
            rest.get(1..)?
        }
        _ => return None,
    };
    bytes.split_at_checked(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8; 20] = b"abcdefghij0123456789";

    #[test]
    fn a_ping_is_the_one_of_bep_5_by_a_node_that_serves_nobody() {
        assert_eq!(
            ping(*b"aaaa", *ID),
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t4:aaaa1:y1:qe"
        );
    }

    #[test]
    fn an_answer_tells_where_the_asker_was_seen_or_not() {
        let told = b"d2:ip6:\xc0\x00\x02\x07\x12\x341:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:v4:LT\x02\x001:y1:re";
        let seen = Some("192.0.2.7:4660".parse().unwrap());
        let tx = *b"aaaa";
        assert_eq!(Pong::parse(told), Some(Pong { tx, seen }));
        let untold = b"d1:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:y1:re";
        assert_eq!(Pong::parse(untold), Some(Pong { tx, seen: None }));
        let v6 = [
            b"d2:ip18:".as_slice(),
            &[
                0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
            ],
            b"1:rde1:t4:aaaa1:y1:re",
        ]
        .concat();
        let seen = Some("[2001:db8::1]:80".parse().unwrap());
        assert_eq!(Pong::parse(&v6), Some(Pong { tx, seen }));
    }

    #[test]
    fn what_is_no_answer_is_none_and_what_is_cut_short_or_nested_without_end_neither() {
        let answer =
            b"d2:ip6:\xc0\x00\x02\x07\x12\x341:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:y1:re";
        for len in 0..answer.len() {
            assert_eq!(Pong::parse(&answer[..len]), None, "{len}");
        }
        let deep = [b"d1:r", &[b'l'; 400][..], &[b'e'; 401]].concat();
        for other in [
            &b"d1:q4:ping1:t4:aaaa1:y1:qe"[..],
            b"d1:rde1:t2:aa1:y1:re",
            b"d1:rde1:t4:aaaa1:y1:ree",
            b"d1:rdeee9:t4:aaaae",
            b"d1:r999999999:xe",
            b"d2:ip-1:t4:aaaa1:y1:re",
            &deep,
        ] {
            assert_eq!(Pong::parse(other), None, "{other:?}");
        }
    }
}
