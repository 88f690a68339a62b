//! A gateway before an origin, both on loopback, and no peer that has anything.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use http_body_util::BodyExt;
use peerway::Endpoint;
use peerway_swarm::{
    share::{Options, collection},
    store::catalog::Catalog,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use super::*;

type Has = Arc<(BTreeMap<String, Vec<u8>>, AtomicUsize)>;

/// What an HTTP server has, under which names, and how often it was asked.
struct Web {
    has: Has,
    url: Arc<OriginUrl>,
    _serving: JoinSet<()>,
}

impl Web {
    async fn with(content: impl IntoIterator<Item = (impl ToString, Vec<u8>)>) -> Self {
        let content = content.into_iter();
        let content = content.map(|(path, bytes)| (path.to_string(), bytes));
        let has: Has = Arc::new((content.collect(), AtomicUsize::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/content/{*path}", get(given))
            .with_state(has.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, router).await) });
        Self {
            has,
            url: Arc::new(format!("http://{addr}/content/").parse().unwrap()),
            _serving: serving,
        }
    }

    fn asked(&self) -> usize {
        self.has.1.load(Relaxed)
    }
}

async fn given(State(has): State<Has>, Path(path): Path<String>) -> Result<Vec<u8>, StatusCode> {
    has.1.fetch_add(1, Relaxed);
    has.0.get(&path).cloned().ok_or(StatusCode::NOT_FOUND)
}

const NOTHING: [(Hash, Vec<u8>); 0] = [];

struct Home {
    gateway: Gateway,
    state: TempDir,
}

impl Home {
    async fn new() -> Self {
        let state = TempDir::new().unwrap();
        let endpoint = Endpoint::builder()
            .bind_addr(([127, 0, 0, 1], 0).into())
            .lan_discovery(false)
            .port_mapping(false)
            .bind()
            .await
            .unwrap();
        let mut options = Options::default();
        options.catalog = Some(Catalog::at(&state.path().join("shares.redb")));
        let sharing = Sharing::with(endpoint, |_| true, options);
        Self {
            gateway: Gateway::new(sharing),
            state,
        }
    }

    async fn read(&self, path: &str, range: Option<&str>, web: &Web) -> (StatusCode, Vec<u8>) {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(header::RANGE, range.parse().unwrap());
        }
        let origin = Some(web.url.clone());
        let answer = self.gateway.answer(&Method::GET, path, &headers, origin);
        let answer = answer.await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap();
        (status, body.to_bytes().to_vec())
    }
}

fn data(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at / 3) as u8 ^ (at / 1000) as u8)
        .collect()
}

