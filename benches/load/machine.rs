//! Where and when it was measured, in a sentence.

use crate::options::Options;
use std::fs;
use std::time::Duration;

/// How many processes wanted to run in the last minute.
pub(crate) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

pub(crate) fn describe(options: &Options, busy: String, took: Duration) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{cores} cores of {model}, Linux {}, loopback; {} connections, {} rounds of {:.1} s each in turn, one worker thread; \
         load average before: {busy}; {:.0} s in all.",
        kernel.trim(),
        options.connections,
        options.rounds,
        options.time.as_secs_f64(),
        took.as_secs_f64()
    )
}
