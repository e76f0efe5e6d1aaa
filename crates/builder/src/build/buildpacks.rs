//! Which buildpacks an app uses: its own list, `BUILDPACK_URL`, `.buildpacks`, or whatever fits.

use std::path::Path;

use ropewalk_model::ConfigVars;

use super::address::{Address, without_login};
use super::beneath;
use crate::{Error, Result};

/// Most buildpacks of one app.
const MAX: usize = 32;
/// Longest address, in bytes.
const MAX_ADDRESS: usize = 2048;
/// Where the built-in ones are mounted in a build container.
pub(crate) const MOUNT: &str = "/buildpacks";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buildpack {
    /// One of ours: the name that users see, and its folder.
    BuiltIn { name: String, folder: String },
    /// A repository on the web, at a branch, tag or commit.
    Git {
        address: Address,
        reference: Option<String>,
    },
    /// A gzip'ed tar with `bin/` at its top.
    Tarball { address: Address },
}

impl Buildpack {
    /// What the log calls it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::BuiltIn { name, .. } => name,
            Self::Git { address, .. } | Self::Tarball { address } => address.plain(),
        }
    }

    pub(crate) fn address(&self) -> Option<&Address> {
        match self {
            Self::BuiltIn { .. } => None,
            Self::Git { address, .. } | Self::Tarball { address } => Some(address),
        }
    }
}

/// Folders and names of the built-in buildpacks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Vec<(String, String)>);

impl Known {
    /// Reads the file `order` of the built-in buildpacks, and which of them are there. Blocking.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("order");
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let mut known = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(shown)) = (words.next(), words.next())
                && !name.starts_with('#')
                && folder.join(name).join("bin").is_dir()
            {
                known.push((name.to_owned(), shown.to_owned()));
            }
        }
        Ok(Self(known))
    }

    /// What a name or address stands for; the error is a sentence for the user.
    pub(crate) fn resolve(&self, text: &str) -> Result<Buildpack, String> {
        let text = text.trim();
        let name = text.strip_prefix("urn:buildpack:").unwrap_or(text);
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        if !name.contains("://") && !name.contains(':') {
            let names: Vec<&str> = self.0.iter().map(|(_, shown)| shown.as_str()).collect();
            return Err(format!(
                "There is no buildpack {}. Built in are: {}.",
                shorten(name),
                names.join(", ")
            ));
        }
        let (url, reference) = match text.split_once('#') {
            Some((url, reference)) => (url, Some(reference)),
            None => (text, None),
        };
        self.address(url, reference)
    }

    fn find(&self, name: &str) -> Option<Buildpack> {
        let known = self
            .0
            .iter()
            .find(|(folder, shown)| folder == name || shown == name)?;
        Some(Buildpack::BuiltIn {
            name: known.1.clone(),
            folder: known.0.clone(),
        })
    }

    fn address(&self, url: &str, reference: Option<&str>) -> Result<Buildpack, String> {
        let graphic = url.len() <= MAX_ADDRESS
            && url
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'\''));
        let address = Address::new(url);
        let Some(rest) = address
            .plain()
            .strip_prefix("https://")
            .filter(|rest| graphic && !rest.starts_with('-'))
        else {
            return Err(format!(
                "The buildpack {} is no https:// address.",
                shorten(&without_login(url))
            ));
        };
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        // The real CLI turns `heroku/nodejs` into the address of a registry's tarball: ours take their place.
        if let Some(tail) = path.split_once("/buildpacks/").map(|(_, tail)| tail)
            && path.contains("buildpack")
            && let Some(found) = tail.strip_suffix(".tgz").and_then(|name| self.find(name))
        {
            return Ok(found);
        }
        if [".tgz", ".tar.gz"].iter().any(|end| path.ends_with(end)) {
            return Ok(Buildpack::Tarball { address });
        }
        let reference = match reference {
            None | Some("") => None,
            Some(name) if is_reference(name) => Some(name.to_owned()),
            Some(name) => return Err(format!("{} is no branch, tag or commit.", shorten(name))),
        };
        Ok(Buildpack::Git { address, reference })
    }
}

