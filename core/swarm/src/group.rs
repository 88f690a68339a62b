//! Groups that organise themselves: who belongs to one is said by a log that all members hold, signed by those who may.
//!
//! Nobody has to be there for anybody else. A group is named by the hash of the op that founded it; what its members know they tell each
//! other, and the same ops give the same [`State`] to all, in whatever order they came.

mod card;
mod door;
mod fold;
mod invite;
mod kept;
mod log;
mod machine;
mod message;
mod notice;
mod op;
mod post;
mod reconcile;
mod signature;

pub use card::Card;
pub use door::{DOORS, door};
pub use fold::{Former, Invite, MAX_MEMBERS, Member, State};
pub use invite::{GroupInvite, MAX_TICKETS, ParseGroupInviteError};
pub use kept::{KEPT_BYTES, KEPT_MS, KEPT_POSTS, Kept};
pub use log::{Inserted, Log, MAX_OPS, MAX_OPS_OF_ONE, OpError};
pub(crate) use machine::batches;
pub use machine::{
    Advertised, Event, Known, Machine, Now, Output, OwnOp, PostError, Record, RedeemError, Signer,
};
pub use message::{Bye, Digest, Holdings, Item, Joined, MAX_MESSAGE, Message, Opening, Short};
pub use notice::Notice;
pub(crate) use op::is_shown;
pub use op::{
    Body, Commitment, GroupId, MAX_NAME, MAX_OP, MAX_USES, Op, OpId, ParseGroupIdError, Role,
    is_name,
};
pub use post::{EpochKey, MAX_POST, MAX_TEXT, Post, PostId, PostLengthError};
pub use reconcile::Set;
pub use signature::Signature;
pub(crate) use signature::id_bytes;
