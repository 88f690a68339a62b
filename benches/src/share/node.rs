//! One node of Peerway, driven by lines as `torrent.py` has it.

use std::{
    io::{Write, stdin, stdout},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use peerway::{Endpoint, Router, services::files::Progress};
use peerway_swarm::share::{ALPN, Link, Options, Sharing, Target};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::Instant,
};

use crate::{Failure, process::cpu_of_this_process};

/// What a node does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    Seed,
    Get,
}

/// Runs until the input ends.
pub(crate) async fn run(role: Role, path: PathBuf) -> Result<(), Failure> {
    let mut serving = JoinSet::new();
    let sharing = start(Options::default(), &mut serving).await?;
    match role {
        Role::Seed => {
            let shared = sharing.share(&path, true).await?;
            ready(&sharing.link(&shared).to_string())?;
        }
        Role::Get => get(&sharing, &path).await?,
    }
    while line().await?.is_some() {}
    Ok(())
}

/// A node on loopback that shares until `serving` is dropped.
pub(crate) async fn start(options: Options, serving: &mut JoinSet<()>) -> Result<Sharing, Failure> {
    let endpoint = Endpoint::builder()
        .bind_addr(([127, 0, 0, 1], 0).into())
        .lan_discovery(false)
        .port_mapping(false)
        .bind()
        .await?;
    let sharing = Sharing::with(endpoint.clone(), |_| true, options);
    let router = Router::new(endpoint).accept(ALPN, {
        let sharing = sharing.clone();
        move |connection| sharing.clone().serve(connection)
    });
    serving.spawn(router.run());
    Ok(sharing)
}

async fn get(sharing: &Sharing, folder: &Path) -> Result<(), Failure> {
    ready("")?;
    let contacts = line().await?.ok_or("no links")?;
    let links: Result<Vec<Link>, _> = contacts.split_whitespace().map(str::parse).collect();
    let links = links?;
    let mut link = links.first().cloned().ok_or("no link")?;
    link.providers = links.into_iter().flat_map(|link| link.providers).collect();
    let begun = Instant::now();
    sharing
        .get(&link, &Target::folder(folder), &Progress::default())
        .await?;
    say(&format!("done {}", begun.elapsed().as_secs_f64()))
}

fn ready(contact: &str) -> Result<(), Failure> {
    say(&format!(
        "ready {} {contact}",
        cpu_of_this_process()?.as_secs_f64()
    ))
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The next line of the input; none at its end.
async fn line() -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let (read, line) = spawn_blocking(move || (stdin().read_line(&mut line), line)).await?;
    Ok((read? > 0).then_some(line))
}
