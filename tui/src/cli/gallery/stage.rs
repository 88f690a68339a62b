//! Where a demonstration plays: homes, and who tells of them.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use futures_util::future::try_join_all;
use peerway_swarm::group::{GroupId, Role};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{
    LOOK,
    error::GalleryError,
    home::{Home, Manner},
    narrator::{Form, Narrator},
};

/// How long something may take that is waited for.
const SOON: Duration = Duration::from_secs(12);
/// How long an invite is good.
const INVITED: Duration = Duration::from_secs(600);

/// All that the homes have is deleted with it.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    /// By how much times are stretched, where the computer may be busy.
    slack: u32,
    narrator: Narrator,
}

impl Stage {
    pub(super) fn new(form: Form, slack: u32) -> Result<Self, GalleryError> {
        let folder = tempfile::Builder::new()
            .prefix("peerway-gallery-")
            .tempdir();
        Ok(Self {
            folder: folder.map_err(GalleryError::Folder)?,
            slack,
            narrator: Narrator::new(form),
        })
    }

    /// A home of this letter.
    pub(super) async fn home(&self, letter: char, manner: Manner) -> Result<Home, GalleryError> {
        Home::open(letter, self.folder.path(), manner).await
    }

    /// Homes of these letters.
    pub(super) async fn homes(
        &self,
        letters: RangeInclusive<char>,
        manner: Manner,
    ) -> Result<Vec<Home>, GalleryError> {
        try_join_all(letters.map(|letter| self.home(letter, manner))).await
    }

    /// A group of all of these, whom the first lets in, and who know each other then.
    pub(super) async fn group(&self, name: &str, homes: &[Home]) -> Result<GroupId, GalleryError> {
        let began = Instant::now();
        let Some((founder, others)) = homes.split_first() else {
            return Err(GalleryError::NoHomes);
        };
        let group = founder.groups.create(name)?;
        let joining = others.iter().map(async |home| {
            let invite = founder.groups.invite(group, Role::Member, 1, INVITED)?;
            Ok::<_, GalleryError>(home.groups.join(&invite).await?)
        });
        try_join_all(joining).await?;
        let knows_all = |home: &Home| {
            let view = home.groups.view(group);
            let mut members = home.members(group).into_iter();
            view.is_ok_and(|it| it.members.len() == homes.len() && it.has_key)
                && members.all(|member| !member.addrs().is_empty())
        };
        let settled = self.soon(|| homes.iter().all(knows_all)).await;
        self.judge(
            format!(
                "{founder} founds {name}, {} homes join with an invite each, and all know where all are after {:.1} s",
                others.len(),
                began.elapsed().as_secs_f64()
            ),
            settled,
        )?;
        Ok(group)
    }

    /// Whether something comes to be so before long.
    pub(super) async fn soon(&self, is_so: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while !is_so() {
            if began.elapsed() > self.within(SOON) {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// How long something may take here that is to take so long at most.
    pub(super) fn within(&self, time: Duration) -> Duration {
        time * self.slack
    }

    /// How often it may be searched until what all have is ranked: rows are shown a moment after the first answer, and answers that come
    /// later, as on a busy computer, only find places below them.
    pub(super) fn searches(&self) -> u32 {
        self.slack.max(1)
    }

    /// Tells what happens.
    pub(super) fn say(&self, says: impl Display) -> Result<(), GalleryError> {
        self.narrator.say(says)
    }

    /// Says whether what is claimed holds.
    pub(super) fn judge(&self, claim: impl Display, holds: bool) -> Result<(), GalleryError> {
        self.narrator.judge(claim, holds)
    }

    /// Sums up what was claimed.
    pub(super) fn end(&self, name: &'static str) -> Result<(), GalleryError> {
        self.narrator.end(name)
    }
}
