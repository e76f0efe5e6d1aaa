//! The straight line from a description to two images: debootstrap, run packages, layer, build packages, layer.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ropewalk_registry::image::{self, Form};
use ropewalk_registry::{BlobStore, Digest, ImageRef, Layer, Settings};
use ropewalk_slug::remove_tree;
use ropewalk_slug::staging::Staged;
use ropewalk_slug::tree::{Limits, walk};
use rustix::fs::{FileType, FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::chroot::{Side, Step, Workshop, outside};
use crate::mirror::{self, Mirrors};
use crate::normalise::normalise;
use crate::spec::{Packages, Spec, User};
use crate::{Error, Result, layer};

/// Takes each line that says how far a build is.
pub type Progress<'a> = dyn Fn(&str) + Send + Sync + 'a;

const BOOTSTRAP: Step = Step {
    name: "debootstrap",
    limit: Duration::from_secs(1200),
};
const UPDATE: Step = Step {
    name: "apt-get update",
    limit: Duration::from_secs(600),
};
const INSTALL: Step = Step {
    name: "apt-get install",
    limit: Duration::from_secs(2400),
};

/// Where debootstrap finds the keys of Debian's archive on hosts that are not Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const WORK_PREFIX: &str = "work-";
/// How many versions of a stack the cache keeps: the one in use and the one before.
const RESULTS: usize = 2;
/// Every how many packages the progress says how many there are.
const PACE: usize = 100;
/// The clock of file systems is coarser than the system's.
const CLOCK_SLACK: i64 = 5;

/// A built stack; its images' configs and layers are in the blob store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    pub name: String,
    /// Digest over both images: equal versions are equal to the byte.
    pub version: Digest,
    pub run: ImageRef,
    pub build: ImageRef,
    /// How a container of either image starts; a release's image begins with these.
    pub settings: Settings,
    /// Bytes of the files of each image.
    pub run_size: u64,
    pub build_size: u64,
    /// How long the making took, whenever that was.
    pub seconds: f64,
}

/// Builds a stack, or takes it from `cache` when the same description was built there before and `fresh` is not
/// set. Needs root, debootstrap and a mirror in reach. Only one build per cache runs at a time; others wait.
///
/// `cache` keeps layers, package files and results between builds and data directories. However a build ends,
/// nothing stays mounted; folders of one that was killed are removed by the next.
pub async fn build(
    spec: &Spec,
    blobs: &BlobStore,
    cache: &Path,
    fresh: bool,
    progress: &Progress<'_>,
) -> Result<Stack> {
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let cache = fs::canonicalize(cache).map_err(Error::io("open", cache))?;
    let _turn = lock(&cache).await?;
    let kept = BlobStore::open(&cache.join("blobs"))?;
    let record = cache.join(format!("{}.json", spec.key.hex()));
    let name = &spec.description.name;
    if !fresh && let Some(stack) = recall(&record, &kept)? {
        progress(&format!("{name}: unchanged, taken from the cache"));
        share(&stack, &kept, blobs).await?;
        return Ok(stack);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NeedsRoot);
    }
    let begun = Instant::now();
    let mut stack = make(spec, &kept, &cache, progress).await?;
    stack.seconds = begun.elapsed().as_secs_f64();
    remember(&record, &stack)?;
    prune(&cache, &kept)?;
    share(&stack, &kept, blobs).await?;
    progress(&summary(&stack));
    Ok(stack)
}

