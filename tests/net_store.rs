//! A server and its store: opened before anybody is served, closed when it has stopped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use iqtap::net::{BindError, Server, Setup, StoreSetup};
use iqtap::policy::ClientTls;
use iqtap::store::{FileStore, OpenError};
use std::path::Path;

fn setup(directory: &Path, store: StoreSetup) -> Setup {
    let (listen, upstream) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
    let mut setup = Setup::new(listen, upstream, directory.join("data"));
    setup.route.client_tls = ClientTls::Off;
    setup.store = store;
    setup
}

#[tokio::test]
async fn a_server_has_its_store_from_the_start_until_it_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept/s.redb");
    let server = Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await.unwrap();
    assert!(matches!(FileStore::open(&path), Err(OpenError::InUse(_))));
    let second = Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await;
    match second.map(drop) {
        Err(BindError::Store(error @ OpenError::InUse(_))) => assert!(error.to_string().contains("s.redb"), "{error}"),
        other => panic!("{other:?}"),
    }
    server.run(std::future::ready(())).await;
    FileStore::open_existing(&path).expect("it is closed");
}

#[tokio::test]
async fn a_file_that_is_no_store_keeps_a_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "my notes\n").unwrap();
    match Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await.map(drop) {
        Err(error @ BindError::Store(OpenError::NotAStore(_))) => assert!(error.to_string().contains("--store")),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\n");
    Server::bind(setup(directory.path(), StoreSetup::Memory)).await.unwrap();
}
