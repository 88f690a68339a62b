mod miniupnpd;
mod router;

use std::net::{IpAddr, Ipv4Addr};

use tokio::net::UdpSocket;

use crate::{MappingProtocol, RefusalReason, addr::LocalAddr};

use super::*;
use router::{Asked, Router};

const PORT: NonZeroU16 = NonZeroU16::new(41000).unwrap();
const SECRET: [u8; 32] = [7; 32];
const NOWHERE: Places = Places {
    ssdp: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9),
    announcements: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
};

#[tokio::test]
async fn a_port_is_mapped_by_pcp_and_given_back_at_the_end() {
    let mut router = Router::new(1).await;
    router.serve_pcp();
    let (mapper, mut updates) = mapper(&router);
    let mapping = updates.recv().await.unwrap().unwrap();
    assert_eq!(mapping.protocol, MappingProtocol::Pcp);
    assert_eq!(mapping.external, "100.64.0.9:41000".parse().unwrap());
    assert_eq!(mapping.expires_in, Some(Duration::from_secs(7200)));
    mapper.close().await;
    assert_eq!(
        router.asked(),
        [Asked::Map(PORT.get()), Asked::Unmap(PORT.get())]
    );
}

#[tokio::test]
async fn a_router_without_pcp_is_asked_by_nat_pmp() {
    let mut router = Router::new(2).await;
    router.serve_nat_pmp();
    let (mapper, mut updates) = mapper(&router);
    let mapping = updates.recv().await.unwrap().unwrap();
    assert_eq!(mapping.protocol, MappingProtocol::NatPmp);
    assert_eq!(mapping.external, "100.64.0.9:41000".parse().unwrap());
    mapper.close().await;
    assert_eq!(
        router.asked(),
        [Asked::Map(PORT.get()), Asked::Unmap(PORT.get())]
    );
}

#[tokio::test]
async fn a_router_without_either_is_asked_by_upnp() {
    let mut router = Router::new(3).await;
    router.serve_upnp(None).await;
    let (mapper, mut updates) = mapper(&router);
    let mapping = updates.recv().await.unwrap().unwrap();
    assert_eq!(mapping.protocol, MappingProtocol::Upnp);
    assert_eq!(mapping.external, "100.64.0.9:41000".parse().unwrap());
    mapper.close().await;
    assert_eq!(
        router.asked(),
        [Asked::Map(PORT.get()), Asked::Unmap(PORT.get())]
    );
}

#[tokio::test]
async fn another_port_is_taken_where_ours_is_in_use() {
    let mut router = Router::new(4).await;
    router.serve_upnp(Some((718, PORT.get()))).await;
    let (mapper, mut updates) = mapper(&router);
    let mapping = updates.recv().await.unwrap().unwrap();
    assert_ne!(mapping.external.port(), PORT.get());
    mapper.close().await;
    assert_eq!(
        router.asked().last(),
        Some(&Asked::Unmap(mapping.external.port()))
    );
}

#[tokio::test]
async fn a_router_that_announces_a_restart_is_asked_again_by_the_same_nonce() {
    let mut router = Router::new(10).await;
    router.serve_pcp();
    let (mapper, mut updates) = mapper(&router);
    updates.recv().await.unwrap().unwrap();
    router.move_outside("100.64.0.10");
    router.announce(100_000).await;
    let moved = updates.recv().await.unwrap().unwrap();
    assert_eq!(moved.external, "100.64.0.10:41000".parse().unwrap());
    mapper.close().await;
    let nonces = router.nonces();
    assert!(nonces.iter().all(|nonce| *nonce == nonces[0]), "{nonces:?}");
    let (mapper, mut updates) = mapper_towards(router.ip(), router.ssdp());
    updates.recv().await.unwrap().unwrap();
    mapper.close().await;
    assert_eq!(router.nonces().last(), Some(&nonces[0]));
}

#[tokio::test]
async fn a_doubted_mapping_is_given_up_when_the_router_has_forgotten_how_to_answer() {
    let mut router = Router::new(11).await;
    router.serve_pcp();
    let (mapper, mut updates) = mapper(&router);
    updates.recv().await.unwrap().unwrap();
    router.end().await;
    mapper.doubt();
    assert_eq!(updates.recv().await, Some(None));
    router.serve_pcp();
    assert!(updates.recv().await.unwrap().is_some());
    mapper.close().await;
}

#[tokio::test]
async fn what_a_router_that_says_no_says_is_kept() {
    let mut router = Router::new(12).await;
    router.serve_upnp(Some((501, PORT.get()))).await;
    let (mapper, mut updates) = mapper(&router);
    assert_eq!(updates.recv().await, Some(None));
    let refusal = mapper.refusal().unwrap();
    assert_eq!(
        (refusal.protocol, refusal.code),
        (MappingProtocol::Upnp, 501)
    );
    assert_eq!(refusal.reason, RefusalReason::NoPublicAddress);
    mapper.close().await;
}

