//! Whether `speed` tells the truth: many measurements over the same link, none of which may be an outlier.
//!
//! Two homes behind kernel NATs, as `peerway speed` meets them: the measured node stays, each run is a new one. Half of the runs
//! are relayed, because nothing passes between the homes, and half of each have all cores busy.

mod load;

use std::{fmt, time::Duration};

use peerway::{Connection, Endpoint, PathInfo, RelayUrl, Router, SecretKey, Ticket, services};
use peerway_lab::{self as lab, Fault, Home, Lab, Line, NatKind};
use peerway_relay::{Config, Relay};
use tokio::time::timeout;

use self::load::Load;
use crate::Failure;

/// A direct path is up long before; the dashboard shows the relay until then.
const PATIENCE: Duration = Duration::from_secs(10);
/// A direction below this share of the median of its class, both directions together, is an outlier. The lines are the same
/// both ways, so one direction cannot excuse itself by being slow every time; start-up or a busy core cost a half, not nine
/// tenths.
const OUTLIER: f64 = 0.1;

/// How often and how long to measure.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Measurements in all, of which a quarter is in each class.
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Seconds per direction.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Milliseconds that each home's line takes one way.
    #[arg(long, default_value_t = 10)]
    delay: u64,
}

/// Runs all classes in turn and prints what came of each run. To be called before the process has threads.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    lab::enter()?;
    let site = Site::new(Duration::from_millis(args.delay))?;
    let seconds = Duration::try_from_secs_f64(args.seconds)?;
    let mut measured = Vec::new();
    for turn in 0..args.runs.div_ceil(Class::ALL.len()) {
        for class in Class::ALL {
            let result = site.measure(class, seconds)?;
            println!("{:4} {class}  {result}", turn + 1);
            measured.push((class, result));
        }
    }
    println!();
    let mut outliers = 0;
    for class in Class::ALL {
        let of_class = measured.iter().filter(|(of, _)| *of == class);
        let (down, up): (Vec<_>, Vec<_>) = of_class
            .map(|(_, measured)| (measured.down, measured.up))
            .unzip();
        let both = Distribution::of([down.clone(), up.clone()].concat());
        println!("{class}  down  {}", Distribution::of(down));
        println!("{class}  up    {}", Distribution::of(up));
        println!("{class}  both  {both}  outliers {}", both.outliers());
        outliers += both.outliers();
    }
    match outliers {
        0 => Ok(()),
        n => Err(format!("{n} directions are below a tenth of the median of their class").into()),
    }
}

/// What runs have in common that may be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    relayed: bool,
    busy: bool,
}

impl Class {
    const ALL: [Self; 4] = [
        Self::new(false, false),
        Self::new(true, false),
        Self::new(false, true),
        Self::new(true, true),
    ];

    const fn new(relayed: bool, busy: bool) -> Self {
        Self { relayed, busy }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.relayed { "relayed" } else { "direct " };
        let cores = if self.busy { "busy " } else { "quiet" };
        write!(f, "{path} {cores}")
    }
}

/// Two homes, one of which runs a node that answers.
struct Site {
    lab: Lab,
    relay: RelayUrl,
    near: Home,
    far: Home,
    ticket: Ticket,
}

impl Site {
    fn new(delay: Duration) -> Result<Self, Failure> {
        let mut lab = Lab::new()?;
        let line = Line::delayed(delay);
        let near = lab.home_on("near", NatKind::PortRestricted, line)?;
        let far = lab.home_on("far", NatKind::PortRestricted, line)?;
        let host = lab.relay();
        lab.set_line(host, line)?;
        let config = Config::new((host.addr(), 4433).into(), SecretKey::generate()?);
        let relay = host.block_on(Relay::bind(config))?;
        let url = relay.url();
        host.spawn(async move { relay.run().await });
        let answering = far.block_on(node(&url))?;
        let ticket = answering.ticket();
        let router = Router::new(answering).diagnostics();
        far.spawn(router.run());
        Ok(Self {
            lab,
            relay: url,
            near,
            far,
            ticket,
        })
    }

