//! What a process has used, as Linux tells it: CPU time of all its threads, memory that it holds.

use crate::Outcome;
use std::fs;
use std::time::Duration;

/// What `/proc` counts CPU time in: hundredths of a second, on every Linux.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_kib: u64,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Outcome<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The second field is a name in brackets; user and system time are the 14th and 15th.
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("/proc/PID/stat is odd")?.1.split(' ').collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let resident_kib = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { cpu: TICK * ticks, resident_kib })
    }
}