#[tokio::test]
async fn a_router_that_knows_only_permanent_leases_is_asked_for_one() {
    for (number, code) in [(13, 725), (14, 402)] {
        let mut router = Router::new(number).await;
        router.serve_upnp(Some((code, PORT.get()))).await;
        let (mapper, mut updates) = mapper(&router);
        let mapping = updates.recv().await.unwrap().unwrap();
        assert_eq!(mapping.expires_in, None, "{code}");
        mapper.close().await;
        assert_eq!(router.asked().last(), Some(&Asked::Unmap(PORT.get())));
    }
}

#[tokio::test]
async fn another_upnp_router_that_answers_first_is_not_asked() {
    let (mut router, mut other) = (Router::new(6).await, Router::new(7).await);
    let group = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    router.serve_upnp(None).await;
    other.serve_upnp(None).await;
    let (mapper, mut updates) = mapper_towards(router.ip(), group.local_addr().unwrap());
    let (_, searcher) = group.recv_from(&mut [0; 1500]).await.unwrap();
    other.answer_search(searcher).await;
    router.answer_search(searcher).await;
    assert!(updates.recv().await.unwrap().is_some());
    mapper.close().await;
    assert_eq!(other.asked(), []);
    assert_eq!(router.asked().len(), 2);
}

#[tokio::test]
async fn a_router_that_no_multicast_reaches_is_found_beside_another() {
    let (mut router, mut other) = (Router::new(8).await, Router::new(9).await);
    router.serve_unicast_search().await;
    router.serve_upnp(None).await;
    other.serve_upnp(None).await;
    let (mapper, mut updates) = mapper_towards(router.ip(), other.ssdp());
    assert!(updates.recv().await.unwrap().is_some());
    mapper.close().await;
    assert_eq!(other.asked(), []);
}

#[tokio::test]
async fn a_change_of_the_network_has_the_mapping_renewed_and_only_news_published() {
    let mut router = Router::new(5).await;
    router.serve_pcp();
    let (mapper, mut updates) = mapper(&router);
    updates.recv().await.unwrap().unwrap();
    mapper.network_changed();
    router.wait_for(2).await;
    router.move_outside("100.64.0.10");
    mapper.network_changed();
    let moved = updates.recv().await.unwrap().unwrap();
    assert_eq!(moved.external, "100.64.0.10:41000".parse().unwrap());
    mapper.close().await;
}

#[tokio::test]
async fn a_lease_that_was_short_is_asked_for_at_full_length_again() {
    for (number, serve) in [
        (20, Router::serve_pcp as fn(&mut Router)),
        (21, Router::serve_nat_pmp),
    ] {
        let mut router = Router::new(number).await;
        router.grant_at_most(120);
        serve(&mut router);
        let (mapper, mut updates) = mapper(&router);
        let granted = updates.recv().await.unwrap().unwrap();
        assert_eq!(granted.expires_in, Some(Duration::from_secs(120)));
        mapper.network_changed();
        router.wait_for(2).await;
        mapper.close().await;
        let [first, second, ..] = router.lifetimes()[..] else {
            panic!("it was asked once");
        };
        assert_eq!(first, second);
    }
}

#[tokio::test]
async fn without_a_router_there_is_no_mapping_and_no_error() {
    let (sender, mut updates) = mpsc::channel(1);
    let mapper = PortMapper::spawn_towards(async || None, NOWHERE, PORT, SECRET, sender);
    assert_eq!(updates.recv().await, Some(None));
    mapper.close().await;
}

#[tokio::test]
async fn closing_waits_neither_for_a_running_attempt_nor_for_a_reader_of_updates() {
    let (sender, mut updates) = mpsc::channel(1);
    sender.send(None).await.unwrap();
    let mapper = PortMapper::spawn_towards(async || None, NOWHERE, PORT, SECRET, sender.clone());
    tokio::task::yield_now().await;
    mapper.close().await;
    let mapper = PortMapper::spawn_towards(std::future::pending, NOWHERE, PORT, SECRET, sender);
    tokio::task::yield_now().await;
    mapper.close().await;
    assert_eq!(updates.recv().await, Some(None));
    assert_eq!(updates.recv().await, None);
}

fn mapper(router: &Router) -> (PortMapper, mpsc::Receiver<Option<PortMapping>>) {
    mapper_towards(router.ip(), router.ssdp())
}

fn mapper_towards(
    router: IpAddr,
    ssdp: SocketAddr,
) -> (PortMapper, mpsc::Receiver<Option<PortMapping>>) {
    let (sender, updates) = mpsc::channel(1);
    let gateway = Gateway {
        router,
        zone: 0,
        local: LocalAddr {
            ip: Ipv4Addr::LOCALHOST.into(),
            prefix_len: 8,
        },
    };
    let places = Places {
        ssdp,
        announcements: SocketAddr::new(router, 5350),
    };
    let find = move || std::future::ready(Some(gateway));
    let mapper = PortMapper::spawn_towards(find, places, PORT, SECRET, sender);
    (mapper, updates)
}
