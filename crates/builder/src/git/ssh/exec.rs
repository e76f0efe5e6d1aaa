//! The command that a client asks for, read as git writes it. There is no shell to give it to.

use crate::git::exchange::Service;

/// Longest command, in bytes; an app's name is far shorter.
const MAX_COMMAND: usize = 512;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) service: Service,
    /// `demo.git`
    pub(crate) repo: String,
}

/// `git-receive-pack '/demo.git'`, `git upload-pack demo.git`; `None` for everything else.
pub(crate) fn parse(command: &[u8]) -> Option<Asked> {
    if command.len() > MAX_COMMAND {
        return None;
    }
    let text = std::str::from_utf8(command).ok()?.trim();
    let (program, path) = match text.strip_prefix("git ") {
        Some(rest) => rest.trim_start().split_once(' ')?,
        None => text.strip_prefix("git-")?.split_once(' ')?,
    };
    let service = Service::parse(&format!("git-{program}"))?;
    let path = unquoted(path.trim())?;
    let repo = path.strip_prefix('/').unwrap_or(path);
    Some(Asked {
        service,
        repo: repo.to_owned(),
    })
}

/// One word, in quotes of either kind or in none. An app's name has no character that would have to be escaped.
fn unquoted(word: &str) -> Option<&str> {
    let inner = ['\'', '"']
        .into_iter()
        .find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(word);
    let plain = !inner.contains(['\'', '"', '\\', ' ', '\t', '\n', '\r', '\0']);
    plain.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_in_every_spelling_of_git() {
        for (command, service) in [
            ("git-receive-pack '/demo.git'", Service::Receive),
            ("git-receive-pack 'demo.git'", Service::Receive),
            ("git-receive-pack \"demo.git\"", Service::Receive),
            ("git receive-pack demo.git", Service::Receive),
            ("git-upload-pack '/demo.git'", Service::Upload),
            ("git upload-pack  /demo.git ", Service::Upload),
        ] {
            let repo = "demo.git".to_owned();
            let asked = Some(Asked { service, repo });
            assert_eq!(parse(command.as_bytes()), asked, "{command}");
        }
    }

    #[test]
    fn nothing_else_is_a_command() {
        for command in [
            "",
            "ls",
            "git",
            "git-receive-pack",
            "git-upload-archive 'demo.git'",
            "git-receive-pack 'demo.git'; id",
            "git-receive-pack 'demo.git' 'other.git'",
            "git-receive-pack 'demo.git",
            "git-receive-pack '' 'x'",
            "git-receive-pack --help x",
            "git-receive-pack 'de'\\''mo.git'",
            "sh -c git-receive-pack",
            "git-receive-pack demo.git\nid",
        ] {
            assert_eq!(parse(command.as_bytes()), None, "{command}");
        }
        assert_eq!(parse(b"git-receive-pack '\xff.git'"), None);
        let long = format!("git-receive-pack '{}.git'", "a".repeat(600));
        assert_eq!(parse(long.as_bytes()), None);
    }
}
