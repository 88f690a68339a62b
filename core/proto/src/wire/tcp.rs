//! Datagrams on a byte stream: TLS over TCP to a peer or a relay, for networks that carry no UDP.
//!
//! ```text
//!  0      2
//! +------+----------------- - -
//! | len  | datagram, len bytes
//! +------+----------------- - -
//! ```
//! The length is big endian. A datagram is what it would be on UDP, told by its [first byte](super): nothing else travels on
//! such a stream.

use super::Malformed;

/// Bytes before the datagram.
pub const HEADER_LEN: usize = 2;
/// Longest datagram: a full Ethernet frame, more than any path of ours carries.
pub const MAX_DATAGRAM: usize = 1500;

/// What goes before a datagram of `len` bytes; none if there is no frame for it, being empty or too long.
#[must_use]
pub fn header(len: usize) -> Option<[u8; HEADER_LEN]> {
    let len = u16::try_from(len).ok()?;
    fits(len).then_some(len.to_be_bytes())
}

/// The length of the frame that `bytes` begin with, its header included; none while it is not all there.
///
/// # Errors
/// The header announces no datagram that [`header`] would; the stream is of no use any more.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(&header) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let len = u16::from_be_bytes(header);
    if !fits(len) {
        return Err(Malformed::Field("frame length"));
    }
    let len = HEADER_LEN + usize::from(len);
    Ok((bytes.len() >= len).then_some(len))
}

fn fits(len: u16) -> bool {
    (1..=MAX_DATAGRAM).contains(&usize::from(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn emit(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let frame = |datagram: &Vec<u8>| [&header(datagram.len()).unwrap()[..], datagram].concat();
        datagrams.iter().flat_map(frame).collect()
    }

    /// Reads as a receiver does that gets the pieces one after the other.
    fn read(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, Malformed> {
        let (mut buffer, mut datagrams) = (Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(len) = frame_len(&buffer)? {
                datagrams.push(buffer.drain(..len).skip(HEADER_LEN).collect());
            }
        }
        Ok(datagrams)
    }

    #[test]
    fn a_stream_cut_at_any_byte_gives_the_same_datagrams() {
        let datagrams = vec![vec![0x40], vec![0x0a; 80], vec![0x04; MAX_DATAGRAM]];
        let stream = emit(&datagrams);
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(read(&[head, tail]).unwrap(), datagrams, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), datagrams);
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_anything_of_it_is_there() {
        for len in [0, MAX_DATAGRAM + 1, usize::from(u16::MAX)] {
            assert_eq!(header(len), None);
            let announced = u16::try_from(len).unwrap().to_be_bytes();
            assert_eq!(frame_len(&announced), Err(Malformed::Field("frame length")));
        }
        assert_eq!(header(usize::from(u16::MAX) + 2), None);
        assert_eq!(frame_len(&[]), Ok(None));
        assert_eq!(frame_len(&[0xff]), Ok(None));
    }

    proptest! {
        #[test]
        fn every_frame_consumes_its_header_and_a_datagram(bytes in vec(any::<u8>(), 0..4096)) {
            if let Ok(Some(len)) = frame_len(&bytes) {
                prop_assert!((HEADER_LEN + 1..=bytes.len()).contains(&len));
                prop_assert_eq!(header(len - HEADER_LEN), bytes.first_chunk().copied());
            }
        }
    }
}
