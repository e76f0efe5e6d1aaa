//! Archives on their way in: written to a file as they come, within limits on size, time and the host's disk, and
//! digested in the same pass.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ropewalk_slug::Digest;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::build::disk;
use crate::build::failure::Failure;
use crate::context::Context;
use crate::{BoxStream, Error};

/// Longest silence of whoever sends.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the disk is looked at, in bytes.
const LOOK_EVERY: u64 = 64 << 20;
/// Written at once, in bytes.
const BUFFER: usize = 1 << 20;

/// Bytes that somebody sends.
pub struct Upload {
    /// How many there will be, if that was said.
    pub length: Option<u64>,
    pub body: BoxStream<io::Result<Bytes>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Why something that was sent or asked for is not taken; the texts are for whoever sent it.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("there is no such thing")]
    NotFound,
    /// It cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// Something stands in its way.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    TooLarge(String),
    /// Not now.
    #[error("{0}")]
    Later(String),
    /// It broke off.
    #[error("the archive broke off before its end")]
    BrokenOff,
    /// On our side; the text is for the platform's log.
    #[error(transparent)]
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Refused {
    /// What a failure means to whoever sent an archive.
    pub(crate) fn of(failure: Failure) -> Self {
        match failure {
            Failure::Platform(error) => Self::Failed(error),
            Failure::TooLarge { bytes } => Self::TooLarge(format!(
                "The slug is {} MB; at most {} MB are taken.",
                bytes / 1_000_000,
                ropewalk_slug::image::HARD_LIMIT / 1_000_000
            )),
            Failure::OutOfDisk { .. } | Failure::OutOfInodes { .. } => {
                Self::Later("The disk of this host is nearly full.".to_owned())
            }
            failure => Self::Invalid(sentence(&failure.why())),
        }
    }
}

/// What has come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Writes what comes into a new file of ours. The file is not removed on failure: its folder is the caller's.
pub(crate) async fn receive(
    context: &Context,
    upload: Upload,
    path: &Path,
) -> Result<Received, Refused> {
    let limits = &context.options.limits;
    let too_large = || {
        Refused::TooLarge(format!(
            "An archive may have at most {} MiB.",
            limits.push_bytes >> 20
        ))
    };
    if upload
        .length
        .is_some_and(|length| length > limits.push_bytes)
    {
        return Err(too_large());
    }
    disk::room(context, upload.length.unwrap_or(0)).map_err(Refused::of)?;
    let copy = async {
        let file = tokio::fs::File::create_new(path)
            .await
            .map_err(Error::io("create", path))?;
        let mut file = BufWriter::with_capacity(BUFFER, file);
        let (mut hash, mut size, mut looked) = (Sha256::new(), 0u64, 0u64);
        let mut body = upload.body;
        loop {
            let chunk = match tokio::time::timeout(SILENCE, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => break,
                Ok(Some(Err(_))) | Err(_) => return Err(Refused::BrokenOff),
            };
            size += chunk.len() as u64;
            if size > limits.push_bytes {
                return Err(too_large());
            }
            if size - looked > LOOK_EVERY {
                looked = size;
                disk::room(context, 0).map_err(Refused::of)?;
            }
            hash.update(&chunk);
            file.write_all(&chunk)
                .await
                .map_err(Error::io("write", path))?;
        }
        file.flush().await.map_err(Error::io("write", path))?;
        file.into_inner()
            .sync_all()
            .await
            .map_err(Error::io("write", path))?;
        if upload.length.is_some_and(|length| length != size) {
            return Err(Refused::BrokenOff);
        }
        Ok(Received {
            digest: Digest(hash.finalize().into()),
            size,
        })
    };
    match tokio::time::timeout(limits.receive, copy).await {
        Ok(received) => received,
        Err(_) => Err(Refused::Invalid(format!(
            "The archive did not come within {} minutes.",
            limits.receive.as_secs() / 60
        ))),
    }
}

/// `SHA256:…`, in small or capital letters, as clients write it.
pub fn parse_checksum(text: &str) -> Option<Digest> {
    let (kind, hex) = text.split_once(':')?;
    match kind.eq_ignore_ascii_case("sha256") {
        true => Digest::from_hex(&hex.to_ascii_lowercase()),
        false => None,
    }
}

/// A clause with a capital letter and a full stop.
pub(crate) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    let text = format!("{}{}", first.unwrap_or_default(), letters.as_str());
    match text.ends_with(['.', '?', '!']) {
        true => text,
        false => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_have_one_form() {
        let hex = "ab".repeat(32);
        for good in [
            format!("SHA256:{hex}"),
            format!("sha256:{}", hex.to_uppercase()),
        ] {
            assert_eq!(parse_checksum(&good).unwrap().hex(), hex);
        }
        for bad in [
            hex.clone(),
            format!("MD5:{hex}"),
            "SHA256:ab".to_owned(),
            String::new(),
        ] {
            assert_eq!(parse_checksum(&bad), None, "{bad}");
        }
    }
}
