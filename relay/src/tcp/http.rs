//! The first words on a connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use peerway_carrier::{MAX_MESSAGE, PATH, progress::Progress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_websockets::{Config, Limits, ServerBuilder, WebSocketStream};

use super::real;

/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
const MAX_HEADERS: usize = 64;
/// Its end.
const END: &[u8] = b"\r\n\r\n";

/// A connection's bytes, in TLS or not.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A WebSocket, and where its client is.
pub(super) struct Web {
    pub(super) socket: WebSocketStream<Rewound>,
    pub(super) from: SocketAddr,
    /// Of what is written to the client.
    pub(super) progress: Arc<Progress>,
}

/// Who asks, and in which circumstances.
pub(super) struct Visit {
    pub(super) from: SocketAddr,
    /// Whether who is at `from` is believed to say whom it speaks for.
    pub(super) is_proxy: bool,
    pub(super) draining: bool,
}

/// Reads a request. Begins a WebSocket, or answers and is done.
pub(super) async fn receive(
    mut stream: Box<dyn Transport>,
    progress: Arc<Progress>,
    visit: Visit,
) -> io::Result<Option<Web>> {
    let Some(head) = read_head(&mut stream).await? else {
        return answer(
            stream,
            "400 Bad Request",
            "this is no HTTP that a relay takes\n",
        )
        .await;
    };
    let Some(request) = Request::parse(&head) else {
        return answer(stream, "400 Bad Request", "this is no HTTP/1.1\n").await;
    };
    match (request.path.as_str(), request.upgrades) {
        ("/healthz", _) if visit.draining => {
            answer(
                stream,
                "503 Service Unavailable",
                "the relay is about to stop\n",
            )
            .await
        }
        ("/healthz", _) => answer(stream, "200 OK", "ok\n").await,
        (PATH, true) => {
            let forwarded = request.forwarded_for.filter(|_| visit.is_proxy);
            let from = forwarded.map_or(visit.from, |ip| SocketAddr::new(ip, visit.from.port()));
            let rewound = Rewound {
                head: head.into(),
                stream,
            };
            let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE));
            let config = Config::default().frame_size(MAX_MESSAGE);
            let builder = ServerBuilder::new().limits(limits).config(config);
            let (_, socket) = builder.accept(rewound).await.map_err(io::Error::other)?;
            Ok(Some(Web {
                socket,
                from,
                progress,
            }))
        }
        (PATH, false) => answer(stream, "426 Upgrade Required", "a WebSocket was expected\n").await,
        _ => answer(stream, "404 Not Found", "this is a Peerway relay\n").await,
    }
}

/// The head of a request with its empty line, and what came with it; none if it is too long.
async fn read_head(stream: &mut Box<dyn Transport>) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    while head.len() < MAX_HEAD {
        let seen = head.len().saturating_sub(END.len() - 1);
        let mut more = (&mut *stream).take((MAX_HEAD - head.len()) as u64);
        if more.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let new = head.get(seen..).unwrap_or_default();
        if new.windows(END.len()).any(|end| end == END) {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

struct Request {
    path: String,
    upgrades: bool,
    forwarded_for: Option<IpAddr>,
}

impl Request {
    fn parse(head: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).ok()?;
        let path = request.path?.split('?').next()?.to_owned();
        let named = |name: &'static str| {
            let headers = request.headers.iter();
            headers.filter(move |header| header.name.eq_ignore_ascii_case(name))
        };
        let upgrades = named("upgrade").any(|it| it.value.eq_ignore_ascii_case(b"websocket"));
        let forwarded_for = named("x-forwarded-for").next_back();
        Some(Self {
            path,
            upgrades: upgrades && request.method == Some("GET"),
            forwarded_for: forwarded_for.and_then(|it| real::forwarded_for(it.value)),
        })
    }
}

async fn answer(
    mut stream: Box<dyn Transport>,
    status: &str,
    body: &str,
) -> io::Result<Option<Web>> {
    let upgrade = if status.starts_with("426") {
        "Upgrade: websocket\r\n"
    } else {
        ""
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{upgrade}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(None)
}

/// A connection whose first bytes are to be read again.
pub(super) struct Rewound {
    head: Bytes,
    stream: Box<dyn Transport>,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.head.len().min(buf.remaining());
        buf.put_slice(self.head.get(..len).unwrap_or_default());
        self.head.advance(len);
        if self.head.is_empty() {
            self.head = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
