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

/// Resident memory of another process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    pub all: u64,
    /// What of it is mapped by other processes too, such as the program's own file; 0 when we may not know.
    pub shared: u64,
}

/// Resident memory of a process, in bytes; `None` when there is no such process or it is hidden.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kib(&status, "VmRSS:").map(|kib| kib << 10)
}

/// The same, and what of it is shared; the kernel looks at every page for that.
pub fn resident(pid: u32) -> Option<Resident> {
    let all = rss_bytes(pid)?;
    let summed = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    Some(Resident {
        all,
        shared: shared(&summed).unwrap_or(0).min(all),
    })
}

/// Bytes that several processes of one program have in memory together. What they share is taken for the same pages,
/// which are there once: mostly the program's own file.
pub fn together(processes: &[Resident]) -> u64 {
    let own: u64 = processes.iter().map(|one| one.all - one.shared).sum();
    let shared = processes.iter().map(|one| one.shared).max();
    own + shared.unwrap_or(0)
}

/// What of `smaps_rollup` is not this process's alone, in bytes.
fn shared(summed: &str) -> Option<u64> {
    let clean = kib(summed, "Shared_Clean:")?;
    Some((clean + kib(summed, "Shared_Dirty:")?) << 10)
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
    fn what_processes_share_is_counted_once() {
        let one = Resident {
            all: 30,
            shared: 20,
        };
        let other = Resident {
            all: 18,
            shared: 15,
        };
        assert_eq!(together(&[one, other]), 10 + 3 + 20);
        assert_eq!(together(&[one]), 30);
        assert_eq!(together(&[]), 0);
        let summed = "Rss: 9 kB\nShared_Clean:  4 kB\nShared_Dirty: 1 kB\n";
        assert_eq!(shared(summed), Some(5 << 10));
        assert_eq!(shared(""), None);
        let own = resident(std::process::id()).expect("it runs");
        assert!(own.all > own.shared);
    }

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
