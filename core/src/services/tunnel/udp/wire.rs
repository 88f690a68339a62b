//! What a QUIC datagram holds: a UDP datagram of a flow, or a piece of one that is too large for that.
//!
//! ```text
//!  0          1 … 4     5 … 8       9       10
//! | kind 0  | flow    | number  | UDP datagram …
//! | kind 1  | flow    | number  | index | last  | piece …
//! ```
//!
//! A flow is known by the stream that was opened for it, as in RFC 9297: its number is the stream's, without the two lowest bits.
//! The UDP datagrams of a flow in one direction are numbered from 0, so that the receiver knows how many were lost.

use bytes::Bytes;

/// The largest payload of UDP over IPv4.
pub(super) const MAX_PAYLOAD: usize = 65_507;

const WHOLE: u8 = 0;
const PIECE: u8 = 1;
const HEADER: usize = 9;
const PIECE_HEADER: usize = HEADER + 2;

/// Which UDP datagram a QUIC datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flow: u32,
    pub(super) number: u32,
    pub(super) piece: Option<Piece>,
}

/// Which piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) index: u8,
    /// The index of the last one.
    pub(super) last: u8,
}

impl Header {
    /// The header, and how long it is.
    pub(super) fn parse(datagram: &[u8]) -> Option<(Self, usize)> {
        let (kind, rest) = datagram.split_first()?;
        let (flow, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (piece, len) = match (*kind, rest) {
            (WHOLE, _) => (None, HEADER),
            (PIECE, [index, last, ..]) if index <= last => {
                let (index, last) = (*index, *last);
                (Some(Piece { index, last }), PIECE_HEADER)
            }
            _ => return None,
        };
        let header = Self {
            flow: u32::from_be_bytes(*flow),
            number: u32::from_be_bytes(*number),
            piece,
        };
        Some((header, len))
    }

    fn encode(self, payload: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(PIECE_HEADER + payload.len());
        bytes.push(self.piece.map_or(WHOLE, |_| PIECE));
        bytes.extend(self.flow.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        if let Some(Piece { index, last }) = self.piece {
            bytes.extend([index, last]);
        }
        bytes.extend_from_slice(payload);
        bytes.into()
    }
}

/// The QUIC datagrams of at most `max` bytes that carry a UDP datagram; none if that takes too many.
pub(super) fn datagrams(
    flow: u32,
    number: u32,
    payload: &[u8],
    max: usize,
) -> Option<impl Iterator<Item = Bytes>> {
    let header = move |piece| Header {
        flow,
        number,
        piece,
    };
    let (size, last) = if HEADER + payload.len() <= max {
        (payload.len().max(1), None)
    } else {
        let size = max.checked_sub(PIECE_HEADER).filter(|size| *size > 0)?;
        let last = payload.len().div_ceil(size).checked_sub(1)?;
        (size, Some(u8::try_from(last).ok()?))
    };
    // An empty one is a datagram too.
    let empty = payload.is_empty().then_some(payload);
    let parts = payload.chunks(size).chain(empty).zip(0..=u8::MAX);
    Some(
        parts.map(move |(part, index)| header(last.map(|last| Piece { index, last })).encode(part)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_survives_its_bytes_and_large_ones_are_cut() {
        for (len, count) in [(0, 1), (1, 1), (1191, 1), (1192, 2), (MAX_PAYLOAD, 56)] {
            let payload = vec![7; len];
            let datagrams: Vec<_> = datagrams(5, 9, &payload, 1200).unwrap().collect();
            assert_eq!(datagrams.len(), count, "{len}");
            let mut joined = Vec::new();
            for (at, datagram) in datagrams.iter().enumerate() {
                assert!(datagram.len() <= 1200);
                let (header, at_byte) = Header::parse(datagram).unwrap();
                assert_eq!((header.flow, header.number), (5, 9));
                if let Some(piece) = header.piece {
                    assert_eq!(usize::from(piece.index), at);
                    assert_eq!(usize::from(piece.last), count - 1);
                }
                joined.extend_from_slice(&datagram[at_byte..]);
            }
            assert!(joined == payload);
        }
        assert!(datagrams(0, 0, &vec![0; MAX_PAYLOAD], 100).is_none());
        assert!(datagrams(0, 0, &[0; 100], 8).is_none());
    }

    #[test]
    fn nonsense_is_no_header() {
        for bytes in [
            &[][..],
            &[0; 8],
            &[2; 20],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 3],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 2],
        ] {
            assert_eq!(Header::parse(bytes), None, "{bytes:?}");
        }
    }
}
