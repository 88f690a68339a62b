//! The groups that the node has joined.

use std::time::Duration;

use hyper::Method;
use peerway::PeerId;
use peerway_swarm::{
    group::Role,
    groups::{GroupView, PostView},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Client, ControlError, Telling, collect, read, refused};

/// Three members may be asked one after the other, for 40 s each, after doors that others came by, and then the group's key may take 15 s.
const JOIN_PATIENCE: Duration = Duration::from_secs(170);

impl Client {
    /// All groups that the node has joined.
    ///
    /// # Errors
    /// As [`ControlError`] says; so of all that follows.
    pub async fn groups(&self) -> Result<Vec<GroupView>, ControlError> {
        self.get("/groups").await
    }

    /// One of them, by its name or the beginning of its id.
    pub async fn group(&self, name: &str) -> Result<GroupView, ControlError> {
        self.get(&format!("/groups/{}", escape(name))).await
    }

    /// Has the node make a group.
    pub async fn create_group(&self, name: &str) -> Result<GroupView, ControlError> {
        self.tell("/groups", json!({ "name": name })).await
    }

    /// Has the node join one, by an invite.
    pub async fn join_group(&self, invite: &str) -> Result<GroupView, ControlError> {
        let body = json!({ "invite": invite }).to_string();
        let asked = timeout(JOIN_PATIENCE, self.ask(Method::POST, "/groups/join", body)).await;
        let (server, body) = refused(asked.map_err(|_| ControlError::Silent)??).await?;
        read(&server, &collect(body).await?)
    }

    /// An invite into a group.
    pub async fn invite_to_group(
        &self,
        name: &str,
        role: Role,
        uses: u32,
        expires: Duration,
    ) -> Result<String, ControlError> {
        let body = json!({ "role": role, "uses": uses, "expires_s": expires.as_secs() });
        let path = format!("/groups/{}/invites", escape(name));
        let Invited { invite } = self.tell(&path, body).await?;
        Ok(invite)
    }

    /// Makes somebody a member, or changes what a member may do.
    pub async fn add_to_group(
        &self,
        name: &str,
        member: PeerId,
        role: Role,
    ) -> Result<GroupView, ControlError> {
        let path = format!("/groups/{}/members", escape(name));
        self.tell(&path, json!({ "member": member, "role": role }))
            .await
    }

    /// Ends a membership.
    pub async fn remove_from_group(
        &self,
        name: &str,
        member: PeerId,
    ) -> Result<GroupView, ControlError> {
        let path = format!("/groups/{}/remove", escape(name));
        self.tell(&path, json!({ "member": member })).await
    }

    /// Has the node leave a group.
    pub async fn leave_group(&self, name: &str) -> Result<(), ControlError> {
        let path = format!("/groups/{}", escape(name));
        let answer = self.send(Method::DELETE, &path, String::new()).await?;
        refused(answer).await.map(drop)
    }

    /// Posts a text, as the answer to the post whose id begins so, if any; the post's id.
    pub async fn post_in_group(
        &self,
        name: &str,
        text: &str,
        reply_to: Option<&str>,
    ) -> Result<String, ControlError> {
        let path = format!("/groups/{}/posts", escape(name));
        let mut body = json!({ "text": text });
        if let Some(reply_to) = reply_to {
            // One of an older version refuses what it does not know.
            body["reply_to"] = json!(reply_to);
        }
        let Posted { id } = self.tell(&path, body).await?;
        Ok(id)
    }

    /// The last posts, oldest first.
    pub async fn posts(&self, name: &str, last: usize) -> Result<Vec<PostView>, ControlError> {
        self.get(&format!("/groups/{}/posts?last={last}", escape(name)))
            .await
    }

    /// What was posted so far counts as read.
    pub async fn have_read(&self, name: &str) -> Result<(), ControlError> {
        self.post(&format!("/groups/{}/read", escape(name))).await
    }

    /// Each post from now on.
    pub async fn follow_group(&self, name: &str) -> Result<Telling<PostView>, ControlError> {
        let path = format!("/groups/{}/follow", escape(name));
        Ok(self.each(self.listen(&path).await?))
    }

    async fn tell<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, ControlError> {
        let answer = self.send(Method::POST, path, body.to_string()).await?;
        let (server, body) = refused(answer).await?;
        read(&server, &collect(body).await?)
    }
}

/// A name as part of a path (RFC 3986 section 2.1).
fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[derive(Deserialize)]
struct Invited {
    invite: String,
}

#[derive(Deserialize)]
struct Posted {
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        assert_eq!(escape("home-1"), "home-1");
        assert_eq!(escape("a/b ?é"), "a%2Fb%20%3F%C3%A9");
    }
}
