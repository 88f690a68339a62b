//! One node has a file and many fetch it from it and from each other, each with the same uplink: when the last has it.

use std::time::Duration;

use peerway::services::files::Progress;
use peerway_swarm::share::{Options, Sharing, Target};
use tokio::{task::JoinSet, time::Instant};

use super::{node::start, write};
use crate::Failure;

/// Who fetches.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Nodes that fetch.
    #[arg(long, default_value_t = 16)]
    leechers: usize,
    /// Megabytes of the file.
    #[arg(long, default_value_t = 64)]
    megabytes: usize,
    /// Bytes a second that each node may send.
    #[arg(long, default_value_t = 1_000_000)]
    uplink: u64,
}

/// Prints when the first and the last were done, of the time in which an uplink carries the file once, and what was sent.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let file = folder.path().join("file");
    write(&file, args.megabytes)?;
    let mut serving = JoinSet::new();
    let seed = limited(args.uplink, &mut serving).await?;
    let shared = seed.share(&file, true).await?;
    let link = seed.link(&shared);
    let mut leechers = Vec::new();
    for _ in 0..args.leechers {
        leechers.push(limited(args.uplink, &mut serving).await?);
    }
    let begun = Instant::now();
    let mut fetching = JoinSet::new();
    for (at, leecher) in leechers.iter().cloned().enumerate() {
        let (link, target) = (link.clone(), folder.path().join(at.to_string()));
        std::fs::create_dir(&target)?;
        fetching.spawn(async move {
            let target = Target::folder(&target);
            leecher.get(&link, &target, &Progress::default()).await?;
            Ok::<_, Failure>(begun.elapsed())
        });
    }
    let mut done = Vec::new();
    while let Some(fetched) = fetching.join_next().await {
        done.push(fetched??);
    }
    let size = shared.size as f64;
    let bound = size / args.uplink as f64;
    let of_bound = |time: Option<&Duration>| time.map_or(f64::NAN, Duration::as_secs_f64) / bound;
    let all: u64 = leechers
        .iter()
        .chain([&seed])
        .map(Sharing::sent_bytes)
        .sum();
    println!(
        "first {:.2}  last {:.2} of {bound:.1} s  seed sent {:.2} of the file  all {:.2} of what was needed",
        of_bound(done.first()),
        of_bound(done.last()),
        seed.sent_bytes() as f64 / size,
        all as f64 / (size * args.leechers as f64),
    );
    Ok(())
}

async fn limited(uplink: u64, serving: &mut JoinSet<()>) -> Result<Sharing, Failure> {
    let mut options = Options::default();
    options.limit = Some(uplink);
    start(options, serving).await
}
