//! What an import did not copy, told at its end.

use super::origin::Part;
use crate::cmd::context::Context;

#[derive(Debug, Default)]
pub(super) struct Report {
    left: Vec<(String, String)>,
    notes: Vec<String>,
    /// The code could have been copied and was not: run it again.
    pub(super) incomplete: bool,
}

impl Report {
    /// What was read of the app; what could not be was not copied.
    pub(super) fn read<'a, T>(&mut self, what: &str, part: &'a Part<T>) -> Option<&'a T> {
        match part {
            Ok(read) => Some(read),
            Err(why) => {
                self.left(what, why);
                None
            }
        }
    }

    /// This was not copied, and why.
    pub(super) fn left(&mut self, what: &str, why: &str) {
        self.left
            .push((what.to_owned(), why.trim_end_matches('.').to_owned()));
    }

    /// This was copied, and is not quite the same.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn show(&self, cx: &Context, name: &str, dry_run: bool) -> std::io::Result<()> {
        let out = &cx.out;
        for note in &self.notes {
            out.remark(note)?;
        }
        if !self.left.is_empty() {
            out.heading("Not copied")?;
            for (what, why) in &self.left {
                out.line(&format!("{what}: {why}."))?;
            }
        }
        match dry_run {
            true => out.note("Nothing was changed."),
            false => out.note(&format!(
                "See {} with: ropewalk apps:info --app {name}",
                out.paint_err().app(name)
            )),
        }
    }
}
