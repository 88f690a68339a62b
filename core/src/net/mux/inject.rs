//! Packets that reach quinn by another way than straight out of a receive buffer.

use std::{
    collections::VecDeque,
    io::IoSliceMut,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use quinn_udp::RecvMeta;

use super::link::{LinkHandle, virtual_addr};

/// Packets held at most; what comes on top is lost, as it would be in a router.
const CAPACITY: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Injected {
    queue: Mutex<VecDeque<(LinkHandle, Bytes)>>,
    len: AtomicUsize,
    waker: AtomicWaker,
}

impl Injected {
    pub(super) fn push(&self, link: LinkHandle, packet: Bytes) {
        let mut queue = self.lock();
        if packet.is_empty() || queue.len() == CAPACITY {
            return;
        }
        queue.push_back((link, packet));
        self.len.store(queue.len(), Ordering::Release);
        drop(queue);
        self.waker.wake();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Has the receiver look again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Fills receive buffers, packets of one link and length together as the kernel would; returns how many.
    pub(super) fn deliver(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut queue = self.lock();
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((link, stride)) = queue.front().map(|(link, packet)| (*link, packet.len()))
            else {
                break;
            };
            let mut len = 0;
            while let Some((next, packet)) = queue.front() {
                let end = len + packet.len();
                let Some(room) = buf.get_mut(len..end) else {
                    break;
                };
                if *next != link || packet.len() > stride {
                    break;
                }
                room.copy_from_slice(packet);
                len = end;
                let is_last = packet.len() < stride;
                queue.pop_front();
                if is_last {
                    break;
                }
            }
            if len == 0 {
                // Larger than any packet we announced to accept.
                queue.pop_front();
            }
            *meta = RecvMeta {
                addr: virtual_addr(link),
                len,
                stride,
                ..RecvMeta::default()
            };
            filled += 1;
        }
        self.len.store(queue.len(), Ordering::Release);
        filled
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(LinkHandle, Bytes)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
