//! What the node keeps.

use hyper::Method;
use serde::Deserialize;

use super::{Client, Telling, collect, each, files::escaped, read, refused, to_json};
use crate::{
    control::{ControlError, GcAsk, GetStep, PinAsk},
    pins::{Freed, PinLine, PinLines},
};

impl Client {
    /// What is kept.
    pub(crate) async fn pins(&self) -> Result<PinLines, ControlError> {
        self.get("/pins").await
    }

    /// Has the node fetch something and keep it; the fetching ends when nobody listens to the steps any more.
    pub(crate) async fn pin(&self, ask: &PinAsk) -> Result<Telling<GetStep>, ControlError> {
        let answer = self.send(Method::POST, "/pins", to_json(ask)?).await?;
        let (server, body) = refused(answer).await?;
        Ok(each(server, body))
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
        answer: hyper::Response<hyper::body::Incoming>,
    ) -> Result<T, ControlError> {
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }
}