async fn make(
    spec: &Spec,
    kept: &BlobStore,
    cache: &Path,
    progress: &Progress<'_>,
) -> Result<Stack> {
    let description = &spec.description;
    let name = description.name.as_str();
    let architecture = architecture()?;
    let started = now() - CLOCK_SLACK;
    let folder = tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(cache)
        .map_err(Error::io("create a folder in", cache))?;
    let shop = workshop(folder.path(), cache)?;
    let mirrors = mirror::of_this_host();

    progress(&format!(
        "{name}: bootstrapping Debian {}",
        description.suite
    ));
    let arguments = bootstrap_arguments(spec, architecture, &shop, &mirrors);
    outside(BOOTSTRAP, &arguments, &mut counter(name, progress)).await?;
    configure_apt(&shop).await?;
    update(spec, &shop, &mirrors, progress).await?;

    progress(&format!("{name}: installing the run image's packages"));
    let upgrade = ["apt-get", "--quiet", "dist-upgrade"];
    shop.inside(Side::Run, INSTALL, &upgrade, &mut |_| ())
        .await?;
    install(
        &description.run,
        Side::Run,
        &shop,
        &mut counter(name, progress),
    )
    .await?;
    add_users(&description.users, &shop.root)?;
    copy_files(&spec.folder.join("files/run"), &shop.root)?;
    normalise(&shop.root).await?;

    progress(&format!(
        "{name}: packing the run image, installing the build image's packages"
    ));
    let packing = pack(shop.root.clone(), started, kept.clone());
    let installing = async {
        install(
            &description.build,
            Side::Build,
            &shop,
            &mut counter(name, progress),
        )
        .await?;
        copy_files(&spec.folder.join("files/build"), &shop.upper)?;
        normalise(&shop.upper).await
    };
    let ((run_layer, run_size), ()) = tokio::try_join!(packing, installing)?;

    progress(&format!("{name}: packing the build image"));
    let (build_layer, build_size) = pack(shop.upper.clone(), started, kept.clone()).await?;
    let settings = settings(name, architecture, &description.env);
    let run = describe(&settings, vec![run_layer], kept)?;
    let build = describe(&settings, vec![run_layer, build_layer], kept)?;
    remove_tree(folder.path()).await?;
    Ok(Stack {
        name: name.to_owned(),
        version: version(&run, &build),
        run,
        build,
        settings,
        run_size,
        build_size: run_size + build_size,
        seconds: 0.0,
    })
}

/// Debian's word for this host's processor.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Error::Architecture(other)),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

fn workshop(folder: &Path, cache: &Path) -> Result<Workshop> {
    let shop = Workshop {
        root: folder.join("root"),
        upper: folder.join("upper"),
        work: folder.join("work"),
        merged: folder.join("merged"),
        debs: cache.join("packages"),
        lists: folder.join("lists"),
        conf: folder.join("conf"),
    };
    let all = [
        &shop.root,
        &shop.upper,
        &shop.work,
        &shop.merged,
        &shop.debs,
        &shop.lists,
        &shop.conf,
    ];
    for path in all {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
    }
    // These become the images' root folder.
    for path in [&shop.root, &shop.upper] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("change the mode of", path))?;
    }
    Ok(shop)
}

