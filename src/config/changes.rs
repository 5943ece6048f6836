//! What of a configuration that is read again, while iqtap runs, only a restart takes over.

use super::Config;

impl Config {
    /// The keys in which `new` differs and which are read at the start only, in the order of the file.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let keys = [
            ("listen", self.listen != new.listen),
            ("data_dir", self.data_dir != new.data_dir),
            ("store", self.store != new.store),
            ("record", self.record != new.record || self.recording != new.recording),
            ("worker_threads", self.worker_threads != new.worker_threads),
            ("quiet", self.quiet != new.quiet),
            ("json", self.json != new.json),
            ("filter", self.filter != new.filter),
            ("reload", self.reload != new.reload),
            ("vault_seconds, vault_sessions or vault_bytes", self.vault != new.vault),
            ("store_bytes", self.limits.store_bytes != new.limits.store_bytes),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// What the scripts of all sessions keep together goes on from an earlier configuration.
    #[must_use]
    pub fn sharing_with(mut self, earlier: &Self) -> Self {
        self.shared = earlier.shared.clone();
        self.shadow_shared = earlier.shadow_shared.clone();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_takes_over_needs_no_restart() {
        let config = Config::default();
        let mut new = Config { insecure_server: true, iq_timeout: 7, legacy_codes: true, ..Config::default() };
        new.upstream = "other.example:5222".parse().ok();
        assert_eq!(config.needs_restart(&new), Vec::<&str>::new());
        new.listen.set_port(1);
        new.recording.lossy = true;
        assert_eq!(config.needs_restart(&new), ["listen", "record"]);
    }
}
