//! SIGTERM to those of a container's processes that its first one does not pass it on to.
//!
//! The first process hands a signal to the process group of its one child. What left that group, by job control, by
//! `setsid` or by coming in from outside, would hear nothing and be killed with the first process. Each process is told
//! once: a server that hears SIGTERM twice takes it for impatience.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::ContainerId;
use crate::cgroup::Cgroup;

/// What of a process says who tells it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    group: u32,
    /// In ticks since the host began.
    started: u64,
}

/// Blocking. `first` is the container's first process.
///
/// # Errors
/// When /proc or the container's cgroup is not readable. Some may have been told.
pub(super) fn others(container: &ContainerId, first: u32) -> io::Result<()> {
    let cgroup = Cgroup::of(first)?;
    if !cgroup.is_of(container) {
        return Ok(());
    }
    let processes: BTreeMap<u32, Process> = cgroup
        .processes()?
        .into_iter()
        .filter_map(|pid| Some((pid, read(pid)?)))
        .collect();
    for pid in untold(first, &processes) {
        let Some(held) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        let Ok(held) = pidfd_open(held, PidfdFlags::empty()) else {
            continue;
        };
        // While it is held, its number is its own: one that is still among them is the one that was.
        if cgroup.processes()?.contains(&pid) {
            let _ = pidfd_send_signal(&held, Signal::TERM);
        }
    }
    Ok(())
}

/// Those whom the first process does not tell: all but itself and the group of its oldest child.
fn untold(first: u32, processes: &BTreeMap<u32, Process>) -> Vec<u32> {
    let children = processes
        .iter()
        .filter(|(_, process)| process.parent == first);
    let child = children.min_by_key(|(pid, process)| (process.started, **pid));
    let told = child.map(|(_, process)| process.group);
    processes
        .iter()
        .filter(|(pid, process)| **pid != first && Some(process.group) != told)
        .map(|(pid, _)| *pid)
        .collect()
}

/// `None` for one that has ended.
fn read(pid: u32) -> Option<Process> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// A line of `/proc/PID/stat` (proc(5)); the name in it may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Process {
        parent,
        group,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_whom_the_first_process_does_not_tell() {
        let of = |parent, group, started| Process {
            parent,
            group,
            started,
        };
        let processes = BTreeMap::from([
            (10, of(1, 10, 100)),
            (11, of(10, 11, 101)),
            // In its group.
            (12, of(11, 11, 102)),
            // By job control.
            (13, of(11, 13, 103)),
            // A daemon, which the first process took in; its number is low because numbers came round.
            (9, of(10, 9, 104)),
            // From outside.
            (20, of(0, 20, 105)),
        ]);
        assert_eq!(untold(10, &processes), [9, 13, 20]);
        assert!(untold(10, &BTreeMap::from([(10, of(1, 10, 100))])).is_empty());
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) (b 1 2) S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1";
        let process = parse(line).expect("a process");
        assert_eq!(
            (process.parent, process.group, process.started),
            (7, 8, 12_345)
        );
        assert_eq!(parse("42 (a"), None);
        assert_eq!(parse(""), None);
        let own = read(std::process::id()).expect("this one");
        assert!(own.started > 0);
    }
}
