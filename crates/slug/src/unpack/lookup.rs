//! What an archive has said so far: which names there are, and how much it comes to.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::entries::{Item, Kind, refuse};
use super::{Form, Rules};
use crate::tree::TreeFacts;
use crate::{Error, Result};

/// Names are kept as parts of their digests: 200,000 of the longest would take 200 MB.
type Name = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Folder,
    File(u64),
    Symlink,
}

#[derive(Debug)]
pub(super) struct Lookup {
    rules: Rules,
    names: HashMap<Name, Known>,
    pub(super) facts: TreeFacts,
}

impl Lookup {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            names: HashMap::new(),
            facts: TreeFacts::default(),
        }
    }

    pub(super) fn add(&mut self, item: &Item) -> Result<()> {
        if item.path.is_empty() {
            return Ok(());
        }
        // One walk along the path digests every folder above it too.
        let mut digest = Sha256::new();
        for (at, byte) in item.path.iter().enumerate() {
            if *byte == b'/' {
                match self.names.get(&name(&digest)) {
                    Some(Known::Folder) => {}
                    Some(_) => {
                        return Err(refuse(&item.path, "lies below something that is no folder"));
                    }
                    None => self.note(name(&digest), Known::Folder)?,
                }
            }
            digest.update(&item.path[at..=at]);
        }
        let own = name(&digest);
        match (&item.kind, self.names.get(&own)) {
            (Kind::Folder, Some(Known::Folder)) => return Ok(()),
            (_, Some(_)) => return Err(refuse(&item.path, "stands in the archive twice")),
            (_, None) => {}
        }
        let known = match &item.kind {
            Kind::Folder => Known::Folder,
            Kind::File(size) => Known::File(*size),
            Kind::Symlink(target) => {
                if self.rules.form == Form::Source && !stays(&item.path, target) {
                    return Err(refuse(&item.path, "is a link that leads out of the tree"));
                }
                Known::Symlink
            }
            Kind::HardLink(target) => {
                match self.names.get(&name(&Sha256::new().chain_update(target))) {
                    Some(file @ Known::File(_)) => *file,
                    _ => {
                        return Err(refuse(
                            &item.path,
                            "is a link to no earlier file of the archive",
                        ));
                    }
                }
            }
        };
        self.note(own, known)
    }

    fn note(&mut self, name: Name, known: Known) -> Result<()> {
        let limits = self.rules.limits;
        self.names.insert(name, known);
        self.facts.entries += 1;
        if let Known::File(size) = known {
            self.facts.files += 1;
            self.facts.bytes = self.facts.bytes.saturating_add(size);
        }
        if self.facts.entries > limits.entries {
            return Err(Error::TooManyEntries {
                limit: limits.entries,
            });
        }
        if self.facts.bytes > limits.bytes {
            return Err(Error::TooManyBytes {
                limit: limits.bytes,
            });
        }
        Ok(())
    }
}

fn name(digest: &Sha256) -> Name {
    let mut name = Name::default();
    name.copy_from_slice(&digest.clone().finalize()[..16]);
    name
}

/// Whether a link stays in the tree. No folder above it is a link, so its first `..`s lead where they seem to; one
/// behind a name could lead out by way of another link.
fn stays(path: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let mut above = path.iter().filter(|byte| **byte == b'/').count();
    let mut named = false;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named || above == 0 => return false,
            b".." => above -= 1,
            _ => named = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_could_lead_out_do_not_stay() {
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b/c", "../../d/e"),
            ("a", "./b//c"),
            ("a/b", ".."),
        ] {
            assert!(stays(path.as_bytes(), target.as_bytes()), "{path} {target}");
        }
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a/b", "../.."),
            ("a/b/c", "u/../../../x"),
            ("a/b/c", "../x/../.."),
        ] {
            assert!(
                !stays(path.as_bytes(), target.as_bytes()),
                "{path} {target}"
            );
        }
    }
}
