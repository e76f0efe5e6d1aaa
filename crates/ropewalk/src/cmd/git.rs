//! `git:remote`, `git:credentials`: how `git push` finds an app and its token.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context as _;
use ropewalk_client::types::SshGit;
use ropewalk_client::{Client, Error};

use crate::cmd::context::hosts::GitHost;
use crate::cmd::context::{AppArgs, Context, remotes};
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct RemoteArgs {
    /// App to run the command against
    #[arg(short = 'a', long, value_name = "APP")]
    app: Option<String>,
    /// Name of the git remote to make or to move
    #[arg(short, long, value_name = "REMOTE", default_value = "ropewalk")]
    remote: String,
    /// Push over SSH, by a key that ropewalk keys:add has added
    #[arg(long)]
    ssh_git: bool,
}

pub(crate) async fn remote(cx: &Context, args: RemoteArgs) -> anyhow::Result<ExitCode> {
    let named = AppArgs {
        app: args.app.clone(),
        remote: None,
    };
    let app = cx.app(&named).await?;
    if !remotes::in_repository().await? {
        return Err(Failure::new("This folder is not in a git repository.")
            .hint("Run git init first.")
            .into());
    }
    let client = cx.client()?;
    let app = client.app(&app).await?;
    let url = match args.ssh_git {
        true => {
            let ssh = ssh_git(&client).await?;
            let url = format!("ssh://git@{}:{}/{}.git", ssh.host, ssh.port, app.name);
            remotes::set_url(&args.remote, &url).await?;
            // So that whoever wants to can tell git's question about the host's key from a trap.
            cx.out.remark(&format!(
                "The host shows this key: [{}]:{} {}",
                ssh.host, ssh.port, ssh.host_key
            ))?;
            url
        }
        false => {
            remotes::set(&args.remote, &app.git_url, &cx.git_host()?).await?;
            app.git_url
        }
    };
    cx.out
        .line(&format!("set git remote {} to {url}", args.remote))?;
    Ok(ExitCode::SUCCESS)
}

async fn ssh_git(client: &Client) -> anyhow::Result<SshGit> {
    match client.ssh_git().await {
        Err(Error::Api(error)) if error.status == 404 => {
            Err(Failure::new("This server does not speak git over SSH.")
                .hint("Push over HTTP: run the command without --ssh-git.")
                .into())
        }
        answer => Ok(answer?),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct CredentialsArgs {
    /// What git wants: get, store or erase
    #[arg(value_name = "OPERATION")]
    operation: String,
}

/// Answers `get` for our git host; says nothing to everything else, as git expects of its helpers.
pub(crate) fn credentials(cx: &Context, args: &CredentialsArgs) -> anyhow::Result<ExitCode> {
    if args.operation != "get" {
        return Ok(ExitCode::SUCCESS);
    }
    let mut question = String::new();
    std::io::stdin()
        .lock()
        .take(64 * 1024)
        .read_to_string(&mut question)
        .context("git's question was not read")?;
    let (host, Some(token)) = (cx.git_host()?, cx.token()?) else {
        return Ok(ExitCode::SUCCESS);
    };
    if is_about(&question, &host) {
        let authority = host.authority();
        cx.out.line(&format!(
            "protocol={}\nhost={authority}\nusername=ropewalk\npassword={token}",
            host.scheme
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_about(question: &str, host: &GitHost) -> bool {
    let value = |key: &str| {
        question
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    value("protocol") == Some(host.scheme.as_str())
        && value("host") == Some(host.authority().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::context::hosts::ApiHost;

    #[test]
    fn only_our_own_host_gets_the_token() {
        let host = ApiHost::parse("http://api.localhost:8080")
            .unwrap()
            .git_host();
        assert!(is_about(
            "protocol=http\nhost=git.localhost:8080\npath=demo.git\n",
            &host
        ));
        for question in [
            "protocol=https\nhost=git.localhost:8080\n",
            "protocol=http\nhost=git.localhost\n",
            "protocol=http\nhost=git.localhost:8080.example.com\n",
            "host=git.localhost:8080\n",
            "",
        ] {
            assert!(!is_about(question, &host), "{question:?}");
        }
    }
}
