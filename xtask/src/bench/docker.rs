//! The peer: `docker build` and `docker run` of the same app, from the image in which Ropewalk builds.
//!
//! The Dockerfiles are what people write: dependencies in a layer of their own, the code after them. What is not part
//! of the comparison (the host's CA bundle and package index settings, which builds of Ropewalk inherit too) is in a
//! base image that is made before anything is measured.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::answer::{Awaited, Door, now};
use super::clean_up::LABEL;
use super::run::run;

const BUILD_LIMIT: Duration = Duration::from_secs(1500);
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// Where the app listens in its container.
const PORT: u16 = 5000;
/// Where the base image has the bundle.
const CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// By these, programs find the bundle.
const CA_VARIABLES: [&str; 5] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
];
/// What a build of Ropewalk takes from its host's environment and matters to npm and pip.
const INHERITED: [&str; 12] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
];

pub(super) struct Docker {
    id: String,
    /// The container that serves, by app; only the last is kept.
    serving: Option<String>,
    started: u32,
    /// Images of the base.
    base: Vec<String>,
}

/// One build and run: seconds.
pub(super) struct Built {
    pub(super) build: f64,
    /// From the begin of the build to the first answer.
    pub(super) total: f64,
}

impl Docker {
    /// Makes the base image, from a folder below `work`.
    pub(super) fn new(id: &str, work: &Path, stack_image: &str) -> Result<Self> {
        let folder = work.join("base");
        std::fs::create_dir(&folder)?;
        let mut lines = vec![
            format!("FROM {stack_image}"),
            format!("LABEL {LABEL}={id}"),
            "USER root".to_owned(),
            "ENTRYPOINT []".to_owned(),
            "ENV HOME=/tmp".to_owned(),
        ];
        for name in INHERITED {
            if let Ok(value) = std::env::var(name) {
                lines.push(format!("ENV {name}={}", quoted(&value)));
            }
        }
        if let Some(bundle) = ca_bundle() {
            std::fs::copy(&bundle, folder.join("ca.pem"))?;
            lines.push(format!("COPY ca.pem {CA}"));
            lines.extend(CA_VARIABLES.map(|name| format!("ENV {name}={CA}")));
        }
        std::fs::write(folder.join("Dockerfile"), lines.join("\n") + "\n")?;
        let mut docker = Self {
            id: id.to_owned(),
            serving: None,
            started: 0,
            base: Vec::new(),
        };
        docker
            .build(&folder, "base", false)
            .context("the base image of the comparison could not be made")?;
        docker.base = images(id)?;
        Ok(docker)
    }

    /// The first line of every app's Dockerfile.
    pub(super) fn base_line(&self) -> String {
        format!("FROM {}", self.tag("base"))
    }

    /// Builds `folder`, runs it, and measures until it answers. `cold`: without the layer cache.
    pub(super) fn deploy(
        &mut self,
        folder: &Path,
        app: &str,
        version: u32,
        cold: bool,
    ) -> Result<Built> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        self.started += 1;
        let name = format!("ropewalk-bench-{}-{}", self.id, self.started);
        let awaited = Awaited {
            version,
            since: now()?,
        };
        let began = Instant::now();
        self.build(folder, app, cold)?;
        let build = began.elapsed().as_secs_f64();
        self.start(&name, app, address)?;
        let door = Door {
            address,
            host: "localhost".to_owned(),
        };
        let answered = door
            .wait(&awaited, RUN_LIMIT, || Ok(()))
            .with_context(|| self.log(&name))?;
        let built = Built {
            build,
            total: answered.duration_since(began).as_secs_f64(),
        };
        // The version before is taken away when the new one answers, and out of the measured time.
        if let Some(before) = self.serving.replace(name) {
            self.stop(&before)?;
        }
        Ok(built)
    }

    /// Removes the app's container and every image but the base.
    pub(super) fn clear(&mut self) -> Result<()> {
        if let Some(name) = self.serving.take() {
            self.stop(&name)?;
        }
        remove_images(&self.id, &self.base).map(drop)
    }

    fn build(&self, folder: &Path, app: &str, cold: bool) -> Result<()> {
        let tag = self.tag(app);
        let mut args = vec!["build", "--network", "host", "--force-rm", "--tag", &tag];
        if cold {
            args.push("--no-cache");
        }
        let mut command = Command::new("docker");
        command
            // The builder that every engine has.
            .env("DOCKER_BUILDKIT", "0")
            .current_dir(folder)
            .args(args)
            .arg(".");
        run(&mut command, BUILD_LIMIT).map(drop)
    }

    fn start(&self, name: &str, app: &str, address: SocketAddr) -> Result<()> {
        let label = format!("{LABEL}={}", self.id);
        let publish = format!("{address}:{PORT}");
        let port = format!("PORT={PORT}");
        let tag = self.tag(app);
        let args = ["run", "--detach", "--name", name, "--label", &label];
        let more = ["--publish", &publish, "--env", &port, &tag];
        docker(&[&args[..], &more].concat(), RUN_LIMIT).map(drop)
    }

    fn stop(&self, name: &str) -> Result<()> {
        docker(&["rm", "--force", "--volumes", name], RUN_LIMIT).map(drop)
    }

    fn log(&self, name: &str) -> String {
        let log = docker(&["logs", "--tail", "20", name], RUN_LIMIT).unwrap_or_default();
        format!("the container's log:\n{log}")
    }

    fn tag(&self, app: &str) -> String {
        format!("ropewalk-bench-{}:{app}", self.id)
    }
}

/// Removes a bench's images besides `keep`; whether all of them are gone.
pub(super) fn remove_images(id: &str, keep: &[String]) -> Result<bool> {
    loop {
        let mut left = images(id)?;
        left.retain(|image| !keep.contains(image));
        // Parents cannot go before their children: the next round takes them. Parents without a name must not go by
        // themselves (--no-prune), for the stack's image is one.
        let removed = left
            .iter()
            .filter(|image| docker(&["rmi", "--force", "--no-prune", image], RUN_LIMIT).is_ok())
            .count();
        if removed == 0 {
            return Ok(left.is_empty());
        }
    }
}

/// Ids of every image with the bench's label, those of single steps too.
fn images(id: &str) -> Result<Vec<String>> {
    let filter = format!("label={LABEL}={id}");
    let list = docker(
        &["images", "-aq", "--no-trunc", "--filter", &filter],
        RUN_LIMIT,
    )?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn docker(args: &[&str], limit: Duration) -> Result<String> {
    run(Command::new("docker").args(args), limit)
}

/// Where the host has its bundle; the order in which Ropewalk's builder looks.
fn ca_bundle() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .map(PathBuf::from)
        .into_iter()
        .chain([CA.into(), "/etc/ssl/cert.pem".into()])
        .find(|path| path.is_file())
}

/// As a value in a Dockerfile, where `$` would name a variable.
fn quoted(value: &str) -> String {
    let escaped: String = value
        .chars()
        .flat_map(|one| {
            let escape = matches!(one, '"' | '\\' | '$').then_some('\\');
            escape.into_iter().chain([one])
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_what_they_are() {
        assert_eq!(quoted(r#"a "b" $c \"#), r#""a \"b\" \$c \\""#);
    }
}
