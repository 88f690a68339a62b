//! Streams as programs use them: [`SendStream`] and [`RecvStream`].

mod recv;
mod send;

pub use recv::RecvStream;
pub use send::SendStream;
