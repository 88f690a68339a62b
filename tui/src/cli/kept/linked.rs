//! Links that are kept.

use std::net::IpAddr;

#[cfg(all(feature = "subnet", target_os = "linux"))]
pub(in crate::cli) use self::commands::link;
use super::how;
use crate::kept::{LinkLine, State};

/// With whom, on which terms, and how it is.
pub(in crate::cli) fn linked_row(line: &LinkLine) -> Vec<String> {
    let ranges = |what: &str, ranges: &[String]| {
        let is_any = !ranges.is_empty();
        is_any.then(|| format!("{what} {}", ranges.join(", ")))
    };
    let advertised = ranges("advertises", &line.advertise);
    let accepted = ranges("accepts", &line.accept);
    let terms = advertised.into_iter().chain(accepted).collect::<Vec<_>>();
    let terms = match &terms[..] {
        [] => "these two computers alone".to_owned(),
        terms => terms.join(", "),
    };
    let mut how = how(line.state, line.reason.as_ref());
    if line.state == Some(State::Ready) && line.reason.is_none() {
        how = format!("{how}, at {}", addresses(&line.linked.addresses));
    }
    vec![line.peer.clone(), terms, how]
}

fn addresses(addresses: &[IpAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    texts.join(" and ")
}

/// What there is besides of a link that is up.
#[cfg(any(test, all(feature = "subnet", target_os = "linux")))]
fn details(line: &LinkLine) -> Vec<String> {
    if line.state != Some(State::Ready) {
        return Vec::new();
    }
    let linked = &line.linked;
    let own = linked.device.as_ref().map(|device| {
        let own = addresses(&linked.own);
        format!("  {device}: this computer is {own} for linked peers")
    });
    let routes = linked.routes.iter().map(|route| format!("  {route}"));
    let refused = linked.refused.iter().map(|refused| format!("  {refused}"));
    own.into_iter().chain(routes).chain(refused).collect()
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
mod commands {
    use std::collections::BTreeMap;

    use peerway::{PeerId, services::subnet::IpNet};

    use super::{
        super::{all, in_force, said},
        LinkLine, details, linked_row,
    };
    use crate::{
        cli::{
            args::{Globals, LinkAction, PeerName, Ranges},
            failure::Failure,
            out,
            state::StateDir,
        },
        kept::{Kept, KeptFile, KeptLines, LinkTerms, Range, Whom},
        operations::{Failed, FailureKind},
    };

    pub(in crate::cli) async fn link(
        globals: &Globals,
        action: &LinkAction,
    ) -> Result<(), Failure> {
        let file = StateDir::open(globals)?.kept();
        match action {
            LinkAction::Add { peers, ranges } => {
                check(globals, &file, peers)?;
                let terms = terms(ranges);
                file.change(|draft| {
                    let mut each = peers.iter();
                    each.try_for_each(|whom| draft.link(whom, &terms))
                })?;
                let mut lines = in_force(globals, &file).await?.link;
                lines.retain(|line| peers.iter().any(|whom| whom.as_str() == line.peer));
                print(globals, &lines)
            }
            LinkAction::List => {
                let lines = all(globals, &file).await?.link;
                if lines.is_empty() && !globals.json {
                    let text = "nothing is linked whenever `peerway up` runs: `peerway link add PEER` has it be so";
                    return Ok(out::text(text)?);
                }
                print(globals, &lines)
            }
            LinkAction::Remove { peers } => {
                let before = file.change(|draft| {
                    let each = peers.iter();
                    let each = each.map(|whom| Ok((whom.clone(), draft.unlink(whom)?)));
                    each.collect::<Result<_, _>>()
                })?;
                in_force(globals, &file).await?;
                let removed = Kept {
                    link: before,
                    ..Kept::default()
                };
                for line in KeptLines::from(&removed).link {
                    let text = format!("there is no link with {} any more", line.peer);
                    said(globals, &line, text)?;
                }
                Ok(())
            }
        }
    }

    /// Each is somebody else than this computer, who is not blocked, and for whom nothing is kept by another name.
    fn check(globals: &Globals, file: &KeptFile, peers: &[Whom]) -> Result<(), Failure> {
        let state = StateDir::open(globals)?;
        let known = state.peers();
        let book = known.book().read()?;
        let own = state.key()?.id();
        let meant = |whom: &Whom| Ok::<_, Failure>(known.meant(&named(whom), &book)?.id());
        let mut taken = BTreeMap::<PeerId, Whom>::new();
        for whom in file.read()?.link.into_keys() {
            // Whoever is not known any more is in nobody's way.
            if let Ok(peer) = meant(&whom) {
                taken.insert(peer, whom);
            }
        }
        for whom in peers {
            let peer = meant(whom)?;
            if peer == own {
                return Err(Failure::OwnPeer);
            }
            if let Some(name) = book.blocked(peer) {
                return Err(Failure::Blocked(name.clone()));
            }
            let other = taken.insert(peer, whom.clone());
            if let Some(other) = other.filter(|other| other != whom) {
                return Err(same_peer(whom, &other));
            }
            if !book.access().lets_in(peer) {
                out::hint(format!(
                    "{} is not let in by the address book, so only this side can dial: `peerway add NAME TICKET`",
                    peer.short()
                ));
            }
        }
        Ok(())
    }

    fn named(whom: &Whom) -> PeerName {
        let name = whom.as_str().parse::<PeerName>();
        name.unwrap_or_else(|_| PeerName::Called(whom.to_string()))
    }

    fn same_peer(one: &Whom, other: &Whom) -> Failure {
        let kind = FailureKind::Usage;
        let error = format!(
            "{one} and {other} are the same peer: link with it by one name (`peerway link list` lists what is kept)"
        );
        Failed { kind, error }.into()
    }

    fn terms(ranges: &Ranges) -> LinkTerms {
        let kept = |nets: &[IpNet]| nets.iter().map(|net| Range::from(*net)).collect();
        LinkTerms {
            advertise: kept(&ranges.advertise),
            accept: kept(&ranges.accept),
        }
    }

    fn print(globals: &Globals, lines: &[LinkLine]) -> Result<(), Failure> {
        if globals.json {
            return Ok(lines.iter().try_for_each(out::json)?);
        }
        let rows: Vec<_> = lines.iter().map(linked_row).collect();
        for (row, line) in out::aligned(&rows).iter().zip(lines) {
            out::text(row)?;
            details(line).iter().try_for_each(out::text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::documented::assert_keys, *};
    use crate::kept::{
        Linked,
        link::{Refused, Route},
    };

    #[test]
    fn a_link_says_with_whom_on_which_terms_and_what_is_reached_or_in_the_way() {
        let text = |text: &str| text.to_owned();
        let mut line = LinkLine {
            peer: text("nas"),
            advertise: vec![text("192.168.7.0/24")],
            accept: vec![text("10.0.0.0/8")],
            state: Some(State::Ready),
            reason: None,
            linked: Linked {
                device: Some(text("peerway0")),
                own: vec!["100.64.1.1".parse().unwrap()],
                addresses: vec!["100.64.1.2".parse().unwrap()],
                routes: vec![Route {
                    net: text("10.1.0.0/16"),
                    seen_as: text("10.1.0.0/16"),
                }],
                refused: vec![Refused {
                    net: text("10.2.0.0/16"),
                    why: text("no"),
                }],
            },
        };
        assert_eq!(
            linked_row(&line),
            [
                "nas",
                "advertises 192.168.7.0/24, accepts 10.0.0.0/8",
                "ready, at 100.64.1.2"
            ]
        );
        assert_eq!(
            details(&line),
            [
                "  peerway0: this computer is 100.64.1.1 for linked peers",
                "  10.1.0.0/16 is reached",
                "  10.2.0.0/16 is not reached: no"
            ]
        );
        assert_keys("link list", &line);
        (line.state, line.reason) = (Some(State::Failed), Some(text("no right")));
        (line.advertise, line.accept) = (Vec::new(), Vec::new());
        let row = ["nas", "these two computers alone", "failed: no right"];
        assert_eq!(linked_row(&line), row);
        assert!(details(&line).is_empty());
    }
}
