//! One connection over which two members of a group talk.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use peerway::{Connection, PeerId, RecvStream, SendStream};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, Receiver, Sender},
    },
    time::timeout,
};

use super::{Groups, Member, join::Guest};
use crate::{
    frame,
    group::{GroupId, Item, MAX_MESSAGE, Message, Opening, PostId, batches},
};

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a neighbour may take for one message.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(60);
/// Messages that wait for a neighbour, and their bytes. Who takes none of so many is let go.
const QUEUE: (usize, usize) = (4_096, 16 << 20);
/// Posts that are read from the store at once.
const READ: usize = 64;
/// Length of the longest opening.
const MAX_OPENING: usize = 256;

/// The program's own codes: there is nothing to talk about, and what came is none of this protocol's.
pub(super) const NO_GROUP: u32 = 1;
const NO_MESSAGE: u32 = 2;

/// What is to be done on a connection.
pub(super) enum Job {
    Say(Message),
    /// Send these posts.
    Serve(Vec<PostId>),
    End,
}

impl Job {
    fn len(&self) -> usize {
        match self {
            Self::Say(message) => message.len(),
            Self::Serve(posts) => size_of::<Self>() + posts.len() * size_of::<PostId>(),
            Self::End => size_of::<Self>(),
        }
    }
}

/// A job, and the room that it takes while it waits.
type Waiting = (Job, OwnedSemaphorePermit);

/// A connection that there is.
pub(super) struct Session {
    serial: u64,
    is_ours: bool,
    jobs: Sender<Waiting>,
    room: Arc<Semaphore>,
}

impl Session {
    fn new(serial: u64, is_ours: bool) -> (Self, Receiver<Waiting>) {
        let (jobs, to_do) = mpsc::channel(QUEUE.0);
        let session = Self {
            serial,
            is_ours,
            jobs,
            room: Arc::new(Semaphore::new(QUEUE.1)),
        };
        (session, to_do)
    }

    /// Whether there was room for it.
    fn queue(&self, job: Job) -> bool {
        let len = u32::try_from(job.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(len);
        room.is_ok_and(|room| self.jobs.try_send((job, room)).is_ok())
    }
}

impl Member {
    pub(super) fn queue(&mut self, peer: PeerId, job: Job) {
        if let Some(session) = self.sessions.get(&peer)
            && !session.queue(job)
        {
            // Its end is noticed, and told to the machine.
            self.sessions.remove(&peer);
        }
    }
}

impl Groups {
    /// Talks with members and lets in who shows an invite: a handler for a [`Router`](peerway::Router).
    pub async fn serve(self, connection: Connection) {
        let opened = async {
            let (send, mut recv) = connection.accept_bi().await.ok()?;
            let opening = frame::read::<Opening>(&mut recv, MAX_OPENING)
                .await
                .ok()??;
            Some((send, recv, opening))
        };
        let Ok(Some((send, recv, opening))) = timeout(PATIENCE, opened).await else {
            return connection.close(NO_MESSAGE, b"no message of this protocol");
        };
        match opening {
            Opening::Talk { group } => {
                self.converse(group, &connection, false, (send, recv)).await;
            }
            Opening::Join {
                group,
                invite,
                member,
                proof,
            } => {
                let Some(guest) = Guest::new(invite, member, proof) else {
                    return connection.close(NO_MESSAGE, b"not the id of a member or an invite");
                };
                self.let_in(&connection, group, guest, (send, recv)).await;
            }
        }
    }

    /// Talks until the connection ends; false if there was nothing to talk about.
    pub(super) async fn talk(&self, group: GroupId, connection: Connection, is_ours: bool) -> bool {
        let Ok(Ok((mut send, recv))) = timeout(PATIENCE, connection.open_bi()).await else {
            return false;
        };
        let opening = Opening::Talk { group };
        if frame::write(&mut send, &opening, MAX_OPENING)
            .await
            .is_err()
        {
            return false;
        }
        self.converse(group, &connection, is_ours, (send, recv))
            .await
    }

