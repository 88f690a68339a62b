//! The hop at the core that holds every packet for as long as its lines take, in user space: not every kernel has netem.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, ppoll};
use rand::{SeedableRng as _, rngs::StdRng};

use super::{Direction, Line, Traffic};
use crate::{
    LabError,
    netns::{Netns, feed},
    nfqueue::{Held, Queue, Verdict},
};

/// Index of the core's interface to line 0; the others follow.
pub(crate) const FIRST_IFINDEX: u32 = 100;
/// How soon the thread sees that its lab is gone.
const IDLE: Duration = Duration::from_secs(1);

/// The lines of all homes, and once one of them needs it the thread that holds their packets.
#[derive(Debug)]
pub(crate) struct Hop {
    core: Netns,
    lines: Arc<Mutex<LineSeries>>,
    running: Mutex<bool>,
}

impl Hop {
    pub(crate) fn new(core: Netns) -> Self {
        Self {
            core,
            lines: Arc::default(),
            running: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, index: u8, line: Line) -> Result<(), LabError> {
        if line != Line::default() {
            self.require()?;
        }
        self.lines().at(index).line = line;
        Ok(())
    }

    /// What passed line `index` so far, as far as the hop saw it.
    pub(crate) fn traffic(&self, index: u8) -> Traffic {
        let mut lines = self.lines();
        let Ends { up, down, .. } = lines.at(index);
        Traffic {
            up: up.counters,
            down: down.counters,
        }
    }

    /// From now on packets pass one by one, even over lines that do nothing to them.
    pub(crate) fn require(&self) -> Result<(), LabError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !*running {
            self.start()?;
            *running = true;
        }
        Ok(())
    }

    /// Packets lost because the hop was not fast enough.
    pub(crate) fn overrun(&self) -> Result<u64, LabError> {
        self.core
            .run(Queue::overrun)
            .flatten()
            .map_err(LabError::system("read the state of the netfilter queue"))
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

    fn lines(&self) -> MutexGuard<'_, LineSeries> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines by their number.
#[derive(Debug, Default)]
struct LineSeries(Vec<Ends>);

#[derive(Debug, Default)]
struct Ends {
    line: Line,
    up: Direction,
    down: Direction,
}

impl LineSeries {
    fn at(&mut self, index: u8) -> &mut Ends {
        let index = usize::from(index);
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Ends::default);
        }
        &mut self.0[index]
    }

    /// The line at one of the core's interfaces.
    fn behind(&mut self, ifindex: u32) -> Option<&mut Ends> {
        let index = usize::try_from(ifindex.checked_sub(FIRST_IFINDEX)?).ok()?;
        self.0.get_mut(index)
    }
}

/// Where a packet is, as soon as it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// At the core: the line of this interface is before it.
    Between(u32),
    /// Across both lines.
    Across,
}

/// A packet under way, ordered by when it is due and among equals by when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Instant,
    arrived: u64,
    id: u32,
    bytes: u64,
    place: Place,
}

struct Holder {
    queue: Queue,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    arrived: u64,
    random: StdRng,
}

impl Holder {
    fn new(queue: Queue) -> Self {
        Self {
            queue,
            under_way: BinaryHeap::new(),
            arrived: 0,
            random: StdRng::seed_from_u64(1),
        }
    }

    fn run(mut self, lines: &Weak<Mutex<LineSeries>>) {
        while let Some(lines) = lines.upgrade() {
            if let Err(error) = self.turn(&lines) {
                tracing::error!(%error, "the lab's lines stand still");
                return;
            }
        }
    }

    fn turn(&mut self, lines: &Mutex<LineSeries>) -> io::Result<()> {
        let idle = self.under_way.peek().map_or(IDLE, |Reverse(next)| {
            next.due.saturating_duration_since(now())
        });
        let mut ready = [PollFd::new(self.queue.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut ready, Some(idle.into()), None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdicts = Vec::new();
        while let Some(packet) = self.queue.receive()? {
            if !self.depart(&mut lines, packet) {
                verdicts.push((packet.id, Verdict::Drop));
            }
        }
        self.advance(&mut lines, now(), &mut verdicts);
        drop(lines);
        self.queue.release(&verdicts)
    }

    /// A packet enters the line it comes from. Says whether it is still there.
    fn depart(&mut self, lines: &mut LineSeries, packet: Held) -> bool {
        let Held {
            id,
            iif,
            oif,
            bytes,
        } = packet;
        let now = now();
        let due = match lines.behind(iif) {
            Some(Ends { line, up, .. }) => up.enter(line, now, bytes.into(), &mut self.random),
            None => Some(now),
        };
        self.arrived += 1;
        self.under_way.extend(due.map(|due| {
            Reverse(UnderWay {
                due,
                arrived: self.arrived,
                id,
                bytes: bytes.into(),
                place: Place::Between(oif),
            })
        }));
        due.is_some()
    }

    /// Moves on whatever is due. A packet enters its second line when it left the first, however late this is noticed.
    fn advance(
        &mut self,
        lines: &mut LineSeries,
        now: Instant,
        verdicts: &mut Vec<(u32, Verdict)>,
    ) {
        while let Some(Reverse(packet)) = self.under_way.peek().copied()
            && packet.due <= now
        {
            self.under_way.pop();
            let Place::Between(oif) = packet.place else {
                verdicts.push((packet.id, Verdict::Accept));
                continue;
            };
            let due = match lines.behind(oif) {
                Some(Ends { line, down, .. }) => {
                    down.enter(line, packet.due, packet.bytes, &mut self.random)
                }
                None => Some(packet.due),
            };
            let place = Place::Across;
            match due {
                Some(due) => self.under_way.push(Reverse(UnderWay {
                    due,
                    place,
                    ..packet
                })),
                None => verdicts.push((packet.id, Verdict::Drop)),
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "packets in the lab cross in real time"
)]
fn now() -> Instant {
    Instant::now()
}
