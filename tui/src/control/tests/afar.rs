//! A node that is asked over a link.

use super::*;
use crate::{
    book::Admin,
    control::{ALPN, RemoteError, Rights, Visited},
    forwarding::ForwardAsk,
    servers::ExposeAsk,
    transfers::{ReceiveAsk, SendAsk},
    written::Written,
};

/// A node whose address book is at hand, and which answers peers as well.
struct Host {
    node: Node,
    book: watch::Sender<Arc<Book>>,
    answering: JoinHandle<()>,
}

impl Host {
    async fn start() -> Self {
        let (book, watched) = watch::channel(Arc::default());
        let node = Node::with(watched).await;
        let control = node.control.clone();
        let answering = Router::new(node.endpoint.clone()).accept(ALPN, move |connection| {
            let control = control.clone();
            async move {
                let _ = control.visit(connection).await;
            }
        });
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let answering = tokio::spawn(answering.run());
        Self {
            node,
            book,
            answering,
        }
    }

    fn allow(&self, peer: &Endpoint, admin: Option<Admin>) {
        let mut draft = Draft::of("").unwrap();
        draft.admin(&peer.ticket(), admin).unwrap();
        self.book.send_replace(Arc::new(draft.book().clone()));
    }

    async fn asked_by(&self, peer: &Endpoint) -> Client {
        let ticket = self.node.endpoint.ticket();
        timeout(PATIENCE, Client::over(peer, ticket))
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

#[tokio::test]
async fn who_is_no_admin_is_refused_and_told_what_would_make_it_one() {
    let (host, peer) = (Host::start().await, endpoint().await);
    let asked = host.asked_by(&peer).await.status().await;
    let Err(ControlError::Remote(error @ RemoteError::Refused(_))) = asked else {
        panic!("{asked:?}");
    };
    let command = format!("`peerway admin {} read`", peer.id());
    assert!(error.to_string().contains(&command), "{error}");
}

#[tokio::test]
async fn a_reader_sees_everything_and_changes_nothing() {
    let (host, peer) = (Host::start().await, endpoint().await);
    host.allow(&peer, Some(Admin::Read));
    let client = host.asked_by(&peer).await;
    assert_eq!(client.version().await.unwrap().rights, Some(Rights::Read));
    assert_eq!(client.status().await.unwrap().id, host.node.endpoint.id());
    let mut snapshots = client.snapshots().await.unwrap();
    assert!(snapshots.next().await.unwrap().is_ok());
    drop(client.events(0).await.unwrap());
    assert_eq!(client.book().await.unwrap()[0].id, peer.id());
    let id = peer.id();
    for refused in [
        client.connect(&peer.ticket()).await,
        client.disconnect(id).await,
        client.ping(id).await.map(drop),
        client.measure_nat().await,
        client.reread_book().await,
        client.down().await,
    ] {
        let Err(ControlError::Forbidden(reason)) = refused else {
            panic!("{refused:?}");
        };
        let command = format!("`peerway admin {id} full`");
        assert!(reason.contains(&command), "{reason}");
    }
}

#[tokio::test]
async fn a_full_admin_does_what_the_owner_does_but_for_ending_the_node() {
    let (host, peer, other) = (Host::start().await, endpoint().await, endpoint().await);
    host.allow(&peer, Some(Admin::Full));
    let client = host.asked_by(&peer).await;
    assert_eq!(client.version().await.unwrap().rights, Some(Rights::Full));
    client.connect(&other.ticket()).await.unwrap();
    client.measure_nat().await.unwrap();
    let refused = client.down().await.unwrap_err().to_string();
    assert!(refused.contains("`peerway down` there"), "{refused}");
    // Nor for what that computer has in its files.
    let send = SendAsk {
        ticket: other.ticket(),
        paths: vec!["/etc/hostname".into()],
    };
    let receive = ReceiveAsk {
        folder: "/tmp/in".into(),
        overwrite: true,
        from: None,
        ask: false,
    };
    let forward = ForwardAsk {
        ticket: other.ticket(),
        service: Written("web".parse().unwrap()),
        listen: Written("127.0.0.1:0".parse().unwrap()),
        fail_fast: false,
    };
    let refused = [
        client.send_files(&send).await.map(drop),
        client.receive(&receive).await.map(drop),
        client.answer(1, true).await.map(drop),
        client.forward(&forward).await.map(drop),
        client
            .expose(&ExposeAsk { servers: vec![] })
            .await
            .map(drop),
    ];
    for refused in refused {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, ControlError::Forbidden(_)), "{refused:?}");
    }
    // Whom it may dial it does not ask in this node's name.
    let through = client.through(&other.ticket());
    assert_eq!(
        through.status().await.unwrap().id,
        host.node.endpoint.id(),
        "nobody is asked through a node that is far away"
    );
}

#[tokio::test]
async fn what_the_node_shares_is_told_to_its_owner_alone() {
    let (host, peer) = (Host::start().await, endpoint().await);
    let path = host.node.folder().join("a");
    std::fs::write(&path, b"content").unwrap();
    let public = false;
    let own = host.node.client().await;
    let searchable = false;
    let ask = ShareAsk {
        path,
        public,
        searchable,
    };
    own.share(&ask).await.unwrap();
    for admin in [Admin::Read, Admin::Full] {
        host.allow(&peer, Some(admin));
        let listed = host.asked_by(&peer).await.shares().await;
        assert!(
            matches!(listed, Err(ControlError::Forbidden(_))),
            "{listed:?}"
        );
    }
}

