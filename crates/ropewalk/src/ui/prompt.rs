//! Questions to the person: on standard error, answers from standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::ui::failure::Failure;

/// One line of answer. The question is for people: where a file or a pipe answers, it is not shown.
///
/// # Errors
/// Standard input that ends before.
pub(crate) fn ask(question: &str) -> anyhow::Result<String> {
    let for_people = io::stdin().is_terminal();
    let mut stderr = io::stderr().lock();
    if for_people {
        write!(stderr, "{question}")?;
        stderr.flush()?;
    }
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        if for_people {
            writeln!(stderr)?;
        }
        let asked = question.trim_end_matches([' ', ':', '>', '?']);
        return Err(Failure::new(match asked {
            "" => "There is nobody to answer: the input has ended.".to_owned(),
            asked => format!("There is nobody to answer ({asked}): the input has ended."),
        })
        .into());
    }
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// The same without showing what is typed.
pub(crate) fn ask_secret(question: &str) -> anyhow::Result<String> {
    let hidden = Hidden::start()?;
    let answer = ask(question);
    if hidden.is_some() {
        writeln!(io::stderr())?;
    }
    answer
}

/// Echo is off as long as this lives.
struct Hidden {
    before: Termios,
}

impl Hidden {
    /// `None` when standard input is no terminal.
    fn start() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = termios::tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing better can be done for a terminal that is gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