/// The explicit list in the order of precedence: this build's, `BUILDPACK_URL`, the app's own, `.buildpacks` in the tree. Empty
/// means detection.
pub(crate) fn chosen(
    known: &Known,
    once: &[String],
    config: &ConfigVars,
    own: &[String],
    tree: &Path,
) -> Result<Result<Vec<Buildpack>, String>> {
    let texts: Vec<String> = match config.0.get("BUILDPACK_URL").filter(|url| !url.is_empty()) {
        _ if !once.is_empty() => once.to_vec(),
        Some(url) => vec![url.clone()],
        None if !own.is_empty() => own.to_vec(),
        None => match beneath::read(tree, ".buildpacks", 64 << 10)? {
            Some(bytes) => String::from_utf8_lossy(&bytes)
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        },
    };
    if texts.len() > MAX {
        return Ok(Err(format!("An app may have at most {MAX} buildpacks.")));
    }
    Ok(texts.iter().map(|text| known.resolve(text)).collect())
}

/// Only what can neither be an option nor lead out of `refs/`.
fn is_reference(name: &str) -> bool {
    name.len() <= 200
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-' | b'+'))
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let pairs = [("nodejs", "heroku/nodejs"), ("static", "ropewalk/static")];
        Known(pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec())
    }

    #[test]
    fn names_and_addresses_resolve() {
        let node = Buildpack::BuiltIn {
            name: "heroku/nodejs".into(),
            folder: "nodejs".into(),
        };
        for text in [
            "heroku/nodejs",
            "nodejs",
            "urn:buildpack:heroku/nodejs",
            "https://buildpack-registry.example/buildpacks/heroku/nodejs.tgz",
        ] {
            assert_eq!(known().resolve(text), Ok(node.clone()), "{text}");
        }
        assert_eq!(
            known().resolve("https://git.example/x/pack.git#v1.2"),
            Ok(Buildpack::Git {
                address: Address::new("https://git.example/x/pack.git"),
                reference: Some("v1.2".into())
            })
        );
        assert!(matches!(
            known().resolve("https://x.example/pack.tgz?a=b"),
            Ok(Buildpack::Tarball { .. })
        ));
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for text in [
            "ext::sh -c id",
            "file:///etc",
            "git@host:x/y",
            "http://plain.example/x.git",
            "https://-oProxyCommand=x/",
            "https://me:token@-oProxyCommand=x/",
            "https://x.example/$(id) y",
            "https://x.example/y#--upload-pack=x",
            "https://x.example/y#a..b",
            "heroku/cobol",
            "../../etc",
        ] {
            assert!(known().resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn logins_are_in_no_name_and_no_message() {
        let found = known().resolve("https://me:TOKENTOKEN@x.example/p.git#v1");
        let found = found.unwrap();
        assert_eq!(found.name(), "https://x.example/p.git");
        assert!(!format!("{found:?}").contains("TOKEN"));
        for wrong in [
            "http://me:TOKENTOKEN@x.example/p.git",
            "ssh://TOKENTOKEN@x.example/p.git",
        ] {
            let said = known().resolve(wrong).unwrap_err();
            assert!(!said.contains("TOKEN"), "{said}");
        }
    }

    #[test]
    fn the_list_has_an_order_of_precedence() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(
            tree.path().join(".buildpacks"),
            "# two\nheroku/nodejs\nstatic\n",
        )
        .unwrap();
        let mut config = ConfigVars::default();
        let list = |config: &ConfigVars, own: &[String]| {
            chosen(&known(), &[], config, own, tree.path())
                .unwrap()
                .unwrap()
                .len()
        };
        assert_eq!(list(&config, &[]), 2);
        assert_eq!(list(&config, &["static".to_owned()]), 1);
        config
            .0
            .insert("BUILDPACK_URL".into(), "https://x.example/p.git".into());
        let found = chosen(&known(), &[], &config, &[], tree.path())
            .unwrap()
            .unwrap();
        assert!(matches!(found[..], [Buildpack::Git { .. }]));
        let once = ["heroku/nodejs".to_owned()];
        let found = chosen(&known(), &once, &config, &[], tree.path())
            .unwrap()
            .unwrap();
        assert!(matches!(found[..], [Buildpack::BuiltIn { .. }]));
    }
}
