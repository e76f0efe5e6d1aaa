//! What has to be removed and written to make one tree another: read from what `git diff-tree` prints, decided here,
//! carried out elsewhere.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// From the tree that is there to the one that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Are there, and go first.
    pub(crate) removed: Vec<PathBuf>,
    /// Are written after that.
    pub(crate) written: Vec<PathBuf>,
    /// The same for `git update-index -z --index-info`.
    pub(crate) index: Vec<u8>,
}

impl Changes {
    /// Reads what `git diff-tree -r -z --no-renames` prints. `None` when the tree is better written as a whole: how git
    /// writes files changed, or that is not what was printed.
    pub(crate) fn read(output: &[u8]) -> Option<Self> {
        let mut changes = Self::default();
        let mut fields = output.split(|byte| *byte == 0);
        while let Some(head) = fields.next().filter(|head| !head.is_empty()) {
            let path = fields.next().filter(|path| !path.is_empty())?;
            if path.ends_with(b".gitattributes") {
                return None;
            }
            changes.add(head, path)?;
        }
        Some(changes)
    }

    /// `:<mode> <mode> <object> <object> <letter>` and a path.
    fn add(&mut self, head: &[u8], path: &[u8]) -> Option<()> {
        let head = head.strip_prefix(b":")?;
        let words: Vec<&[u8]> = head.split(|byte| *byte == b' ').collect();
        let [old, new, _, object, letter] = words[..] else {
            return None;
        };
        // Added, deleted, modified, of another type.
        if !matches!(letter, b"A" | b"D" | b"M" | b"T") {
            return None;
        }
        let name = PathBuf::from(OsStr::from_bytes(path));
        let there = |mode: &[u8]| mode.iter().any(|byte| *byte != b'0');
        if there(new) {
            for part in [new, b" ", object, b"\t", path, b"\0"] {
                self.index.extend_from_slice(part);
            }
            self.written.push(name.clone());
        }
        if there(old) {
            self.removed.push(name);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(old: &str, new: &str, letter: &str, path: &str) -> String {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        format!(":{old} {new} {a} {b} {letter}\0{path}\0")
    }

    fn paths(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn what_changed_goes_and_what_is_new_comes() {
        let output = [
            line("000000", "100755", "A", "bin/new"),
            line("100644", "100644", "M", "changed file"),
            line("120000", "100644", "T", "link"),
            line("100644", "000000", "D", "old/gone"),
        ]
        .concat();
        let changes = Changes::read(output.as_bytes()).unwrap();
        assert_eq!(
            paths(&changes.removed),
            ["changed file", "link", "old/gone"]
        );
        assert_eq!(paths(&changes.written), ["bin/new", "changed file", "link"]);
        let first = format!("100755 {}\tbin/new\0", "b".repeat(40));
        assert!(changes.index.starts_with(first.as_bytes()));
        assert_eq!(Changes::read(b""), Some(Changes::default()));
    }

    #[test]
    fn the_whole_is_written_where_that_is_safer() {
        let how = line("100644", "100644", "M", "lib/.gitattributes");
        let rename = line("100644", "100644", "R100", "a");
        for odd in [
            how.as_str(),
            rename.as_str(),
            "100644 100644 a b M\0x\0",
            ":100644 100644 a b M\0",
            ":1 2 3\0x\0",
        ] {
            assert_eq!(Changes::read(odd.as_bytes()), None, "{odd}");
        }
    }
}
