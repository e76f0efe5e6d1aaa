//! Which mirror to take packages from: the one this host itself uses, when it is a Debian host.
//!
//! No mirror's name is written here. Where the host names none, debootstrap's own default is taken.

use std::fs;
use std::path::Path;

/// Addresses without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mirrors {
    pub(crate) main: Option<String>,
    pub(crate) security: Option<String>,
}

/// Looks at this host's apt sources. Files that cannot be read count as empty: the default is always there.
pub(crate) fn of_this_host() -> Mirrors {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let mut sources = vec![Path::new("/etc/apt/sources.list").to_owned()];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        sources.extend(entries.flatten().map(|entry| entry.path()));
    }
    sources.sort_unstable();
    let texts: Vec<(bool, String)> = sources
        .iter()
        .map(|path| {
            let stanzas = path.extension().is_some_and(|end| end == "sources");
            (stanzas, fs::read_to_string(path).unwrap_or_default())
        })
        .collect();
    choose(&release, &texts)
}

/// The security mirror that belongs to a main one, by the archive's usual layout.
pub(crate) fn security_beside(main: &str) -> String {
    let main = main.trim_end_matches('/');
    format!("{main}-security")
}

/// `texts` are apt's source files; `true` marks the form in stanzas.
fn choose(release: &str, texts: &[(bool, String)]) -> Mirrors {
    let value = |name: &str| {
        let lines = release.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values
            .next()
            .map(|value| value.trim_matches('"').to_owned())
    };
    let (Some("debian"), Some(codename)) = (value("ID").as_deref(), value("VERSION_CODENAME"))
    else {
        return Mirrors::default();
    };
    let security = format!("{codename}-security");
    let mut mirrors = Mirrors::default();
    for (stanzas, text) in texts {
        let sources = if *stanzas {
            of_stanzas(text)
        } else {
            of_lines(text)
        };
        for (address, suite) in sources {
            // An address with a password must not end up in an image.
            if !address.starts_with("http") || address.contains('@') {
                continue;
            }
            let address = address.trim_end_matches('/').to_owned();
            if suite == codename {
                mirrors.main.get_or_insert(address);
            } else if suite == security {
                mirrors.security.get_or_insert(address);
            }
        }
    }
    mirrors
}

/// `deb [options] address suite main …`
fn of_lines(text: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let rest = match rest.trim_start().strip_prefix('[') {
            Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let mut words = rest.split_whitespace();
        if let (Some(address), Some(suite)) = (words.next(), words.next())
            && words.any(|component| component == "main")
        {
            sources.push((address.to_owned(), suite.to_owned()));
        }
    }
    sources
}

/// Paragraphs of `Types:`, `URIs:`, `Suites:`, `Components:`.
fn of_stanzas(text: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in plain.split(|line| line.trim().is_empty()) {
        let words = |name: &str| -> Vec<&str> {
            let lines = stanza.iter();
            let mut values = lines.filter_map(|line| line.split_once(':'));
            values
                .find(|(field, _)| field.trim().eq_ignore_ascii_case(name))
                .map_or_else(Vec::new, |(_, value)| value.split_whitespace().collect())
        };
        let off = words("Enabled").first() == Some(&"no");
        if off || !words("Types").contains(&"deb") || !words("Components").contains(&"main") {
            continue;
        }
        for address in words("URIs") {
            for suite in words("Suites") {
                sources.push((address.to_owned(), suite.to_owned()));
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n";

    #[test]
    fn both_forms_of_sources_are_understood() {
        let lines = "# deb http://no.example/debian bookworm main\ndeb [signed-by=/a b] http://m.example/debian/ bookworm main contrib\ndeb http://s.example/sec bookworm-security main\n";
        let expected = Mirrors {
            main: Some("http://m.example/debian".into()),
            security: Some("http://s.example/sec".into()),
        };
        assert_eq!(choose(DEBIAN, &[(false, lines.into())]), expected);
        let stanzas = "Types: deb\n# a comment\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://s.example/sec/\nSuites: bookworm-security\nComponents: main\n";
        assert_eq!(choose(DEBIAN, &[(true, stanzas.into())]), expected);
    }

    #[test]
    fn other_hosts_passwords_and_other_packages_name_no_mirror() {
        let with = |line: &str| choose(DEBIAN, &[(false, line.into())]);
        assert_eq!(
            with("deb http://u:p@m.example/debian bookworm main"),
            Mirrors::default()
        );
        assert_eq!(
            with("deb http://m.example/other bookworm stable"),
            Mirrors::default()
        );
        assert_eq!(with("deb cdrom:[disc]/ bookworm main"), Mirrors::default());
        let line = "deb http://m.example/ubuntu noble main";
        let ubuntu = "ID=ubuntu\nVERSION_CODENAME=noble\n";
        assert_eq!(choose(ubuntu, &[(false, line.into())]), Mirrors::default());
    }

    #[test]
    fn the_security_archive_lies_beside() {
        let beside = security_beside("http://m.example/debian/");
        assert_eq!(beside, "http://m.example/debian-security");
    }
}
