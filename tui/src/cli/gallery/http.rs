//! Asks a gateway as browsers and players do.

use std::{fmt::Display, net::SocketAddr, ops::Range, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{HOST, RANGE},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use super::error::GalleryError;

/// What a gateway answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// How long the first byte of it was waited for.
    pub(super) first: Duration,
}

/// Reads what is at a path, or some bytes of it.
pub(super) async fn get(
    gateway: SocketAddr,
    path: &str,
    bytes: Option<Range<u64>>,
) -> Result<Answer, GalleryError> {
    let asked = Instant::now();
    let stream = TcpStream::connect(gateway).await.map_err(failed)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(failed)?;
    let mut request = Request::get(path).header(HOST, gateway.to_string());
    if let Some(bytes) = bytes {
        request = request.header(RANGE, format!("bytes={}-{}", bytes.start, bytes.end - 1));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(failed)?;
    let asking = async {
        let mut response = sender.send_request(request).await.map_err(failed)?;
        let mut answer = Answer {
            status: response.status(),
            body: Vec::new(),
            first: Duration::ZERO,
        };
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame.map_err(failed)?.into_data() else {
                continue;
            };
            if answer.body.is_empty() {
                answer.first = asked.elapsed();
            }
            answer.body.extend_from_slice(&data);
        }
        Ok(answer)
    };
    let ended = async {
        // Whoever reads the answer is told the same.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = asking => answer,
        never = ended => never,
    }
}

fn failed(error: impl Display) -> GalleryError {
    GalleryError::Http(error.to_string())
}
