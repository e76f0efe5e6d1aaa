//! A whole screen that is drawn again and again, and the keys that are pressed meanwhile.
//!
//! It is drawn beside what the terminal shows otherwise, which is there again when the screen is dropped.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::io::{AsyncReadExt, Stdin};

use crate::ui::clean::clean;

/// To the other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Rows and columns of a terminal that does not know them.
const USUAL: (usize, usize) = (24, 80);
/// What Ctrl-C sends where it is no signal.
const INTERRUPT: u8 = 3;

/// The terminal, taken over.
pub(crate) struct Screen {
    /// `None` where standard input is no terminal: then there are no keys.
    keys: Option<(Termios, Stdin)>,
}

impl Screen {
    /// Whether standard output shows a screen.
    pub(crate) fn is_possible(term: Option<&str>) -> bool {
        io::stdout().is_terminal() && term != Some("dumb")
    }

    pub(crate) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let keys = match stdin.is_terminal() {
            true => {
                let before = termios::tcgetattr(&stdin)?;
                let mut by_key = before.clone();
                // Ctrl-C and Ctrl-Z would leave the screen as it is.
                let line = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
                by_key.local_modes.remove(line);
                termios::tcsetattr(&stdin, OptionalActions::Now, &by_key)?;
                Some((before, tokio::io::stdin()))
            }
            false => None,
        };
        let screen = Self { keys };
        write(ENTER)?;
        Ok(screen)
    }

    /// Shows as much of a text as there is room for.
    pub(crate) fn draw(&self, text: &str) -> io::Result<()> {
        let (rows, columns) = size();
        write(&frame(&clean(text), rows, columns))
    }

    /// Waits until the person asks to quit: by `q` or Ctrl-C.
    pub(crate) async fn quit(&mut self) -> io::Result<()> {
        let Some((_, stdin)) = &mut self.keys else {
            return std::future::pending().await;
        };
        loop {
            let mut keys = [0; 32];
            match stdin.read(&mut keys).await? {
                0 => return Ok(()),
                count => {
                    if keys.iter().take(count).any(|key| is_quit(*key)) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing better can be done for a terminal that is gone.
        let _ = write(LEAVE);
        if let Some((before, _)) = &self.keys {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

fn is_quit(key: u8) -> bool {
    matches!(key, b'q' | b'Q' | INTERRUPT)
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn size() -> (usize, usize) {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => USUAL,
    }
}

/// What is written for one picture: over the last one, so that nothing flickers.
fn frame(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<String> = text
        .lines()
        .take(rows)
        .map(|line| format!("{}\x1b[K", clip(line, columns)))
        .collect();
    // What is below goes.
    format!("\x1b[H{}\x1b[J", lines.join("\r\n"))
}

/// The beginning of a line, with its colours ended.
fn clip(line: &str, columns: usize) -> String {
    let (mut shown, mut in_sequence, mut coloured) = (0, false, false);
    let mut clipped = String::with_capacity(line.len());
    for c in line.chars() {
        match (in_sequence, c) {
            (false, '\x1b') => (in_sequence, coloured) = (true, true),
            (false, _) if shown == columns => {
                if coloured {
                    clipped.push_str("\x1b[0m");
                }
                return clipped;
            }
            (false, _) => shown += 1,
            (true, 'm') => in_sequence = false,
            (true, _) => {}
        }
        clipped.push(c);
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_no_more_than_there_is_room_for() {
        assert_eq!(
            frame("abcdef\ngh\nij", 2, 4),
            "\x1b[Habcd\x1b[K\r\ngh\x1b[K\x1b[J"
        );
        assert_eq!(frame("", 2, 4), "\x1b[H\x1b[J");
    }

    #[test]
    fn colours_take_no_room_and_end() {
        assert_eq!(clip("\x1b[31mabc\x1b[0md", 4), "\x1b[31mabc\x1b[0md");
        assert_eq!(clip("\x1b[31mabcd\x1b[0m", 2), "\x1b[31mab\x1b[0m");
        assert_eq!(clip("\u{2b22}\u{2b22}x", 2), "\u{2b22}\u{2b22}");
    }

    #[test]
    fn q_and_ctrl_c_quit() {
        assert!([b'q', b'Q', 3].into_iter().all(is_quit));
        assert!(![b'x', b'\n', 26, 27].into_iter().any(is_quit));
    }
}
