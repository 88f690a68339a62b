//! `peerway gallery`: the systems that peer-to-peer is known by, and what this program does in their place, played by a dozen nodes on
//! the loopback interface.
//!
//! A demonstration is a function on the public API of `peerway` and `peerway-swarm`. What it claims is judged.

mod bittorrent;
mod cdn;
mod edonkey;
mod error;
mod gnutella;
mod home;
mod http;
mod ipfs;
mod napster;
mod narrator;
mod stage;
mod usenet;

#[cfg(test)]
mod tests;

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::timeout;

pub(super) use self::error::GalleryError;
use self::{narrator::Form, stage::Stage};
use super::{
    args::{GalleryArgs, Globals},
    failure::Failure,
    node::interrupted,
    out, words,
};

/// How long a demonstration may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How often is looked whether something has happened that nobody tells of.
const LOOK: Duration = Duration::from_millis(50);

/// A system whose job is done here natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum System {
    Bittorrent,
    Edonkey,
    Napster,
    Gnutella,
    Usenet,
    Ipfs,
    Cdn,
}

/// What is said of one.
#[derive(Clone, Copy, Debug, Serialize)]
struct Row {
    name: &'static str,
    /// What people used it for.
    used_for: &'static str,
    /// What does that here.
    commands: &'static str,
    /// What the demonstration asserts.
    asserts: &'static str,
}

impl System {
    fn row(self) -> Row {
        match self {
            Self::Bittorrent => Row {
                name: "bittorrent",
                used_for: "a large file for many, who fetch it from each other",
                commands: "peerway share, get",
                asserts: "a seed leaves before all have it; eleven complete it, byte for byte, and the seed sent it at most 2.5 times, in less than a third of the time that it would take alone",
            },
            Self::Edonkey => Row {
                name: "edonkey",
                used_for: "files of which many have parts, given as soon as they are there",
                commands: "peerway get, pin",
                asserts: "three homes with a third each complete each other and eight more; who waits is told its place",
            },
            Self::Napster => Row {
                name: "napster",
                used_for: "to find a song in a second, and see what else somebody has",
                commands: "peerway share --searchable, search, browse, get",
                asserts: "one row for equal songs of two names; it comes from both, and goes on when one leaves; no server to close",
            },
            Self::Gnutella => Row {
                name: "gnutella",
                used_for: "to find what anybody has, without a server",
                commands: "peerway group, search --group",
                asserts: "a rare file among the first ten rows in spite of a spammer; four of eleven leave and the rest answer; a stranger is told nothing",
            },
            Self::Usenet => Row {
                name: "usenet",
                used_for: "articles that reach everybody, also who was away",
                commands: "peerway group post, read, follow, remove",
                asserts: "who comes back has all articles, in the same order as all; a flood is held up; who is removed reads nothing more, and what it wrote then is nowhere",
            },
            Self::Ipfs => Row {
                name: "ipfs",
                used_for: "content by its hash, kept by whoever wants it kept",
                commands: "peerway share, pin, gc, gateway",
                asserts: "a folder outlives its publisher at those who pinned it; gc frees nothing pinned; a range moves little more than itself",
            },
            Self::Cdn => Row {
                name: "cdn",
                used_for: "a film for many viewers over the line of one",
                commands: "peerway share, gateway",
                asserts: "ten players read it by HTTP, and the publisher sends at most three fifths of what they play; when it goes it is played on",
            },
        }
    }

    async fn play(self, stage: &Stage) -> Result<(), GalleryError> {
        match self {
            Self::Bittorrent => bittorrent::play(stage).await,
            Self::Edonkey => edonkey::play(stage).await,
            Self::Napster => napster::play(stage).await,
            Self::Gnutella => gnutella::play(stage).await,
            Self::Usenet => usenet::play(stage).await,
            Self::Ipfs => ipfs::play(stage).await,
            Self::Cdn => cdn::play(stage).await,
        }
    }
}

pub(super) async fn run(globals: &Globals, args: &GalleryArgs) -> Result<(), Failure> {
    let Some(system) = args.name else {
        return list(globals);
    };
    let form = if globals.json { Form::Json } else { Form::Text };
    // Dropped in between, it takes its folder away.
    tokio::select! {
        played = play(system, form, 1) => Ok(played?),
        () = interrupted() => Err(Failure::Interrupted),
    }
}

/// Plays one, all of whose times are stretched so many times.
async fn play(system: System, form: Form, slack: u32) -> Result<(), GalleryError> {
    let stage = Stage::new(form, slack)?;
    let played = timeout(stage.within(LIMIT), system.play(&stage)).await;
    played.map_err(|_| GalleryError::TooLong)??;
    stage.end(system.row().name)
}

fn list(globals: &Globals) -> Result<(), Failure> {
    for system in System::value_variants() {
        let row = system.row();
        if globals.json {
            out::json(&row)?;
            continue;
        }
        let indent = " ".repeat(12);
        for text in [
            format!("{:12}{}", row.name, row.used_for),
            format!("{indent}{}", row.commands),
            format!("{indent}shown: {}", row.asserts),
        ] {
            out::text(words::wrap(&text, &indent))?;
        }
    }
    if !globals.json {
        out::hint("peerway gallery NAME plays one of them here, in 20 seconds at most");
    }
    Ok(())
}
