//! Fills a root file system with packages: debootstrap first, then the image's own apt.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::build::Progress;
use crate::chroot::{Side, Step, Workshop, outside};
use crate::mirror::{self, Mirrors};
use crate::spec::{Packages, Spec};
use crate::{Error, Result, keyring};

const BOOTSTRAP: Step = Step {
    name: "debootstrap",
    limit: Duration::from_secs(1200),
};
const UPDATE: Step = Step {
    name: "apt-get update",
    limit: Duration::from_secs(600),
};
/// Between tries of an update: a mirror that is being renewed answers with half of its lists.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];
const INSTALL: Step = Step {
    name: "apt-get install",
    limit: Duration::from_secs(2400),
};

const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Every how many packages the progress says how many there are.
const PACE: usize = 100;

/// Debian's smallest system, from this host's mirror.
pub(crate) async fn bootstrap(
    spec: &Spec,
    architecture: &str,
    shop: &Workshop,
    mirrors: &Mirrors,
    line: &mut (dyn FnMut(&str) + Send),
) -> Result<()> {
    let keys = keyring::write(spec.description.archive_key.as_deref(), &shop.conf)?;
    let arguments = bootstrap_arguments(spec, architecture, shop, mirrors, keys.as_deref());
    outside(BOOTSTRAP, &arguments, line).await
}

fn bootstrap_arguments(
    spec: &Spec,
    architecture: &str,
    shop: &Workshop,
    mirrors: &Mirrors,
    keys: Option<&Path>,
) -> Vec<OsString> {
    let components = spec.description.components.join(",");
    let mut arguments: Vec<OsString> = vec![
        "debootstrap".into(),
        "--variant=minbase".into(),
        format!("--arch={architecture}").into(),
        format!("--components={components}").into(),
        option("--cache-dir=", &shop.debs),
    ];
    if let Some(keys) = keys {
        arguments.push(option("--keyring=", keys));
    }
    arguments.push(spec.description.suite.clone().into());
    arguments.push(shop.root.clone().into());
    arguments.extend(mirrors.main.as_ref().map(OsString::from));
    arguments
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// Apt's settings during the build. Without the error mode `apt-get update` succeeds when a list cannot be had.
const SETTINGS: &str = r#"APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dpkg::Use-Pty "false";
Dpkg::Options { "--force-unsafe-io"; "--force-confdef"; "--path-exclude=/usr/share/man/*"; "--path-exclude=/usr/share/info/*"; "--path-exclude=/usr/share/locale/*"; "--path-exclude=/usr/share/lintian/*"; "--path-exclude=/usr/share/doc/*"; "--path-include=/usr/share/doc/*/copyright"; };
"#;

/// Writes apt's settings for the build; none of them is left in the image.
pub(crate) async fn configure_apt(shop: &Workshop) -> Result<()> {
    let mut text = SETTINGS.to_owned();
    if fs::copy(CA_BUNDLE, shop.conf.join("ca.pem")).is_ok() {
        text.push_str("Acquire::https::CAInfo \"/run/ropewalk/ca.pem\";\n");
    }
    // A host without apt has no settings of it.
    let host = tokio::process::Command::new("apt-config")
        .arg("dump")
        .output();
    if let Ok(Ok(output)) = tokio::time::timeout(Duration::from_secs(30), host).await {
        let dump = String::from_utf8_lossy(&output.stdout).into_owned();
        text.extend(proxy_settings(&dump));
    }
    let path = shop.conf.join("apt.conf");
    fs::write(&path, text).map_err(Error::io("write", &path))
}

/// The lines of apt's settings that name a proxy.
fn proxy_settings(dump: &str) -> impl Iterator<Item = String> {
    dump.lines()
        .filter(|line| {
            let name = line
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let http = name.starts_with("acquire::http::") || name.starts_with("acquire::https::");
            // A program that finds a proxy is on the host, not in the image.
            http && name.contains("::proxy") && !name.contains("detect")
        })
        .map(|line| format!("{line}\n"))
}

/// Whether a stack has Debian's security updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Updated,
    /// The mirror does not have them: good enough to work with, not to be remembered.
    Missing,
}

