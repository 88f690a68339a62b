//! Sends lane datagrams that waited, when their rates allow.

use std::{ops::ControlFlow, sync::Arc};

use quinn_udp::Transmit;
use tokio::task::yield_now;

use crate::{
    hub::{Hub, at, now},
    port::Ports,
    server::{ClientPath, Datagrams, Due},
};

/// Turns in a row before other tasks get theirs.
const ROUNDS: usize = 64;

/// Serves for ever.
pub(crate) async fn serve(hub: Arc<Hub>, ports: Arc<Ports>) {
    loop {
        let turns = hub.contain("a lane datagram that waited", || send_due(&hub, &ports));
        match turns {
            Some(ControlFlow::Break(next)) => tokio::select! {
                () = hub.lane_hastened() => {}
                () = at(next) => {}
            },
            Some(ControlFlow::Continue(())) | None => yield_now().await,
        }
    }
}

/// Sends what is due; breaks with the time at which more is.
fn send_due(hub: &Hub, ports: &Ports) -> ControlFlow<Option<std::time::Instant>> {
    for _ in 0..ROUNDS {
        let due = hub.lock().poll_lane(now().instant);
        match due {
            Due::Now(to, datagrams) => send(ports, to, &datagrams),
            Due::At(time) => return ControlFlow::Break(Some(time)),
            Due::Nothing => return ControlFlow::Break(None),
        }
    }
    ControlFlow::Continue(())
}

fn send(ports: &Ports, to: ClientPath, datagrams: &Datagrams) {
    let Datagrams { ecn, stride, bytes } = datagrams;
    ports.send(&Transmit {
        destination: to.remote,
        ecn: *ecn,
        contents: bytes,
        segment_size: (bytes.len() > *stride).then_some(*stride),
        src_ip: to.local,
    });
}
