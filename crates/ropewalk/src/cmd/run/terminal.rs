//! The person's terminal while a dyno has it: raw, and its size.

use std::io;

use rustix::termios::{self, OptionalActions, Termios};

/// Raw mode as long as this lives: every key goes to the dyno, Ctrl-C too.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    /// Standard input must be a terminal.
    pub(super) fn start() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing better can be done for a terminal that is gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Rows and columns of the terminal on standard output, if it is one and knows them.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