/// Names the release's updates as sources too, and loads the lists of packages.
pub(crate) async fn update(
    spec: &Spec,
    shop: &Workshop,
    mirrors: &Mirrors,
    progress: &Progress<'_>,
) -> Result<Security> {
    let list = shop.root.join("etc/apt/sources.list");
    let made = fs::read_to_string(&list).map_err(Error::io("read", &list))?;
    let main = made
        .lines()
        .find_map(|line| line.strip_prefix("deb ")?.split_whitespace().next())
        .unwrap_or_default()
        .to_owned();
    let beside = mirror::security_beside(&main);
    let security = mirrors.security.as_deref().unwrap_or(&beside);
    let suite = &spec.description.suite;
    let components = spec.description.components.join(" ");
    let without =
        format!("deb {main} {suite} {components}\ndeb {main} {suite}-updates {components}\n");
    let with = format!("{without}deb {security} {suite}-security {components}\n");

    fs::write(&list, with).map_err(Error::io("write", &list))?;
    let tried = load_lists(shop).await;
    if tried.is_ok() || mirrors.security.is_some() {
        return tried.map(|()| Security::Updated);
    }
    // Private mirrors need not carry the security archive; to go on without is better than no stack at all.
    progress(&format!(
        "{}: WARNING: no security updates: {security} does not have them",
        spec.description.name
    ));
    fs::write(&list, without).map_err(Error::io("write", &list))?;
    load_lists(shop).await.map(|()| Security::Missing)
}

/// Tries once, and once more after each pause; the last failure counts.
async fn load_lists(shop: &Workshop) -> Result<()> {
    let arguments = ["apt-get", "--quiet", "update"];
    for pause in PAUSES {
        let tried = shop
            .inside(Side::Run, UPDATE, &arguments, &mut |_| ())
            .await;
        if tried.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    shop.inside(Side::Run, UPDATE, &arguments, &mut |_| ())
        .await
}

/// Brings what debootstrap installed up to date, which knows neither updates nor security updates.
pub(crate) async fn upgrade(shop: &Workshop) -> Result<()> {
    let arguments = ["apt-get", "--quiet", "dist-upgrade"];
    shop.inside(Side::Run, INSTALL, &arguments, &mut |_| ())
        .await
}

pub(crate) async fn install(
    packages: &Packages,
    side: Side,
    shop: &Workshop,
    line: &mut (dyn FnMut(&str) + Send),
) -> Result<()> {
    let mut arguments = vec!["apt-get", "--quiet", "install", "--"];
    arguments.extend(packages.packages.iter().map(String::as_str));
    shop.inside(side, INSTALL, &arguments, line).await
}

/// Says now and then how many packages are installed.
pub(crate) fn counter<'a>(
    name: &'a str,
    progress: &'a Progress<'_>,
) -> impl FnMut(&str) + Send + 'a {
    let mut count = 0;
    move |line| {
        if line.starts_with("Setting up ") || line.starts_with("I: Configuring ") {
            count += 1;
            if count % PACE == 0 {
                progress(&format!("{name}: {count} packages"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_had_is_a_failure() {
        assert!(SETTINGS.starts_with("APT::Update::Error-Mode \"any\";\n"));
    }

    #[test]
    fn proxies_of_the_host_are_taken_over_and_nothing_else() {
        let dump = "Acquire::http::Proxy \"http://p.example:3142\";\nAcquire::http::Proxy-Auto-Detect \"/usr/bin/x\";\nAPT::Architecture \"amd64\";\nAcquire::https::Proxy::m.example \"DIRECT\";\n";
        let taken: String = proxy_settings(dump).collect();
        assert_eq!(
            taken,
            "Acquire::http::Proxy \"http://p.example:3142\";\nAcquire::https::Proxy::m.example \"DIRECT\";\n"
        );
    }
}
