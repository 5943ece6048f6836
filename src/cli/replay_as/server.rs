//! `iqtap replay --as server`: a mock server from a recording.

use super::{AgentArgs, Failure, Miss};
use crate::cli::ca::data_directory;
use crate::cli::{print, run};
use crate::login::Keys;
use crate::net::agents::MockServer;
use crate::net::{ClientCertificate, printable};
use crate::policy::ServerTls;
use crate::replay::agents::{self, Pace, Scene};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

pub(super) fn run(capture: &Path, args: AgentArgs) -> Result<(), Failure> {
    print::start_log(false);
    let listen = args.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 5222)));
    if !listen.ip().is_loopback() && !args.allow_public {
        let why = format!(
            "listening on {listen} lets anybody log in from other machines; if that is meant, add --allow-public"
        );
        return Err(Failure::usage(why));
    }
    let tape = super::tape(capture, &args)?;
    let living = match args.miss {
        Miss::Forward => {
            let how = args.to_tls.unwrap_or(ServerTls::Starttls);
            let pace = Pace { speed: None, step: false, patience: 0 }; // nothing is played there
            Some(super::client(&args, "--miss forward", how, pace)?)
        }
        Miss::Error | Miss::Wait => None,
    };
    let how = args.tls.unwrap_or(ServerTls::Off);
    let certificate = match (args.cert, args.key) {
        (Some(certificate), Some(key)) => ClientCertificate::Files { certificate, key },
        _ if how == ServerTls::Off => ClientCertificate::Minted(PathBuf::new()),
        _ => ClientCertificate::Minted(data_directory(args.data_dir)?),
    };
    let salt = RandomState::new().hash_one("salt").to_be_bytes();
    let keys = args.password.map(|password| Keys::derive(&password, &salt, None)).transpose();
    let keys = keys.map_err(|why| Failure::runtime(format!("no keys for SCRAM: {why}")))?;
    let miss = match args.miss {
        Miss::Error => agents::Miss::Error,
        Miss::Wait => agents::Miss::Wait,
        Miss::Forward => agents::Miss::Forward,
    };
    let was = printable(&tape.jid).into_owned();
    let scene = Scene::new(Arc::new(tape), miss, keys, how == ServerTls::Starttls);
    let runtime = Runtime::new().map_err(|error| Failure::runtime(format!("no threads: {error}")))?;
    runtime.block_on(async {
        let first = run::signals(1).map_err(Failure::runtime)?;
        let server = MockServer::bind(listen, scene, how, &certificate, living).await.map_err(Failure::usage)?;
        let listen = server.local_addr().map_err(Failure::runtime)?;
        print::aside(&format!(
            "iqtap {} listens on {listen}\n  plays      the server that {was} had; anybody may log in, at any domain\n",
            env!("CARGO_PKG_VERSION")
        ));
        server.run(first).await;
        Ok(())
    })
}
