//! The scripted server: as much XMPP as a login needs, then the part that the client has asked for. One thread.

use crate::Outcome;
use crate::flood;
use crate::speech::{BIND_FEATURES, CLOSE, LOGIN_FEATURES, Part, SUCCESS, bound, id, pong};
use crate::stage::Stage;
use crate::wire::{Keys, Wire};
use memchr::memmem;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;

/// As many as may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Where it listens.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// Starts it in a thread that lasts as long as the process.
pub(crate) fn start(keys: Keys, stage: Arc<Stage>) -> Outcome<Addresses> {
    let (told, hears) = channel();
    thread::Builder::new().name("server".to_owned()).spawn(move || {
        let started = Builder::new_current_thread().enable_all().build().map(|runtime| {
            let plain = runtime.block_on(listen(false, keys.clone(), Arc::clone(&stage)));
            let tls = runtime.block_on(listen(true, keys, stage));
            let _ = told.send(plain.and_then(|plain| Ok(Addresses { plain, tls: tls? }))); // the other end waits
            runtime.block_on(std::future::pending::<()>());
        });
        drop(started); // who waits sees that nothing was told
    })?;
    Ok(hears.recv().map_err(|_| "the server has no runtime")??)
}

async fn listen(tls: bool, keys: Keys, stage: Arc<Stage>) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((tcp, _)) => drop(tokio::spawn(attend(tcp, tls, keys.clone(), Arc::clone(&stage)))),
                Err(error) => stage.fault(format!("the server cannot accept: {error}")),
            }
        }
    });
    Ok(address)
}

async fn attend(tcp: TcpStream, tls: bool, keys: Keys, stage: Arc<Stage>) {
    // Whoever only looks whether somebody listens says nothing, or breaks off the handshake.
    let mut first = [0];
    if !matches!(tcp.peek(&mut first).await, Ok(1..)) {
        return;
    }
    if let Err(why) = serve(tcp, tls, &keys, &stage).await {
        stage.fault(format!("at the server: {why}"));
    }
}

async fn serve(tcp: TcpStream, tls: bool, keys: &Keys, stage: &Stage) -> Outcome<()> {
    let mut talk = Talk { wire: keys.accept(tcp, tls).await?, read: Vec::new() };
    if !talk.hear("<stream:stream ").await? {
        return Ok(());
    }
    talk.hear(">").await?;
    talk.say(LOGIN_FEATURES).await?;
    talk.hear("</auth>").await?;
    talk.say(SUCCESS).await?;
    talk.hear("<stream:stream ").await?;
    talk.hear(">").await?;
    talk.say(BIND_FEATURES).await?;
    let request = talk.up_to("</iq>").await?.ok_or("no request to bind")?;
    let part = Part::asked(&request)?;
    talk.say(&bound(&request)?).await?;
    let Talk { wire, read } = talk;
    match part {
        Part::Echo => echo(wire, read).await,
        Part::Up => flood::sink(wire, part, &read, stage).await,
        Part::Down | Part::Large => {
            let mut talk = Talk { wire, read };
            talk.hear("id='go'/>").await?;
            flood::source(talk.wire, part, stage).await
        }
    }
}

/// A login: what was read and not used.
struct Talk {
    wire: Wire,
    read: Vec<u8>,
}

impl Talk {
    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.wire.write_all(text.as_bytes()).await?;
        self.wire.flush().await
    }

    /// Waits for a text; whether it came.
    async fn hear(&mut self, text: &str) -> io::Result<bool> {
        Ok(self.up_to(text).await?.is_some())
    }

    async fn up_to(&mut self, text: &str) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memmem::find(&self.read, text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            if self.wire.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Answers requests until the stream ends. An idle connection has no buffer here.
async fn echo(mut wire: Wire, mut read: Vec<u8>) -> Outcome<()> {
    let mut out = Vec::new();
    loop {
        let mut used = 0;
        for at in memmem::find_iter(&read, b"</iq>") {
            pong(id(&read[used..at]).ok_or("a request without id")?, &mut out);
            used = at + 5;
        }
        let closes = memmem::find(&read[used..], CLOSE.as_bytes()).is_some();
        if closes {
            out.extend_from_slice(CLOSE.as_bytes());
        }
        wire.write_all(&out).await?;
        wire.flush().await?;
        if closes {
            let _ = wire.shutdown().await; // it may be gone already
            return Ok(());
        }
        out.clear();
        read.drain(..used);
        if read.capacity() == 0 {
            read.reserve(16 * 1024);
        }
        // Who was idle may vanish; what is asked must be answered.
        match wire.read_buf(&mut read).await {
            Ok(0) => return Ok(()),
            Err(_) if read.is_empty() => return Ok(()),
            done => done?,
        };
    }
}
