//! A source archive as files: brought here, compared with its checksum, looked at as a whole and only then unpacked.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use ropewalk_model::{SourceId, UserId};
use ropewalk_slug::tree::Limits;
use ropewalk_slug::unpack::{Form, Rules, survey, unpack};
use ropewalk_slug::{Digest, HashWriter};
use tokio_util::sync::CancellationToken;

use super::address::without_login;
use super::checkout::finish;
use super::disk;
use super::failure::Failure;
use super::log::BuildLog;
use super::site::Site;
use crate::context::Context;
use crate::uploads::{Refused, Upload, receive};
use crate::{EgressError, Error, Result, sources};

/// Entries of a source archive, and folders within folders.
const MAX_ENTRIES: u64 = 200_000;
const MAX_DEPTH: usize = 64;
/// Longest path within the tree, in bytes.
const MAX_PATH: usize = 1024;

/// A source archive to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub origin: Origin,
    /// As clients know it; shown without its login.
    pub url: String,
    pub checksum: Option<Digest>,
    /// What the sender calls it: a commit, a version.
    pub version: Option<String>,
    pub description: Option<String>,
}

/// Where an archive is.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    /// Sent to us before, see [`crate::Builder::put_source`].
    Source { account: UserId, source: SourceId },
    /// Somewhere else, at this address.
    Elsewhere(String),
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source { source, .. } => f.debug_tuple("Source").field(source).finish(),
            // Addresses carry logins and signatures.
            Self::Elsewhere(_) => f.write_str("Elsewhere"),
        }
    }
}

impl Archive {
    /// The address as it may be shown.
    pub(crate) fn shown(&self) -> String {
        without_login(&self.url)
    }
}

/// Writes the archive's files into the build's tree, without what `.slugignore` names. Returns lines for the log.
pub(crate) async fn put(
    context: &Context,
    archive: &Archive,
    site: &Site,
    log: &mut BuildLog,
) -> Result<Vec<String>, Failure> {
    let (file, digest) = match &archive.origin {
        Origin::Source { account, source } => {
            let file = sources::open(context, *account, *source)?.ok_or_else(|| {
                unusable("it was not sent to its address, or is older than 24 hours")
            })?;
            let digest = match archive.checksum {
                Some(_) => {
                    let file = file.try_clone().map_err(Error::io("open", "the source"))?;
                    Some(tokio::task::spawn_blocking(move || digest(file)).await??)
                }
                None => None,
            };
            (file, digest)
        }
        Origin::Elsewhere(url) => {
            log.line("Fetching the source archive...").await;
            let path = site.folder.join("archive");
            let digest = fetch(context, url, &path).await?;
            let file = File::open(&path).map_err(Error::io("open", &path))?;
            (file, Some(digest))
        }
    };
    if archive.checksum.is_some() && archive.checksum != digest {
        let found = digest.map(|digest| digest.hex()).unwrap_or_default();
        return Err(unusable(&format!(
            "its checksum is SHA256:{found}, and not the one that was given"
        )));
    }
    let rules = Rules {
        form: Form::Source,
        limits: Limits {
            entries: MAX_ENTRIES,
            bytes: context.options.limits.source_bytes,
            depth: MAX_DEPTH,
            path: MAX_PATH,
        },
    };
    extract(context, file, &site.app(), rules).await?;
    let tree = site.app();
    tokio::task::spawn_blocking(move || finish(&tree)).await?
}

/// Unpacks an archive into an empty folder, after a look at all of it. What it would take must be free.
pub(crate) async fn extract(
    context: &Context,
    archive: File,
    into: &Path,
    rules: Rules,
) -> Result<(), Failure> {
    // Work on the blocking pool does not end by itself when nobody waits for it any more.
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    let (file, stopped) = (try_clone(&archive)?, stop.clone());
    let facts =
        tokio::task::spawn_blocking(move || survey(&file, rules, &|| stopped.is_cancelled()));
    let facts = facts.await?.map_err(about_archive)?;
    disk::room(context, facts.bytes)?;
    let into = into.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || {
        unpack(&archive, &into, rules, &|| stop.is_cancelled())
    });
    unpacked.await?.map_err(about_archive)
}

async fn fetch(context: &Context, url: &str, path: &Path) -> Result<Digest, Failure> {
    let fetched = context.egress.get(url).await.map_err(|error| match error {
        EgressError::Refused(why) => unusable(&why),
        EgressError::Failed(why) => unusable(&format!("it could not be fetched ({why})")),
    })?;
    let upload = Upload {
        length: fetched.length,
        body: fetched.body,
    };
    match receive(context, upload, path).await {
        Ok(received) => Ok(received.digest),
        Err(Refused::Failed(error)) => Err(error.into()),
        Err(refused) => Err(unusable(refused.to_string().trim_end_matches('.'))),
    }
}

fn digest(mut file: File) -> Result<Digest> {
    let mut hash = HashWriter::new(io::sink());
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| io::copy(&mut file, &mut hash));
    read.map_err(Error::io("read", "the source"))?;
    Ok(hash.finish().0)
}

fn try_clone(file: &File) -> Result<File> {
    file.try_clone().map_err(Error::io("open", "the archive"))
}

/// Both passes work on one open file, one after the other: clones share its place.
fn about_archive(error: ropewalk_slug::Error) -> Failure {
    match error.is_about_the_app() {
        true => unusable(&error.to_string()),
        false => Error::Slug(error).into(),
    }
}

fn unusable(why: &str) -> Failure {
    Failure::Source(vec![format!("The source archive cannot be used: {why}.")])
}
