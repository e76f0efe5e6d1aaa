//! Reads the kernel's list of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// One line of `/proc/self/mountinfo`, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// File system type, `squashfs` or `overlay` for ours.
    pub kind: String,
    /// What is mounted: a device, or a word the mounter chose.
    pub source: PathBuf,
    /// The file system's own options, separated by commas.
    pub options: String,
}

impl Mount {
    /// The value of one of the file system's own options.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .split(',')
            .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All mounts at or below `folder`, in the order in which they were made. Blocking, but never for long.
pub fn below(folder: &Path) -> Result<Vec<Mount>> {
    let list = "/proc/self/mountinfo";
    let text = std::fs::read(list).map_err(Error::io("read", list))?;
    Ok(parse(&text)
        .filter(|mount| mount.point.starts_with(folder))
        .collect())
}

/// Lines that do not have the form are left out.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    // Optional fields of any number end with a hyphen.
    fields.find(|field| *field == b"-")?;
    let kind = fields.next()?;
    let source = fields.next()?;
    let options = fields.next()?;
    Some(Mount {
        point: path(point),
        kind: String::from_utf8_lossy(kind).into_owned(),
        source: path(source),
        options: String::from_utf8_lossy(&unescape(options)).into_owned(),
    })
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// The kernel writes blank, tab, newline, backslash and `#` as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(octal);
        match (byte, code) {
            (b'\\', Some(code)) => {
                plain.push(code);
                rest = &tail[3..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_optional_fields_are_read() {
        let text = br"36 35 98:0 /mnt1 /a\040b\134c\011d rw,noatime master:1 shared:2 - squashfs /dev/loop0 ro,errors=continue
41 35 0:50 / /m/merged rw,nosuid - overlay overlay rw,lowerdir=/x\040y,upperdir=/u,workdir=/w
broken line
";
        let mounts: Vec<_> = parse(text).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, Path::new("/a b\\c\td"));
        assert_eq!(mounts[0].kind, "squashfs");
        assert_eq!(mounts[0].source, Path::new("/dev/loop0"));
        assert_eq!(mounts[1].option("lowerdir"), Some("/x y"));
        assert_eq!(mounts[1].option("lower"), None);
    }

    #[test]
    fn halves_of_escapes_stay_as_they_are() {
        assert_eq!(unescape(br"a\04"), br"a\04");
        assert_eq!(unescape(br"\\134"), br"\\");
        assert_eq!(unescape(br"\999"), br"\999");
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(below(Path::new("/")).unwrap().len() > 1);
    }
}
