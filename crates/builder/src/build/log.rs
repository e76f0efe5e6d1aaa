//! What a build says: to whoever pushed, and to the sink that keeps it.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::redact::Redaction;
use crate::OutputSink;

/// Longest line, in bytes; longer ones are broken.
pub(crate) const MAX_LINE: usize = 10_000;

/// Longest wait for whoever pushed to read; after it they are told nothing more, for a build holds its place.
const READING: Duration = Duration::from_secs(60);

pub(crate) struct BuildLog {
    /// `None`: nobody waits for it.
    to: Option<mpsc::Sender<Bytes>>,
    /// [`READING`], but in tests.
    patience: Duration,
    deaf: bool,
    sink: Option<Box<dyn OutputSink>>,
    pub(crate) redaction: Redaction,
}

impl BuildLog {
    pub(crate) fn new(to: mpsc::Sender<Bytes>) -> Self {
        Self {
            to: Some(to),
            ..Self::unheard()
        }
    }

    /// Only the sink hears it.
    pub(crate) fn unheard() -> Self {
        Self {
            to: None,
            patience: READING,
            deaf: false,
            sink: None,
            redaction: Redaction::default(),
        }
    }

    /// Keeps what is said from now on.
    pub(crate) fn keep(&mut self, sink: Box<dyn OutputSink>) {
        self.sink = Some(sink);
    }

    /// One whole line of ours, or several. Ours too may name what the app's owner wrote: secrets are struck out.
    pub(crate) async fn line(&mut self, text: &str) {
        let text = self.redaction.strike(text);
        self.send(format!("{text}\n")).await;
    }

    /// `-----> text`.
    pub(crate) async fn header(&mut self, text: &str) {
        self.line(&format!("-----> {text}")).await;
    }

    /// Text below a header.
    pub(crate) async fn detail(&mut self, text: &str) {
        self.line(&format!("       {text}")).await;
    }

    /// ` !     text`: something to look at.
    pub(crate) async fn warning(&mut self, text: &str) {
        self.line(&format!(" !     {text}")).await;
    }

    /// Whole lines that a program of the app wrote: secrets are struck out.
    pub(crate) async fn foreign(&mut self, lines: Vec<Vec<u8>>) {
        if lines.is_empty() {
            return;
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&self.redaction.strike(&String::from_utf8_lossy(&line)));
            text.push('\n');
        }
        self.send(text).await;
    }

    async fn send(&mut self, text: String) {
        if let Some(sink) = &mut self.sink {
            sink.write(text.as_bytes());
        }
        let Some(to) = self.to.as_ref().filter(|_| !self.deaf) else {
            return;
        };
        // Nobody listens any more: the build is about to be cancelled, and the sink still wants to know.
        let sent = tokio::time::timeout(self.patience, to.send(Bytes::from(text))).await;
        self.deaf = sent.is_err();
    }
}

/// Makes whole lines of chunks.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// The lines that this chunk completes, without their ends.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        self.0.extend_from_slice(chunk);
        let mut lines = Vec::new();
        let mut start = 0;
        loop {
            let rest = &self.0[start..];
            match rest.iter().take(MAX_LINE + 1).position(|b| *b == b'\n') {
                Some(end) => {
                    lines.push(rest[..end].to_vec());
                    start += end + 1;
                }
                None if rest.len() > MAX_LINE => {
                    lines.push(rest[..MAX_LINE].to_vec());
                    start += MAX_LINE;
                }
                None => break,
            }
        }
        self.0.drain(..start);
        lines
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Vec<u8>> {
        match self.0.is_empty() {
            true => Vec::new(),
            false => vec![std::mem::take(&mut self.0)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_become_lines() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a"), Vec::<Vec<u8>>::new());
        assert_eq!(lines.push(b"b\n\nc"), [b"ab".to_vec(), b"".to_vec()]);
        assert_eq!(lines.finish(), [b"c".to_vec()]);
        assert!(lines.finish().is_empty());
    }

    #[tokio::test]
    async fn nobody_who_reads_nothing_holds_a_build_up() {
        let (to, mut from) = mpsc::channel(1);
        let mut log = BuildLog::new(to);
        log.patience = Duration::from_millis(100);
        let began = std::time::Instant::now();
        for _ in 0..1000 {
            log.line("x").await;
        }
        assert!(began.elapsed() < log.patience * 10, "{:?}", began.elapsed());
        assert_eq!(from.recv().await.unwrap(), "x\n");
    }

    #[test]
    fn endless_lines_are_broken() {
        let mut lines = Lines::default();
        let broken = lines.push(&vec![b'x'; MAX_LINE * 2 + 5]);
        assert_eq!(broken.len(), 2);
        assert!(broken.iter().all(|line| line.len() == MAX_LINE));
        assert_eq!(lines.finish()[0].len(), 5);
    }
}
