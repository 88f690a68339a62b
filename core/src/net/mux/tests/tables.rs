//! Whose packets come from where, when several say that they are theirs.

use super::{
    super::tables::{Tables, Title},
    *,
};

const SOURCE: &str = "192.0.2.1:4433";

fn at(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn link(handle: u32) -> Arc<Link> {
    Arc::new(Link::new(LinkHandle(handle)))
}

/// Admits the source for one link and then for another; returns whose it is.
fn contest(first: Title, second: Title) -> LinkHandle {
    let source = SOURCE.parse().unwrap();
    let mut tables = Tables::default();
    for (handle, title) in [(1, first), (2, second)] {
        if tables.grants(source, &link(handle), title) {
            tables.admit(source, &link(handle), title);
        }
    }
    tables.sources[&source].link.handle()
}

#[test]
fn a_claim_displaces_nobody_a_proof_every_peer_and_only_a_relay_a_relay() {
    use Title::{Claimed, Proven, Relay};
    let winners = [Claimed, Proven, Relay].map(|first| {
        let winner = |second| contest(first, second).0;
        [Claimed, Proven, Relay].map(winner)
    });
    assert_eq!(winners, [[1, 2, 2], [1, 2, 2], [1, 1, 2]]);
}

#[test]
fn a_link_has_sixteen_sources_of_which_the_oldest_claims_give_way_first() {
    let mut tables = Tables::default();
    let (greedy, other) = (link(1), link(2));
    tables.admit(at(1), &other, Title::Claimed);
    tables.admit(at(2), &greedy, Title::Proven);
    for port in 3..100 {
        tables.admit(at(port), &greedy, Title::Claimed);
    }
    let kept = |port| tables.sources.contains_key(&at(port));
    assert_eq!(tables.sources.len(), 1 + 16);
    assert!(kept(1) && kept(2) && kept(99) && !kept(3));
}