    fn measure(&self, class: Class, seconds: Duration) -> Result<Measured, Failure> {
        let cut = Fault::Cut(&self.near, &self.far);
        if class.relayed {
            self.lab.begin(cut)?;
        }
        let load = class.busy.then(Load::start).transpose()?;
        let before = self.lab.overrun()?;
        let mut measured = self.near.block_on(self.dial_and_measure(class, seconds))?;
        measured.overrun = self.lab.overrun()? - before;
        drop(load);
        if class.relayed {
            self.lab.end(cut)?;
        }
        Ok(measured)
    }

    async fn dial_and_measure(&self, class: Class, seconds: Duration) -> Result<Measured, Failure> {
        let node = node(&self.relay).await?;
        let connection = node
            .connect(self.ticket.clone(), services::speed::ALPN)
            .await?;
        let mut path = connection.watch_status();
        let wanted = |path: &Option<PathInfo>| {
            matches!(path, Some(PathInfo::Direct { .. })) != class.relayed && path.is_some()
        };
        timeout(PATIENCE, path.wait_for(|status| wanted(&status.path)))
            .await
            .map_err(|_| format!("the link did not become {class}"))??;
        let down = services::speed::download(&connection, seconds).await?;
        let up = services::speed::upload(&connection, seconds).await?;
        if !wanted(&path.borrow().path) {
            return Err(format!("the link did not stay {class}").into());
        }
        let measured = Measured::new(down.mbps(), up.mbps(), &connection);
        connection.close(0, b"done");
        node.close().await;
        Ok(measured)
    }
}

async fn node(relay: &RelayUrl) -> Result<Endpoint, Failure> {
    let node = Endpoint::builder()
        .relays([relay.clone()])
        .port_mapping(false)
        .bind()
        .await?;
    timeout(PATIENCE, node.online())
        .await
        .map_err(|_| "the relay does not answer")??;
    Ok(node)
}

/// One run: Mbit/s each way, and what QUIC counted at the near end.
struct Measured {
    down: f64,
    up: f64,
    quic: quinn::ConnectionStats,
    overrun: u64,
}

impl Measured {
    fn new(down: f64, up: f64, connection: &Connection) -> Self {
        Self {
            down,
            up,
            quic: connection.stats(),
            overrun: 0,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            down,
            up,
            quic,
            overrun,
        } = self;
        let path = &quic.path;
        write!(
            f,
            "down {down:6.1} up {up:6.1} Mbit/s  near end: {} of {} packets lost, {} congestion events, window {} kB, \
             rtt {:.0} ms, blocked {} + {}; lab lost {overrun}",
            path.lost_packets,
            path.sent_packets,
            path.congestion_events,
            path.cwnd / 1000,
            path.rtt.as_secs_f64() * 1e3,
            quic.frame_tx.data_blocked,
            quic.frame_tx.stream_data_blocked,
        )
    }
}

/// Mbit/s, smallest first.
struct Distribution(Vec<f64>);

impl Distribution {
    fn of(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        Self(rates)
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        let rate = self.0.get((last * share).round() as usize);
        rate.copied().unwrap_or(f64::NAN)
    }

    fn outliers(&self) -> usize {
        let bound = OUTLIER * self.at(0.5);
        self.0.iter().filter(|rate| **rate < bound).count()
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, p10, p50, p90, max] = [0.0, 0.1, 0.5, 0.9, 1.0].map(|share| self.at(share));
        write!(
            f,
            "{:3} runs  min {min:5.1}  p10 {p10:5.1}  median {p50:5.1}  p90 {p90:5.1}  max {max:5.1} Mbit/s",
            self.0.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_below_a_tenth_of_the_median_are_outliers() {
        let rates = Distribution::of(vec![100.0, 9.9, 120.0, 10.1, 100.0]);
        assert_eq!(rates.outliers(), 1);
        assert_eq!(Distribution::of(Vec::new()).outliers(), 0);
    }
}
