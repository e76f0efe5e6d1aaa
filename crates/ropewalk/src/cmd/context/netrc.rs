//! `.netrc`: tokens by host, read by us, by git and by curl.
//!
//! Entries of other machines keep their bytes. Host names stand without a port, as git and curl look them up.

use std::fs;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;

/// The whole text of a `.netrc`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Netrc {
    text: String,
}

/// One `machine` entry: where it stands and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    machine: String,
    password: Option<String>,
    span: Range<usize>,
}

impl Netrc {
    /// Reads the file; a missing one is empty.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { text }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => {
                Err(error).with_context(|| format!("{} could not be read", path.display()))
            }
        }
    }

    /// Replaces the file in one step, readable by its owner only. A symbolic link keeps pointing where it does.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let folder = target.parent().unwrap_or(Path::new("."));
            // Temporary files are made with mode 0600.
            let mut new = tempfile::NamedTempFile::new_in(folder)?;
            new.write_all(self.text.as_bytes())?;
            new.as_file().sync_all()?;
            new.persist(&target)?;
            Ok(())
        };
        write().with_context(|| format!("{} could not be written", path.display()))
    }

    /// The token stored for `machine`.
    pub(crate) fn password(&self, machine: &str) -> Option<String> {
        self.entries()
            .into_iter()
            .find(|entry| entry.machine == machine)?
            .password
    }

    /// Stores a token for `machine`, in the place of what stood there.
    pub(crate) fn set(&mut self, machine: &str, login: &str, password: &str) {
        self.remove(machine);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        let entry = format!("machine {machine}\n  login {login}\n  password {password}\n");
        // `default` ends the search, so new entries stand before it.
        let place = self.default_entry().unwrap_or(self.text.len());
        self.text.insert_str(place, &entry);
    }

    /// Takes every entry for `machine` away; whether there was one.
    pub(crate) fn remove(&mut self, machine: &str) -> bool {
        let spans: Vec<Range<usize>> = self
            .entries()
            .into_iter()
            .filter(|entry| entry.machine == machine)
            .map(|entry| entry.span)
            .collect();
        for span in spans.iter().rev() {
            self.text.replace_range(span.clone(), "");
        }
        !spans.is_empty()
    }

    fn entries(&self) -> Vec<Entry> {
        let words = words(&self.text);
        let mut entries: Vec<Entry> = Vec::new();
        let mut open = false;
        let mut at = 0;
        while let Some((start, word)) = words.get(at).copied() {
            let value = words.get(at + 1).map(|(_, value)| *value);
            match word {
                "machine" | "default" => {
                    close(&mut entries, open, start);
                    open = word == "machine" && value.is_some();
                    if let (true, Some(machine)) = (open, value) {
                        let span = start..self.text.len();
                        entries.push(Entry {
                            machine: machine.to_owned(),
                            password: None,
                            span,
                        });
                        at += 1;
                    }
                }
                "password" => {
                    if let (true, Some(entry)) = (open, entries.last_mut()) {
                        entry.password = value.map(str::to_owned);
                    }
                    at += 1;
                }
                "login" | "account" => at += 1,
                // A macro runs to the next empty line; it never holds an entry.
                "macdef" => {
                    close(&mut entries, open, start);
                    open = false;
                    let end = self
                        .text
                        .get(start..)
                        .and_then(|rest| rest.find("\n\n"))
                        .map(|length| start + length);
                    at = words.partition_point(|(place, _)| end.is_none_or(|end| *place < end));
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        entries
    }

    fn default_entry(&self) -> Option<usize> {
        let words = words(&self.text);
        let mut previous = "";
        for (start, word) in words {
            if word == "default"
                && !matches!(
                    previous,
                    "machine" | "login" | "password" | "account" | "macdef"
                )
            {
                return Some(start);
            }
            previous = word;
        }
        None
    }
}

/// An entry ends where the next one starts.
fn close(entries: &mut [Entry], open: bool, at: usize) {
    if let (true, Some(entry)) = (open, entries.last_mut()) {
        entry.span.end = at;
    }
}

/// Words with the place where each starts; a comment runs from `#` at the start of a word to the line's end.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut place = 0;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        let mut start = place;
        loop {
            let blank = rest.len() - rest.trim_start().len();
            start += blank;
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                break;
            }
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(length);
            words.push((start, word));
            start += length;
            rest = tail;
        }
        place += line.len();
    }
    words
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OTHERS: &str = "# mine\nmachine a.example.com login me password x1\nmachine b.example.com\n  login you\n  password x2\n\ndefault login anon password none\n";

    #[test]
    fn entries_are_read_whatever_their_layout() {
        let netrc = Netrc {
            text: OTHERS.into(),
        };
        assert_eq!(netrc.password("a.example.com").as_deref(), Some("x1"));
        assert_eq!(netrc.password("b.example.com").as_deref(), Some("x2"));
        assert_eq!(netrc.password("c.example.com"), None);
    }

    #[test]
    fn setting_and_removing_leave_the_others_alone() {
        let mut netrc = Netrc {
            text: OTHERS.into(),
        };
        netrc.set("api.localhost", "dev@example.com", "one");
        netrc.set("api.localhost", "dev@example.com", "two");
        assert_eq!(netrc.password("api.localhost").as_deref(), Some("two"));
        assert_eq!(netrc.text.matches("api.localhost").count(), 1);
        assert!(
            netrc.text.ends_with("default login anon password none\n"),
            "{}",
            netrc.text
        );
        assert!(netrc.remove("api.localhost"));
        assert!(!netrc.remove("api.localhost"));
        assert_eq!(netrc.text, OTHERS);
    }

    #[test]
    fn macros_are_no_entries() {
        let netrc = Netrc {
            text: "macdef init\nmachine fake password no\n\nmachine real login a password yes\n"
                .into(),
        };
        assert_eq!(netrc.password("fake"), None);
        assert_eq!(netrc.password("real").as_deref(), Some("yes"));
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".netrc");
        fs::write(&path, "machine old login a password b\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut netrc = Netrc::read(&path).unwrap();
        netrc.set("new", "l", "p");
        netrc.write(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "machine old login a password b\nmachine new\n  login l\n  password p\n"
        );
    }
}