fn bootstrap_arguments(
    spec: &Spec,
    architecture: &str,
    shop: &Workshop,
    mirrors: &Mirrors,
) -> Vec<OsString> {
    let components = spec.description.components.join(",");
    let mut arguments: Vec<OsString> = vec![
        "debootstrap".into(),
        "--variant=minbase".into(),
        format!("--arch={architecture}").into(),
        format!("--components={components}").into(),
        option("--cache-dir=", &shop.debs),
    ];
    if Path::new(KEYRING).exists() {
        arguments.push(option("--keyring=", Path::new(KEYRING)));
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

/// Apt's settings during the build; none of them is left in the image.
async fn configure_apt(shop: &Workshop) -> Result<()> {
    let mut text = String::from(
        r#"APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dpkg::Use-Pty "false";
Dpkg::Options { "--force-unsafe-io"; "--force-confdef"; "--path-exclude=/usr/share/man/*"; "--path-exclude=/usr/share/info/*"; "--path-exclude=/usr/share/locale/*"; "--path-exclude=/usr/share/lintian/*"; "--path-exclude=/usr/share/doc/*"; "--path-include=/usr/share/doc/*/copyright"; };
"#,
    );
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

/// Names the release's updates as sources too, and loads the lists of packages.
async fn update(
    spec: &Spec,
    shop: &Workshop,
    mirrors: &Mirrors,
    progress: &Progress<'_>,
) -> Result<()> {
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
    let arguments = ["apt-get", "--quiet", "update"];

    fs::write(&list, with).map_err(Error::io("write", &list))?;
    let tried = shop
        .inside(Side::Run, UPDATE, &arguments, &mut |_| ())
        .await;
    if tried.is_ok() || mirrors.security.is_some() {
        return tried;
    }
    // Private mirrors need not carry the security archive; to go on without is better than no stack at all.
    progress(&format!(
        "{}: WARNING: no security updates: {security} does not have them",
        spec.description.name
    ));
    fs::write(&list, without).map_err(Error::io("write", &list))?;
    shop.inside(Side::Run, UPDATE, &arguments, &mut |_| ())
        .await
}

async fn install(
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
fn counter<'a>(name: &'a str, progress: &'a Progress<'_>) -> impl FnMut(&str) + Send + 'a {
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

/// Without the image's own programs, whose defaults may change.
fn add_users(users: &[User], root: &Path) -> Result<()> {
    for user in users {
        let User {
            name,
            id,
            home,
            shell,
        } = user;
        append(
            &root.join("etc/passwd"),
            &format!("{name}:x:{id}:{id}::{home}:{shell}\n"),
        )?;
        append(&root.join("etc/group"), &format!("{name}:x:{id}:\n"))?;
        append(
            &root.join("etc/shadow"),
            &format!("{name}:!:0:0:99999:7:::\n"),
        )?;
        append(&root.join("etc/gshadow"), &format!("{name}:!::\n"))?;
        let home = root.join(home.trim_start_matches('/'));
        fs::create_dir_all(&home).map_err(Error::io("create", &home))?;
        chown(&home, Some(*id), Some(*id)).map_err(Error::io("own", &home))?;
    }
    Ok(())
}

fn append(file: &Path, line: &str) -> Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(file)
        .and_then(|mut open| open.write_all(line.as_bytes()))
        .map_err(Error::io("write", file))
}

/// Copies a stack's own files into an image, owned by root. A folder that is not there has none.
fn copy_files(from: &Path, root: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    walk(from, Limits::ROOT, |entry| {
        let to = root.join(entry.path);
        let copied = match entry.file_type() {
            FileType::Directory => fs::create_dir_all(&to),
            FileType::Symlink => {
                let target = entry.link_target()?;
                let target = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&target);
                std::os::unix::fs::symlink(target, &to)
            }
            _ => {
                // Whatever the mask was when the files were checked out.
                let mode = if entry.mode() & 0o100 == 0 {
                    0o644
                } else {
                    0o755
                };
                fs::copy(from.join(entry.path), &to)
                    .and_then(|_| fs::set_permissions(&to, fs::Permissions::from_mode(mode)))
            }
        };
        copied.map_err(|source| ropewalk_slug::Error::Io {
            action: "copy to",
            path: to.clone(),
            source,
        })
    })?;
    Ok(())
}

async fn pack(root: PathBuf, started: i64, kept: BlobStore) -> Result<(Layer, u64)> {
    tokio::task::spawn_blocking(move || layer::write(&root, started, &kept)).await?
}

fn settings(name: &str, architecture: &str, env: &BTreeMap<String, String>) -> Settings {
    Settings {
        architecture: architecture.to_owned(),
        user: format!("{0}:{0}", ropewalk_slug::DYNO_ID),
        working_dir: "/app".to_owned(),
        env: env.clone(),
        command: vec!["/bin/bash".to_owned()],
        labels: [("ropewalk.stack".to_owned(), name.to_owned())].into(),
        ..Settings::default()
    }
}

fn describe(settings: &Settings, layers: Vec<Layer>, kept: &BlobStore) -> Result<ImageRef> {
    let config = image::config(settings, &layers)?;
    let manifest = image::manifest(Form::Oci, &config, &layers)?;
    Ok(ImageRef {
        config_digest: kept.put_bytes(&config)?,
        manifest_digest: manifest.digest,
        layers,
    })
}

fn version(run: &ImageRef, build: &ImageRef) -> Digest {
    let text = format!("{}\n{}\n", run.config_digest, build.config_digest);
    Digest::of(text.as_bytes())
}

fn summary(stack: &Stack) -> String {
    let mega = |bytes: u64| bytes / 1_000_000;
    let packed = |image: &ImageRef| mega(image.layers.iter().map(|layer| layer.size).sum());
    format!(
        "{}: run image {} MB ({} MB packed), build image {} MB ({} MB packed), {:.0} s",
        stack.name,
        mega(stack.run_size),
        packed(&stack.run),
        mega(stack.build_size),
        packed(&stack.build),
        stack.seconds
    )
}

/// One build per cache; the lock goes with the file. Also removes what a killed build left.
async fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    let file = tokio::task::spawn_blocking(move || {
        flock(&file, FlockOperation::LockExclusive).map(|()| file)
    });
    let file = file
        .await?
        .map_err(|errno| Error::io("lock", &path)(errno.into()))?;
    for entry in fs::read_dir(cache).map_err(Error::io("list", cache))? {
        let entry = entry.map_err(Error::io("list", cache))?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            remove_tree(&entry.path()).await?;
        }
    }
    Ok(file)
}

