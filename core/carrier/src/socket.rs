//! What the kernel is told about a TCP connection that carries datagrams.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// An idle connection is asked for after this long, below what NATs allow, and then so often.
const KEEPALIVE: Duration = Duration::from_secs(25);
const KEEPALIVE_RETRY: Duration = Duration::from_secs(5);
/// What was sent is acknowledged within this time, or the connection is broken.
#[cfg(target_os = "linux")]
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Bytes that the kernel may hold unsent of a carrier. On a full line of 20 Mbit/s and 80 ms a datagram is 46 ms old on arrival
/// with this much, and a second without a limit.
pub const UNSENT: u32 = 16 * 1024;

/// Has small messages leave at once, no more than `unsent` bytes wait in the kernel (where it can be told so), and a broken
/// connection noticed.
///
/// # Errors
/// The system's.
pub fn prepare(tcp: &TcpStream, unsent: u32) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_RETRY);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(ACKNOWLEDGED))?;
        socket.set_tcp_notsent_lowat(unsent)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unsent;
    Ok(())
}
