//! The words between the hook and the server, on the hook socket: one line of JSON, then frames back.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::refs::RefUpdate;

/// Longest request, in bytes: ten thousand refs with long names.
pub(crate) const MAX_REQUEST: u64 = 8 << 20;
/// Longest frame, in bytes.
const MAX_FRAME: usize = 1 << 20;

const OUTPUT: u8 = 1;
const EXIT: u8 = 2;

/// What the hook asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Secret of the push.
    pub(crate) push: String,
    pub(crate) updates: Vec<RefUpdate>,
    /// Where git keeps what was received until the hook agrees; absent when nothing new was sent.
    pub(crate) quarantine: Option<PathBuf>,
}

impl Request {
    /// Reads one line; object ids are looked at again, for git is given them as arguments.
    pub(crate) fn parse(line: &[u8]) -> io::Result<Self> {
        let request: Self = serde_json::from_slice(line)?;
        match request.updates.iter().all(RefUpdate::is_sound) {
            true => Ok(request),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// To be shown to whoever pushed.
    Output(Vec<u8>),
    /// The hook's exit status; the last frame.
    Exit(u8),
}

pub(crate) async fn write_output(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
) -> io::Result<()> {
    for part in bytes.chunks(MAX_FRAME) {
        write(to, OUTPUT, part).await?;
    }
    to.flush().await
}

pub(crate) async fn write_exit(to: &mut (impl AsyncWrite + Unpin), status: u8) -> io::Result<()> {
    write(to, EXIT, &[status]).await?;
    to.flush().await
}

/// The next frame; `None` when the server went away.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    match from.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    match (head[0], bytes.as_slice()) {
        (OUTPUT, _) => Ok(Some(Frame::Output(bytes))),
        (EXIT, [status]) => Ok(Some(Frame::Exit(*status))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut head = [kind, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_be_bytes());
    to.write_all(&head).await?;
    to.write_all(bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_objects_by_their_ids_alone() {
        let request = |new: &str| {
            let old = "0".repeat(40);
            let update = serde_json::json!({"old": old, "new": new, "name": "refs/heads/main"});
            let line = serde_json::json!({"push": "x", "updates": [update], "quarantine": null});
            Request::parse(line.to_string().as_bytes())
        };
        assert!(request(&"a".repeat(40)).is_ok());
        for odd in ["", "--output=/x", "HEAD", &"A".repeat(40)] {
            assert!(request(odd).is_err(), "{odd:?}");
        }
    }

    #[tokio::test]
    async fn frames_read_back_and_broken_ones_are_refused() {
        let mut wire = Vec::new();
        write_output(&mut wire, b"hello\n").await.unwrap();
        write_exit(&mut wire, 1).await.unwrap();
        let mut from = wire.as_slice();
        assert_eq!(
            read(&mut from).await.unwrap(),
            Some(Frame::Output(b"hello\n".to_vec()))
        );
        assert_eq!(read(&mut from).await.unwrap(), Some(Frame::Exit(1)));
        assert_eq!(read(&mut from).await.unwrap(), None);
        assert!(read(&mut [9, 0, 0, 0, 0].as_slice()).await.is_err());
        assert!(read(&mut [1, 255, 255, 255, 255].as_slice()).await.is_err());
        assert!(read(&mut [1, 0, 0, 0, 9, 1].as_slice()).await.is_err());
    }
}
