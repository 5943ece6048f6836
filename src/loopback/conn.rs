//! One connection's task: moves bytes between the socket and [`Stream`], keeps the time.
//!
//! Takes a socket, gives a served client. What is written waits for the client to read it, and nothing more is read
//! meanwhile: a client that asks and never listens stops only itself. Must not know what an element means.

use super::hub::Hub;
use super::stream::Stream;
use crate::xmpp::{StreamCondition, StreamError};
use bytes::BytesMut;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Room made for each read.
const READ_BYTES: usize = 8 * 1024;
/// How long a client may refuse to read what is sent to it.
const WRITE_SECONDS: u64 = 30;
/// How long we wait for the peer's end of the connection after ours.
const CLOSE_SECONDS: u64 = 1;

/// Serves one client to its end.
pub(super) async fn serve(mut socket: TcpStream, hub: Arc<Hub>, mut stop: watch::Receiver<bool>, login: Duration) {
    let _ = socket.set_nodelay(true);
    let mut stream = Stream::new(hub);
    let login = Instant::now() + login;
    loop {
        loop {
            let more = stream.feed();
            if !flush(&mut socket, &mut stream.out).await {
                return;
            }
            if !more {
                break;
            }
        }
        if stream.is_over() {
            return close(socket, stream).await;
        }
        stream.inbuf.reserve(READ_BYTES);
        tokio::select! {
            got = socket.read_buf(&mut stream.inbuf) => match got {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Some(bytes) = stream.inbox.recv() => stream.take(&bytes),
            () = sleep_until(login), if !stream.is_live() => {
                stream.fail(&StreamError::new(StreamCondition::ConnectionTimeout, "login took too long"));
            }
            _ = stop.wait_for(|stop| *stop) => {
                stream.fail(&StreamError::new(StreamCondition::SystemShutdown, "the server is being stopped"));
            }
        }
    }
}

/// Writes everything out. False if the connection is of no more use.
async fn flush(socket: &mut TcpStream, out: &mut BytesMut) -> bool {
    if out.is_empty() {
        return true;
    }
    let written = timeout(Duration::from_secs(WRITE_SECONDS), socket.write_all_buf(out)).await;
    matches!(written, Ok(Ok(())))
}

/// After `</stream:stream>`: our end first, then whatever the peer still says is read and thrown away, so that
/// the system does not answer it with a reset that would overtake our last words.
async fn close(mut socket: TcpStream, stream: Stream) {
    drop(stream);
    let _ = socket.shutdown().await;
    let mut rest = [0; 1024];
    let ended = async { while matches!(socket.read(&mut rest).await, Ok(n) if n > 0) {} };
    let _ = timeout(Duration::from_secs(CLOSE_SECONDS), ended).await;
}
