//! A group in which everybody is asked and there is no directory: one spams, four leave at once, and a stranger learns nothing.

use peerway_swarm::{search::NoAnswer, share::Hash};

use super::{
    error::GalleryError,
    home::{Found, Home, Known, Manner},
    stage::Stage,
};
use crate::demo;

/// What one member alone has, and another pretends to.
const RARE: &str = "rare find";

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let manner = Manner {
        known: Known::Members,
        ..Manner::default()
    };
    let homes = stage.homes('A'..='K', manner).await?;
    let stranger = stage.home('L', manner).await?;
    let group = stage.group("finders", &homes).await?;
    let [asker, holder, spammer, others @ ..] = &homes[..] else {
        return Err(GalleryError::NoHomes);
    };
    for (home, at) in homes.iter().zip(0..) {
        home.write("files/zine.txt", &demo::random(200 + at, 1_000))?;
    }
    let rare = demo::random(5, 10_000);
    holder.write(&format!("files/{RARE}.txt"), &rare)?;
    for number in 0..10 {
        let bogus = demo::random(300 + number, 1_000);
        spammer.write(&format!("files/{RARE} {RARE} {number}.txt"), &bogus)?;
    }
    for home in &homes {
        home.share("files").await?;
    }
    let members = asker.members(group);
    let place = |found: &Found| found.row(Hash::of(&rare)).map(|(at, _)| at + 1);
    let is_among = |found: &Found| place(found).is_some_and(|place| place <= 10);
    let mut found = asker.find(RARE, members.clone()).await?;
    for _ in 1..stage.searches() {
        if is_among(&found) {
            break;
        }
        found = asker.find(RARE, members.clone()).await?;
    }
    stage.say(format!(
        "{asker} asks the {} other members for {RARE}: {} rows, the first after {} ms",
        found.summary.asked,
        found.rows.len(),
        found.first.as_millis()
    ))?;
    stage.judge(
        format!(
            "{spammer} answers with ten that are nothing, and the one that {holder} has is row {}",
            place(&found).unwrap_or_default()
        ),
        is_among(&found) && found.rows.len() > 10,
    )?;
    let zines = asker.find("zine", members.clone()).await?;
    stage.judge(
        format!(
            "a word that all have finds all: {} rows of {}",
            zines.rows.len(),
            members.len()
        ),
        zines.rows.len() == members.len(),
    )?;

    stage.say("homes D, E, F and G leave at once")?;
    let leaving: Vec<&Home> = others.iter().take(4).collect();
    for home in &leaving {
        home.leave().await;
    }
    let zines = asker.find("zine", members.clone()).await?;
    let living = members.len() - leaving.len();
    stage.judge(
        format!(
            "those who are there answer as before: {} rows of {living}, the first after {} ms",
            zines.rows.len(),
            zines.first.as_millis()
        ),
        zines.rows.len() == living && zines.unanswered.len() == leaving.len(),
    )?;

    let told = stranger.find("zine", vec![asker.endpoint.ticket()]).await?;
    let refused = told
        .unanswered
        .iter()
        .any(|(_, why)| *why == NoAnswer::NotForUs);
    stage.judge(
        format!("{stranger}, which is no member, is told nothing"),
        refused && told.rows.is_empty(),
    )
}
