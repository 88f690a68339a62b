//! A relay that is dialled by one carrier while the registration is by the other.

use futures_util::future::BoxFuture;

use super::{
    Place, RelayError,
    session::{Connected, Dialer},
};
use crate::{Carrier, RelayUrl};

/// The relay being dialled by the carrier that the registration is not over.
#[derive(Default)]
pub(super) struct Other(Option<BoxFuture<'static, Result<Connected, RelayError>>>);

impl Other {
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn begin(
        &mut self,
        dialer: &Dialer,
        place: Option<Place>,
        url: &RelayUrl,
        over: Option<Carrier>,
    ) {
        let (dialer, url) = (dialer.clone(), url.clone());
        self.0 = place.map(|place| -> BoxFuture<'static, _> {
            if over == Some(Carrier::Udp) {
                Box::pin(async move { dialer.by_tcp(place, &url).await })
            } else {
                Box::pin(async move { dialer.by_udp(place, &url).await })
            }
        });
    }

    pub(super) fn give_up(&mut self) {
        self.0 = None;
    }

    /// What came of it; never if it is not on.
    pub(super) async fn done(&mut self) -> Result<Connected, RelayError> {
        let Some(dialling) = &mut self.0 else {
            return std::future::pending().await;
        };
        let done = dialling.await;
        self.0 = None;
        done
    }
}
