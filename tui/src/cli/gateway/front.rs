//! Who may ask the gateway: programs of this computer, and pages that came from it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::any,
    serve::Listener,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    control::{Client, Seated, Seats},
    gateway::{Gateway, origin::OriginUrl},
};

/// Connections at a time. Browsers open some before they have something to ask.
const AT_ONCE: usize = 128;
/// How long nobody is answered after the system refused a connection.
const PAUSE: Duration = Duration::from_secs(1);
const WHERE: &str = "ask for /blob/LINK, as `peerway share` prints it, or /blob/HASH\n";

/// Answers by itself.
pub(super) fn by_itself(gateway: Gateway, origin: Option<OriginUrl>) -> Router {
    let router = Router::new().route("/blob/{*path}", any(answer));
    let router = router.fallback(nothing);
    guarded(router.with_state((gateway, origin.map(Arc::new))))
}

async fn answer(
    State((gateway, origin)): State<(Gateway, Option<Arc<OriginUrl>>)>,
    method: Method,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    gateway.answer(&method, &path, &headers, origin).await
}

/// The node that answers.
pub(super) struct Asked {
    pub(super) node: Client,
    pub(super) origin: Option<OriginUrl>,
    /// The id of the feed whose site is shown.
    pub(super) site: Option<String>,
}

/// Has the node answer.
pub(super) fn by_node(asked: Asked) -> Router {
    let router = Router::new().route("/blob/{*path}", any(ask));
    let router = match asked.site {
        Some(_) => router.fallback(ask_site),
        None => router.fallback(nothing),
    };
    guarded(router.with_state(Arc::new(asked)))
}

async fn ask(
    State(asked): State<Arc<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    answer_of(&asked, &method, below(&uri), &headers).await
}

async fn ask_site(
    State(asked): State<Arc<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(feed) = &asked.site else {
        return nothing().await.into_response();
    };
    let path = format!("/site/{feed}{}", below(&uri));
    answer_of(&asked, &method, &path, &headers).await
}

fn below(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

async fn answer_of(asked: &Asked, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let origin = asked.origin.as_ref();
    let answer = asked.node.read_content(method, path, headers, origin);
    match answer.await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}

fn guarded(router: Router) -> Router {
    router.layer(from_fn(guard))
}

async fn nothing() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, WHERE)
}

/// A name of another computer that leads here, and pages of other sites, are how strangers would ask through somebody's browser.
async fn guard(request: Request, next: Next) -> Response {
    match refusal(request.headers()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
    if !text(header::HOST.as_str()).is_some_and(is_this_computer) {
        let reason =
            "the gateway is asked by an address of this computer, as in http://127.0.0.1\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, reason));
    }
    // Another port of this computer is another site.
    let is_own_page = |origin: &str| origin.strip_prefix("http://") == text(header::HOST.as_str());
    let is_from_another = headers.contains_key(header::ORIGIN)
        && !text(header::ORIGIN.as_str()).is_some_and(is_own_page);
    if is_from_another || !matches!(text("sec-fetch-site"), None | Some("none" | "same-origin")) {
        let reason =
            "no page of another site reads through the gateway: type or paste its address\n";
        return Some((StatusCode::FORBIDDEN, reason));
    }
    None
}

fn is_this_computer(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let addr = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let addr = addr.unwrap_or(name).parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || addr.is_ok_and(|addr| addr.is_loopback())
}

pub(super) async fn serve(listener: TcpListener, router: Router) {
    let door = Door {
        listener,
        seats: Seats::new(AT_ONCE),
    };
    // It ends with the command alone.
    let _ = axum::serve(door, router).await;
}

/// Lets in as many as there is room for.
struct Door {
    listener: TcpListener,
    seats: Seats,
}

impl Listener for Door {
    type Io = Seated<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let next = async {
                let (stream, from) = self.listener.accept().await?;
                let seat = self.seats.take().await?;
                Ok::<_, io::Error>((self.seats.seat(stream, seat), from))
            };
            match next.await {
                Ok(next) => return next,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a request at the gateway");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn pages_of_other_sites_are_refused_by_either_header_that_tells_of_them() {
        let refused = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:8080".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            refusal(&headers).map(|(status, _)| status)
        };
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1.evil.example:80"),
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "http://localhost:8080"),
            ("origin", "null"),
        ] {
            assert_eq!(refused(name, value), Some(StatusCode::FORBIDDEN), "{value}");
        }
        for (name, value) in [
            ("sec-fetch-site", "none"),
            ("origin", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(refused(name, value), None, "{value}");
        }
    }

    #[tokio::test]
    async fn browsers_that_connect_and_ask_nothing_keep_nobody_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test")]
        let serving = tokio::spawn(serve(listener, guarded(Router::new().fallback(nothing))));
        let mut silent = Vec::new();
        for _ in 0..2 * AT_ONCE {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        let mut asking = TcpStream::connect(addr).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        asking.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = asking.read_to_string(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        read.unwrap().unwrap();
        assert!(answer.ends_with(WHERE), "{answer}");
        drop(silent);
        serving.abort();
    }

    #[test]
    fn only_names_of_this_computer_lead_to_the_gateway() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_this_computer(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "192.168.1.5:8080",
            "localhost.evil.example",
            "",
            "[::2]:80",
            "127.0.0.1.evil.example:80",
        ] {
            assert!(!is_this_computer(host), "{host}");
        }
    }
}
