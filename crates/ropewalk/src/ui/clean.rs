//! Makes text from elsewhere safe for a terminal: control characters become visible, colours stay.
//!
//! Log lines and names come from apps and other people; a terminal obeys what it is shown. Only line feeds, tabs,
//! CR LF and colour sequences (`ESC [ ... m`) pass, the rest is written in caret notation (`^[`, `^G`).

/// Longest colour sequence that passes.
const LONGEST: usize = 32;

/// Cleans a stream of bytes, whatever the chunks it comes in.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    /// The start of a sequence that is not decided yet: ESC..., CR, or the first byte of a C1 control.
    held: Vec<u8>,
}

impl Cleaner {
    /// The safe form of what `bytes` decided.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut safe = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.step(byte, &mut safe);
        }
        safe
    }

    /// The safe form of what is still held, at the end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut safe = Vec::new();
        self.release(&mut safe);
        safe
    }

    fn step(&mut self, byte: u8, safe: &mut Vec<u8>) {
        match (self.held.as_slice(), byte) {
            ([], b'\x1b' | b'\r' | 0xc2) => self.held.push(byte),
            ([], _) => plain(byte, safe),
            ([b'\r'], b'\n') | ([0xc2], 0xa0..) => {
                safe.append(&mut self.held);
                safe.push(byte);
            }
            ([0xc2], 0x80..) => {
                self.held.clear();
                safe.extend_from_slice(format!("^[{}", char::from(byte - 0x40)).as_bytes());
            }
            ([b'\x1b'], b'[') => self.held.push(byte),
            ([b'\x1b', b'[', ..], b'm') => {
                safe.append(&mut self.held);
                safe.push(byte);
            }
            ([b'\x1b', b'[', ..], b'0'..=b'9' | b';' | b':') if self.held.len() < LONGEST => {
                self.held.push(byte)
            }
            _ => {
                self.release(safe);
                self.step(byte, safe);
            }
        }
    }

    fn release(&mut self, safe: &mut Vec<u8>) {
        for byte in std::mem::take(&mut self.held) {
            plain(byte, safe);
        }
    }
}

/// The safe form of one text.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaner = Cleaner::default();
    let mut safe = cleaner.push(text.as_bytes());
    safe.append(&mut cleaner.finish());
    String::from_utf8_lossy(&safe).into_owned()
}

fn plain(byte: u8, safe: &mut Vec<u8>) {
    match byte {
        b'\n' | b'\t' => safe.push(byte),
        0..0x20 => safe.extend_from_slice(&[b'^', byte + 0x40]),
        0x7f => safe.extend_from_slice(b"^?"),
        _ => safe.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_everything_else_becomes_visible() {
        for (text, safe) in [
            (
                "plain \u{e4}\u{20ac} text\n\tok\r\n",
                "plain \u{e4}\u{20ac} text\n\tok\r\n",
            ),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            ("\x1b[2Jgone", "^[[2Jgone"),
            ("\x1b]0;title\x07", "^[]0;title^G"),
            ("over\rwritten", "over^Mwritten"),
            ("\u{9b}31m", "^[[31m"),
            ("\u{a0}", "\u{a0}"),
            ("end\x1b", "end^["),
            ("\x1b\x1b[0m", "^[\x1b[0m"),
            ("\x7f\x00", "^?^@"),
        ] {
            assert_eq!(clean(text), safe, "{text:?}");
        }
    }

    #[test]
    fn chunks_do_not_matter() {
        let text = "a\x1b[31mb\r\n\u{9b}\x1b]c".as_bytes();
        let mut cleaner = Cleaner::default();
        let mut safe: Vec<u8> = text
            .iter()
            .flat_map(|&byte| cleaner.push(&[byte]))
            .collect();
        safe.append(&mut cleaner.finish());
        assert_eq!(
            String::from_utf8(safe).unwrap(),
            clean(std::str::from_utf8(text).unwrap())
        );
    }
}
