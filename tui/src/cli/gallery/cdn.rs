//! Ten players read a film through the gateways of their homes while one home with a narrow line publishes it; then that one goes.

use std::time::Duration;

use futures_util::future::try_join_all;
use hyper::StatusCode;
use peerway_swarm::share::Hash;
use tokio::time::{Instant, sleep};

use super::{error::GalleryError, home::Manner, http, stage::Stage};
use crate::{dash::format, demo};

const FILM: u64 = 5 << 20;
const UPLINK: u64 = 5 << 19;
/// How long after the one the next begins.
const APART: Duration = Duration::from_millis(350);

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let manner = Manner {
        uplink: Some(UPLINK),
        ..Manner::default()
    };
    let origin = stage.home('A', manner).await?;
    let mut viewers = stage.homes('B'..='K', manner).await?;
    let mut late = stage.home('L', manner).await?;
    origin.write("film.mp4", &demo::random(7, FILM as usize))?;
    let (film, link) = origin.share("film.mp4").await?;
    let path = format!("/blob/{link}");
    let mut gateways = Vec::new();
    for viewer in &mut viewers {
        gateways.push(viewer.open_gateway().await?);
    }
    let served = FILM * viewers.len() as u64;
    let alone = Duration::from_secs(served / UPLINK);
    stage.say(format!(
        "{origin} publishes a film, {}, over a line of {}: to {} players by itself it would take {} s",
        format::bytes(FILM),
        format::rate(UPLINK),
        viewers.len(),
        alone.as_secs()
    ))?;
    let began = Instant::now();
    let playing = gateways.iter().zip(0..).map(|(gateway, at)| {
        let path = &path;
        async move {
            sleep(at * APART).await;
            http::get(*gateway, path, None).await
        }
    });
    let played = try_join_all(playing).await?;
    let took = began.elapsed();
    let is_whole =
        |it: &&http::Answer| it.status == StatusCode::OK && Hash::of(&it.body) == film.hash;
    let whole = played.iter().filter(is_whole).count();
    let first = played.iter().map(|it| it.first).max().unwrap_or_default();
    let sent = origin.sharing.sent_bytes();
    stage.judge(
        format!(
            "{whole} of {} players read all of it through their gateways, in {:.1} s",
            viewers.len(),
            took.as_secs_f64()
        ),
        whole == viewers.len() && took < stage.within(alone / 2),
    )?;
    stage.judge(
        format!(
            "none waited longer than {} ms for the first bytes, at most 5,000",
            first.as_millis()
        ),
        first < stage.within(Duration::from_secs(5)),
    )?;
    stage.judge(
        format!(
            "of {} that were played {origin} sent {}, {:.1} films: at most three fifths of that",
            format::bytes(served),
            format::bytes(sent),
            sent as f64 / FILM as f64
        ),
        // Half on an idle computer; on a busy one players ask it before they hear who else has some.
        sent <= served * 3 / 5,
    )?;

    origin.leave().await;
    let holders = super::home::Home::at(&link, viewers.iter().take(3));
    let gateway = late.open_gateway().await?;
    let answer = http::get(gateway, &format!("/blob/{holders}"), None).await?;
    stage.judge(
        format!(
            "{origin} has gone, and {late} still reads all of it, the first bytes after {} ms",
            answer.first.as_millis()
        ),
        Hash::of(&answer.body) == film.hash,
    )
}
