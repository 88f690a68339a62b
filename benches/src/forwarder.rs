//! The yardstick of a relay: batches in, batches out, and nothing decided.

use std::{
    io::IoSliceMut,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;

use crate::Failure;

/// Longest batch of datagrams that the kernel may hand over as one.
const BUFFER: usize = 1 << 16;
const SOCKET_BUFFER: usize = 4 << 20;

/// Passes what comes from `to` on to whoever spoke last besides, and all else to `to`. Prints the address of its port.
pub(crate) async fn run(to: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let state = UdpSocketState::new((&socket).into())?;
    let buffers = SockRef::from(&socket);
    buffers.set_recv_buffer_size(SOCKET_BUFFER)?;
    buffers.set_send_buffer_size(SOCKET_BUFFER)?;
    println!("{}", socket.local_addr()?);
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; BUFFER];
    let mut from = to;
    loop {
        socket.readable().await?;
        let mut metas = [RecvMeta::default()];
        let received = socket.try_io(Interest::READABLE, || {
            let mut buffers = [IoSliceMut::new(&mut buffer)];
            state.recv((&socket).into(), &mut buffers, &mut metas)
        });
        let [meta] = metas;
        if received.is_err() {
            continue;
        }
        let destination = if meta.addr == to { from } else { to };
        if meta.addr != to {
            from = meta.addr;
        }
        let transmit = Transmit {
            destination,
            ecn: meta.ecn,
            contents: &buffer[..meta.len],
            segment_size: (meta.len > meta.stride).then_some(meta.stride),
            src_ip: None,
        };
        // What the kernel has no room for is lost, as at a relay.
        let _ = state.try_send((&socket).into(), &transmit);
    }
}
