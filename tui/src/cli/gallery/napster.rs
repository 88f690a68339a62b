//! Twelve homes let each other find songs: one searches, looks through what another has, and fetches from all who have the same.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::try_join;
use peerway_swarm::share::{Hash, Link};
use tokio::time::sleep;

use super::{
    LOOK,
    error::GalleryError,
    home::{Found, Home, Manner, hash},
    stage::Stage,
};
use crate::{dash::format, demo};

const SONG: usize = 4 << 20;
/// So that a home can leave in the midst of a song.
const UPLINK: u64 = 2 << 20;
/// What is asked for; the same song bears these names, and another one the first of them too.
const WORDS: &str = "blue moon";
const NAMES: [&str; 2] = ["Blue Moon.mp3", "elvis - blue moon (1956).mp3"];

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let manner = Manner {
        uplink: Some(UPLINK),
        ..Manner::default()
    };
    let listener = stage.home('A', Manner::default()).await?;
    let others = stage.homes('B'..='L', manner).await?;
    let [first, second, liar, fourth, ..] = &others[..] else {
        return Err(GalleryError::NoHomes);
    };
    let song = demo::random(3, SONG);
    for (home, at) in others.iter().zip(0..) {
        for number in 0..3 {
            let song = demo::random(100 + 3 * at + number, 20_000);
            home.write(&format!("music/artist {at} - song {number}.mp3"), &song)?;
        }
    }
    for (home, name) in [(first, NAMES[0]), (second, NAMES[1])] {
        home.write(&format!("music/{name}"), &song)?;
    }
    liar.write(&format!("music/{}", NAMES[0]), &demo::random(4, SONG))?;
    for home in &others {
        home.share("music").await?;
    }
    let song = Hash::of(&song);
    stage.say("11 homes share their music with each other; nobody has a list of it all")?;
    found(stage, &listener, &others, song).await?;

    let page = listener.search.browse(fourth.endpoint.ticket(), 0).await?;
    let names: BTreeSet<_> = page.hits.iter().map(|hit| &*hit.name).collect();
    let expected =
        (0..3).all(|number| names.contains(&*format!("music/artist 3 - song {number}.mp3")));
    stage.judge(
        format!(
            "{listener} looks through what {fourth} has: {} names, its 3 songs among them",
            page.total
        ),
        expected && page.total == 4,
    )?;
    fetched(stage, &listener, [first, second], song).await?;

    let again = listener.find(WORDS, tickets(&others)).await?;
    stage.judge(
        format!(
            "without {first} it is found all the same: {} of {} answered",
            again.summary.answered, again.summary.asked
        ),
        again.row(song).is_some() && again.summary.answered == 10,
    )
}

async fn found(
    stage: &Stage,
    listener: &Home,
    others: &[Home],
    song: Hash,
) -> Result<(), GalleryError> {
    let mut found = listener.find(WORDS, tickets(others)).await?;
    for _ in 1..stage.searches() {
        if is_first(&found, song) {
            break;
        }
        found = listener.find(WORDS, tickets(others)).await?;
    }
    let row = found.row(song);
    let names: BTreeSet<_> = row.iter().flat_map(|(_, row)| &row.names).collect();
    stage.say(format!(
        "{listener} asks all {} for {WORDS}: the first row is there after {} ms",
        found.summary.asked,
        found.first.as_millis()
    ))?;
    stage.judge(
        format!(
            "all {} answered, and the first row came within a second",
            found.summary.answered
        ),
        found.summary.answered == others.len()
            && found.first < stage.within(Duration::from_secs(1)),
    )?;
    stage.judge(
        format!(
            "two homes have the same under {} names, which is one row, and the first",
            names.len()
        ),
        is_first(&found, song) && names.len() == 2,
    )?;
    stage.judge(
        "what only bears the name is another row: the hash says so, not the name",
        found.rows.len() == 2,
    )
}

/// Whether what two have is one row, and the first.
fn is_first(found: &Found, song: Hash) -> bool {
    let row = found.row(song);
    row.is_some_and(|(at, row)| at == 0 && row.count == 2)
}

/// From both who have it, of whom one leaves in the midst of it.
async fn fetched(
    stage: &Stage,
    listener: &Home,
    from: [&Home; 2],
    song: Hash,
) -> Result<(), GalleryError> {
    let link = Link::new(
        song,
        SONG as u64,
        peerway_swarm::share::Kind::File,
        NAMES[0],
    );
    let link = Home::at(&link.public(true), from);
    let [first, second] = from;
    let leaving = async {
        loop {
            let contents = listener.sharing.contents().await;
            let had: u64 = contents.iter().map(|it| it.bytes_done).sum();
            // On a busy computer the other may be reached first, and give a third by then.
            let is_midst = had >= SONG as u64 / 3 && first.sharing.sent_bytes() > 0;
            if is_midst || had >= SONG as u64 {
                first.leave().await;
                stage.say(format!(
                    "{listener} fetches it from both; {first} leaves after {}",
                    format::bytes(had)
                ))?;
                return Ok::<_, GalleryError>(());
            }
            sleep(LOOK).await;
        }
    };
    let (got, ()) = try_join(listener.get(&link), leaving).await?;
    let equal = hash(got.path).await? == song;
    let sent = [first, second].map(|home| home.sharing.sent_bytes());
    stage.judge(
        format!(
            "it goes on with {second}, byte for byte: {} came from {first}, {} from {second}",
            format::bytes(sent[0]),
            format::bytes(sent[1])
        ),
        equal && sent.iter().all(|sent| *sent > 0),
    )?;
    let twice = (sent[0] + sent[1]).saturating_sub(SONG as u64);
    stage.judge(
        format!(
            "nothing began anew: {} of {} were sent twice",
            format::bytes(twice),
            format::bytes(SONG as u64)
        ),
        twice <= SONG as u64 / 4,
    )
}

fn tickets(homes: &[Home]) -> Vec<peerway::Ticket> {
    homes.iter().map(|home| home.endpoint.ticket()).collect()
}
