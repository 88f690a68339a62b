//! What the node does as long as who asks listens.

use hyper::Method;

use super::{Client, Telling, to_json};
#[cfg(all(feature = "subnet", target_os = "linux"))]
use crate::linking::{self, LinkAsk};
use crate::{
    control::ControlError,
    forwarding::{self, ForwardAsk},
    proxying::{self, ProxyAsk},
    servers::{self, ExposeAsk},
};

impl Client {
    /// Has the node lead a local address to a service of a peer, until nobody listens to the steps any more.
    pub(crate) async fn forward(
        &self,
        ask: &ForwardAsk,
    ) -> Result<Telling<forwarding::Step>, ControlError> {
        let answer = self.send(Method::POST, "/forward", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// Has the node let peers reach servers, until nobody listens to the steps any more.
    pub(crate) async fn expose(
        &self,
        ask: &ExposeAsk,
    ) -> Result<Telling<servers::Step>, ControlError> {
        let answer = self.send(Method::POST, "/expose", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// Has the node lead programs to services of peers, until nobody listens to the steps any more.
    pub(crate) async fn proxy(
        &self,
        ask: &ProxyAsk,
    ) -> Result<Telling<proxying::Step>, ControlError> {
        let answer = self.send(Method::POST, "/proxy", to_json(ask)?).await?;
        self.steps(answer).await
    }

    /// Has the node link networks, until nobody listens to the steps any more.
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    pub(crate) async fn link(&self, ask: &LinkAsk) -> Result<Telling<linking::Step>, ControlError> {
        let answer = self.send(Method::POST, "/link", to_json(ask)?).await?;
        self.steps(answer).await
    }
}
