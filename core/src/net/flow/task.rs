//! What goes on in a connection that has streams: it takes the peer's, and the credit of both goes to and fro.

use std::{convert::Infallible, future::pending, sync::Arc};

use quinn::{ConnectionError, ReadExactError, StreamId, VarInt, WriteError};

use super::{Flow, Limit};
use crate::wire::credit::{self, Credit};

/// Credit goes before all data.
const PRIORITY: i32 = i32::MAX;

impl Flow {
    /// Runs the task, if it does not run yet.
    pub(super) fn start(self: &Arc<Self>) {
        let Some(control) = self.lock().control.take() else {
            return;
        };
        let flow = self.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "one task for each connection that has streams, which ends with it"
        )]
        tokio::spawn(async move {
            let Err(error) =
                tokio::try_join!(flow.take_bi(), flow.take_uni(), flow.tell_credit(control));
            flow.end(error);
        });
    }

    fn end(&self, error: ConnectionError) {
        let mut state = self.lock();
        state.ended = Some(error);
        self.change(&mut state, |inbound, budget| inbound.end(budget));
        drop(state);
        self.opened_bi.notify_waiters();
        self.opened_uni.notify_waiters();
    }

    async fn take_bi(&self) -> Result<Infallible, ConnectionError> {
        loop {
            let (send, recv) = self.quic.accept_bi().await?;
            let mut state = self.lock();
            let both = (state.sends(send), self.receives(&mut state, recv));
            state.bi.push_back(both);
            self.opened_bi.notify_one();
        }
    }

    async fn take_uni(&self) -> Result<Infallible, ConnectionError> {
        // quinn gives streams in their order, and the first is the peer's credit.
        let control = self.quic.accept_uni().await?;
        tokio::try_join!(self.take_further_uni(), self.hear_credit(control)).map(|(never, _)| never)
    }

    async fn take_further_uni(&self) -> Result<Infallible, ConnectionError> {
        loop {
            let recv = self.quic.accept_uni().await?;
            let mut state = self.lock();
            let recv = self.receives(&mut state, recv);
            state.uni.push_back(recv);
            self.opened_uni.notify_one();
        }
    }

    async fn hear_credit(
        &self,
        mut control: quinn::RecvStream,
    ) -> Result<Infallible, ConnectionError> {
        let mut bytes = [0; credit::LEN];
        loop {
            match control.read_exact(&mut bytes).await {
                Ok(()) => {}
                Err(ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error))) => {
                    return Err(error);
                }
                // A peer that gives no credit any more gets nothing more than that.
                Err(ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_)) => {
                    return pending().await;
                }
            }
            if let Ok(credit) = Credit::parse(&bytes) {
                self.hear(credit);
            }
        }
    }

    pub(super) fn hear(&self, credit: Credit) {
        let Ok(stream) = VarInt::from_u64(credit.stream) else {
            return;
        };
        // Of a stream that we do not send on, or not any more, it says nothing.
        let limit: Option<Arc<Limit>> = self.lock().credits.get(&StreamId::from(stream)).cloned();
        if let Some(limit) = limit {
            limit.raise(credit.offset);
        }
    }

    async fn tell_credit(
        &self,
        control: Option<quinn::SendStream>,
    ) -> Result<Infallible, ConnectionError> {
        let Some(mut control) = control else {
            return pending().await;
        };
        let _ = control.set_priority(PRIORITY);
        let mut bytes = Vec::new();
        loop {
            self.granted.notified().await;
            bytes.clear();
            for (stream, offset) in std::mem::take(&mut self.lock().grants) {
                Credit::new(VarInt::from(stream).into_inner(), offset).emit(&mut bytes);
            }
            match control.write_all(&bytes).await {
                Ok(()) => {}
                Err(WriteError::ConnectionLost(error)) => return Err(error),
                Err(
                    WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected,
                ) => return pending().await,
            }
        }
    }
}
