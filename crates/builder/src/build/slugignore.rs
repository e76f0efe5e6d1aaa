//! `.slugignore`: what does not become part of the slug. Applied before any buildpack runs.
//!
//! Grammar: patterns apart by white space (`\ ` is a space in a name), `#` begins a comment. A pattern with a slash
//! before its end starts at the app's root, any other fits at every depth; a slash at the end fits folders only.
//! `*` and `?` do not cross slashes, `**` does, `[…]` is a set. There is no `!`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::beneath;
use super::failure::Failure;
use crate::Error;

/// Largest file, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most patterns; what stands after them is passed over.
const MAX_PATTERNS: usize = 1000;
/// Longest pattern, in bytes: paths are not longer.
const MAX_PATTERN: usize = 1024;
/// Steps for all files together; some seconds. Ten patterns over 100,000 files take a hundredth of it.
const MAX_STEPS: u64 = 2_000_000_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SlugIgnore {
    patterns: Vec<Pattern>,
    /// For the build log.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    glob: Vec<u8>,
    anchored: bool,
    folders_only: bool,
}

/// Removes what the tree's `.slugignore` names. Returns how many files and folders went, and warnings. Blocking; only
/// for a fresh checkout that nobody else writes to.
pub(crate) fn apply(root: &Path) -> Result<(usize, Vec<String>), Failure> {
    apply_within(root, MAX_STEPS)
}

fn apply_within(root: &Path, mut steps: u64) -> Result<(usize, Vec<String>), Failure> {
    let Some(bytes) = beneath::read(root, ".slugignore", MAX_BYTES)? else {
        return Ok((0, Vec::new()));
    };
    let ignore = SlugIgnore::parse(&bytes[..bytes.len().min(MAX_BYTES)]);
    let mut removed = 0;
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(OsStr::from_bytes(&folder));
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            let is_folder = entry
                .file_type()
                .map_err(Error::io("look at", entry.path()))?
                .is_dir();
            let mut name = folder.clone();
            if !name.is_empty() {
                name.push(b'/');
            }
            name.extend_from_slice(entry.file_name().as_bytes());
            if ignore.matches(&name, is_folder, &mut steps) {
                let gone = match is_folder {
                    true => fs::remove_dir_all(entry.path()),
                    false => fs::remove_file(entry.path()),
                };
                gone.map_err(Error::io("remove", entry.path()))?;
                removed += 1;
            } else if is_folder {
                folders.push(name);
            }
            if steps == 0 {
                return Err(Failure::App(
                    "The patterns in .slugignore take too long to compare with every file: use fewer or simpler ones."
                        .to_owned(),
                ));
            }
        }
    }
    Ok((removed, ignore.warnings))
}

impl SlugIgnore {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut ignore = Self::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            for word in words(line) {
                if let Some(rest) = word.strip_prefix('!') {
                    let warning =
                        format!("!{rest} in .slugignore has no effect: there is no negation.");
                    ignore.warnings.push(warning);
                    continue;
                }
                let folders_only = word.ends_with('/');
                let body = word.trim_end_matches('/');
                let anchored = body.contains('/');
                let glob = body.trim_start_matches("./").trim_start_matches('/');
                if ignore.patterns.len() == MAX_PATTERNS {
                    let warning =
                        format!("Only the first {MAX_PATTERNS} patterns in .slugignore count.");
                    ignore.warnings.push(warning);
                    return ignore;
                }
                if glob.len() > MAX_PATTERN {
                    let warning = format!(
                        "A pattern in .slugignore of {} bytes has no effect: it is too long.",
                        glob.len()
                    );
                    ignore.warnings.push(warning);
                    continue;
                }
                if !glob.is_empty() {
                    ignore.patterns.push(Pattern {
                        glob: glob.as_bytes().to_vec(),
                        anchored,
                        folders_only,
                    });
                }
            }
        }
        ignore
    }

    /// Whether a path from the root, without a slash at either end, is named itself. What lies in a named folder goes
    /// with it. Takes the steps it needs from `steps`; with none left, nothing is named.
    pub(crate) fn matches(&self, path: &[u8], is_folder: bool, steps: &mut u64) -> bool {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
        self.patterns.iter().any(|pattern| {
            (is_folder || !pattern.folders_only)
                && fits(
                    &pattern.glob,
                    if pattern.anchored { path } else { name },
                    steps,
                )
        })
    }
}

