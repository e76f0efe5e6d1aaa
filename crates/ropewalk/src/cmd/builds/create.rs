//! `builds:create`: builds a source archive: what git has committed here, a file, or an address.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use ropewalk_client::Client;
use ropewalk_client::types::build::{BuildCreate, BuildStatus, Buildpack, SourceBlob};
use ropewalk_client::types::release::ReleaseStatus;
use tokio::process::Command;
use tokio_util::io::ReaderStream;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::releases::show_output;
use crate::ui::Failure;

/// Sent at once, in bytes.
const CHUNK: usize = 256 << 10;

const COMMIT_OR_NAME: &str =
    "Commit first, or say what to build: --source-tar FILE or --source-url URL.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A tar or tar.gz to build
    #[arg(long, value_name = "FILE", conflicts_with = "source_url")]
    source_tar: Option<PathBuf>,
    /// Address of a tar.gz to build
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// What to call it; the commit that is built unless said otherwise
    #[arg(long, value_name = "VERSION", visible_alias = "source-version")]
    version: Option<String>,
    /// The archive's checksum, SHA256:...
    #[arg(long, value_name = "SHA256", requires = "source_url")]
    checksum: Option<String>,
    /// Buildpack for this build only; may be given several times
    #[arg(short, long, value_name = "BUILDPACK")]
    buildpack: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let (url, version) = match (args.source_url, args.source_tar) {
        (Some(url), _) => (url, args.version),
        (None, Some(file)) => (send(cx, &client, &file).await?, args.version),
        (None, None) => {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("source.tgz");
            let commit = archive(cx, "HEAD", &file, COMMIT_OR_NAME).await?;
            let url = send(cx, &client, &file).await?;
            (url, Some(args.version.unwrap_or(commit)))
        }
    };
    let wanted = BuildCreate {
        source_blob: SourceBlob {
            checksum: args.checksum,
            url,
            version,
            version_description: None,
        },
        buildpacks: match args.buildpack.is_empty() {
            true => None,
            false => Some(args.buildpack.into_iter().map(buildpack).collect()),
        },
    };
    let build = client.create_build(&app, &wanted).await?;
    show_output(cx, &client, &build.output_stream_url, args.json).await?;
    // The stream only tells; build and release themselves know.
    let build = client.build(&app, &build.id.to_string()).await?;
    args.json.print(cx, &build)?;
    if build.status != BuildStatus::Succeeded {
        return Ok(ExitCode::FAILURE);
    }
    let Some(release) = build.release else {
        return Ok(ExitCode::SUCCESS);
    };
    let release = client.release(&app, &release.id.to_string()).await?;
    Ok(match release.status {
        ReleaseStatus::Failed => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn buildpack(text: String) -> Buildpack {
    match text.contains("://") {
        true => Buildpack {
            url: Some(text),
            name: None,
        },
        false => Buildpack {
            url: None,
            name: Some(text),
        },
    }
}

/// Writes a commit of the repository here to `file`, and tells which one `name` means. The hint is for who has none.
pub(crate) async fn archive(
    cx: &Context,
    name: &str,
    file: &Path,
    hint: &str,
) -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "--verify", "--quiet", name]).await?;
    let commit =
        commit.ok_or_else(|| Failure::new("There is no commit here to be built.").hint(hint))?;
    let top = git(&["rev-parse", "--show-toplevel"])
        .await?
        .unwrap_or_default();
    if name == "HEAD"
        && git(&["status", "--porcelain"])
            .await?
            .is_some_and(|changed| !changed.is_empty())
    {
        cx.out
            .remark("What is not committed is not part of the build.")?;
    }
    let status = Command::new("git")
        .arg("-C")
        .arg(top)
        .args(["archive", "--format=tar.gz", "-o"])
        .arg(file)
        .arg(&commit)
        .stdin(Stdio::null())
        .status()
        .await?;
    match status.success() {
        true => Ok(commit),
        false => Err(Failure::new("git could not archive what is committed here.").into()),
    }
}

/// The first line of what git says; `None` when it fails.
pub(crate) async fn git(args: &[&str]) -> anyhow::Result<Option<String>> {
    let output = Command::new("git")
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .await
        .map_err(|error| Failure::new(format!("git could not be run: {error}.")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    Ok(output.status.success().then(|| line.to_owned()))
}

/// Sends a file to a place of its own, and tells the address at which it is.
pub(crate) async fn send(cx: &Context, client: &Client, path: &Path) -> anyhow::Result<String> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}.", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let action = cx.out.action("Uploading source");
    let place = client.create_source().await?.source_blob;
    let archive = ReaderStream::with_capacity(file, CHUNK);
    client.put_archive(&place.put_url, length, archive).await?;
    action.done()?;
    Ok(place.get_url)
}
