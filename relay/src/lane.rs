//! Lane datagrams on their way: those of one channel that came one after the other leave together.
//!
//! Most of what forwarding costs is the kernel's, for each call and each batch. Senders' batches are small (quinn's have ten
//! datagrams), and a relay that is busy finds several of them.

use std::{io::IoSlice, net::SocketAddr};

use bytes::BytesMut;
use peerway_proto::wire::lane::Channel;
use quinn_udp::{EcnCodepoint, RecvMeta};

use crate::server::Datagrams;

/// Received batches that leave as one at most.
const RUNS: usize = 32;
/// Bytes that leave as one at most: what UDP over IPv4 or IPv6 has room for, with some to spare.
const BYTES: usize = 65_000;

/// Datagrams of one channel and sender, all of one length but the last, which may be shorter.
pub(crate) struct Batch<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) ecn: Option<EcnCodepoint>,
    /// Length of each datagram.
    pub(crate) stride: usize,
    /// Bytes in all.
    pub(crate) len: usize,
    segments: usize,
    runs: [IoSlice<'a>; RUNS],
    count: usize,
}

impl<'a> Batch<'a> {
    /// Of a run of datagrams, as it was received.
    pub(crate) fn new(channel: Channel, meta: &RecvMeta, run: &'a [u8]) -> Self {
        let stride = stride_of(meta, run);
        let mut runs = [IoSlice::new(&[]); RUNS];
        runs[0] = IoSlice::new(run);
        Self {
            source: meta.addr,
            channel,
            ecn: meta.ecn,
            stride,
            len: run.len(),
            segments: run.len().div_ceil(stride),
            runs,
            count: 1,
        }
    }

    /// Adds a run that may leave with the others, if there are at most `segments` datagrams then; false if it may not.
    pub(crate) fn add(
        &mut self,
        channel: Channel,
        meta: &RecvMeta,
        run: &'a [u8],
        segments: usize,
    ) -> bool {
        let stride = stride_of(meta, run);
        let is_last = run.len() < self.stride;
        let total = self.segments + run.len().div_ceil(stride);
        let fits = self.len + run.len() <= BYTES && total <= segments && self.count < RUNS;
        let is_like = (self.source, self.channel, self.ecn) == (meta.addr, channel, meta.ecn);
        let is_whole = self.len.is_multiple_of(self.stride);
        if !(fits && is_like && is_whole && (stride == self.stride || is_last)) {
            return false;
        }
        self.runs[self.count] = IoSlice::new(run);
        self.count += 1;
        self.len += run.len();
        self.segments = total;
        true
    }

    /// The parts that it was received in; each but the last is whole datagrams.
    pub(crate) fn runs(&self) -> &[IoSlice<'a>] {
        &self.runs[..self.count]
    }

    /// All of them, to be kept.
    pub(crate) fn to_owned(&self) -> Datagrams {
        let mut bytes = BytesMut::with_capacity(self.len);
        for run in self.runs() {
            bytes.extend_from_slice(run);
        }
        Datagrams {
            ecn: self.ecn,
            stride: self.stride,
            bytes: bytes.freeze(),
        }
    }

    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.runs().iter().flat_map(|run| run.chunks(self.stride))
    }
}

fn stride_of(meta: &RecvMeta, run: &[u8]) -> usize {
    meta.stride.min(run.len()).max(1)
}

#[cfg(test)]
mod tests {
    use peerway_proto::SecretKey;

    use super::*;

    fn channel(seed: u8) -> Channel {
        let id = |seed| SecretKey::from_seed(&[seed; 32]).id();
        Channel::between(id(seed), id(seed + 1))
    }

    fn meta(stride: usize) -> RecvMeta {
        let mut meta = RecvMeta::default();
        (meta.stride, meta.len) = (stride, stride);
        meta
    }

    #[test]
    fn batches_of_one_channel_leave_together_up_to_the_one_that_ends_short() {
        let (full, short) = ([1; 1000], [2; 250]);
        let mut batch = Batch::new(channel(1), &meta(100), &full);
        assert!(batch.add(channel(1), &meta(100), &full, 64));
        assert!(batch.add(channel(1), &meta(100), &short, 64));
        assert!(
            !batch.add(channel(1), &meta(100), &full, 64),
            "after a short one"
        );
        assert_eq!((batch.len, batch.runs().len()), (2250, 3));
        let lengths: Vec<usize> = batch.datagrams().map(<[u8]>::len).collect();
        assert_eq!((lengths.len(), lengths[22]), (23, 50));
    }

    #[test]
    fn others_datagrams_longer_ones_and_other_marks_leave_by_themselves() {
        let run = [1; 100];
        let mut batch = Batch::new(channel(1), &meta(100), &run);
        assert!(!batch.add(channel(3), &meta(100), &run, 64));
        assert!(!batch.add(channel(1), &meta(101), &[1; 101], 64));
        assert!(
            !batch.add(channel(1), &meta(50), &run, 64),
            "two short ones"
        );
        let mut marked = meta(100);
        marked.ecn = Some(EcnCodepoint::Ce);
        assert!(!batch.add(channel(1), &marked, &run, 64));
        let mut elsewhere = meta(100);
        elsewhere.addr.set_port(9);
        assert!(!batch.add(channel(1), &elsewhere, &run, 64));
        assert_eq!(batch.datagrams().count(), 1);
    }

    #[test]
    fn no_more_leaves_together_than_one_call_can_send() {
        let run = [1; 14_520];
        let mut batch = Batch::new(channel(1), &meta(1452), &run);
        while batch.add(channel(1), &meta(1452), &run, 64) {}
        assert_eq!(batch.len, 4 * run.len());
        let mut batch = Batch::new(channel(1), &meta(1452), &run);
        assert!(!batch.add(channel(1), &meta(1452), &run, 19));
        let small = [1; 64];
        let mut batch = Batch::new(channel(1), &meta(64), &small);
        while batch.add(channel(1), &meta(64), &small, 64) {}
        assert_eq!(batch.datagrams().count(), RUNS);
    }
}
