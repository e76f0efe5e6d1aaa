//! What git needs so that the remotes which Heroku's CLI makes lead to us.
//!
//! The CLI makes remotes of HTTPS whatever the server speaks. Where it speaks plain HTTP, git is told that one
//! address stands for the other. The CLI must not see that, or it no longer finds its own remotes.

use std::path::{Path, PathBuf};

use crate::cmd::context::hosts::GitHost;
use crate::cmd::context::{Context, remotes};
use crate::cmd::heroku::{Surroundings, Variables};

/// `https://git.localhost:8080/`, as the CLI writes remotes.
fn written(host: &GitHost) -> String {
    format!("https://{}/", host.authority())
}

/// Settings for the git that runs beneath the CLI, by its environment.
pub(super) async fn for_child(
    around: &Surroundings,
    host: &GitHost,
    ca: Option<&Path>,
    folder: &Path,
    args: &[String],
) -> anyhow::Result<Variables> {
    let written = written(host);
    let actual = format!("{}/", host.base());
    let [http, https] = &around.proxies;
    let proxy = if host.scheme == "https" { https } else { http };
    let mut settings = vec![
        // The helper is no proxy for git; the person's own still is.
        (
            format!("http.{actual}.proxy"),
            proxy.clone().unwrap_or_default(),
        ),
        (
            format!("credential.{}.helper", host.base()),
            "!ropewalk git:credentials".to_owned(),
        ),
    ];
    settings.extend(remotes::authority(host, ca));
    if actual != written && is_clone(args) {
        settings.push((format!("url.{actual}.insteadOf"), written));
    } else if actual != written {
        let existing = remotes::urls(folder)
            .await?
            .into_iter()
            .map(|(_, url)| url)
            .filter(|url| url.starts_with(&written));
        // The longest match wins, so the CLI is shown its remotes as it wrote them.
        settings.extend(existing.map(|url| (format!("url.{url}.insteadOf"), url)));
    }
    Ok(numbered(around.git_settings, settings))
}

/// Settings for the git of a shell in which the CLI talks to the server by itself.
pub(super) fn for_shell(around: &Surroundings, host: &GitHost, ca: Option<&Path>) -> Variables {
    match remotes::authority(host, ca) {
        Some(setting) => numbered(around.git_settings, vec![setting]),
        None => Variables::new(),
    }
}

/// `GIT_CONFIG_KEY_n` and `GIT_CONFIG_VALUE_n`, behind the `before` that are there already.
fn numbered(before: usize, settings: Vec<(String, String)>) -> Variables {
    let count = before + settings.len();
    let mut variables = vec![(
        "GIT_CONFIG_COUNT".to_owned(),
        Some(count.to_string().into()),
    )];
    for (index, (key, value)) in (before..).zip(settings) {
        variables.push((format!("GIT_CONFIG_KEY_{index}"), Some(key.into())));
        variables.push((format!("GIT_CONFIG_VALUE_{index}"), Some(value.into())));
    }
    variables
}

/// The folders whose remotes the command may have changed: this one, and one that it cloned.
pub(super) fn touched(folder: &Path, args: &[String]) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    if is_clone(args) {
        let named = args.iter().skip(1).map(|arg| {
            let value = arg.strip_prefix("--app=").unwrap_or(arg);
            folder.join(value)
        });
        folders.extend(named.filter(|path| path.join(".git").exists()));
    }
    folders
}

/// Tells git in these repositories how to reach the remotes that the CLI made, and whom to ask for the token.
pub(super) async fn settle(
    cx: &Context,
    host: &GitHost,
    ca: Option<&Path>,
    folders: &[PathBuf],
) -> anyhow::Result<()> {
    let written = written(host);
    for folder in folders {
        let ours = remotes::urls(folder)
            .await?
            .iter()
            .any(|(_, url)| url.starts_with(&written));
        if ours && remotes::settle(folder, &written, host, ca).await? {
            cx.out.remark(&format!(
                "git in this repository now reaches {written} by {}/.",
                host.base()
            ))?;
        }
    }
    Ok(())
}

fn is_clone(args: &[String]) -> bool {
    args.first().is_some_and(|command| command == "git:clone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::context::hosts::ApiHost;

    fn host(url: &str) -> GitHost {
        ApiHost::parse(url).unwrap().git_host()
    }

    fn value(variables: &Variables, name: &str) -> String {
        let found = variables.iter().find(|(other, _)| other == name).unwrap();
        found.1.as_ref().unwrap().to_string_lossy().into_owned()
    }

    #[tokio::test]
    async fn settings_stand_behind_those_that_are_there() {
        let around = Surroundings {
            git_settings: 2,
            ..Surroundings::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let args = ["git:clone".to_owned()];
        let plain = host("http://api.localhost:8080");
        let variables = for_child(&around, &plain, None, folder.path(), &args)
            .await
            .unwrap();
        assert_eq!(value(&variables, "GIT_CONFIG_COUNT"), "5");
        assert_eq!(
            value(&variables, "GIT_CONFIG_KEY_2"),
            "http.http://git.localhost:8080/.proxy"
        );
        assert_eq!(
            value(&variables, "GIT_CONFIG_KEY_4"),
            "url.http://git.localhost:8080/.insteadOf"
        );
        assert_eq!(
            value(&variables, "GIT_CONFIG_VALUE_4"),
            "https://git.localhost:8080/"
        );
        let secure = host("https://api.example.com");
        let variables = for_child(&around, &secure, None, folder.path(), &args)
            .await
            .unwrap();
        assert_eq!(value(&variables, "GIT_CONFIG_COUNT"), "4");
        // A private authority is believed for this host alone.
        let variables = for_shell(&around, &secure, Some(Path::new("/etc/ca.pem")));
        assert_eq!(value(&variables, "GIT_CONFIG_COUNT"), "3");
        assert_eq!(
            value(&variables, "GIT_CONFIG_KEY_2"),
            "http.https://git.example.com/.sslCAInfo"
        );
        assert_eq!(value(&variables, "GIT_CONFIG_VALUE_2"), "/etc/ca.pem");
        assert_eq!(for_shell(&around, &secure, None), Variables::new());
    }
}