fn link(data: &[u8]) -> Link {
    Link::new(Hash::of(data), data.len() as u64, Kind::File, "film.mp4")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_peer_has_comes_once_from_the_origin_and_is_here_then() {
    let (home, large, small) = (Home::new().await, data(700_000), b"short".to_vec());
    let content = [&large, &small, &Vec::new()].map(|it| (Hash::of(it), it.clone()));
    let web = Web::with(content).await;
    let path = link(&large).to_string();
    let (status, part) = home.read(&path, Some("bytes=300000-300099"), &web).await;
    assert_eq!(
        (status.as_u16(), &part[..]),
        (206, &large[300_000..300_100])
    );
    let (status, whole) = home.read(&path, None, &web).await;
    assert!(status == StatusCode::OK && whole == large);
    assert_eq!(web.asked(), 1);
    // The hash alone says nothing of its length.
    for content in [&small, &Vec::new()] {
        let (status, got) = home.read(&Hash::of(content).to_string(), None, &web).await;
        assert_eq!((status.as_u16(), &got), (200, content));
    }
    let kept = home.gateway.sharing.pins().await.unwrap().1;
    assert_eq!(kept.bytes, 700_005);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_origin_that_lies_nothing_is_passed_on_or_kept_and_it_is_not_asked_at_once_again() {
    let (home, right) = (Home::new().await, data(700_000));
    let mut wrong = right.clone();
    wrong[600_000] ^= 1;
    let longer = [&right[..], b"x"].concat();
    for lie in [wrong, longer, right[..699_999].to_vec(), Vec::new()] {
        let web = Web::with([(Hash::of(&right), lie)]).await;
        for _ in 0..2 {
            let (status, said) = home.read(&link(&right).to_string(), None, &web).await;
            let said = String::from_utf8(said).unwrap();
            assert_eq!(status, StatusCode::BAD_GATEWAY, "{said}");
            assert!(said.contains("something else under this name"), "{said}");
        }
        assert_eq!(web.asked(), 1);
        let kept = home.gateway.sharing.pins().await.unwrap().1;
        assert_eq!(kept.bytes, 0);
    }
    // Another origin is another matter.
    let web = Web::with([(Hash::of(&right), right.clone())]).await;
    let (_, got) = home.read(&link(&right).to_string(), None, &web).await;
    assert!(got == right);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_neither_peers_nor_the_origin_give_something_is_said() {
    let (home, web) = (Home::new().await, Web::with(NOTHING).await);
    let path = link(b"nowhere").to_string();
    let (status, said) = home.read(&path, None, &web).await;
    let said = String::from_utf8(said).unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(said.contains("who has it is not known"), "{said}");
    assert!(said.contains("the origin has it not either (404"), "{said}");
    // Where no other test listens.
    let gone = Web {
        url: Arc::new("http://127.3.2.1:9".parse().unwrap()),
        ..Web::with(NOTHING).await
    };
    let (status, said) = home.read(&path, None, &gone).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("the origin cannot be reached"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_from_the_origin_list_by_list_and_file_by_file() {
    let (home, author, film) = (Home::new().await, Home::new().await, data(300_000));
    let top = author.state.path().join("films");
    std::fs::create_dir(&top).unwrap();
    std::fs::write(top.join("film.mp4"), &film).unwrap();
    let author = &author.gateway.sharing;
    let shared = author.share(&top, true).await.unwrap();
    let folder = Link::new(shared.hash, shared.size, Kind::Folder, "films");
    let list = async |hash: Hash, size: u64| {
        let list = Link::new(hash, size, Kind::File, "");
        let mut reader = author.read(&list, &list, 0..size).await.unwrap();
        reader.next().await.unwrap().unwrap().to_vec()
    };
    let root = list(shared.hash, shared.size).await;
    let mut content = vec![(Hash::of(&film), film.clone())];
    for (hash, size) in collection::Root::read(&root).unwrap().pages {
        content.push((hash, list(hash, size).await));
    }
    content.push((shared.hash, root));
    let web = Web::with(content).await;
    let (status, page) = home.read(&format!("{folder}/"), None, &web).await;
    let page = String::from_utf8(page).unwrap();
    assert!(
        status == StatusCode::OK && page.contains("film.mp4"),
        "{page}"
    );
    let (_, got) = home.read(&format!("{folder}/film.mp4"), None, &web).await;
    assert!(got == film);
}

impl Home {
    /// A site that this home holds the lists of, of whose files the disk has lost all.
    async fn site(&self, files: &[(&str, &[u8])]) -> Link {
        let top = self.state.path().join("site");
        std::fs::create_dir_all(top.join("sub")).unwrap();
        for (path, content) in files {
            std::fs::write(top.join(path), content).unwrap();
        }
        let sharing = &self.gateway.sharing;
        let shared = sharing.share(&top, true).await.unwrap();
        std::fs::remove_dir_all(&top).unwrap();
        sharing.link(&shared)
    }

    async fn read_site(&self, site: Option<&Link>, uri: &str, web: &Web) -> (StatusCode, String) {
        let uri: axum::http::Uri = uri.parse().unwrap();
        let ask = site::SiteAsk {
            method: &Method::GET,
            path: &uri.path().trim_start_matches('/').replace("%20", " "),
            uri: &uri,
            headers: &HeaderMap::new(),
            origin: Some(web.url.clone()),
        };
        let answer = self.gateway.answer_site("zoe", site.cloned(), ask).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_names_comes_from_the_origin_if_it_is_the_same_there_and_the_rest_as_it_is() {
    let home = Home::new().await;
    let site = home
        .site(&[("a b", b"right"), ("sub/c", b"so it is")])
        .await;
    let web = Web::with([
        ("a b", b"right".to_vec()),
        ("sub/c", b"so it was".to_vec()),
        ("other", b"of nobody".to_vec()),
    ])
    .await;
    let (status, said) = home.read_site(Some(&site), "/a%20b", &web).await;
    assert_eq!((status, &*said), (StatusCode::OK, "right"));
    let (status, said) = home.read_site(Some(&site), "/sub/c", &web).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{said}");
    assert!(said.contains("something else under this name"), "{said}");
    let (status, said) = home.read_site(Some(&site), "/other", &web).await;
    assert_eq!((status, &*said), (StatusCode::OK, "of nobody"));
    let asked = web.asked();
    let (status, said) = home.read_site(Some(&site), "/a%20b", &web).await;
    assert_eq!((status, &*said), (StatusCode::OK, "right"));
    assert_eq!(web.asked(), asked, "it is here now");
    // Before anything is posted all is the origin's.
    let (status, said) = home.read_site(None, "/sub/c", &web).await;
    assert_eq!((status, &*said), (StatusCode::OK, "so it was"));
}