fn blobs_of(stack: &Stack) -> impl Iterator<Item = Digest> {
    let configs = [stack.run.config_digest, stack.build.config_digest];
    let layers = stack.build.layers.iter().map(|layer| layer.digest);
    configs.into_iter().chain(layers)
}

/// The result of an earlier build, if it and its blobs are whole.
fn recall(record: &Path, kept: &BlobStore) -> Result<Option<Stack>> {
    let Ok(text) = fs::read(record) else {
        return Ok(None);
    };
    let Ok(stack) = serde_json::from_slice::<Stack>(&text) else {
        return Ok(None);
    };
    for digest in blobs_of(&stack) {
        if kept.size(&digest)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(stack))
}

fn remember(record: &Path, stack: &Stack) -> Result<()> {
    let staged = Staged::beside(record);
    let path = staged.path();
    fs::write(path, serde_json::to_vec_pretty(stack)?).map_err(Error::io("write", path))?;
    Ok(staged.publish()?)
}

/// Forgets all but the last few results of each stack, and the blobs that none of those has.
fn prune(cache: &Path, kept: &BlobStore) -> Result<()> {
    let mut records = Vec::new();
    for entry in fs::read_dir(cache).map_err(Error::io("list", cache))? {
        let path = entry.map_err(Error::io("list", cache))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let facts = fs::metadata(&path).and_then(|facts| facts.modified());
            records.push((facts.map_err(Error::io("look at", &path))?, path));
        }
    }
    records.sort_unstable();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut wanted = BTreeSet::new();
    for (_, path) in records.into_iter().rev() {
        let stack = recall(&path, kept)?;
        let count = stack
            .as_ref()
            .map(|stack| counts.entry(stack.name.clone()).or_default());
        match (stack, count) {
            (Some(stack), Some(count)) if *count < RESULTS => {
                *count += 1;
                wanted.extend(blobs_of(&stack));
            }
            _ => fs::remove_file(&path).map_err(Error::io("remove", &path))?,
        }
    }
    for digest in kept.list()? {
        if !wanted.contains(&digest) {
            kept.remove(&digest)?;
        }
    }
    Ok(())
}

async fn share(stack: &Stack, kept: &BlobStore, blobs: &BlobStore) -> Result<()> {
    let digests: Vec<Digest> = blobs_of(stack).collect();
    let (kept, blobs) = (kept.clone(), blobs.clone());
    tokio::task::spawn_blocking(move || {
        for digest in digests {
            blobs.link_file(&kept.path(&digest), &digest)?;
        }
        Ok(())
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

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
