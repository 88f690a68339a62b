//! What an origin answers to a path that nobody vouches for, as it comes.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, header},
    response::Response,
};
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    index::escaped,
    origin::{OriginError, OriginUrl, PATIENCE, dial},
    reply,
};

/// What is passed on of a request.
const ASKED: [header::HeaderName; 5] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::ACCEPT,
];
/// What is passed on of an answer.
const TOLD: [header::HeaderName; 10] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::LOCATION,
];

/// A request that is passed on.
pub(super) struct Passed<'a> {
    /// Of the readers, until all was read.
    pub(super) seat: OwnedSemaphorePermit,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
}

/// What is left of an answer, as long as it keeps coming.
fn coming(body: Incoming, seat: OwnedSemaphorePermit) -> Body {
    Body::from_stream(stream::try_unfold((body, seat), |(mut body, seat)| async {
        loop {
            let frame = timeout(PATIENCE, body.frame()).await;
            let Some(frame) = frame.map_err(|_| OriginError::Slow)? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| OriginError::Cut(error.to_string()))?;
            if let Ok(data) = frame.into_data() {
                return Ok::<_, OriginError>(Some((data, (body, seat))));
            }
        }
    }))
}

pub(super) async fn pass(url: &OriginUrl, passed: Passed<'_>) -> Result<Response, OriginError> {
    let cut = |error: hyper::Error| OriginError::Cut(error.to_string());
    let stream = TokioIo::new(dial(url).await?);
    let (mut sender, connection) = http1::handshake(stream).await.map_err(cut)?;
    let mut target = format!("{}/{}", url.path, escaped(passed.path));
    if let Some(query) = passed.query {
        target += &format!("?{query}");
    }
    let mut request = Request::builder()
        .method(passed.method)
        .uri(target)
        .header(header::HOST, url.authority())
        .header(header::ACCEPT_ENCODING, "identity");
    for name in ASKED {
        if let Some(value) = passed.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| OriginError::Unreached(error.to_string()))?;
    #[expect(clippy::disallowed_methods, reason = "it ends with the answer")]
    tokio::spawn(async move {
        // Whoever reads the answer is told the same.
        let _ = connection.await;
    });
    let answer = timeout(PATIENCE, sender.send_request(request)).await;
    let (head, body) = answer
        .map_err(|_| OriginError::Slow)?
        .map_err(cut)?
        .into_parts();
    let mut response = Response::new(coming(body, passed.seat));
    *response.status_mut() = head.status;
    for name in TOLD {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let media = head.headers.get(header::CONTENT_TYPE);
    let media = media.and_then(|it| it.to_str().ok()).unwrap_or("html");
    reply::guard(media, &mut response);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}
