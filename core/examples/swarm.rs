//! A group whose members see all of its links, also those between others. `swarm` prints this node's ticket; then
//! `swarm TICKET…`, with the tickets of all who are in the group, links to those that run and shows what there is.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{env::args, error::Error, time::Duration};

use peerway::{
    Endpoint, Router, SwarmSnapshot, Ticket, keyfile,
    services::{
        ping,
        swarm::{self, Group, Swarm},
    },
};
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let members = args().skip(1).map(|ticket| ticket.parse());
    let members = members.collect::<Result<Vec<Ticket>, _>>()?;
    let key = keyfile::load_or_create("swarm.key".as_ref())?;
    let endpoint = Endpoint::builder().secret_key(key).bind().await?;
    println!("{}", endpoint.ticket());

    let swarm = Swarm::new(endpoint.clone());
    swarm.share([Group::new("example", members.iter().map(Ticket::id))?])?;
    let served = swarm.clone();
    let router = Router::new(endpoint.clone())
        .diagnostics()
        .accept(swarm::ALPN, move |connection| {
            served.clone().serve(connection)
        });
    let mut links = Vec::new();
    for member in members.iter().filter(|member| member.id() != endpoint.id()) {
        // Who does not run yet may link to us later.
        links.extend(endpoint.connect(member.clone(), ping::ALPN).await);
    }
    let showing = async {
        loop {
            show(&swarm.snapshot());
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = router.run() => {}
        () = swarm.run() => {}
        () = showing => {}
    }
    Ok(())
}

fn show(swarm: &SwarmSnapshot) {
    for pair in swarm.groups.iter().flat_map(|group| &group.pairs) {
        let (a, b) = (pair.a.short(), pair.b.short());
        if let Some((who, says)) = pair.report() {
            let other = pair.other(who).short();
            let why = says.why.map(|why| why.between(&who.short(), &other));
            println!("{a} and {b}: {}, {}", says.path, why.unwrap_or_default());
        }
    }
}
