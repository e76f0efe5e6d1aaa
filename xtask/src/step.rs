//! What the person in front of the terminal sees: one line a step, with its time, moving while it runs.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs one step under a moving line; the line stays, with its seconds, when the step is done.
pub fn step<T>(title: &str, work: impl FnOnce(&Line) -> Result<T>) -> Result<T> {
    let line = Line::begin(title);
    let outcome = work(&line);
    line.end(outcome.is_ok());
    outcome
}

pub struct Line {
    title: String,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Line {
    fn begin(title: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} {msg:.dim} {elapsed:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("-----> {title}");
        }
        Self {
            title: title.to_owned(),
            began: Instant::now(),
            bar,
        }
    }

    /// What the step is at.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("       {text}"),
        }
    }

    fn end(&self, good: bool) {
        let seconds = self.began.elapsed().as_secs_f64();
        let mark = if good { "done" } else { "failed" };
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                eprintln!("-----> {}... {mark} ({seconds:.1} s)", self.title);
            }
            None => eprintln!("       {mark} ({seconds:.1} s)"),
        }
    }
}
