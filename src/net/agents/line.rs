//! [`Line`]: a [`Wire`] to read from and write to, for tasks that do one thing at a time.

use crate::net::wire::Wire;
use crate::session::How;
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::task::ready;
use std::time::Duration;
use tokio::time::timeout;

/// One read takes up to this much.
const READ_BYTES: usize = 16 * 1024;
/// How long a peer may refuse to read what is sent to it.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Line {
    pub(super) wire: Wire,
    buffer: Box<[u8]>,
}

impl Line {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, buffer: vec![0; READ_BYTES].into() }
    }

    /// Reads what there is; nothing is the end. May be given up at any time.
    pub(super) async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        let Self { wire, buffer } = self;
        let count = poll_fn(|cx| wire.poll_read(cx, buffer)).await?;
        into.extend_from_slice(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Sends everything.
    pub(super) async fn write(&mut self, bytes: &mut BytesMut) -> io::Result<()> {
        let written = async {
            while !bytes.is_empty() {
                let count = poll_fn(|cx| self.wire.poll_write(cx, bytes)).await?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                bytes.advance(count);
            }
            poll_fn(|cx| {
                ready!(self.wire.poll_flush(cx))?;
                Ok(()).into()
            })
            .await
        };
        timeout(WRITE_TIME, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Says goodbye, and waits a little for the peer to do so.
    pub(super) async fn close(&mut self) {
        self.wire.close(How::Clean).await;
        self.wire.linger().await;
    }
}
