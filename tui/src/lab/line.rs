//! The delay and loss of access lines: a user-space hop at the core, because not every kernel has netem.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, ppoll};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    LabError,
    netns::{Netns, feed},
    nfqueue::{Held, Queue, Verdict},
};

/// Index of the core's interface to line 0; the others follow.
pub(super) const FIRST_IFINDEX: u32 = 100;
/// How soon the thread sees that its lab is gone.
const IDLE: Duration = Duration::from_secs(1);

/// What a home's access line does to packets, in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// One-way delay. Two homes with 20 ms each are 80 ms of round trip apart.
    pub delay: Duration,
    /// Share of packets lost, from 0 to 1.
    pub loss: f64,
}

impl Line {
    /// A line without loss.
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, loss: 0.0 }
    }
}

/// The lines of all homes, and once one of them needs it the thread that holds their packets.
#[derive(Debug)]
pub(super) struct DelayHop {
    core: Netns,
    lines: Arc<Mutex<Vec<Line>>>,
    running: Mutex<bool>,
}

impl DelayHop {
    pub(super) fn new(core: Netns) -> Self {
        Self {
            core,
            lines: Arc::default(),
            running: Mutex::default(),
        }
    }

    pub(super) fn set(&self, index: u8, line: Line) -> Result<(), LabError> {
        if line != Line::default() {
            self.require()?;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::from(index);
        if lines.len() <= index {
            lines.resize(index + 1, Line::default());
        }
        lines[index] = line;
        Ok(())
    }

    /// From now on packets pass one by one, even over lines that do nothing to them.
    pub(super) fn require(&self) -> Result<(), LabError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !*running {
            self.start()?;
            *running = true;
        }
        Ok(())
    }

    fn start(&self) -> Result<(), LabError> {
        let queue = self
            .core
            .run(Queue::open)
            .flatten()
            .map_err(LabError::system("open a netfilter queue"))?;
        let lines = Arc::downgrade(&self.lines);
        thread::Builder::new()
            .name("lab-lines".to_owned())
            .spawn(move || Holder::new(queue).run(&lines))
            .map_err(LabError::system("start the thread of the lines"))?;
        for tool in ["iptables-nft", "ip6tables-nft"] {
            let mut command = self.core.command(tool);
            feed(command.args(["-A", "FORWARD", "-j", "NFQUEUE"]), "")?;
        }
        Ok(())
    }
}

struct Holder {
    queue: Queue,
    held: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    arrived: u64,
    random: StdRng,
}

impl Holder {
    fn new(queue: Queue) -> Self {
        Self {
            queue,
            held: BinaryHeap::new(),
            arrived: 0,
            random: StdRng::seed_from_u64(1),
        }
    }

    fn run(mut self, lines: &Weak<Mutex<Vec<Line>>>) {
        while let Some(lines) = lines.upgrade() {
            if let Err(error) = self.turn(&lines) {
                tracing::error!(%error, "the lab's lines stand still");
                return;
            }
        }
    }

    fn turn(&mut self, lines: &Mutex<Vec<Line>>) -> io::Result<()> {
        let idle = self.held.peek().map_or(IDLE, |Reverse((due, ..))| {
            due.saturating_duration_since(now())
        });
        let mut ready = [PollFd::new(self.queue.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut ready, Some(idle.into()), None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut verdicts = Vec::new();
        while let Some(packet) = self.queue.receive()? {
            let (delay, kept) = across(&lines, packet);
            if kept < 1.0 && !self.random.random_bool(kept) {
                verdicts.push((packet.id, Verdict::Drop));
                continue;
            }
            self.arrived += 1;
            self.held
                .push(Reverse((now() + delay, self.arrived, packet.id)));
        }
        let now = now();
        while let Some(Reverse((due, _, id))) = self.held.peek().copied()
            && due <= now
        {
            self.held.pop();
            verdicts.push((id, Verdict::Accept));
        }
        if verdicts.is_empty() {
            return Ok(());
        }
        self.queue.release(&verdicts)
    }
}

/// What the two lines on a packet's way do to it: the delay, and the chance to be kept.
fn across(lines: &[Line], packet: Held) -> (Duration, f64) {
    let line = |ifindex: u32| {
        let index = ifindex
            .checked_sub(FIRST_IFINDEX)
            .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| lines.get(index))
            .copied()
            .unwrap_or_default()
    };
    let (from, to) = (line(packet.iif), line(packet.oif));
    let kept = (1.0 - from.loss) * (1.0 - to.loss);
    (from.delay + to.delay, kept.clamp(0.0, 1.0))
}

#[expect(
    clippy::disallowed_methods,
    reason = "packets in the lab cross in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_suffers_the_delay_and_the_loss_of_both_its_lines() {
        let lines = [(20, 0.5), (5, 0.5)].map(|(ms, loss)| Line {
            delay: Duration::from_millis(ms),
            loss,
        });
        let packet = Held {
            id: 1,
            iif: FIRST_IFINDEX,
            oif: FIRST_IFINDEX + 1,
        };
        assert_eq!(across(&lines, packet), (Duration::from_millis(25), 0.25));
    }
}
