//! Bulk over a line with a rate, a drop-tail queue and random loss, in the kernel lab. All contestants take the same line,
//! one after the other.

mod cell;
mod contestant;
mod ping;
mod run;
mod table;

use std::time::Duration;

use peerway::{RelayUrl, SecretKey};
use peerway_lab::{self as lab, Home, Lab, NatKind};
use peerway_relay::{Config, Relay};

pub use self::contestant::{
    Closing, Connecting, Contestant, Flow, Peerway, Quinn, Receiver, Sender,
};
use self::{
    cell::{Cell, Queue, Rate},
    run::Course,
    table::Table,
};
use crate::Failure;

/// Which lines to measure. A list of values gives a line for each combination.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Mbit/s of the line, or `none` for no limit.
    #[arg(long, value_delimiter = ',', default_values = ["20", "50", "100"])]
    rate: Vec<Rate>,
    /// Milliseconds of round trip without a queue.
    #[arg(long, value_delimiter = ',', default_values_t = [40, 80])]
    rtt: Vec<u32>,
    /// Percent of packets lost at random in each direction.
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.1, 1.0, 4.0])]
    loss: Vec<f64>,
    /// The queue before the rate: `bdp` (of rate and round trip) or `4bdp`, `30kB`, `2MB`.
    #[arg(long, value_delimiter = ',', default_value = "bdp")]
    queue: Vec<Queue>,
    /// What flows over the line: a contestant, or several at once as in `peerway+quinn`. Each contestant alone if absent.
    #[arg(long, value_delimiter = ',')]
    flows: Vec<String>,
    /// Seconds before the measurement begins.
    #[arg(long, default_value_t = 2.0)]
    startup: f64,
    /// Seconds that it takes.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Repeats of everything; the table has medians.
    #[arg(long, default_value_t = 1)]
    runs: usize,
}

/// Measures the contestants. To be called before the process has threads: it starts anew in namespaces.
///
/// # Errors
/// Labs are not possible here, `--flows` names nobody, or a contestant cannot connect.
pub fn run(args: &Args, contestants: &[&dyn Contestant]) -> Result<(), Failure> {
    let courses = courses(&args.flows, contestants)?;
    lab::enter()?;
    let mut lab = Lab::new()?;
    let relay = start_relay(&lab)?;
    let sending = lab.home("sending", NatKind::Public)?;
    let receiving = lab.home("receiving", NatKind::Public)?;
    let site = Site {
        lab,
        relay,
        sending,
        receiving,
        startup: Duration::try_from_secs_f64(args.startup)?,
        measured: Duration::try_from_secs_f64(args.seconds)?,
    };
    let mut table = Table::default();
    for turn in 0..args.runs {
        for cell in Cell::all(&args.rate, &args.rtt, &args.loss, &args.queue) {
            for at in 0..courses.len() {
                // Whoever is first may find another machine than whoever is last.
                let course = &courses[(at + turn) % courses.len()];
                let outcome = run::measure(&site, &cell, course)?;
                println!("{cell}  {outcome}");
                table.add(&cell, &course.title, outcome);
            }
        }
    }
    table.print(courses.iter().map(|course| course.title.as_str()));
    Ok(())
}

/// Two public homes and a relay.
struct Site {
    lab: Lab,
    relay: RelayUrl,
    sending: Home,
    receiving: Home,
    startup: Duration,
    measured: Duration,
}

fn start_relay(lab: &Lab) -> Result<RelayUrl, Failure> {
    let host = lab.relay();
    let config = Config::new((host.addr(), 4433).into(), SecretKey::generate()?);
    let relay = host.block_on(Relay::bind(config))?;
    let url = relay.url();
    host.spawn(async move { relay.run().await });
    Ok(url)
}

fn courses<'a>(
    flows: &[String],
    contestants: &[&'a dyn Contestant],
) -> Result<Vec<Course<'a>>, Failure> {
    let course = |title: String| {
        let named = |name: &str| contestants.iter().copied().find(|c| c.name() == name);
        let flows = title
            .split('+')
            .map(|name| named(name).ok_or_else(|| format!("--flows: nobody is called {name}")));
        Ok(Course {
            flows: flows.collect::<Result<_, _>>()?,
            title,
        })
    };
    if flows.is_empty() {
        let alone = contestants.iter().map(|c| c.name().to_owned());
        return alone.map(course).collect();
    }
    flows.iter().cloned().map(course).collect()
}
