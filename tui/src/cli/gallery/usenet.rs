//! A group whose articles everybody has: one member is away and comes back, and one floods the group.

use std::{collections::BTreeSet, time::Duration};

use peerway_swarm::group::GroupId;
use tokio::time::{Instant, sleep};

use super::{
    error::GalleryError,
    home::{Home, Manner},
    stage::Stage,
};

/// What each of the writers posts while one is away.
const ARTICLES: usize = 20;
/// What the spammer tries to post, and what of that is let through at most.
const SPAM: usize = 300;
const LET_THROUGH: usize = 200;
/// How long it may take until somebody hears that it was removed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it writes until then.
const MOMENT: Duration = Duration::from_millis(2);
/// More than all that is posted.
const ALL: usize = 10_000;

pub(super) async fn play(stage: &Stage) -> Result<(), GalleryError> {
    let mut homes = stage.homes('A'..='L', Manner::default()).await?;
    let group = stage.group("alt.peerway", &homes).await?;
    let (Some(away), Some(spammer)) = (homes.pop(), homes.pop()) else {
        return Err(GalleryError::NoHomes);
    };
    let Some(admin) = homes.first() else {
        return Err(GalleryError::NoHomes);
    };
    stage.say(format!(
        "{away} goes away; the others write, and {spammer} floods the group"
    ))?;
    let (away, posted) = away.away(write(stage, group, &homes, &spammer)).await?;
    let back = Instant::now();
    let is_back = stage.soon(|| has_all(&away, group, &posted)).await;
    stage.judge(
        format!(
            "{away} comes back and has all {} articles after {:.1} s",
            posted.len(),
            back.elapsed().as_secs_f64()
        ),
        is_back,
    )?;
    let first = order(admin, group, &posted)?;
    let mut same = 0;
    for home in homes.iter().chain([&away]) {
        same += usize::from(order(home, group, &posted)? == first);
    }
    stage.judge(
        format!(
            "{same} of {} homes have the same articles in the same order",
            homes.len() + 1
        ),
        same == homes.len() + 1 && first.len() == posted.len(),
    )
}

/// Everybody who is there writes, one floods and is removed; the articles of the others.
async fn write(
    stage: &Stage,
    group: GroupId,
    homes: &[Home],
    spammer: &Home,
) -> Result<BTreeSet<String>, GalleryError> {
    let began = Instant::now();
    let mut posted = BTreeSet::new();
    let mut spam = 0;
    for number in 0..SPAM {
        spam += usize::from(spammer.groups.post(group, &format!("buy {number}")).is_ok());
        if number < ARTICLES {
            for home in homes {
                let article = format!("article {number} of {home}");
                posted.insert(home.groups.post(group, &article)?.to_string());
            }
        }
    }
    let arrived = stage
        .soon(|| homes.iter().all(|home| has_all(home, group, &posted)))
        .await;
    stage.judge(
        format!(
            "the {} articles of {} homes are at all of them {:.1} s after the first was written",
            posted.len(),
            homes.len(),
            began.elapsed().as_secs_f64()
        ),
        arrived,
    )?;
    stage.judge(
        format!(
            "of {SPAM} that {spammer} wrote at once {spam} were let through, at most {LET_THROUGH}"
        ),
        spam <= LET_THROUGH,
    )?;
    posted.extend(remove(stage, group, homes, spammer).await?);
    Ok(posted)
}

/// The spammer is removed and writes on; what the others write once they have heard of it.
async fn remove(
    stage: &Stage,
    group: GroupId,
    homes: &[Home],
    spammer: &Home,
) -> Result<BTreeSet<String>, GalleryError> {
    let admin = homes.first().ok_or(GalleryError::NoHomes)?;
    let removed = spammer.endpoint.id();
    admin.groups.remove(group, removed)?;
    stage.say(format!("{admin} removes {spammer}, which writes on"))?;
    let began = Instant::now();
    let mut late = BTreeSet::new();
    while spammer.groups.view(group)?.role.is_some() && began.elapsed() < stage.within(PATIENCE) {
        // Not in the same millisecond, and often, as it hears soon.
        sleep(MOMENT).await;
        late.extend(
            spammer
                .groups
                .post(group, "buy now")
                .map(|id| id.to_string()),
        );
    }
    let heard = began.elapsed();
    let knows = |home: &Home| {
        let view = home.groups.view(group);
        view.is_ok_and(|it| it.has_key && it.members.iter().all(|member| member.id != removed))
    };
    let all_know = stage.soon(|| homes.iter().all(knows)).await;
    let mut sealed = BTreeSet::new();
    for home in homes {
        let article = format!("of {home}, without spam");
        sealed.insert(home.groups.post(group, &article)?.to_string());
    }
    let arrived = stage
        .soon(|| homes.iter().all(|home| has_all(home, group, &sealed)))
        .await;
    let mut kept = 0;
    for home in homes {
        kept += order(home, group, &late)?.len();
    }
    let is_silent = spammer.groups.view(group)?.role.is_none();
    stage.judge(
        format!(
            "{spammer} hears of it after {:.1} s and falls silent",
            heard.as_secs_f64()
        ),
        is_silent && all_know,
    )?;
    if late.is_empty() {
        stage.say("it wrote nothing meanwhile")?;
    } else {
        stage.judge(
            format!(
                "of the {} that it wrote meanwhile {kept} are anywhere",
                late.len()
            ),
            kept == 0,
        )?;
    }
    let shown = spammer.groups.posts(group, ALL, false)?.into_iter();
    let read = shown.filter(|post| sealed.contains(&post.id) && post.text.is_some());
    let read = read.count();
    stage.judge(
        format!(
            "the others go on: all {} that they write then are at all of them, and {spammer} reads {read} of these",
            sealed.len()
        ),
        arrived && read == 0,
    )?;
    Ok(sealed)
}

fn has_all(home: &Home, group: GroupId, articles: &BTreeSet<String>) -> bool {
    let count = home.groups.view(group).map(|view| view.posts);
    if count.unwrap_or_default() < articles.len() {
        return false;
    }
    order(home, group, articles).is_ok_and(|there| there.len() == articles.len())
}

/// The ids of these articles in the order in which they are read.
fn order(
    home: &Home,
    group: GroupId,
    articles: &BTreeSet<String>,
) -> Result<Vec<String>, GalleryError> {
    let posts = home.groups.posts(group, ALL, false)?;
    let ids = posts.into_iter().map(|post| post.id);
    Ok(ids.filter(|id| articles.contains(id)).collect())
}
