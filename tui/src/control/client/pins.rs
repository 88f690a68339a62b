//! What the node keeps.

use http_body_util::Empty;
use hyper::{
    HeaderMap, Method, Request, Response,
    body::{Bytes, Incoming},
    header,
};
use serde::Deserialize;

use super::{Client, Telling, Way, at, collect, files::escaped, read, refused, to_json};
use crate::{
    control::{ControlError, GcAsk, GetStep, PinAsk, V1},
    gateway::origin::{self, OriginUrl},
    pins::{Freed, PinLine, PinLines},
};

/// What readers say of what they want.
const PASSED_ON: [header::HeaderName; 5] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::ACCEPT,
];

impl Client {
    /// What is kept.
    pub(crate) async fn pins(&self) -> Result<PinLines, ControlError> {
        self.get("/pins").await
    }

    /// Has the node fetch something and keep it; the fetching ends when nobody listens to the steps any more.
    pub(crate) async fn pin(&self, ask: &PinAsk) -> Result<Telling<GetStep>, ControlError> {
        let answer = self.send(Method::POST, "/pins", to_json(ask)?).await?;
        Ok(self.each(refused(answer).await?))
    }

    /// What the node answers a reader of content, as it comes; `path` is what is read, below the version, with what follows it.
    pub(crate) async fn read_content(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        origin: Option<&OriginUrl>,
    ) -> Result<Response<Incoming>, ControlError> {
        let (Way::Here(place) | Way::Through { place, .. }) = &self.way else {
            let reason = "what is shared on a computer is read on that computer alone";
            return Err(ControlError::Refused(reason.to_owned()));
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{V1}{path}"))
            .header(header::HOST, "peerway");
        for name in PASSED_ON {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        if let Some(origin) = origin {
            request = request.header(origin::ASK, origin.to_string());
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| ControlError::Refused(error.to_string()))?;
        at(place, request).await
    }

    /// Has the node keep something no more.
    pub(crate) async fn unpin(&self, which: &str) -> Result<Vec<PinLine>, ControlError> {
        let path = format!("/pins/{}", escaped(which));
        let answer = self.ask(Method::DELETE, &path, String::new()).await?;
        self.answer_of(answer).await
    }

    /// Has the node free what it need not keep, which may take its time.
    pub(crate) async fn gc(&self, ask: GcAsk) -> Result<Freed, ControlError> {
        let answer = self.ask(Method::POST, "/gc", to_json(&ask)?).await?;
        self.answer_of(answer).await
    }

    async fn answer_of<T: for<'a> Deserialize<'a>>(
        &self,
        answer: Response<Incoming>,
    ) -> Result<T, ControlError> {
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }
}
