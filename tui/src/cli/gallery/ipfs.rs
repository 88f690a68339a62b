//! A folder is kept by three homes after whoever published it has gone for good: it is fetched, read in part, and never freed.

use std::time::Duration;

use futures_util::future::try_join_all;
use hyper::StatusCode;
use peerway_swarm::{
    share::{Hash, Link},
    store::sweep::Extent,
};
use tokio::time::{Instant, sleep};

use super::{
    LOOK,
    error::GalleryError,
    home::{Home, Manner, hash},
    http,
    stage::Stage,
};
use crate::{dash::format, demo};

/// How long it may take until what nobody keeps or reads is freed.
const FREED: Duration = Duration::from_secs(3);
const FILES: u64 = 30;
const LARGE: u64 = 6 << 20;
/// What is read of the large file.
const RANGE: std::ops::Range<u64> = 4_000_000..5_000_000;

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let publisher = stage.home('A', Manner::default()).await?;
    let keepers = stage.homes('B'..='D', Manner::default()).await?;
    let others = stage.homes('E'..='K', Manner::default()).await?;
    let mut reader = stage.home('L', Manner::default()).await?;
    let large = demo::random(6, LARGE as usize);
    publisher.write("site/large.bin", &large)?;
    for number in 0..FILES {
        let page = demo::random(400 + number, 5_000);
        publisher.write(&format!("site/pages/{number}.html"), &page)?;
    }
    let (site, link) = publisher.share("site").await?;
    try_join_all(keepers.iter().map(|home| home.pin(&link))).await?;
    publisher.leave().await;
    let short = site.hash.short();
    stage.say(format!(
        "{publisher} shares a folder of {} files, {}; homes B, C and D pin it, and {publisher} leaves for good",
        site.files,
        format::bytes(site.bytes)
    ))?;

    let link = Home::at(&link, &keepers);
    let got = try_join_all(others.iter().map(|home| home.get(&link))).await?;
    let mut equal = 0;
    for got in got {
        let same = hash(got.path.join("large.bin")).await? == Hash::of(&large);
        equal += usize::from(same && (got.files, got.bytes) == (site.files, site.bytes));
    }
    stage.judge(
        format!(
            "{equal} of {} homes fetch it by its hash {short} from those who keep it",
            others.len()
        ),
        equal == others.len(),
    )?;
    part(stage, &mut reader, &keepers, &link, &large).await?;
    freed(stage, &keepers, &reader, &link).await
}

/// A home that has nothing of it reads a part of the large file through its gateway.
async fn part(
    stage: &Stage,
    reader: &mut Home,
    keepers: &[Home],
    link: &Link,
    large: &[u8],
) -> Result<(), GalleryError> {
    let gateway = reader.open_gateway().await?;
    let sent = || {
        keepers
            .iter()
            .map(|home| home.sharing.sent_bytes())
            .sum::<u64>()
    };
    let before = sent();
    let path = format!("/blob/{link}/large.bin");
    let answer = http::get(gateway, &path, Some(RANGE)).await?;
    let moved = sent() - before;
    let expected = large.get(RANGE.start as usize..RANGE.end as usize);
    stage.judge(
        format!(
            "{reader} reads a range through its gateway: {}, and its {} are the right ones, the first after {} ms",
            answer.status,
            format::bytes(answer.body.len() as u64),
            answer.first.as_millis()
        ),
        answer.status == StatusCode::PARTIAL_CONTENT && Some(&answer.body[..]) == expected,
    )?;
    stage.judge(
        format!(
            "for that {} moved, at most 1.6 MB of the file's {}",
            format::bytes(moved),
            format::bytes(LARGE)
        ),
        moved <= 1_600_000,
    )
}

/// What nobody keeps goes, and what somebody does stays, though there is to be room for nothing.
async fn freed(
    stage: &Stage,
    keepers: &[Home],
    reader: &Home,
    link: &Link,
) -> Result<(), GalleryError> {
    let Some((keeper, rest)) = keepers.split_first() else {
        return Err(GalleryError::NoHomes);
    };
    let (_, before) = keeper.sharing.pins().await?;
    let swept = keeper.sharing.sweep(Extent::All, Some(0)).await?;
    stage.judge(
        format!(
            "{keeper} is told to keep nothing and frees nothing that it pins: {} before and after",
            format::bytes(before.bytes)
        ),
        swept.contents == 0 && swept.room.bytes == before.bytes && before.bytes >= LARGE,
    )?;
    for home in rest {
        home.leave().await;
    }
    let alone = Home::at(link, [keeper]);
    let read = reader.get(&alone).await?;
    stage.judge(
        format!(
            "with {keeper} alone left of those who pinned it, {reader} has all {} files of it",
            read.files
        ),
        read.files == FILES + 1,
    )?;
    reader.leave().await;
    keeper.sharing.unpin(&link.name).await?;
    let began = Instant::now();
    let swept = loop {
        let swept = keeper.sharing.sweep(Extent::All, None).await?;
        // Who has left may be taken for one who reads for a moment.
        if swept.room.bytes == 0 || began.elapsed() > stage.within(FREED) {
            break swept;
        }
        sleep(LOOK).await;
    };
    stage.judge(
        format!(
            "and once {keeper} pins it no more its room is freed: {} are kept",
            format::bytes(swept.room.bytes)
        ),
        swept.room.bytes == 0,
    )
}
