//! One measurement: some flows over one line, and pings beside them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use peerway_lab::Counters;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Closing, Contestant, Flow, Receiver, Sender, Site, cell::Cell, ping::Pinging};
use crate::{Ends, Failure};

/// How long two ends may take to connect.
const CONNECTING: Duration = Duration::from_secs(20);
/// What is on the line when a measurement ends must not meet the next one.
const DRAIN: Duration = Duration::from_millis(300);

/// Contestants that share the line.
pub(super) struct Course<'a> {
    pub(super) title: String,
    pub(super) flows: Vec<&'a dyn Contestant>,
}

/// What came of it, from the end of the start-up on.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    title: String,
    /// Mbit/s of each flow that the reader got.
    pub(super) goodput: Vec<f64>,
    /// Percent of the packets sent into the line that its full queue dropped.
    pub(super) dropped: f64,
    /// Milliseconds of round trip beside the bulk that a half and 95 % of the pings stayed within.
    pub(super) rtt: [f64; 2],
    /// Packets that the lab lost, which no line did.
    overrun: u64,
    /// Why a flow ended before it was stopped.
    broken: Vec<String>,
}

impl Outcome {
    /// Mbit/s of all flows together.
    pub(super) fn total(&self) -> f64 {
        self.goodput.iter().sum()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let goodput: Vec<_> = self.goodput.iter().map(|g| format!("{g:.1}")).collect();
        let [p50, p95] = self.rtt;
        write!(
            f,
            "{:16} {:>13} Mbit/s  {:4.1} % dropped  ping p50 {p50:5.1} p95 {p95:5.1} ms",
            self.title,
            goodput.join(" + "),
            self.dropped
        )?;
        if self.overrun > 0 {
            write!(f, "  NOT VALID: the busy lab lost {} packets", self.overrun)?;
        }
        for why in &self.broken {
            write!(f, "  BROKEN: {why}")?;
        }
        Ok(())
    }
}

/// Connects over the bare delay, then lets the flows run over the line.
pub(super) fn measure(site: &Site, cell: &Cell, course: &Course<'_>) -> Result<Outcome, Failure> {
    let ends = Ends::between(&site.sending, &site.receiving);
    site.lab.set_line(&site.sending, cell.delay())?;
    let mut flows = Vec::new();
    for contestant in &course.flows {
        let connecting = contestant.connect(&ends, &site.relay);
        let connected = site
            .sending
            .block_on(async { timeout(CONNECTING, connecting).await });
        let failed = |why: String| format!("{} cannot connect: {why}", contestant.name());
        let flow = connected.map_err(|_| failed("it takes too long".to_owned()))?;
        flows.push(flow.map_err(|error| failed(error.to_string()))?);
    }
    site.lab.set_line(&site.sending, cell.line())?;
    let before = site.lab.overrun()?;
    let mut outcome = site.sending.block_on(let_run(site, &ends, flows))?;
    outcome.overrun = site.lab.overrun()? - before;
    outcome.title.clone_from(&course.title);
    Ok(outcome)
}

async fn let_run(site: &Site, ends: &Ends, flows: Vec<Flow>) -> Result<Outcome, Failure> {
    let pinging = Pinging::start(ends).await?;
    let begin = Instant::now() + site.startup;
    let (running, closing): (Vec<_>, Vec<_>) = flows
        .into_iter()
        .map(|flow| Running::start(ends, flow))
        .unzip();
    sleep_until(begin).await;
    let before = Reading::take(site, &running);
    sleep(site.measured).await;
    let after = Reading::take(site, &running);
    let mut pings = pinging.stop(before.at);
    pings.sort();
    let mut broken = Vec::new();
    for (flow, close) in running.into_iter().zip(closing) {
        broken.extend(flow.stop().await);
        timeout(CONNECTING, close).await.unwrap_or_default();
    }
    sleep(DRAIN).await;
    let seconds = (after.at - before.at).as_secs_f64();
    let packets = after.line.packets - before.line.packets;
    let dropped = after.line.dropped - before.line.dropped;
    let received = after.received.iter().zip(before.received);
    Ok(Outcome {
        title: String::new(),
        goodput: received
            .map(|(after, before)| (after - before) as f64 * 8.0 / 1e6 / seconds)
            .collect(),
        dropped: 100.0 * dropped as f64 / packets.max(1) as f64,
        rtt: [0.5, 0.95].map(|share| quantile(&pings, share)),
        overrun: 0,
        broken,
    })
}

/// What everything stood at.
struct Reading {
    at: Instant,
    received: Vec<u64>,
    line: Counters,
}

impl Reading {
    fn take(site: &Site, running: &[Running]) -> Self {
        Self {
            at: Instant::now(),
            received: running.iter().map(Running::received).collect(),
            line: site.lab.traffic(&site.sending).up,
        }
    }
}

/// In milliseconds, of sorted times.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    let time = sorted.get(at).or_else(|| sorted.last());
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// A flow between tasks, one at each end of each stream.
struct Running {
    received: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<String>>,
}

impl Running {
    /// Beside it, how to close its connection.
    fn start(ends: &Ends, flow: Flow) -> (Self, Closing) {
        let received = Arc::new(AtomicU64::new(0));
        let sending = flow
            .senders
            .into_iter()
            .map(|s| ends.sending.spawn(send(s)));
        let receiving = flow.receivers.into_iter().map(|stream| {
            let received = Arc::clone(&received);
            ends.receiving.spawn(receive(stream, received))
        });
        let running = Self {
            tasks: sending.chain(receiving).collect(),
            received,
        };
        (running, flow.close)
    }

    /// Bytes so far.
    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Ends it, and says why if it had ended by itself.
    async fn stop(self) -> Option<String> {
        let mut broken = None;
        for task in self.tasks {
            task.abort();
            broken = broken.or(task.await.ok());
        }
        broken
    }
}

/// Until it fails.
async fn send(mut stream: Sender) -> String {
    let chunk = vec![0x5a; 64 << 10];
    loop {
        if let Err(error) = stream.write_all(&chunk).await {
            return format!("the flow broke while it was sent: {error}");
        }
    }
}

/// Until it fails.
async fn receive(mut stream: Receiver, received: Arc<AtomicU64>) -> String {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return "the flow ended early".to_owned(),
            Ok(length) => received.fetch_add(length as u64, Ordering::Relaxed),
            Err(error) => return format!("the flow broke where it arrives: {error}"),
        };
    }
}
