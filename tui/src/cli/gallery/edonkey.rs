//! A file of which three homes have a third each and nobody has all: they complete each other, and eight others complete from them.

use std::{collections::BTreeMap, convert::Infallible};

use futures_util::future::{try_join, try_join_all};
use peerway::PeerId;
use peerway_swarm::share::Hash;
use tokio::time::{Instant, sleep};

use super::{
    LOOK,
    error::GalleryError,
    home::{Home, Manner, hash},
    stage::Stage,
};
use crate::{dash::format, demo};

/// A third is a whole number of units.
const SIZE: u64 = 18 * (256 << 10);
/// By what that is checked takes less.
const CHECKS: u64 = 10_000;
/// So little that not all who ask are served at once.
const UPLINK: u64 = 1 << 20;

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let manner = Manner {
        uplink: Some(UPLINK),
        ..Manner::default()
    };
    let first = stage.home('A', Manner::default()).await?;
    let thirds = stage.homes('B'..='D', manner).await?;
    let others = stage.homes('E'..='L', manner).await?;
    first.write("album", &demo::random(2, SIZE as usize))?;
    let (album, link) = first.share("album").await?;
    stage.say(format!(
        "{first} shares album, {}; homes B, C and D take a third of it each",
        format::bytes(SIZE)
    ))?;
    let each = thirds.iter().zip(0..);
    let each = each.map(|(home, at)| home.read(&link, at * SIZE / 3..(at + 1) * SIZE / 3));
    try_join_all(each).await?;
    stage.soon(|| first.sharing.sent_bytes() >= SIZE).await;
    let sent = first.sharing.sent_bytes();
    first.leave().await;
    stage.judge(
        format!(
            "{first} leaves, having sent each byte once: of {} there are {} elsewhere, and nobody has all",
            format::bytes(SIZE),
            format::bytes(sent)
        ),
        (SIZE..SIZE + CHECKS).contains(&sent),
    )?;

    stage.say(format!(
        "the three ask each other for the rest, and {} homes ask the three; each sends at most {}",
        others.len(),
        format::rate(UPLINK)
    ))?;
    let (began, link) = (Instant::now(), Home::at(&link, &thirds));
    let completing = try_join_all(thirds.iter().map(|home| home.pin(&link)));
    let fetching = try_join_all(others.iter().map(|home| home.get(&link)));
    let mut told = BTreeMap::new();
    let (_, got) = tokio::select! {
        done = try_join(completing, fetching) => done?,
        failed = watch_places(stage, &others, link.hash, &mut told) => match failed {
            Err(error) => return Err(error),
        },
    };
    let took = began.elapsed().as_secs_f64();
    let mut equal = 0;
    for home in &thirds {
        let read = home.read(&link, 0..SIZE).await?;
        equal += usize::from(Hash::of(&read) == album.hash);
    }
    for got in got {
        equal += usize::from(hash(got.path).await? == album.hash);
    }
    let among: u64 = others.iter().map(|home| home.sharing.sent_bytes()).sum();
    stage.judge(
        format!("after {took:.1} s {equal} of 11 have it, byte for byte"),
        equal == thirds.len() + others.len(),
    )?;
    stage.judge(
        format!(
            "who had some of it gave that at once: the {} sent {} to others",
            others.len(),
            format::bytes(among)
        ),
        among > SIZE,
    )?;
    let farthest = told.values().max().copied().unwrap_or_default();
    stage.judge(
        format!(
            "who had to wait was told its place: {} homes, the farthest of them {farthest}.",
            told.len()
        ),
        farthest > 0,
    )
}

/// Notes the farthest place that each is told, and tells of the first.
async fn watch_places(
    stage: &Stage,
    others: &[Home],
    album: Hash,
    told: &mut BTreeMap<PeerId, u32>,
) -> Result<Infallible, GalleryError> {
    loop {
        for home in others {
            let contents = home.sharing.contents().await;
            let peers = contents.iter().filter(|it| it.hash == album);
            let place = peers.flat_map(|it| &it.peers).filter_map(|it| it.place);
            let Some(place) = place.max() else { continue };
            if told.is_empty() {
                stage.say(format!(
                    "{home} is told that it is number {place} of those who wait"
                ))?;
            }
            let farthest = told.entry(home.endpoint.id()).or_default();
            *farthest = place.max(*farthest);
        }
        sleep(LOOK).await;
    }
}
