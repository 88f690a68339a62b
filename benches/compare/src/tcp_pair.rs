//! The kernel's TCP with a congestion control of its own choice.

use std::net::SocketAddr;

use peerway::RelayUrl;
use peerway_benches::{
    Ends, Failure,
    loss::{Connecting, Contestant, Flow},
};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// TCP, known by its congestion control.
pub(crate) struct KernelTcp(&'static str);

impl KernelTcp {
    /// BBR v1, as the kernel has it.
    pub(crate) const BBR: Self = Self("bbr");
    pub(crate) const CUBIC: Self = Self("cubic");
}

impl Contestant for KernelTcp {
    fn name(&self) -> &'static str {
        self.0
    }

    fn connect<'a>(&'a self, ends: &'a Ends, _: &'a RelayUrl) -> Connecting<'a> {
        let control = self.0;
        Box::pin(async move {
            let addr = SocketAddr::new(ends.receiving.addr, 0);
            let listener = ends.receiving.spawn(TcpListener::bind(addr)).await??;
            let target = listener.local_addr()?;
            let dialling = ends.sending.spawn(dial(target, control));
            let accepting = ends.receiving.spawn(async move { listener.accept().await });
            let sender = dialling.await??;
            let (receiver, _) = accepting.await??;
            Ok(Flow {
                senders: vec![Box::new(sender)],
                receivers: vec![Box::new(receiver)],
                // The streams are the connection.
                close: Box::pin(async {}),
            })
        })
    }
}

async fn dial(target: SocketAddr, control: &str) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    SockRef::from(&socket).set_tcp_congestion(control.as_bytes())?;
    Ok(socket.connect(target).await?)
}
