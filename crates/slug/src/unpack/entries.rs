//! Reads the entries of a tar or tar.gz one after the other, each with its whole name. Nothing is held in memory
//! because an archive says so: names, and what else stands in headers, have a largest size.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use flate2::bufread::MultiGzDecoder;
use tar::{EntryType, PaxExtensions};

use super::Rules;
use crate::{Error, Result};

/// Largest header beside the fixed one (a long name, a list of records), in bytes.
const MAX_HEADER: u64 = 64 << 10;
/// Such headers for one entry; each says one thing, and there are four things to say.
const MAX_HEADERS: u64 = 8;
const BUFFER: usize = 256 << 10;

/// One thing in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// From the tree's top, without `.` and doubled slashes; empty is the top itself.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of so many bytes.
    File(u64),
    Folder,
    /// To where it says, as it is written.
    Symlink(Vec<u8>),
    /// To another entry's path.
    HardLink(Vec<u8>),
}

/// Visits every entry, in the archive's order, from its begin on.
pub(super) fn each(
    archive: &File,
    rules: Rules,
    stop: &dyn Fn() -> bool,
    visit: impl FnMut(Item, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut file = archive;
    file.seek(SeekFrom::Start(0)).map_err(Error::Damaged)?;
    let mut magic = [0; 512];
    let length = fill(&mut file, &mut magic).map_err(Error::Damaged)?;
    file.seek(SeekFrom::Start(0)).map_err(Error::Damaged)?;
    let reader = BufReader::with_capacity(BUFFER, file);
    match &magic[..length] {
        [0x1f, 0x8b, ..] => read(MultiGzDecoder::new(reader), rules, stop, visit),
        head if head.len() == 512 => match foreign(head) {
            Some(what) => Err(Error::NoArchive(what)),
            None => read(reader, rules, stop, visit),
        },
        head => Err(Error::NoArchive(
            foreign(head).unwrap_or("it is no tar and no tar.gz"),
        )),
    }
}

/// What people send by mistake.
fn foreign(head: &[u8]) -> Option<&'static str> {
    let is = |magic: &[u8]| head.starts_with(magic);
    if is(b"PK") {
        return Some("it is a zip file; send a tar.gz");
    }
    if is(b"BZh") || is(b"\xfd7zXZ") || is(b"\x28\xb5\x2f\xfd") {
        return Some("it is compressed with something else than gzip; send a tar.gz");
    }
    if is(b"<") || is(b"{") {
        return Some("it is a page or a message and no archive");
    }
    None
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

fn read(
    reader: impl Read,
    rules: Rules,
    stop: &dyn Fn() -> bool,
    mut visit: impl FnMut(Item, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut archive = tar::Archive::new(Stopping { reader, stop });
    let damaged = |error: io::Error| match stop() {
        true => Error::Stopped,
        false => Error::Damaged(error),
    };
    let mut said = Said::default();
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let size = entry.header().entry_size().map_err(damaged)?;
        match entry.header().entry_type() {
            kind @ (EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) => {
                said.number += 1;
                if size > MAX_HEADER || said.number > MAX_HEADERS {
                    return Err(Error::NoArchive("a header in it is too long"));
                }
                let mut bytes = Vec::new();
                entry
                    .by_ref()
                    .take(MAX_HEADER)
                    .read_to_end(&mut bytes)
                    .map_err(damaged)?;
                said.read(kind, bytes, rules)?;
                continue;
            }
            // What holds for all entries: git notes the commit there.
            EntryType::XGlobalHeader => {
                said.number += 1;
                if size > MAX_HEADER || said.number > MAX_HEADERS {
                    return Err(Error::NoArchive("a header in it is too long"));
                }
                continue;
            }
            _ => {}
        }
        let item = item(entry.header(), size, std::mem::take(&mut said), rules)?;
        if let Some(item) = item {
            visit(item, &mut entry).map_err(|error| match stop() {
                true => Error::Stopped,
                false => error,
            })?;
        }
    }
    Ok(())
}

/// What headers of their own said about the entry that follows.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    number: u64,
}

impl Said {
    fn read(&mut self, kind: EntryType, mut bytes: Vec<u8>, rules: Rules) -> Result<()> {
        if kind != EntryType::XHeader {
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
            match kind {
                EntryType::GNULongName => self.path = Some(bytes),
                _ => self.link = Some(bytes),
            }
            return Ok(());
        }
        for record in PaxExtensions::new(&bytes) {
            let record = record.map_err(Error::Damaged)?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value)
                        .ok()
                        .and_then(|it| it.parse().ok());
                    self.size = Some(size.ok_or(Error::NoArchive("a size in it is no number"))?);
                }
                // Holes: what stands in the archive is not what the file holds.
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(sparse(self.path.as_deref().unwrap_or_default()));
                }
                _ => {}
            }
        }
        let limit = rules.limits.bytes;
        match self.size.is_some_and(|size| size > limit) {
            true => Err(Error::TooManyBytes { limit }),
            false => Ok(()),
        }
    }
}

