//! Colours with a meaning. Every output reads the same without them.

use anstyle::{AnsiColor, Style};

/// Paints, or leaves text as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

impl Paint {
    /// `⬢ demo`
    pub(crate) fn app(self, name: &str) -> String {
        self.with(AnsiColor::Magenta.on_default(), &format!("\u{2b22} {name}"))
    }

    /// A dyno or a process type.
    pub(crate) fn dyno(self, name: &str) -> String {
        self.with(AnsiColor::Cyan.on_default(), name)
    }

    /// The name of a value.
    pub(crate) fn key(self, name: &str) -> String {
        self.with(AnsiColor::Green.on_default(), name)
    }

    /// Something to type.
    pub(crate) fn command(self, text: &str) -> String {
        self.with(AnsiColor::Cyan.on_default().bold(), text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default(), text)
    }

    /// One of a few colours, always the same for the same `name`: tells sources of a log apart.
    pub(crate) fn by_name(self, name: &str, text: &str) -> String {
        const COLOURS: [AnsiColor; 6] = [
            AnsiColor::Yellow,
            AnsiColor::Green,
            AnsiColor::Cyan,
            AnsiColor::Magenta,
            AnsiColor::Blue,
            AnsiColor::BrightGreen,
        ];
        let sum = name.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        let colour = COLOURS
            .get(sum % COLOURS.len())
            .copied()
            .unwrap_or(AnsiColor::Yellow);
        self.with(colour.on_default(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.on {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}
