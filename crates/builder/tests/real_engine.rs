//! Builds in real containers of the host's Docker Engine, by the real driver.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use support::client::{Client, interrupt};
use support::engine::PlayedEngine;
use support::rootfs::Docker;
use support::{Rig, until};

#[test]
fn git_hook_entry() {
    support::hook_entry();
}

/// What the buildpack of these tests does at compile.
const COMPILE: &str = r#"#!/bin/bash
set -eu
echo "-----> Compiling as $(id -u):$(id -g)"
echo "       stack $STACK version $SOURCE_VERSION var $(cat "$3/GREETING" 2>/dev/null || true)"
touch /app/writable && echo "       /app is writable"
{ touch /buildpacks/x || touch "$3/x"; } 2>/dev/null && echo "       WRITABLE BUILDPACKS OR ENV"
if [ -e "$2/kept" ]; then echo "       cache is back"; fi
rm -f "$2/kept"; echo hello > "$2/kept"; ln "$2/kept" "$1/linked"; mv "$1/linked" "$1/kept"
case "$(cat "$1/what")" in
    fail) echo "       it fails" >&2; exit 1 ;;
    memory) x=x; while :; do x="$x$x"; done ;;
    forever) echo "       for ever"; sleep 1000 ;;
esac
"#;

/// A builder on the real engine with one buildpack.
async fn rig(docker: &Docker, seconds: u64) -> Rig {
    let engine = docker.as_engine();
    let unused = Arc::new(PlayedEngine::default());
    let instance = docker.instance.clone();
    Rig::on(engine, unused, &docker.image, |options| {
        options.instance = instance;
        options.limits.memory = 64 << 20;
        options.limits.build = Duration::from_secs(seconds);
        let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../buildpacks/lib");
        let folder = &options.buildpacks;
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        std::fs::copy(lib.join("driver"), folder.join("lib/driver")).unwrap();
        std::fs::create_dir_all(folder.join("tiny/bin")).unwrap();
        std::fs::write(folder.join("order"), "tiny ropewalk/tiny\n").unwrap();
        script(
            &folder.join("tiny/bin/detect"),
            "#!/bin/bash\n[ -e \"$1/what\" ] && echo Tiny\n",
        );
        script(&folder.join("tiny/bin/compile"), COMPILE);
        script(
            &folder.join("tiny/bin/release"),
            "#!/bin/bash\nprintf -- '---\\ndefault_process_types:\\n  console: bash\\n'\n",
        );
    })
    .await
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn push(client: &Client, rig: &Rig, what: &str) -> support::client::Said {
    client.write("what", what);
    client.commit(what).await;
    client.push(&rig.url(), &["main"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn buildpacks_run_in_a_container() {
    let docker = match Docker::new() {
        Ok(docker) => docker,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let rig = rig(&docker, 120).await;
    let client = Client::new().await;
    let said = push(&client, &rig, "good").await;
    assert!(said.ok, "{}", said.text);
    for line in [
        "-----> Building on the Debian-13 stack",
        "-----> Tiny app detected",
        "-----> Compiling as 20000:20000",
        "       stack debian-13 version ",
        "       /app is writable",
        "       Default types for buildpack -> console",
        "Verifying deploy... done.",
    ] {
        assert!(
            said.text.contains(line),
            "{line:?} is missing in {}",
            said.text
        );
    }
    assert!(!said.text.contains("WRITABLE"), "{}", said.text);

    let said = push(&client, &rig, "fail").await;
    assert!(!said.ok && said.text.contains("it fails"), "{}", said.text);
    assert!(
        said.text.contains("failed to compile Tiny app"),
        "{}",
        said.text
    );
    let said = push(&client, &rig, "again").await;
    assert!(
        said.ok && said.text.contains("cache is back"),
        "{}",
        said.text
    );

    let said = push(&client, &rig, "memory").await;
    assert!(
        !said.ok && said.text.contains("ran out of memory: it may use 64 MiB"),
        "{}",
        said.text
    );

    client.git(&["rm", "-q", "what"]).await;
    client.commit("none").await;
    let said = client.push(&rig.url(), &["main"]).await;
    assert!(
        said.text.contains("No default language could be detected"),
        "{}",
        said.text
    );
    until(10, "no container is left", || docker.containers() == 0).await;
    rig.builder.stop().await;
    until(5, "nothing of the builds is left", || {
        rig.builds_left() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_ends_with_its_time_or_its_client() {
    let docker = match Docker::new() {
        Ok(docker) => docker,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let short = rig(&docker, 4).await;
    let client = Client::new().await;
    let said = push(&client, &short, "forever").await;
    assert!(
        !said.ok && said.text.contains("The build took longer than"),
        "{}",
        said.text
    );
    until(10, "no container is left", || docker.containers() == 0).await;

    let long = rig(&docker, 120).await;
    let mut push = client.start_push(&long.url(), "main");
    until(60, "the build runs", || {
        long.output.text().contains("for ever")
    })
    .await;
    interrupt(&push);
    push.wait().await.unwrap();
    until(5, "container and folder are gone", || {
        docker.containers() == 0 && long.builds_left() == 0
    })
    .await;
}