/// Words of a line up to its comment; a backslash keeps a space or a `#`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' if chars
                .peek()
                .is_some_and(|next| next.is_whitespace() || *next == '#') =>
            {
                word.extend(chars.next())
            }
            '#' => break,
            char if char.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            char => word.push(char),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Glob against text; at worst as many steps as their lengths multiplied, whatever the pattern. Ends early, fitting
/// nothing, when `steps` are used up.
fn fits(glob: &[u8], text: &[u8], steps: &mut u64) -> bool {
    // After which bytes of the text each place of the pattern can be reached.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < glob.len() {
        *steps = steps.saturating_sub(text.len() as u64 + 1);
        // Most patterns end here at their first letter.
        if *steps == 0 || !reached.contains(&true) {
            return false;
        }
        let mut next = vec![false; text.len() + 1];
        let (taken, any, crosses) = match glob[at] {
            b'*' if glob[at..].starts_with(b"**/") => (3, true, true),
            b'*' if glob[at..].starts_with(b"**") => (2, true, true),
            b'*' => (1, true, false),
            _ => (0, false, false),
        };
        if any {
            let folders = taken == 3;
            for start in 0..=text.len() {
                if !reached[start] {
                    continue;
                }
                next[start] = true;
                for end in start..text.len() {
                    if !crosses && text[end] == b'/' {
                        break;
                    }
                    // `**/` ends after a slash.
                    if !folders || text[end] == b'/' {
                        if next[end + 1] && !folders {
                            break;
                        }
                        next[end + 1] = true;
                    }
                }
            }
            at += taken;
        } else {
            let (length, one) = single(&glob[at..]);
            for start in 0..text.len() {
                next[start + 1] = reached[start] && one(text[start]);
            }
            at += length;
        }
        reached = next;
    }
    reached[text.len()]
}

