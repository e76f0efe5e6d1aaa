//! An app's log on disk: one line a line, in `<app>.log`, and the file before it in `<app>.log.1`.
//!
//! A line is `seq TAB time TAB source TAB process TAB text`. What does not parse (a torn last line) is skipped.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;

use crate::entry::{Entry, timestamp};

/// A file that is larger is put aside, and the one before it removed: at most twice this is kept.
pub(crate) const ROTATE_BYTES: u64 = 1 << 20;

fn current(dir: &Path, app: AppId) -> PathBuf {
    dir.join(format!("{app}.log"))
}

fn previous(dir: &Path, app: AppId) -> PathBuf {
    dir.join(format!("{app}.log.1"))
}

/// Everything that is kept of an app's log, oldest first.
pub(crate) fn load(dir: &Path, app: AppId) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in [previous(dir, app), current(dir, app)] {
        match fs::read(&path) {
            Ok(bytes) => entries.extend(String::from_utf8_lossy(&bytes).lines().filter_map(parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// Adds lines at the end; puts the file aside first if it is full.
pub(crate) fn append(dir: &Path, app: AppId, entries: &[std::sync::Arc<Entry>]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let path = current(dir, app);
    let mut batch = Vec::new();
    if let Some(length) = length(&path)? {
        if length >= ROTATE_BYTES {
            fs::rename(&path, previous(dir, app))?;
        } else if length > 0 && !ends_with_newline(&path)? {
            // A crash tore the last line; ours shall not hang on it.
            batch.push(b'\n');
        }
    }
    for entry in entries {
        writeln!(
            batch,
            "{}\t{}\t{}\t{}\t{}",
            entry.seq,
            timestamp(entry.at),
            entry.source.as_str(),
            entry.process,
            entry.text
        )?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    file.write_all(&batch)
}

/// Removes an app's files.
pub(crate) fn remove(dir: &Path, app: AppId) -> io::Result<()> {
    for path in [current(dir, app), previous(dir, app)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The apps that have a log.
pub(crate) fn apps(dir: &Path) -> io::Result<HashSet<AppId>> {
    let mut apps = HashSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let app: Option<AppId> = name
            .to_str()
            .and_then(|name| name.strip_suffix(".1").unwrap_or(name).strip_suffix(".log"))
            .and_then(|id| id.parse().ok());
        apps.extend(app);
    }
    Ok(apps)
}

/// When any file of the folder was last written, in microseconds of Unix time: no sequence number on disk is
/// much higher.
pub(crate) fn newest(dir: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(dir)? {
        let modified = entry?.metadata()?.modified()?;
        if let Ok(since) = modified.duration_since(UNIX_EPOCH) {
            newest = newest.max(u64::try_from(since.as_micros()).unwrap_or(0));
        }
    }
    Ok(newest)
}

fn length(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

pub(crate) fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.splitn(5, '\t');
    Some(Entry {
        seq: fields.next()?.parse().ok()?,
        at: fields.next()?.parse().ok()?,
        source: match fields.next()? {
            "app" => LogSource::App,
            "heroku" => LogSource::Heroku,
            _ => return None,
        },
        process: fields.next()?.into(),
        text: fields.next()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn entry(seq: u64, text: &str) -> Arc<Entry> {
        Arc::new(Entry {
            seq,
            at: Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
            source: LogSource::Heroku,
            process: "router".into(),
            text: text.into(),
        })
    }

    #[test]
    fn lines_come_back_as_they_were_also_after_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppId(Uuid::from_u128(1));
        append(dir.path(), app, &[entry(1, "a\tb"), entry(2, "")]).unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(current(dir.path(), app))
            .unwrap();
        file.write_all(b"3\t2024-06-10T08").unwrap();
        append(dir.path(), app, &[entry(4, "d")]).unwrap();
        let loaded = load(dir.path(), app).unwrap();
        let seqs: Vec<u64> = loaded.iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, [1, 2, 4]);
        assert_eq!(loaded[0], *entry(1, "a\tb"));
        remove(dir.path(), app).unwrap();
        remove(dir.path(), app).unwrap();
        assert!(load(dir.path(), app).unwrap().is_empty());
    }

    #[test]
    fn no_more_than_two_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let app = AppId(Uuid::from_u128(1));
        let text = "x".repeat(9000);
        for seq in 0..400 {
            append(dir.path(), app, &[entry(seq, &text)]).unwrap();
        }
        let bytes: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 2 * ROTATE_BYTES + 20_000, "{bytes}");
        let loaded = load(dir.path(), app).unwrap();
        assert_eq!(loaded.last().unwrap().seq, 399);
        assert!(loaded.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    }
}