fn item(header: &tar::Header, size: u64, said: Said, rules: Rules) -> Result<Option<Item>> {
    let raw = said
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    // A size that the header has no room for is above every limit.
    if said.size.is_some_and(|said| said != size) {
        return Err(refuse(&raw, "has two sizes"));
    }
    let Some(path) = within(normal(&raw, rules)?, &raw, rules)? else {
        return Ok(None);
    };
    let target = || {
        let short = || header.link_name_bytes().map(|name| name.into_owned());
        said.link.or_else(short).unwrap_or_default()
    };
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Folder,
        // As the oldest tars say it.
        EntryType::Regular if raw.ends_with(b"/") && size == 0 => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File(size),
        EntryType::Symlink => Kind::Symlink(target()),
        EntryType::Link => {
            let target = target();
            match within(normal(&target, rules)?, &target, rules)? {
                Some(target) if !target.is_empty() => Kind::HardLink(target),
                _ => return Err(refuse(&raw, "is a link to nothing in the archive")),
            }
        }
        EntryType::GNUSparse => return Err(sparse(&raw)),
        EntryType::Char => return Err(forbidden(&raw, "character device")),
        EntryType::Block => return Err(forbidden(&raw, "block device")),
        EntryType::Fifo => return Err(forbidden(&raw, "named pipe")),
        _ => return Err(forbidden(&raw, "thing of an unknown kind")),
    };
    if size > 0 && !matches!(kind, Kind::File(_)) {
        return Err(refuse(&raw, "is no file and has content"));
    }
    if path.is_empty() && kind != Kind::Folder {
        return Err(refuse(&raw, "stands where the tree's own folder belongs"));
    }
    if let Kind::Symlink(target) = &kind
        && (target.is_empty() || target.len() > rules.limits.path || target.contains(&0))
    {
        return Err(refuse(&raw, "is a link to no path"));
    }
    let mode = header.mode().map_err(Error::Damaged)?;
    Ok(Some(Item { path, kind, mode }))
}

/// A relative path of plain names.
fn normal(raw: &[u8], rules: Rules) -> Result<Vec<u8>> {
    if raw.starts_with(b"/") {
        return Err(refuse(raw, "is an absolute path"));
    }
    if raw.contains(&0) {
        return Err(refuse(raw, "has a zero byte in its name"));
    }
    let mut path = Vec::with_capacity(raw.len());
    let mut depth = 0;
    for name in raw.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => return Err(refuse(raw, "leads out of the tree")),
            name if name.len() > 255 => {
                return Err(refuse(raw, "has a name of more than 255 bytes"));
            }
            name => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                depth += 1;
            }
        }
    }
    let limits = rules.limits;
    if path.len() > limits.path {
        return Err(Error::PathTooLong {
            path: shown(raw),
            limit: limits.path,
        });
    }
    if depth > limits.depth {
        return Err(Error::TooDeep {
            path: shown(raw),
            limit: limits.depth,
        });
    }
    Ok(path)
}

/// The path below the form's top; `None` for what stands above it.
fn within(path: Vec<u8>, raw: &[u8], rules: Rules) -> Result<Option<Vec<u8>>> {
    let Some(top) = rules.form.top() else {
        return Ok(Some(path));
    };
    if path.is_empty() {
        return Ok(None);
    }
    match path.strip_prefix(top) {
        Some([]) => Ok(Some(Vec::new())),
        Some([b'/', rest @ ..]) => Ok(Some(rest.to_vec())),
        _ => Err(refuse(raw, "does not lie below ./app")),
    }
}

pub(super) fn refuse(path: &[u8], why: &'static str) -> Error {
    Error::Unsafe {
        path: shown(path),
        why,
    }
}

fn forbidden(path: &[u8], kind: &'static str) -> Error {
    Error::Forbidden {
        path: shown(path),
        kind,
    }
}

fn sparse(path: &[u8]) -> Error {
    refuse(path, "is packed with holes; pack it without --sparse")
}

/// Fit to be printed: a name is a stranger's words.
fn shown(path: &[u8]) -> PathBuf {
    let text = String::from_utf8_lossy(path);
    let clean: String = text
        .chars()
        .take(200)
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    PathBuf::from(std::ffi::OsStr::from_bytes(clean.as_bytes()))
}

/// Fails once it is asked to stop.
struct Stopping<'a, R> {
    reader: R,
    stop: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Stopping<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.stop)() {
            true => Err(io::ErrorKind::Other.into()),
            false => self.reader.read(buffer),
        }
    }
}
