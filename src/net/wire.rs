//! [`Wire`]: one leg's socket, in the clear or TLS, upgraded in place.
//!
//! Takes a connected socket; gives poll functions that say nothing of which kind it is. Must not know XMPP.

use super::scratch;
use crate::session::How;
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsStream;

/// How long a peer may take to take our last TLS record and FIN.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);
/// How long we then wait for the peer's FIN, throwing away what it still sends. Closing a socket with unread bytes in
/// it makes the kernel send a reset, and the peer may then never see the stream error that explains everything.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// A connection on which nothing moves is tried after this long, and then so often: who has gone without a word (a
/// machine switched off, a forgotten NAT entry) is noticed within minutes.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Sets what every socket of ours has: no delay, keepalive. Neither is worth failing for.
pub(super) fn tune(tcp: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
    let _ = tcp.set_nodelay(true); // only a matter of speed
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive); // without it a dead peer is noticed later
}

/// One leg's socket.
#[derive(Debug, Default)]
pub(super) enum Wire {
    /// Not connected (yet, or any more).
    #[default]
    Closed,
    /// In the clear.
    Plain(TcpStream),
    /// TLS, as server or client.
    Tls(Box<TlsStream<TcpStream>>),
    /// We have said our last byte; the peer's are thrown away until it closes or this moment comes.
    Lingering(TcpStream, Instant),
}

impl Wire {
    /// Whether bytes can go either way.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Tls(_))
    }

    /// The socket, if it is in the clear; the wire is closed then.
    pub(super) fn take_plain(&mut self) -> Option<TcpStream> {
        match std::mem::take(self) {
            Self::Plain(tcp) => Some(tcp),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The first byte that came in the clear, left where it is; `None` at the end.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Option<u8>> {
        let Self::Plain(tcp) = self else { return Poll::Ready(None) };
        let mut first = [0];
        let peeked = ready!(tcp.poll_peek(cx, &mut ReadBuf::new(&mut first)));
        Poll::Ready(peeked.is_ok_and(|count| count == 1).then_some(first[0]))
    }

    /// Ready when the peer has gone and has left nothing unread.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(tcp) = self.tcp() else { return Poll::Pending };
        match ready!(tcp.poll_peek(cx, &mut ReadBuf::new(&mut [0]))) {
            Ok(1..) => Poll::Pending, // it will be read when it is wanted
            _ => Poll::Ready(()),
        }
    }

    /// Whether the connection is broken both ways: what is unread is lost as well. Wakes nobody.
    pub(super) fn is_reset(&self, cx: &mut Context<'_>) -> bool {
        let Some(tcp) = self.tcp() else { return false };
        match pin!(tcp.ready(Interest::WRITABLE | Interest::ERROR)).poll(cx) {
            Poll::Ready(Ok(ready)) => ready.is_write_closed() || ready.is_error(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// The socket, while it is open.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Closed | Self::Lingering(..) => None,
        }
    }

    /// Reads as much as there is and fits. `Ok(0)` is the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        match self {
            Self::Plain(tcp) => ready!(Pin::new(tcp).poll_read(cx, &mut buf))?,
            Self::Tls(tls) => ready!(Pin::new(tls).poll_read(cx, &mut buf))?,
            Self::Closed | Self::Lingering(..) => {}
        }
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes some of `bytes`. On TLS a flush must follow.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Closed | Self::Lingering(..) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Pushes out what TLS still holds.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says goodbye as asked for (what was to be sent has been) and begins to linger. Bounded in time.
    pub(super) async fn close(&mut self, how: How) {
        let mut tcp = match std::mem::take(self) {
            Self::Closed => return,
            Self::Plain(tcp) => tcp,
            Self::Tls(mut tls) => {
                if how == How::Clean {
                    let _ = timeout(SHUTDOWN_TIME, tls.shutdown()).await;
                }
                match *tls {
                    TlsStream::Client(tls) => tls.into_inner().0,
                    TlsStream::Server(tls) => tls.into_inner().0,
                }
            }
            lingering @ Self::Lingering(..) => {
                *self = lingering;
                return;
            }
        };
        let _ = tcp.shutdown().await; // on bare TCP this never waits
        *self = Self::Lingering(tcp, Instant::now() + LINGER_TIME);
    }

    /// Waits for the peer to close too, not for long. Nothing to do if it has not been closed by us.
    pub(super) async fn linger(&mut self) {
        if let Self::Lingering(mut tcp, until) = std::mem::take(self) {
            let _ = timeout_at(until, poll_fn(|cx| poll_discard(&mut tcp, cx))).await;
        }
    }
}

/// Reads and forgets until the end.
fn poll_discard(tcp: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
    scratch::with_scratch(|scratch| {
        loop {
            let mut buf = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut *tcp).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_are_kept_alive() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let tcp = TcpStream::connect(listener.local_addr()?).await?;
        tune(&tcp);
        assert!(SockRef::from(&tcp).keepalive()? && tcp.nodelay()?);
        Ok(())
    }
}
