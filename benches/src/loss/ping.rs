//! Small datagrams beside the bulk: how long its queue makes everybody else wait.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{Ends, Failure};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks all the time, from the sending end to the receiving end and back.
pub(super) struct Pinging {
    times: Arc<Mutex<Vec<(Instant, Duration)>>>,
    tasks: [JoinHandle<Result<(), Failure>>; 3],
}

impl Pinging {
    pub(super) async fn start(ends: &Ends) -> Result<Self, Failure> {
        let (near, far) = (ends.sending.addr, ends.receiving.addr);
        let far = ends.receiving.spawn(UdpSocket::bind((far, 0))).await??;
        let near = ends.sending.spawn(UdpSocket::bind((near, 0))).await??;
        let near = Arc::new(near);
        let times = Arc::default();
        let (target, start) = (far.local_addr()?, Instant::now());
        let tasks = [
            ends.receiving.spawn(answer(far)),
            ends.sending.spawn(ask(near.clone(), target, start)),
            ends.sending.spawn(listen(near, start, Arc::clone(&times))),
        ];
        Ok(Self { times, tasks })
    }

    /// Round trips of what was answered from `since` on.
    pub(super) fn stop(self, since: Instant) -> Vec<Duration> {
        for task in &self.tasks {
            task.abort();
        }
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let late = times.iter().filter(|(at, _)| *at >= since);
        late.map(|(_, time)| *time).collect()
    }
}

async fn answer(socket: UdpSocket) -> Result<(), Failure> {
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..length], from).await?;
    }
}

/// A question says when it was asked, in microseconds since `start`.
async fn ask(socket: Arc<UdpSocket>, target: SocketAddr, start: Instant) -> Result<(), Failure> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let asked = start.elapsed().as_micros() as u64;
        socket.send_to(&asked.to_be_bytes(), target).await?;
    }
}

async fn listen(
    socket: Arc<UdpSocket>,
    start: Instant,
    times: Arc<Mutex<Vec<(Instant, Duration)>>>,
) -> Result<(), Failure> {
    let mut asked = [0; 8];
    loop {
        socket.recv_from(&mut asked).await?;
        let now = Instant::now();
        let asked = start + Duration::from_micros(u64::from_be_bytes(asked));
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((now, now.saturating_duration_since(asked)));
    }
}
