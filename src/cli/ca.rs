//! `iqtap ca`: where the certificate authority is, and how clients learn to trust it.

use super::{Failure, print};
use crate::net::ca::Authority;
use directories::ProjectDirs;
use std::path::{Path, PathBuf};

/// Arguments of `iqtap ca`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  iqtap ca                      make the authority if there is none, and show it\n  iqtap ca --path               the certificate's path alone, for scripts"
)]
pub(super) struct Args {
    /// Where the authority is kept [default: $IQTAP_DATA_DIR, or else the user's data directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the certificate's path and nothing else
    #[arg(long)]
    path: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let authority = Authority::open(&data_directory(args.data_dir.clone())?).map_err(Failure::usage)?;
    let path = authority.certificate_path();
    let path = path.display();
    if args.path {
        print::out(&format!("{path}\n"));
        return Ok(());
    }
    print::out(&format!(
        "iqtap's certificate authority: clients that trust it accept the certificates iqtap shows them.\n\
         Trust it in test profiles only: whoever has its key can pose as any server to such a client.\n\n\
         certificate   {path}\n\
         SHA-256       {}\n\n\
         {HOW}",
        authority.fingerprint()
    ));
    Ok(())
}

const HOW: &str = "How to trust it (CA is the path above):
  slixmpp         client.ca_certs = \"CA\"
  profanity       /tls certpath DIRECTORY  (CA copied there, then: openssl rehash DIRECTORY), or answer `/tls allow`
  Gajim           copy CA to ~/.local/share/gajim/cacerts.pem, or accept the certificate when Gajim asks
  Dino            the system's store: sudo cp CA /usr/local/share/ca-certificates/iqtap.crt && sudo update-ca-certificates
  Conversations   Android settings, Security, Install a certificate, CA certificate; or accept it when the app asks
";

/// The directory named, or else the usual one.
pub(super) fn data_directory(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    named
        .or_else(|| std::env::var_os("IQTAP_DATA_DIR").filter(|value| !value.is_empty()).map(PathBuf::from))
        .or_else(|| ProjectDirs::from("", "", "iqtap").map(|directories| directories.data_dir().to_owned()))
        .ok_or_else(|| {
            Failure::usage("there is no home directory to keep the certificate authority in; use --data-dir")
        })
}

/// The store's file in that directory, if no other is named.
pub(super) fn default_store(data_directory: &Path) -> PathBuf {
    data_directory.join("iqtap.redb")
}
