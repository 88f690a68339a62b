//! A file spreads from one home to eleven, which fetch it from each other; the one leaves before any of them has all of it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{try_join, try_join_all};
use peerway_swarm::share::ContentState;
use tokio::time::{Instant, sleep};

use super::{
    LOOK,
    error::GalleryError,
    home::{Home, Manner, hash},
    stage::Stage,
};
use crate::{dash::format, demo};

const SIZE: usize = 8 << 20;
const UPLINK: u64 = 3 << 19;
/// How much of it the others have, on average, when the first home leaves.
const SPREAD: f64 = 0.6;

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let manner = Manner {
        uplink: Some(UPLINK),
        ..Manner::default()
    };
    let seed = stage.home('A', manner).await?;
    let others = stage.homes('B'..='L', manner).await?;
    seed.write("film", &demo::random(1, SIZE))?;
    let (film, link) = seed.share("film").await?;
    let alone = Duration::from_secs((others.len() * SIZE) as u64 / UPLINK);
    stage.say(format!(
        "{seed} shares film, {}; each home sends at most {}",
        format::bytes(film.bytes),
        format::rate(UPLINK)
    ))?;
    stage.say(format!(
        "{} homes fetch it: from {seed} alone that would take {} s",
        others.len(),
        alone.as_secs()
    ))?;
    let began = Instant::now();
    let fetching = try_join_all(others.iter().map(|home| home.get(&link)));
    let leaving = leave_half_way(stage, &seed, &others);
    let (got, (left, whole)) = try_join(fetching, leaving).await?;
    let took = began.elapsed();
    stage.say(format!(
        "the last has all of it, {:.1} s after the first asked",
        took.as_secs_f64()
    ))?;

    let mut equal = 0;
    for got in got {
        equal += usize::from(hash(got.path).await? == film.hash);
    }
    let times = seed.sharing.sent_bytes() as f64 / SIZE as f64;
    let among: u64 = others.iter().map(|home| home.sharing.sent_bytes()).sum();
    stage.judge(
        format!(
            "{seed} left when the others had {:.0} % of it on average, and {whole} of them all",
            left * 100.0
        ),
        left < 1.0 && whole < others.len(),
    )?;
    stage.judge(
        format!("{equal} of {} have it, byte for byte", others.len()),
        equal == others.len(),
    )?;
    stage.judge(
        format!(
            "{seed} sent it {times:.2} times, at most 2.5; the others sent each other {}",
            format::bytes(among)
        ),
        times <= 2.5,
    )?;
    stage.judge(
        format!(
            "it took {:.1} s, less than a third of the {} s",
            took.as_secs_f64(),
            alone.as_secs()
        ),
        took < stage.within(alone / 3),
    )
}

/// Waits until so much has spread, each of the others has some and every piece is somewhere else, and has the home leave; how much the
/// others have then on average, and how many have all.
async fn leave_half_way(
    stage: &Stage,
    seed: &Home,
    others: &[Home],
) -> Result<(f64, usize), GalleryError> {
    loop {
        let (mut had, mut whole, mut pieces) = (0.0, 0, 0);
        let mut somewhere = BTreeSet::new();
        let mut begun = 0;
        for home in others {
            for content in home.sharing.contents().await {
                let share = content.bytes_done as f64 / content.bytes.max(1) as f64;
                had += share / others.len() as f64;
                begun += usize::from(content.bytes_done > 0);
                whole += usize::from(content.state == ContentState::Fetched);
                pieces = pieces.max(content.pieces.len());
                let here = content.pieces.iter().enumerate();
                somewhere.extend(here.filter(|(_, has)| **has == 100).map(|(at, _)| at));
            }
        }
        let is_all_there = whole > 0 || somewhere.len() == pieces;
        if had >= SPREAD && is_all_there && begun == others.len() {
            seed.leave().await;
            stage.say(format!(
                "{seed} leaves for good: the others have {:.0} % of it",
                had * 100.0
            ))?;
            return Ok((had, whole));
        }
        sleep(LOOK).await;
    }
}
