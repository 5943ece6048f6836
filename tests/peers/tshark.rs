//! A capture, read by Wireshark's dissectors and by plain search.

use std::path::Path;
use std::process::Command;

/// A finished file.
pub(crate) struct Capture<'a>(pub(crate) &'a Path);

impl Capture<'_> {
    /// `tshark -r FILE ARGS`, with no option that would tell it what to expect: its lines. It must be content with the
    /// file: a cut or broken one makes it complain and fail.
    #[track_caller]
    pub(crate) fn tshark(&self, args: &[&str]) -> Vec<String> {
        // HOME: nobody's own preferences.
        let nowhere = tempfile::tempdir().unwrap();
        let output =
            Command::new("tshark").arg("-r").arg(self.0).args(args).env("HOME", nowhere.path()).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tshark {args:?}: {}\n{complaint}", output.status);
        assert!(!complaint.contains("cut short"), "{complaint}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// One field of all packets that pass a display filter and have it.
    #[track_caller]
    pub(crate) fn field(&self, filter: &str, field: &str) -> Vec<String> {
        self.tshark(&["-Y", filter, "-T", "fields", "-e", field]).into_iter().filter(|line| !line.is_empty()).collect()
    }

    /// Whether these bytes stand anywhere in the file.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let file = std::fs::read(self.0).unwrap();
        memchr::memmem::find(&file, bytes).is_some()
    }
}
