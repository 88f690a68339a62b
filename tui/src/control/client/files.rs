//! What the node sends and receives for who asks.

use std::io;

use futures_util::{Stream, TryStreamExt};
use http_body_util::StreamBody;
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::HOST,
};
use peerway::Ticket;
use serde::de::DeserializeOwned;

use super::{Client, Telling, Way, at, collect, read, refused, server, to_json};
use crate::{
    control::{ControlError, V1},
    pairing::{self, PairAsk},
    transfers::{Answer, Order, ReceiveAsk, SendAsk, Step, Transfers},
};

impl Client {
    /// Has the node send files, which it looks at first: that may take its time. It ends when nobody listens to the steps any more.
    pub(crate) async fn send_files(&self, ask: &SendAsk) -> Result<Telling<Step>, ControlError> {
        let answer = self.ask(Method::POST, "/send", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// Has the node send what comes out of a stream. It ends when nobody listens to the steps any more.
    pub(crate) async fn send_stream<S>(
        &self,
        to: &Ticket,
        name: &str,
        stream: S,
    ) -> Result<Telling<Step>, ControlError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let (Way::Here(place) | Way::Through { place, .. }) = &self.way else {
            let reason = "what one computer reads is sent by its own node";
            return Err(ControlError::Refused(reason.to_owned()));
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{V1}/send/{to}/{}", escaped(name)))
            .header(HOST, "peerway")
            .body(StreamBody::new(stream.map_ok(Frame::data)));
        let request = request.map_err(|error| ControlError::Refused(error.to_string()))?;
        self.steps(at(place, request).await?).await
    }

    /// Has the node pair, until nobody listens to the steps any more.
    pub(crate) async fn pair(&self, ask: &PairAsk) -> Result<Telling<pairing::Step>, ControlError> {
        let answer = self.send(Method::POST, "/pair", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// Has the node receive, until nobody listens to the steps any more.
    pub(crate) async fn receive(&self, ask: &ReceiveAsk) -> Result<Telling<Step>, ControlError> {
        let answer = self.send(Method::POST, "/receive", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// What came and went since the node began; none of an older node, and of another computer's.
    pub(crate) async fn transfers(&self) -> Result<Option<Transfers>, ControlError> {
        let answer = self.send(Method::GET, "/transfers", String::new()).await?;
        if [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&answer.status()) {
            return Ok(None);
        }
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?).map(Some)
    }

    /// Pauses, resumes or cancels a transfer.
    pub(crate) async fn order(&self, transfer: u64, order: Order) -> Result<(), ControlError> {
        let word = order.word();
        self.post(&format!("/transfers/{transfer}/{word}")).await
    }

    /// Says whether an offer is taken; false if it does not wait for that any more.
    pub(crate) async fn answer(&self, transfer: u64, take: bool) -> Result<bool, ControlError> {
        let path = format!("/receive/{transfer}");
        let answer = to_json(&Answer { take })?;
        let answer = self.send(Method::POST, &path, answer).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        refused(answer).await.map(|_| true)
    }

    pub(super) async fn steps<T: DeserializeOwned + Send + 'static>(
        &self,
        answer: hyper::Response<Incoming>,
    ) -> Result<Telling<T>, ControlError> {
        if answer.status() == StatusCode::NOT_FOUND {
            let server = server(&answer);
            return Err(ControlError::Older { server });
        }
        Ok(self.each(refused(answer).await?))
    }
}

/// As a part of a path (RFC 3986 section 2.1).
pub(super) fn escaped(name: &str) -> String {
    let each = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}
