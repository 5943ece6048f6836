//! What of a configuration a reload cannot take over.

use super::Config;

impl Config {
    /// The keys whose values differ in a configuration that was read later, and hold only after a restart.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let tls = |config: &Self| (config.route.client_tls, config.route.server_tls);
        let keys = [
            ("listen", self.listen != new.listen),
            ("upstream", self.upstream != new.upstream),
            ("client_tls or server_tls", tls(self) != tls(new)),
            ("cert or key", (&self.cert, &self.key) != (&new.cert, &new.key)),
            (
                "server_ca or insecure_server",
                (&self.server_ca, self.insecure_server) != (&new.server_ca, new.insecure_server),
            ),
            ("data_dir or store", (&self.data_dir, &self.store) != (&new.data_dir, &new.store)),
            ("record", (&self.record, &self.recording) != (&new.record, &new.recording)),
            ("key_log", self.key_log != new.key_log),
            ("json, quiet or filter", (self.json, self.quiet, &self.filter) != (new.json, new.quiet, &new.filter)),
            ("reload", self.reload != new.reload),
            ("vault_seconds, vault_sessions or vault_bytes", self.vault != new.vault),
            ("store_bytes", self.limits.store_bytes != new.limits.store_bytes),
            ("handshake_seconds", self.limits.handshake_seconds != new.limits.handshake_seconds),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
