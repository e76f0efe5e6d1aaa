//! Something that takes a moment, told on standard error: `Scaling dynos... done, now running web at 2`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::ui::clean::clean;
use crate::ui::printer::Printer;

/// A started action. Dropped without [`Action::done`] it says that it failed.
#[derive(Debug)]
pub(crate) struct Action {
    printer: Printer,
    what: String,
    /// Only on a terminal.
    spinner: Option<ProgressBar>,
    ended: bool,
}

impl Action {
    pub(super) fn start(printer: Printer, what: &str) -> Self {
        let what = if printer.is_error_terminal() {
            clean(what)
        } else {
            what.to_owned()
        };
        let spinner = printer.is_error_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}... {spinner}") {
                spinner.set_style(style);
            }
            spinner.set_message(what.clone());
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self {
            printer,
            what,
            spinner,
            ended: false,
        }
    }

    /// Shows how far it is, on a terminal only.
    pub(crate) fn progress(&self, status: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(format!("{}... {}", self.what, clean(status)));
        }
    }

    /// `... done`
    pub(crate) fn done(self) -> std::io::Result<()> {
        let done = self.printer.paint_err().good("done");
        self.end(&done)
    }

    /// `... done, more`
    pub(crate) fn done_with(self, more: &str) -> std::io::Result<()> {
        let done = self.printer.paint_err().good("done");
        self.end(&format!("{done}, {more}"))
    }

    /// `... status`
    pub(crate) fn end(mut self, status: &str) -> std::io::Result<()> {
        self.close(status)
    }

    fn close(&mut self, status: &str) -> std::io::Result<()> {
        self.ended = true;
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        self.printer.note(&format!("{}... {status}", self.what))
    }
}

impl Drop for Action {
    fn drop(&mut self) {
        if !self.ended {
            let bad = self.printer.paint_err().bad("!");
            // The error that follows says what happened; nobody is there to read this one.
            let _ = self.close(&bad);
        }
    }
}
