//! Writes tar archives whose bytes depend only on what is put in: no clock, no user names, one way to say each
//! thing (ustar headers; pax records only for what does not fit).

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// Longest name and link target of a plain header, in bytes.
const SHORT: usize = 100;
/// Largest number of eleven octal digits.
const LARGEST_PLAIN: u64 = 0o777_7777_7777;

/// Owner, permissions and time of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits; more than `0o7777` is cut off.
    pub mode: u32,
    /// Seconds since the epoch.
    pub mtime: u32,
}

/// An archive under way. Names are bytes as they shall appear, directories with a slash at the end.
#[derive(Debug)]
pub struct Archive<W> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> Archive<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            buffer: vec![0; 128 * 1024],
        }
    }

    pub fn directory(&mut self, name: &[u8], meta: Meta) -> io::Result<()> {
        self.header(b'5', name, b"", 0, meta)
    }

    pub fn symlink(&mut self, name: &[u8], target: &[u8], meta: Meta) -> io::Result<()> {
        self.header(b'2', name, target, 0, meta)
    }

    /// A second name of an earlier entry.
    pub fn hard_link(&mut self, name: &[u8], earlier: &[u8], meta: Meta) -> io::Result<()> {
        self.header(b'1', name, earlier, 0, meta)
    }

    /// Exactly `length` bytes of `content`; fewer or more is an error of kind `UnexpectedEof` or `InvalidData`.
    pub fn file(
        &mut self,
        name: &[u8],
        length: u64,
        content: &mut impl Read,
        meta: Meta,
    ) -> io::Result<()> {
        self.header(b'0', name, b"", length, meta)?;
        let mut left = length;
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if count == 0 {
                break;
            }
            if count as u64 > left {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.inner.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        if left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(length)
    }

    /// Ends the archive and hands the writer back, not flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn header(
        &mut self,
        kind: u8,
        name: &[u8],
        target: &[u8],
        size: u64,
        meta: Meta,
    ) -> io::Result<()> {
        let mut records = Vec::new();
        if name.len() > SHORT {
            records.extend(record(b"path", name));
        }
        if target.len() > SHORT {
            records.extend(record(b"linkpath", target));
        }
        if size > LARGEST_PLAIN {
            records.extend(record(b"size", size.to_string().as_bytes()));
        }
        if !records.is_empty() {
            let length = records.len() as u64;
            let plain = Meta {
                uid: 0,
                gid: 0,
                mode: 0o644,
                ..meta
            };
            self.inner
                .write_all(&block(b'x', b"././@pax", b"", length, plain))?;
            self.inner.write_all(&records)?;
            self.pad(length)?;
        }
        self.inner
            .write_all(&block(kind, name, target, size.min(LARGEST_PLAIN), meta))
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let over = (length % BLOCK as u64) as usize;
        if over == 0 {
            return Ok(());
        }
        self.inner.write_all(&[0; BLOCK][over..])
    }
}

/// One header block of the ustar form; what is too long is cut, the pax record before it says the whole.
fn block(kind: u8, name: &[u8], target: &[u8], size: u64, meta: Meta) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[0..100], name);
    octal(&mut block[100..108], u64::from(meta.mode & 0o7777));
    octal(&mut block[108..116], u64::from(meta.uid));
    octal(&mut block[116..124], u64::from(meta.gid));
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], u64::from(meta.mtime));
    block[148..156].fill(b' ');
    block[156] = kind;
    put(&mut block[157..257], target);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], 0);
    octal(&mut block[337..345], 0);
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

fn put(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// Right-aligned octal digits with a NUL at the end; the caller sees to it that the value fits.
fn octal(field: &mut [u8], mut value: u64) {
    let Some((last, digits)) = field.split_last_mut() else {
        return;
    };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 8) as u8;
        value /= 8;
    }
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    const META: Meta = Meta {
        uid: 20_000,
        gid: 20_000,
        mode: 0o644,
        mtime: 315_532_801,
    };

    proptest! {
        /// Another implementation reads back what was written, whatever the lengths.
        #[test]
        fn reads_back(names in prop::collection::vec("[a-zé]{1,60}(/[a-z]{1,70}){0,4}", 1..6), content in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut archive = Archive::new(Vec::new());
            for name in &names {
                archive.file(name.as_bytes(), content.len() as u64, &mut content.as_slice(), META).unwrap();
                archive.symlink(format!("{name}.l").as_bytes(), name.as_bytes(), META).unwrap();
            }
            let bytes = archive.finish().unwrap();
            prop_assert_eq!(bytes.len() % BLOCK, 0);
            let mut reader = tar::Archive::new(bytes.as_slice());
            let mut entries = reader.entries().unwrap();
            for name in &names {
                let mut file = entries.next().unwrap().unwrap();
                prop_assert_eq!(file.path().unwrap().into_owned(), PathBuf::from(name));
                prop_assert_eq!(file.header().uid().unwrap(), 20_000);
                prop_assert_eq!(file.header().mtime().unwrap(), 315_532_801);
                let mut read = Vec::new();
                file.read_to_end(&mut read).unwrap();
                prop_assert_eq!(&read, &content);
                let link = entries.next().unwrap().unwrap();
                prop_assert_eq!(link.link_name().unwrap().unwrap().into_owned(), PathBuf::from(name));
            }
            prop_assert!(entries.next().is_none());
        }
    }

    #[test]
    fn record_lengths_count_themselves() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n");
        for length in [1, 2, 3, 88, 89, 90, 91, 92, 985, 990, 995] {
            let made = record(b"path", &vec![b'a'; length]);
            let said: usize = String::from_utf8_lossy(&made)
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(said, made.len());
        }
    }

    #[test]
    fn a_file_that_changes_its_length_is_an_error() {
        let mut archive = Archive::new(Vec::new());
        assert!(archive.file(b"a", 3, &mut &b"12"[..], META).is_err());
        let mut archive = Archive::new(Vec::new());
        assert!(archive.file(b"a", 1, &mut &b"12"[..], META).is_err());
    }
}
