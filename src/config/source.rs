//! What a policy was made of, as one hash: equal sources make equal policies, in one version of iqtap.
//!
//! Takes a configuration and the scripts loaded, gives SHA-256 in hex. The files are read once more: should one have changed in between, a
//! reload is on its way already.

use super::Config;
use crate::script::ScriptSet;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// The hash.
pub(super) fn hash(config: &Config, sets: [&ScriptSet; 2]) -> Arc<str> {
    let mut hasher = Hasher(Sha256::new());
    let answers = (config.answers.words(), config.answers.mark, &config.answers.options);
    hasher.part("rules", format!("{:?}", config.rules).as_bytes());
    hasher.part("answers", format!("{answers:?}").as_bytes());
    for fixed in &config.static_answers {
        hasher.part(&format!("static {} {}", fixed.namespace, fixed.element), &read(&fixed.path));
    }
    let rest = (config.iq_timeout, config.legacy_codes, config.forward, config.on_script_error(), config.script_limits);
    hasher.part("rest", format!("{rest:?}").as_bytes());
    for (what, set) in ["script", "shadow"].into_iter().zip(sets) {
        // Scripts without a file stand among them under a name that no file has.
        for path in set.files() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            hasher.part(&format!("{what} {name}"), &read(&path));
        }
    }
    for line in &config.one_liners {
        hasher.part(line.deed.name(), line.text.as_bytes());
    }
    hasher.done()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// Each part with its name and length, so that nothing runs into what follows.
struct Hasher(Sha256);

impl Hasher {
    fn part(&mut self, name: &str, bytes: &[u8]) {
        self.0.update(format!("{} {name} {} ", name.len(), bytes.len()));
        self.0.update(bytes);
    }

    fn done(self) -> Arc<str> {
        let mut hex = String::new();
        for byte in self.0.finalize() {
            let _ = write!(hex, "{byte:02x}"); // writing to a string cannot fail
        }
        hex.into()
    }
}
