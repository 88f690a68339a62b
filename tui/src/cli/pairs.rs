//! `peerway pairs`: the addresses at which the node that runs here looks for a peer, and what is to be done with one of them.

use std::net::SocketAddr;

use peerway::{CandidatePair, Names, PairAction, PeerId};
use serde::Serialize;

use super::{
    args::{Globals, PairsArgs, PairsAsk},
    attach,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::dash::{format, words::chosen};

pub(super) async fn run(globals: &Globals, args: &PairsArgs) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    let state = StateDir::open(globals)?;
    let book = state.names();
    let peer = state.peers().meant(&args.peer, &book)?.id();
    let (action, addr) = match args.ask() {
        PairsAsk::List => return list(globals, &node.peer(peer).await?.pairs),
        PairsAsk::Retry => {
            node.retry(peer).await?;
            return list(globals, &node.peer(peer).await?.pairs);
        }
        PairsAsk::Choose(action, addr) => (action, addr),
    };
    let (remote, tcp) = (addr.remote, addr.tcp);
    node.choose_pair(peer, (remote, tcp), action).await?;
    if globals.json {
        return Ok(out::json(&Chosen {
            peer,
            remote,
            tcp,
            action,
        })?);
    }
    let name = book.peer(&peer);
    Ok(out::text(chosen(&name, &remote.to_string(), action))?)
}

fn list(globals: &Globals, pairs: &[CandidatePair]) -> Result<(), Failure> {
    if globals.json {
        return Ok(pairs.iter().try_for_each(out::json)?);
    }
    if pairs.is_empty() {
        out::hint("no address of this peer is being probed");
        return Ok(());
    }
    Ok(out::text(text(pairs))?)
}

fn text(pairs: &[CandidatePair]) -> String {
    let head = [
        "ADDRESS", "KIND", "STATE", "RTT", "PROBES", "HEARD", "SCORE", "LAST", "FROM",
    ];
    let none = || "-".to_owned();
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(pairs.iter().map(|pair| {
        let forced = if pair.forced { " [forced]" } else { "" };
        vec![
            address(pair),
            pair.kind.to_string(),
            format!("{}{forced}", pair.state),
            pair.rtt.map_or_else(none, format::rtt),
            format::answered(pair.answered, pair.sent),
            pair.heard.to_string(),
            pair.rank.map_or_else(none, |rank| rank.to_string()),
            pair.last.map_or_else(none, format::span),
            pair.local.map_or_else(none, |addr| addr.to_string()),
        ]
    }));
    out::aligned(&rows).join("\n")
}

/// As this command takes it.
pub(super) fn address(pair: &CandidatePair) -> String {
    let scheme = if pair.is_tcp() { "tcp://" } else { "" };
    format!("{scheme}{}", pair.remote)
}

/// The object that scripts read.
#[derive(Debug, Serialize)]
struct Chosen {
    peer: PeerId,
    remote: SocketAddr,
    tcp: bool,
    action: PairAction,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{
        super::{
            args::{Args, Command},
            documented::assert_keys,
        },
        *,
    };

    fn pair(remote: &str, kind: &str, forced: bool) -> CandidatePair {
        serde_json::from_value(serde_json::json!({
            "remote": remote, "kind": kind, "state": "used", "rtt_ms": 12.5, "sent": 4, "answered": 1,
            "heard": 3, "next_ms": null, "last_ms": 2400, "rank": 1, "local": "192.0.2.7:41641",
            "local_kind": "reflexive", "forced": forced,
        }))
        .unwrap()
    }

    #[test]
    fn the_lines_keep_their_keys() {
        assert_keys("pairs", &pair("192.0.2.1:5000", "host", true));
        assert_keys(
            "pairs",
            &Chosen {
                peer: peerway::SecretKey::from_seed(&[1; 32]).id(),
                remote: "192.0.2.1:5000".parse().unwrap(),
                tcp: false,
                action: PairAction::Force,
            },
        );
    }

    #[test]
    fn an_address_is_written_as_the_command_takes_it() {
        let pairs = [
            pair("192.0.2.1:5000", "host", true),
            pair("[2001:db8::1]:443", "tcp", false),
        ];
        assert_eq!(
            text(&pairs),
            "\
ADDRESS                  KIND  STATE            RTT    PROBES  HEARD  SCORE  LAST   FROM
192.0.2.1:5000           host  in use [forced]  12 ms  1/4     3      1      2.4 s  192.0.2.7:41641
tcp://[2001:db8::1]:443  tcp   in use           12 ms  1/4     3      1      2.4 s  192.0.2.7:41641"
        );
        for it in &pairs {
            let addr = address(it);
            let read = Args::try_parse_from(["peerway", "pairs", "nas", "drop", &addr]);
            let Some(Command::Pairs(args)) = read.unwrap().command else {
                panic!("{addr}");
            };
            let PairsAsk::Choose(PairAction::Drop, read) = args.ask() else {
                panic!("{addr}");
            };
            assert_eq!((read.remote, read.tcp), (it.remote, it.is_tcp()));
        }
    }
}
