//! The Test Anything Protocol, as far as a list of tests needs it: `ok 1 - it adds # SKIP not today`.
//!
//! Rules: testanything.org, "TAP specification", versions 12 to 14. Subtests and plans are not looked at, and text that
//! is no TAP gives no tests.

/// Most tests that are kept of one run.
pub(crate) const MAX_CASES: usize = 10_000;
/// Longest description and diagnostic, in bytes.
const MAX_TEXT: usize = 4 << 10;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) number: u32,
    pub(crate) passed: bool,
    pub(crate) description: String,
    /// `SKIP why`, `TODO why`, or nothing.
    pub(crate) directive: String,
    pub(crate) diagnostic: String,
}

/// Reads line by line.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    /// A plan or a version was seen: it is TAP.
    is_tap: bool,
    cases: Vec<Case>,
}

impl Tap {
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.starts_with("TAP version ") || is_plan(line) {
            self.is_tap = true;
            return;
        }
        if let Some(case) = case(line, self.cases.len()) {
            if self.cases.len() < MAX_CASES {
                self.cases.push(case);
            }
            return;
        }
        // What follows a test and is set in, or is a comment, tells more of it.
        let told = match line.strip_prefix('#') {
            Some(comment) => comment.strip_prefix(' ').unwrap_or(comment),
            None => match line.strip_prefix("  ") {
                Some(set_in) => set_in,
                None => return,
            },
        };
        if let Some(last) = self.cases.last_mut()
            && last.diagnostic.len() + told.len() < MAX_TEXT
        {
            last.diagnostic.push_str(told);
            last.diagnostic.push('\n');
        }
    }

    /// The tests; none when what was read is no TAP.
    pub(crate) fn finish(self) -> Vec<Case> {
        match self.is_tap {
            true => self.cases,
            false => Vec::new(),
        }
    }
}

/// `1..7`
fn is_plan(line: &str) -> bool {
    let plan = line.split(" #").next().unwrap_or(line).trim_end();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plan.split_once("..")
        .is_some_and(|(first, last)| digits(first) && digits(last))
}

fn case(line: &str, before: usize) -> Option<Case> {
    let (passed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at(digits);
    let number = number
        .parse()
        .unwrap_or_else(|_| u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (description, directive) = directive(rest);
    Some(Case {
        number,
        // What is to be done still does not fail.
        passed: passed || !directive.is_empty(),
        description: cut(description),
        directive: cut(directive),
        diagnostic: String::new(),
    })
}

/// What stands behind a `#` that is not escaped, if it is SKIP or TODO.
fn directive(text: &str) -> (&str, &str) {
    for (at, _) in text.match_indices('#') {
        if !(at == 0 || text[..at].ends_with(' ')) {
            continue;
        }
        let word = text[at + 1..].trim_start();
        let is = |name: &str| {
            word.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if is("SKIP") || is("TODO") {
            return (text[..at].trim_end(), word);
        }
    }
    (text, "")
}

fn cut(text: &str) -> String {
    text.chars().take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Case> {
        let mut tap = Tap::default();
        text.lines().for_each(|line| tap.line(line));
        tap.finish()
    }

    #[test]
    fn tests_are_read_with_what_is_said_of_them() {
        let cases = read(
            "TAP version 13\n1..4\nok 1 - it adds\nnot ok 2 - it divides\n  ---\n  message: by zero\n  ...\n\
             not ok 3 later # TODO tomorrow\nok # skip no network\n# tests 4\n",
        );
        assert_eq!(cases.len(), 4);
        assert_eq!(
            (cases[0].passed, cases[0].description.as_str()),
            (true, "it adds")
        );
        assert!(!cases[1].passed && cases[1].diagnostic.contains("message: by zero"));
        assert_eq!(
            (cases[2].passed, cases[2].directive.as_str()),
            (true, "TODO tomorrow")
        );
        assert_eq!((cases[3].number, cases[3].passed), (4, true));
    }

    #[test]
    fn what_is_no_tap_has_no_tests() {
        for text in [
            "ok then\nnot okay\n",
            "",
            "okay\n1..x\nok 1\n",
            "3 passing\n",
        ] {
            assert!(read(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn endless_tests_are_cut() {
        let many = format!("1..9\n{}", "ok\n".repeat(MAX_CASES + 5));
        assert_eq!(read(&many).len(), MAX_CASES);
        let deep = format!(
            "1..1\nnot ok 1 {}\n{}",
            "x".repeat(9_000),
            "  more\n".repeat(9_000)
        );
        let cases = read(&deep);
        assert!(cases[0].diagnostic.len() <= MAX_TEXT && cases[0].description.len() == 1_000);
    }
}
