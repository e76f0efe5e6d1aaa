//! The git remotes of the folder we are in, as far as they lead to our git host.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Context as _;
use tokio::process::Command;

use crate::cmd::context::hosts::GitHost;
use crate::ui::Failure;

/// One remote that leads to an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) app: String,
}

/// All remotes that lead to apps on `host`; none outside of a repository.
pub(crate) async fn all(host: &GitHost) -> anyhow::Result<Vec<Remote>> {
    let output = git(&["config", "--get-regexp", r"^remote\..*\.url$"]).await?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout), host))
}

/// The app that the remote `name` leads to.
pub(crate) async fn app_of(name: &str, host: &GitHost) -> anyhow::Result<String> {
    let remote = all(host)
        .await?
        .into_iter()
        .find(|remote| remote.name == name);
    remote.map(|remote| remote.app).ok_or_else(|| {
        Failure::new(format!(
            "The git remote {name} does not lead to an app on {}.",
            host.authority()
        ))
        .hint("Run git remote -v to see your remotes, or name the app with --app.")
        .into()
    })
}

/// The only app that the remotes lead to.
pub(crate) async fn only_app(host: &GitHost) -> anyhow::Result<String> {
    let remotes = all(host).await?;
    let mut apps: Vec<&str> = remotes.iter().map(|remote| remote.app.as_str()).collect();
    apps.sort_unstable();
    apps.dedup();
    match apps.as_slice() {
        [app] => Ok((*app).to_owned()),
        [] => Err(Failure::usage("Which app? None was named, and no git remote here leads to one.")
            .hint("Name it with --app APP, set ROPEWALK_APP, or add a remote: ropewalk git:remote --app APP.")
            .into()),
        _ => {
            let list: Vec<String> =
                remotes.iter().map(|remote| format!("  {} ({})", remote.app, remote.name)).collect();
            Err(Failure::usage(format!("Which app? Several git remotes lead to one:\n{}", list.join("\n")))
                .hint("Choose one with --remote REMOTE or --app APP.")
                .into())
        }
    }
}

/// Whether the folder we are in belongs to a repository.
pub(crate) async fn in_repository() -> anyhow::Result<bool> {
    Ok(git(&["rev-parse", "--git-dir"]).await?.status.success())
}

/// Adds or moves a remote, and lets git ask us for the token of its host.
pub(crate) async fn set(name: &str, url: &str, host: &GitHost) -> anyhow::Result<()> {
    set_url(name, url).await?;
    let helper = format!("credential.{}.helper", host.base());
    must(&[
        "config",
        "--replace-all",
        &helper,
        "!ropewalk git:credentials",
    ])
    .await
}

/// Name and address of every remote of `folder`, as written; none outside of a repository.
pub(crate) async fn urls(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let output = git_in(folder, &["config", "--get-regexp", r"^remote\..*\.url$"]).await?;
    Ok(entries(&String::from_utf8_lossy(&output.stdout))
        .map(|(name, url)| (name.to_owned(), url.to_owned()))
        .collect())
}

/// For remotes of `folder` below `written`, which is an address of HTTPS: the way to `host`, the helper that has its
/// token, before any other, and the authority of its certificate where it is not one of the system's. Whether the way
/// was not known yet.
pub(crate) async fn settle(
    folder: &Path,
    written: &str,
    host: &GitHost,
    ca: Option<&Path>,
) -> anyhow::Result<bool> {
    let base = host.base();
    let helper = format!("credential.{base}.helper");
    // An empty helper forgets those of the person's own settings, `heroku git:credentials` among them: outside of
    // `ropewalk heroku` it takes a second to answer nothing.
    must_in(folder, &["config", "--replace-all", &helper, ""]).await?;
    let ours = "!ropewalk git:credentials";
    must_in(folder, &["config", "--add", &helper, ours]).await?;
    if let Some((key, path)) = authority(host, ca) {
        must_in(folder, &["config", "--replace-all", &key, &path]).await?;
    }
    let actual = format!("{base}/");
    if actual == written {
        return Ok(false);
    }
    let key = format!("url.{actual}.insteadOf");
    let known = git_in(folder, &["config", "--local", "--get", &key]).await?;
    must_in(folder, &["config", "--replace-all", &key, written]).await?;
    Ok(!known.status.success())
}

/// git's setting by which it takes the host's certificate, where that is a private authority's.
pub(crate) fn authority(host: &GitHost, ca: Option<&Path>) -> Option<(String, String)> {
    let ca = ca.filter(|_| host.scheme == "https")?;
    let key = format!("http.{}/.sslCAInfo", host.base());
    Some((key, ca.to_string_lossy().into_owned()))
}

/// Adds or moves a remote that needs no token.
pub(crate) async fn set_url(name: &str, url: &str) -> anyhow::Result<()> {
    let exists = git(&["config", "--get", &format!("remote.{name}.url")])
        .await?
        .status
        .success();
    let verb = if exists { "set-url" } else { "add" };
    must(&["remote", verb, name, url]).await
}

/// Takes a remote away.
pub(crate) async fn remove(name: &str) -> anyhow::Result<()> {
    must(&["remote", "remove", name]).await
}

async fn must(args: &[&str]) -> anyhow::Result<()> {
    must_in(Path::new("."), args).await
}

async fn must_in(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let output = git_in(folder, args).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("git {} failed: {}", args.join(" "), said.trim())).into())
}

async fn git(args: &[&str]) -> anyhow::Result<Output> {
    git_in(Path::new("."), args).await
}

async fn git_in(folder: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let mut git = Command::new("git");
    git.args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    git.output().await.context("git could not be started")
}

fn parse(listing: &str, host: &GitHost) -> Vec<Remote> {
    let remotes = entries(listing).filter_map(|(name, url)| {
        Some(Remote {
            name: name.to_owned(),
            app: host.app_of(url)?,
        })
    });
    remotes.collect()
}

/// Name and address of each line that `git config --get-regexp` gave.
fn entries(listing: &str) -> impl Iterator<Item = (&str, &str)> {
    listing.lines().filter_map(|line| {
        let (key, url) = line.split_once(' ')?;
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        Some((name, url))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::context::hosts::ApiHost;

    #[test]
    fn only_remotes_on_our_host_are_listed() {
        let host = ApiHost::parse("http://api.localhost:8080")
            .unwrap()
            .git_host();
        let listing = "remote.origin.url https://git.example.com/x.git\n\
                       remote.ropewalk.url http://git.localhost:8080/demo.git\n\
                       remote.my.staging.url http://git.localhost:8080/demo-staging.git\n\
                       remote.heroku.url https://git.localhost:8080/demo.git\n";
        let names: Vec<(String, String)> = parse(listing, &host)
            .into_iter()
            .map(|remote| (remote.name, remote.app))
            .collect();
        let expected = [
            ("ropewalk".into(), "demo".into()),
            ("my.staging".into(), "demo-staging".into()),
            ("heroku".into(), "demo".into()),
        ];
        assert_eq!(names, expected);
    }
}