#[tokio::test]
async fn whose_rights_change_is_let_go_at_once() {
    let (host, peer) = (Host::start().await, endpoint().await);
    host.allow(&peer, Some(Admin::Full));
    let client = host.asked_by(&peer).await;
    let events = client.events(0).await.unwrap();
    host.allow(&peer, None);
    let told = timeout(PATIENCE, events.collect::<Vec<_>>()).await;
    let ended = told.unwrap().pop().unwrap().unwrap_err();
    assert!(ended.to_string().contains("just been changed"), "{ended}");
    let asked = client.status().await.unwrap_err();
    assert!(asked.to_string().contains("just been changed"), "{asked}");
    let asked = host.asked_by(&peer).await.status().await.unwrap_err();
    assert!(asked.to_string().contains("no admin"), "{asked}");
}

#[tokio::test]
async fn whoever_listens_through_its_own_node_is_told_why_a_peers_tells_no_more() {
    let (host, own) = (Host::start().await, Node::start().await);
    host.allow(&own.endpoint, Some(Admin::Read));
    let here = own.client().await;
    let through = here.through(&host.node.endpoint.ticket());
    let events = through.events(0).await.unwrap();
    host.allow(&own.endpoint, None);
    let told = timeout(PATIENCE, events.collect::<Vec<_>>()).await;
    let ended = told.unwrap().pop().unwrap().unwrap_err();
    assert!(ended.to_string().contains("no admin"), "{ended}");
}

#[tokio::test]
async fn a_link_that_was_lost_is_made_anew_when_it_is_asked_for() {
    let (host, peer) = (Host::start().await, endpoint().await);
    host.allow(&peer, Some(Admin::Read));
    let client = host.asked_by(&peer).await;
    let mut snapshots = client.snapshots().await.unwrap();
    host.allow(&peer, None);
    let ended = timeout(PATIENCE, async {
        while snapshots.next().await.is_some_and(|it| it.is_ok()) {}
    });
    ended.await.unwrap();
    host.allow(&peer, Some(Admin::Full));
    assert!(client.status().await.is_err(), "nobody asked for it");
    client.mend().await.unwrap();
    client.mend().await.unwrap();
    assert_eq!(client.version().await.unwrap().rights, Some(Rights::Full));
    assert!(client.snapshots().await.unwrap().next().await.is_some());
}

#[tokio::test]
async fn a_program_asks_a_peers_node_through_its_own_over_one_link() {
    let (host, own) = (Host::start().await, Node::start().await);
    host.allow(&own.endpoint, Some(Admin::Read));
    let here = own.client().await;
    let through = here.through(&host.node.endpoint.ticket());
    assert_eq!(through.status().await.unwrap().id, host.node.endpoint.id());
    let _snapshots = through.snapshots().await.unwrap();
    let events = through.events(0).await.unwrap();
    let mut past = through.events(500).await.unwrap();
    let first = timeout(PATIENCE, past.next()).await.unwrap();
    assert!(matches!(first, Some(Ok(Told::Event(_)))), "{first:?}");
    through.status().await.unwrap();
    let links = |seen: &Arc<NodeSnapshot>| {
        let peers = seen.peers.iter();
        peers.map(|peer| peer.connections).sum::<u32>()
    };
    let mut seen = own.endpoint.snapshots();
    let one = timeout(PATIENCE, seen.wait_for(|seen| links(seen) == 1)).await;
    drop(one.unwrap().unwrap());
    let refused = through.measure_nat().await.unwrap_err();
    assert!(matches!(refused, ControlError::Forbidden(_)), "{refused:?}");
    drop((events, past, _snapshots));
    let none = timeout(PATIENCE, seen.wait_for(|seen| links(seen) == 0)).await;
    drop(none.unwrap().unwrap());
}

#[tokio::test]
async fn a_program_is_told_why_a_peers_node_is_not_to_be_asked() {
    let (host, own, other) = (Host::start().await, Node::start().await, endpoint().await);
    let here = own.client().await;
    let asked = here.through(&host.node.endpoint.ticket()).status().await;
    let Err(ControlError::Forbidden(reason)) = asked else {
        panic!("{asked:?}");
    };
    assert!(reason.contains("no admin"), "{reason}");
    let asked = here.through(&other.ticket()).status().await;
    let Err(ControlError::Unreached(reason)) = asked else {
        panic!("{asked:?}");
    };
    assert!(reason.contains("takes `peerway up`"), "{reason}");
    for path in ["nobody/v1/status", "/v1/status", "PEERWAY1/v1/status"] {
        let answer = own
            .raw(&request(&format!("GET /v1/remote/{path}"), ""))
            .await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
}

#[tokio::test]
async fn who_was_refused_is_known_to_have_been() {
    let (host, peer) = (Host::start().await, endpoint().await);
    host.answering.abort();
    let router_is_gone = host.node.endpoint.clone();
    router_is_gone.set_alpns([ALPN]);
    let dialled = tokio::join!(
        router_is_gone.accept(),
        Client::over(&peer, router_is_gone.ticket())
    );
    let visited = host.node.control.visit(dialled.0.unwrap()).await;
    assert_eq!(visited, Visited::Refused);
}
