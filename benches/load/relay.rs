//! The bare relay: bytes from here to there and back, nothing else. A process of its own, so that its CPU and memory are
//! measured as everybody's. One worker thread, as the others have.

use crate::Outcome;
use crate::wire::{Files, Keys};
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// `LISTEN UPSTREAM plain|tls FOLDER`: relays until it is killed.
pub(crate) fn serve(arguments: &[String]) -> Outcome<()> {
    let [listen, upstream, transport, folder] = arguments else {
        return Err("the relay wants LISTEN UPSTREAM plain|tls FOLDER".into());
    };
    let (listen, upstream, tls) = (listen.parse()?, upstream.parse()?, transport == "tls");
    let keys = Files::within(Path::new(folder)).keys()?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { runtime.spawn(accept(listen, upstream, tls, keys)).await? })
}

async fn accept(listen: SocketAddr, upstream: SocketAddr, tls: bool, keys: Keys) -> Outcome<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let keys = keys.clone();
        // A connection that ends badly is seen at its ends.
        tokio::spawn(async move { relay(tcp, upstream, tls, &keys).await.ok() });
    }
}

async fn relay(client: TcpStream, upstream: SocketAddr, tls: bool, keys: &Keys) -> Outcome<()> {
    // The common case stays free of boxes.
    if !tls {
        client.set_nodelay(true)?;
        let mut client = client;
        let mut server = TcpStream::connect(upstream).await?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let mut client = keys.accept(client, true).await?;
    let mut server = keys.connect(upstream, true).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
