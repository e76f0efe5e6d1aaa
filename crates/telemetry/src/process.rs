//! What a process uses, read from `/proc`.

use std::fs;

/// What this process uses now. What cannot be read is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    pub open_fds: u64,
    /// User and system time since the start, in seconds.
    pub cpu_seconds: f64,
    pub threads: u64,
}

/// Clock ticks a second in `/proc/<pid>/stat`; the kernel gives user space 100 on every architecture we run on
/// (proc(5), "clock ticks").
const TICKS: f64 = 100.0;

/// Resident memory of a process, in bytes; `None` when there is no such process or it is hidden.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kib(&status, "VmRSS:").map(|kib| kib << 10)
}

/// What this process uses.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let open_fds = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    Usage {
        rss_bytes: kib(&status, "VmRSS:").unwrap_or(0) << 10,
        open_fds,
        cpu_seconds: cpu_ticks(&stat).unwrap_or(0) as f64 / TICKS,
        threads: kib(&status, "Threads:").unwrap_or(0),
    }
}

/// The number after a key of `/proc/<pid>/status`.
fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `utime` + `stime`: fields 14 and 15, counted behind the command's closing bracket because it may hold blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.rss_bytes > 100 << 10, "{usage:?}");
        assert!(usage.open_fds >= 3 && usage.threads >= 1, "{usage:?}");
        assert!(rss_bytes(std::process::id()).is_some());
        assert_eq!(rss_bytes(u32::MAX), None);
    }

    #[test]
    fn a_command_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks(""), None);
    }
}
