//! Standard output and standard error: results go to the first, progress and warnings to the second.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use crate::ui::action::Action;
use crate::ui::clean::{Cleaner, clean};
use crate::ui::paint::Paint;

/// Writes for people on a terminal and for programs everywhere else.
///
/// On a terminal, text is cleaned ([`crate::ui::clean`]); in a pipe or file it arrives byte for byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    stdout_tty: bool,
    stderr_tty: bool,
    stdout_paint: Paint,
    stderr_paint: Paint,
}

impl Printer {
    /// For this process's streams; honours NO_COLOR, CLICOLOR_FORCE and TERM=dumb.
    pub(crate) fn for_process() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let coloured = |choice: ColorChoice| Paint {
            on: choice != ColorChoice::Never,
        };
        Self {
            stdout_tty: stdout.is_terminal(),
            stderr_tty: stderr.is_terminal(),
            stdout_paint: coloured(AutoStream::choice(&stdout)),
            stderr_paint: coloured(AutoStream::choice(&stderr)),
        }
    }

    /// Colours for what goes to standard output.
    pub(crate) fn paint(&self) -> Paint {
        self.stdout_paint
    }

    /// Colours for what goes to standard error.
    pub(crate) fn paint_err(&self) -> Paint {
        self.stderr_paint
    }

    /// Whether standard error is a terminal.
    pub(crate) fn is_error_terminal(&self) -> bool {
        self.stderr_tty
    }

    /// One line (or several) of result.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.stdout_tty {
            writeln!(stdout, "{}", clean(text))
        } else {
            writeln!(stdout, "{text}")
        }
    }

    /// `=== title`
    pub(crate) fn heading(&self, title: &str) -> io::Result<()> {
        self.line(&format!(
            "{} {}\n",
            self.paint().dim("==="),
            self.paint().bold(title)
        ))
    }

    /// Bytes of somebody's output, as they come. `cleaner` lives as long as the stream.
    pub(crate) fn stream(&self, cleaner: &mut Cleaner, bytes: &[u8]) -> io::Result<()> {
        pass_on(io::stdout().lock(), self.stdout_tty, cleaner, bytes)
    }

    /// The same as progress, to standard error.
    pub(crate) fn stream_note(&self, cleaner: &mut Cleaner, bytes: &[u8]) -> io::Result<()> {
        pass_on(io::stderr().lock(), self.stderr_tty, cleaner, bytes)
    }

    /// One line of progress or advice, to standard error.
    pub(crate) fn note(&self, text: &str) -> io::Result<()> {
        let mut stderr = io::stderr().lock();
        if self.stderr_tty {
            writeln!(stderr, "{}", clean(text))
        } else {
            writeln!(stderr, "{text}")
        }
    }

    /// ` ▸    text`, to standard error.
    pub(crate) fn remark(&self, text: &str) -> io::Result<()> {
        let arrow = self.paint_err().bad("\u{25b8}");
        self.note(
            &text
                .lines()
                .map(|line| format!(" {arrow}    {line}").trim_end().to_owned())
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }

    /// Something that takes a moment: `Scaling dynos... done`.
    pub(crate) fn action(&self, what: &str) -> Action {
        Action::start(*self, what)
    }
}

fn pass_on(
    mut to: impl Write,
    is_terminal: bool,
    cleaner: &mut Cleaner,
    bytes: &[u8],
) -> io::Result<()> {
    if is_terminal {
        to.write_all(&cleaner.push(bytes))?
    } else {
        to.write_all(bytes)?
    }
    to.flush()
}
