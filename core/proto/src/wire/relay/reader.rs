//! Frames out of a byte stream that arrives in pieces.

use std::marker::PhantomData;

use super::{Frame, FrameError, MAX_BODY};

const HEADER_LEN: usize = 3;

/// Cuts a byte stream into frames. Holds at most one frame and what was pushed since the last [`FrameReader::poll`]
/// returned `None`.
#[derive(Clone, Debug)]
pub struct FrameReader<F> {
    buffer: Vec<u8>,
    unknown: u64,
    frame: PhantomData<F>,
}

impl<F> Default for FrameReader<F> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            unknown: 0,
            frame: PhantomData,
        }
    }
}

impl<F: Frame> FrameReader<F> {
    /// Takes the next bytes of the stream, split anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame; `None` until more bytes come. Frames of unknown type are skipped and counted.
    ///
    /// # Errors
    /// See [`FrameError`]; the stream is of no use afterwards.
    pub fn poll(&mut self) -> Result<Option<F>, FrameError> {
        let mut consumed = 0;
        let result = loop {
            match self.frame_at(consumed) {
                Ok(None) => break Ok(None),
                Ok(Some((len, frame))) => {
                    consumed += len;
                    match frame {
                        Some(frame) => break Ok(Some(frame)),
                        None => self.unknown += 1,
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.buffer.drain(..consumed);
        if self.buffer.is_empty() {
            // Most streams are idle most of the time, and a relay has many.
            self.buffer = Vec::new();
        }
        result
    }

    /// How many frames of unknown type were skipped.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The frame that starts at `start`, if it is all there, with its length on the stream.
    fn frame_at(&self, start: usize) -> Result<Option<(usize, Option<F>)>, FrameError> {
        let bytes = self.buffer.get(start..).unwrap_or_default();
        let Some((&[high, low, kind], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > MAX_BODY {
            return Err(FrameError::TooLong { len });
        }
        match rest.get(..len) {
            Some(body) => Ok(Some((HEADER_LEN + len, F::parse(kind, body)?))),
            None => Ok(None),
        }
    }
}
