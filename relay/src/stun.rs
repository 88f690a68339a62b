//! STUN requests and their answers, on either port.

use std::{
    future::poll_fn,
    io::IoSliceMut,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use peerway_proto::wire::datagram::DatagramKind;
use quinn_udp::{RecvMeta, Transmit};

use crate::{
    faults,
    hub::{Hub, now},
    port::{Port, Ports},
};

/// Longest batch of requests that the kernel may hand over at once.
const BUFFER: usize = 1 << 16;

/// Answers a request that came to `this` port; what is no Binding request gets no answer.
pub(crate) fn answer(hub: &Hub, [this, other]: [&Port; 2], meta: &RecvMeta, request: &[u8]) {
    if !hub.lock().takes_stun(now().instant, meta.addr) {
        return;
    }
    let announced = announced(other, meta.dst_ip);
    let Some(answer) = peerway_proto::stun::answer(request, meta.addr, announced) else {
        return;
    };
    let port = if answer.from_other_port { other } else { this };
    port.send(&Transmit {
        destination: meta.addr,
        ecn: None,
        contents: &answer.bytes,
        segment_size: None,
        src_ip: meta.dst_ip,
    });
}

/// Serves the port that takes nothing but STUN, as long as the runtime does.
pub(crate) async fn serve(hub: Arc<Hub>, ports: Arc<Ports>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut metas = [RecvMeta::default()];
        let received = poll_fn(|cx| {
            let mut bufs = [IoSliceMut::new(&mut buffer)];
            ports.stun.poll_recv(cx, &mut bufs, &mut metas)
        })
        .await;
        let [meta] = metas;
        match received {
            Ok(1) => {}
            Ok(_) => continue,
            Err(_) => return,
        }
        let datagrams = buffer.get(..meta.len).unwrap_or_default();
        for request in datagrams.chunks(meta.stride.max(1)) {
            hub.contain("a STUN request", || {
                faults::trip(request);
                if DatagramKind::of(request) == Some(DatagramKind::Stun) {
                    answer(&hub, [&ports.stun, &ports.main], &meta, request);
                }
            });
        }
    }
}

/// The other port at the address the client already talks to.
fn announced(other: &Port, local: Option<IpAddr>) -> Option<SocketAddr> {
    let addr = other.local_addr().ok()?;
    let ip = if addr.ip().is_unspecified() {
        local?
    } else {
        addr.ip()
    };
    Some(SocketAddr::new(ip.to_canonical(), addr.port()))
}
