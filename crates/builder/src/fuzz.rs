//! Where fuzzing reaches this crate's own parsers: each function takes bytes as a stranger could send them and panics
//! when what must hold of every input does not. Used by `tests/fuzz` alone; no part of a build.

use futures_util::FutureExt;

use crate::build::address;
use crate::build::changes::Changes;
use crate::build::flat_yaml::{FlatMap, Presence};
use crate::build::slugignore::SlugIgnore;
use crate::git::frame::{self, Frame, Request};
use crate::git::refs::{self, RefUpdate};
use crate::git::ssh::exec;

/// A `.slugignore` and, behind its first zero byte, a path: comparing them ends within the steps it may take.
pub fn slugignore(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    let path = path.get(..4096).unwrap_or(path);
    let ignore = SlugIgnore::parse(text);
    for is_folder in [false, true] {
        let mut steps = 1 << 20;
        let is_named = ignore.matches(path, is_folder, &mut steps);
        assert!(steps > 0 || !is_named, "out of steps, it names nothing");
    }
}

/// What the server answers a hook: frames one after the other, none longer than a frame may be.
pub fn hook_answers(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let before = rest.len();
        match frame::read(&mut rest).now_or_never() {
            Some(Ok(Some(Frame::Output(text)))) => assert_eq!(before, rest.len() + 5 + text.len()),
            Some(Ok(Some(Frame::Exit(_)))) => assert_eq!(before, rest.len() + 6),
            Some(_) => return,
            None => panic!("reading from memory does not wait"),
        }
    }
}

/// What a hook asks, and what git told it: a plan deploys nothing but one of the two branches at an object's id.
pub fn hook_request(bytes: &[u8]) {
    let mut updates = match Request::parse(bytes) {
        Ok(request) => request.updates,
        Err(_) => Vec::new(),
    };
    let text = String::from_utf8_lossy(bytes);
    updates.extend(text.lines().filter_map(RefUpdate::parse));
    if let Ok(plan) = refs::plan(&updates, 100)
        && let Some(deploy) = plan.deploy
    {
        assert!(refs::is_object_id(&deploy.commit), "{deploy:?}");
        assert!(matches!(
            deploy.branch,
            "refs/heads/main" | "refs/heads/master"
        ));
    }
}

/// A command over SSH: what is taken for a repository's name holds nothing that ends a word.
pub fn ssh_command(bytes: &[u8]) {
    if let Some(asked) = exec::parse(bytes) {
        assert!(
            !asked
                .repo
                .contains(['\'', '"', '\\', ' ', '\t', '\n', '\r', '\0'])
        );
    }
}

/// What `git diff-tree` printed: whatever it is, it is read or refused.
pub fn changes(bytes: &[u8]) {
    if let Some(changes) = Changes::read(bytes) {
        assert!(changes.index.len() <= bytes.len() + changes.written.len());
    }
}

/// An address as a user typed it: no part of its login is shown.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = address::without_login(&text);
    if let Some((scheme, login, rest)) = address::parts(&text) {
        assert_eq!(shown, format!("{scheme}://{rest}"));
        let _ = address::secret_of(login, true);
    }
    let _ = crate::parse_checksum(&text);
}

/// What buildpacks wrote as YAML: what is made of it is not larger than it could be without aliases.
pub fn flat_yaml(bytes: &[u8]) {
    if let Ok(map) = serde_yaml::from_slice::<FlatMap>(bytes) {
        let text: usize = map.0.keys().map(String::len).sum();
        assert!(text <= 256 << 10);
    }
    let _ = serde_yaml::from_slice::<Presence>(bytes);
}
