//! What peers have.

use hyper::Method;

use super::{Client, ControlError, Telling, collect, read, refused, to_json};
use crate::searches::{BrowseAsk, BrowsePage, SearchAsk, SearchStep};

impl Client {
    /// Has the node search, which ends when nobody listens to the steps any more.
    pub(crate) async fn search(
        &self,
        ask: &SearchAsk,
    ) -> Result<Telling<SearchStep>, ControlError> {
        let answer = self.send(Method::POST, "/search", to_json(ask)?).await?;
        Ok(self.each(refused(answer).await?))
    }

    /// A page of what a peer has.
    pub(crate) async fn browse(&self, ask: &BrowseAsk) -> Result<BrowsePage, ControlError> {
        let answer = self.ask(Method::POST, "/browse", to_json(ask)?).await?;
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }
}
