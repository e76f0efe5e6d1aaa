//! Which files were read before, and what was in them: by number, size and times of the inode, as git's index does.
//!
//! The time of change (`ctime`) decides: whoever writes to a file cannot set it, unlike the time of modification. A file
//! that changed so shortly before it was read that the clock could not tell another change is not noted.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

use crate::listing::{Content, take};

/// Clocks of file systems step by up to 10 ms.
const CLOCK: Duration = Duration::from_millis(50);
/// One in the written form.
const BYTES: usize = 64;
/// In a second.
const NANOS: i64 = 1_000_000_000;

/// What files held when they were last read. Good for one file system and one start of the host.
#[derive(Debug, Clone, Default)]
pub struct Stamps {
    of: HashMap<Stamp, Content>,
    /// What changed later is not noted.
    before: i64,
}

/// Times in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: i64,
    changed: i64,
}

impl Stamps {
    /// None yet; files that will be read from now on may be noted.
    pub(crate) fn of_now() -> Self {
        let before = SystemTime::now() - CLOCK;
        let since = before.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            of: HashMap::new(),
            before: since.map_or(0, |since| {
                nanos(since.as_secs() as i64, since.subsec_nanos().into())
            }),
        }
    }

    pub(crate) fn content(&self, stat: &Stat) -> Option<Content> {
        self.of.get(&Stamp::of(stat)).copied()
    }

    pub(crate) fn note(&mut self, stat: &Stat, content: Content) {
        let stamp = Stamp::of(stat);
        if stamp.changed < self.before {
            self.of.insert(stamp, content);
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.of.len() * BYTES);
        for (stamp, content) in &self.of {
            bytes.extend_from_slice(&stamp.inode.to_le_bytes());
            bytes.extend_from_slice(&stamp.size.to_le_bytes());
            bytes.extend_from_slice(&stamp.modified.to_le_bytes());
            bytes.extend_from_slice(&stamp.changed.to_le_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut of = HashMap::with_capacity(bytes.len() / BYTES);
        while !bytes.is_empty() {
            let stamp = Stamp {
                inode: u64::from_le_bytes(take(&mut bytes)?),
                size: u64::from_le_bytes(take(&mut bytes)?),
                modified: i64::from_le_bytes(take(&mut bytes)?),
                changed: i64::from_le_bytes(take(&mut bytes)?),
            };
            of.insert(stamp, take(&mut bytes)?);
        }
        Some(Self { of, before: 0 })
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// Until the year 2262.
fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(NANOS).saturating_add(nanos)
}

#[cfg(test)]
impl Stamps {
    /// As though the clock had gone on since, so that what was just written counts.
    pub(crate) fn all_of(entries: &[(Stat, Content)]) -> Self {
        let of = entries
            .iter()
            .map(|(stat, content)| (Stamp::of(stat), *content));
        Self {
            of: of.collect(),
            before: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &std::path::Path) -> Stat {
        rustix::fs::lstat(path).unwrap()
    }

    #[test]
    fn what_is_written_down_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "a").unwrap();
        let stamps = Stamps::all_of(&[(stat(&path), [1; 32])]);
        let bytes = stamps.to_bytes();
        assert_eq!(bytes.len(), BYTES);
        let read = Stamps::read(&bytes).unwrap();
        assert_eq!(read.content(&stat(&path)), Some([1; 32]));
        assert!(Stamps::read(&bytes[1..]).is_none());
        std::fs::write(&path, "b").unwrap();
        assert_eq!(read.content(&stat(&path)), None, "it changed");
    }

    #[test]
    fn what_changed_just_now_is_not_noted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "a").unwrap();
        let mut stamps = Stamps::of_now();
        stamps.note(&stat(&path), [1; 32]);
        assert_eq!(stamps.content(&stat(&path)), None);
        stamps.before = i64::MAX;
        stamps.note(&stat(&path), [1; 32]);
        assert_eq!(stamps.content(&stat(&path)), Some([1; 32]));
    }
}
