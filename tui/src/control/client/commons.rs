//! What the node has in common with others.

use futures_util::{StreamExt, stream};

use super::{Client, Telling};
use crate::{
    commons::{Commons, CommonsChange},
    control::ControlError,
};

impl Client {
    /// All of it as it is now.
    ///
    /// # Errors
    /// As [`ControlError`] says.
    pub async fn commons(&self) -> Result<Commons, ControlError> {
        self.get("/commons").await
    }

    /// The same, and again each time that something of it has changed.
    pub(crate) async fn watch_commons(&self) -> Result<Telling<Commons>, ControlError> {
        let changes = self.each::<CommonsChange>(self.listen("/commons/changes").await?);
        let begin = (changes, Commons::default());
        let told = stream::unfold(begin, |(mut changes, mut held)| async move {
            let told = match changes.next().await? {
                Ok(change) => {
                    held.apply(change);
                    Ok(held.clone())
                }
                Err(error) => Err(error),
            };
            Some((told, (changes, held)))
        });
        Ok(Box::pin(told))
    }
}