/// How long the pattern's first element is, and which byte it fits.
fn single(glob: &[u8]) -> (usize, Box<dyn Fn(u8) -> bool + '_>) {
    match glob {
        [b'?', ..] => (1, Box::new(|byte| byte != b'/')),
        [b'\\', byte, ..] => (2, Box::new(move |other| other == *byte)),
        [b'[', rest @ ..] => {
            // A `]` right at the start belongs to the set.
            let negated = matches!(rest.first(), Some(b'!' | b'^'));
            let from = usize::from(negated);
            match rest.iter().skip(from + 1).position(|b| *b == b']') {
                Some(end) => {
                    let set = &rest[from..from + 1 + end];
                    let length = 1 + from + 1 + end + 1;
                    (
                        length,
                        Box::new(move |byte| byte != b'/' && in_set(set, byte) != negated),
                    )
                }
                None => (1, Box::new(|byte| byte == b'[')),
            }
        }
        [byte, ..] => (1, Box::new(move |other| other == *byte)),
        [] => (1, Box::new(|_| false)),
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    while let Some((first, rest)) = set.split_first() {
        match rest {
            [b'-', last, after @ ..] => {
                if (*first..=*last).contains(&byte) {
                    return true;
                }
                set = after;
            }
            _ => {
                if *first == byte {
                    return true;
                }
                set = rest;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(file: &str, path: &str, is_folder: bool) -> bool {
        SlugIgnore::parse(file.as_bytes()).matches(
            path.as_bytes(),
            is_folder,
            &mut u64::MAX.clone(),
        )
    }

    #[test]
    fn patterns_fit_as_people_expect() {
        for (file, path, folder, wanted) in [
            ("*.psd", "design/a.psd", false, true),
            ("*.psd", "a.psd.txt", false, false),
            ("/test", "test", true, true),
            ("/test", "lib/test", true, false),
            ("test", "lib/test", true, true),
            ("test/", "test", false, false),
            ("test/", "lib/test", true, true),
            ("docs/*.md", "docs/a.md", false, true),
            ("docs/*.md", "docs/a/b.md", false, false),
            ("docs/**", "docs/a/b.md", false, true),
            ("**/tmp", "tmp", true, true),
            ("**/tmp", "a/b/tmp", true, true),
            ("a/**/b", "a/b", false, true),
            ("a/**/b", "a/x/y/b", false, true),
            ("a/**/b", "a/xb", false, false),
            ("file?.txt", "file1.txt", false, true),
            ("[a-c]*.log", "beta.log", false, true),
            ("[!a-c]*.log", "beta.log", false, false),
            ("[]x]", "]", false, true),
            ("[", "[", false, true),
            ("*", ".env", false, true),
            ("# all comment", "all", false, false),
            ("a.txt # b.txt", "b.txt", false, false),
            ("a.txt b.txt", "b.txt", false, true),
            ("My\\ Docs", "My Docs", true, true),
            ("./spec", "spec", true, true),
            ("\u{feff}spec\r\n", "spec", true, true),
            ("/", "x", true, false),
        ] {
            assert_eq!(matches(file, path, folder), wanted, "{file:?} {path:?}");
        }
    }

    #[test]
    fn negation_is_said_to_do_nothing() {
        let ignore = SlugIgnore::parse(b"*.md\n!README.md\n");
        assert!(ignore.matches(b"README.md", false, &mut 1000));
        assert_eq!(ignore.warnings.len(), 1);
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "a*".repeat(500);
        let text = "a".repeat(500);
        let began = std::time::Instant::now();
        assert!(!matches(&format!("{pattern}b"), &text, false));
        assert!(began.elapsed().as_secs() < 10);
    }

    #[test]
    fn patterns_have_a_number_a_length_and_a_cost() {
        let many = SlugIgnore::parse("a\n".repeat(30_000).as_bytes());
        assert_eq!(
            (many.patterns.len(), many.warnings.len()),
            (MAX_PATTERNS, 1)
        );
        let long = SlugIgnore::parse("a*".repeat(600).as_bytes());
        assert_eq!((long.patterns.len(), long.warnings.len()), (0, 1));
        let tree = tempfile::tempdir().unwrap();
        let patterns = format!("{}b ", "a*".repeat(100)).repeat(100);
        fs::write(tree.path().join(".slugignore"), patterns).unwrap();
        for number in 0..50 {
            fs::write(tree.path().join(format!("{}{number}", "a".repeat(200))), "").unwrap();
        }
        let tried = apply_within(tree.path(), 10_000_000);
        assert!(matches!(tried, Err(Failure::App(_))), "{tried:?}");
        // What people write costs next to nothing.
        fs::write(
            tree.path().join(".slugignore"),
            "*.psd\n/test\ndocs/**\nnode_modules/\n",
        )
        .unwrap();
        assert_eq!(apply_within(tree.path(), 200_000).unwrap().0, 0);
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("keep.md"), "").unwrap();
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        fs::create_dir_all(root.join("docs/deep")).unwrap();
        fs::write(root.join("docs/deep/a.md"), "").unwrap();
        fs::write(root.join("app.js"), "").unwrap();
        fs::write(root.join(".slugignore"), "*.md\nlinked.md\n").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("linked")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("linked.md")).unwrap();
        assert_eq!(apply(root).unwrap().0, 2);
        assert!(outside.path().join("keep.md").exists());
        assert!(root.join("app.js").exists() && !root.join("docs/deep/a.md").exists());
    }
}