    async fn converse(
        &self,
        group: GroupId,
        connection: &Connection,
        is_ours: bool,
        (send, recv): (SendStream, RecvStream),
    ) -> bool {
        let peer = connection.peer();
        let Some((serial, jobs)) = self.enter(group, peer, is_ours) else {
            connection.close(NO_GROUP, b"nothing to talk about here");
            return false;
        };
        tokio::select! {
            () = self.write(group, send, jobs) => {}
            () = self.read(group, peer, recv) => {}
            _ = connection.closed() => {}
        }
        connection.close(0, b"the talk is over");
        self.part(group, peer, serial);
        true
    }

    /// The machine knows of it from now on. Of two connections to one member that which the smaller id dialled stays.
    fn enter(
        &self,
        group: GroupId,
        peer: PeerId,
        is_ours: bool,
    ) -> Option<(u64, Receiver<Waiting>)> {
        let is_preferred = |is_ours: bool| is_ours == (self.0.endpoint.id() < peer);
        let (serial, to_do) = {
            let mut live = self.live();
            live.serial += 1;
            let serial = live.serial;
            let member = live.groups.get_mut(&group).filter(|it| !it.is_removed)?;
            let known = member.sessions.get(&peer).map(|session| session.is_ours);
            if known.is_some_and(|known| is_preferred(known) && !is_preferred(is_ours)) {
                return None;
            }
            let (session, to_do) = Session::new(serial, is_ours);
            member.sessions.insert(peer, session);
            (serial, to_do)
        };
        self.change(group, |machine, now| machine.connected(peer, is_ours, now));
        Some((serial, to_do))
    }

    fn part(&self, group: GroupId, peer: PeerId, serial: u64) {
        let is_other = {
            let mut live = self.live();
            let Some(member) = live.groups.get_mut(&group) else {
                return;
            };
            let is_other = member
                .sessions
                .get(&peer)
                .is_some_and(|it| it.serial != serial);
            if !is_other {
                member.sessions.remove(&peer);
            }
            is_other
        };
        if !is_other {
            self.change(group, |machine, now| machine.disconnected(peer, now));
        }
    }

    async fn write(&self, group: GroupId, mut send: SendStream, mut jobs: Receiver<Waiting>) {
        while let Some((job, _room)) = jobs.recv().await {
            let said = match job {
                Job::Say(message) => say(&mut send, &message).await,
                Job::Serve(posts) => self.write_posts(group, &mut send, posts).await,
                Job::End => break,
            };
            if !said {
                return;
            }
        }
        let _ = send.finish();
        // What was said last is to be heard.
        let _ = timeout(PATIENCE, send.stopped()).await;
    }

    /// As fast as the other takes them, so that nothing waits in memory.
    async fn write_posts(&self, group: GroupId, send: &mut SendStream, posts: Vec<PostId>) -> bool {
        let mut posts = VecDeque::from(posts);
        while !posts.is_empty() {
            let some: Vec<_> = posts.drain(..READ.min(posts.len())).collect();
            let Ok(found) = self.read_posts(group, &some) else {
                return false;
            };
            for batch in batches(found.into_iter().map(Item::Post).collect()) {
                if !say(send, &Message::Items(batch)).await {
                    return false;
                }
            }
        }
        true
    }

    async fn read(&self, group: GroupId, peer: PeerId, mut recv: RecvStream) {
        while let Ok(Some(message)) = frame::read::<Message>(&mut recv, MAX_MESSAGE).await {
            let heard = self.change(group, |machine, now| machine.heard(peer, message, now));
            if heard.is_none() {
                return;
            }
        }
    }
}

/// Whether it was taken in time.
async fn say(send: &mut SendStream, message: &Message) -> bool {
    let said = frame::write(send, message, MAX_MESSAGE);
    matches!(timeout(MESSAGE_PATIENCE, said).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_nothing_has_so_many_bytes_wait_and_room_again_for_what_it_takes() {
        let (session, mut to_do) = Session::new(1, true);
        let job = || Job::Say(Message::Have(Vec::new()));
        let large = || Job::Serve(vec![PostId([1; 32]); 1 << 15]);
        let queued = (0..QUEUE.0).take_while(|_| session.queue(large())).count();
        assert_eq!(queued, QUEUE.1 / large().len());
        drop(to_do.try_recv().unwrap());
        assert!(session.queue(large()) && !session.queue(large()));
        while to_do.try_recv().is_ok() {}
        let queued = (0..=QUEUE.0).take_while(|_| session.queue(job())).count();
        assert_eq!(queued, QUEUE.0, "however short");
    }
}
