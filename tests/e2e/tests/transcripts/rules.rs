//! What differs from run to run, and what stands for it in transcripts.

use std::path::Path;

use e2e::Rig;
use regex::Regex;

/// In this order, for the later ones meet what the earlier ones left. Tables with headings are set again around it; in
/// other columns, what is replaced is always as long, or stands last in its line.
const RULES: &[(&str, &str)] = &[
    // Addresses that authorise by themselves.
    (
        r"/ropewalk/(logs|outputs|attach|sources|slugs)/[\w.~%-]+",
        "/ropewalk/$1/<secret>",
    ),
    // Tokens, whole and masked; keys and codes of a second factor.
    (r"RWK-[\w*-]+", "RWK-<token>"),
    (r"\b[A-Z2-7]{32}\b", "<key>"),
    (r"\b[a-z2-7]{4}(-[a-z2-7]{4}){3}\b", "<code>"),
    (r"\b[0-9a-f]{48}\b", "<secret>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    // Moments: as the API and logs spell them, as lists do, as certificates do.
    (
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
        "<time>",
    ),
    (
        r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \+0000( \(~ \d+[smh] ago\))?",
        "<when>",
    ),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "<day>"),
    // Digests, and commits whole and cut off.
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b[0-9a-f]{40}\b", "<commit>"),
    (r"\bDeploy [0-9a-f]{8}\b", "Deploy <commit>"),
    (r"\bPromote (\S+ v\d+) [0-9a-f]{8}\b", "Promote $1 <commit>"),
    (r"\bmain(:|  )[0-9a-f]{7}\b", "main$1<commit>"),
    (r"\bdebian-13 [0-9a-f]{12}\b", "debian-13 <digest>"),
    // How much and how long.
    (r"\b\d+(\.\d+)? ?(B|[KMG]B|[KMG]iB|[KMG])\b", "<size>"),
    (
        r#""(repo_size|slug_size|size|latency_ms|requests_left|expires_in|measured_seconds|requests_per_second|p50|p95|p99|memory_bytes)": \d+(\.\d+)?"#,
        r#""$1": <number>"#,
    ),
    (r"\bin \d+ ms\b", "in <n> ms"),
    (r"\(\d+ s measured\)", "(<n> s measured)"),
    // Whole cells of a table.
    (r"^\d+ ms$", "<n> ms"),
    (r"^\d+s$", "<n>s"),
    (r"^\d+\.\d\d$", "<n>"),
    (r"\(\d+ %\)", "(<n> %)"),
    (r"Requests left: \d+", "Requests left: <number>"),
    (r#"Docker Engine \d[^"]*"#, "Docker Engine <version>"),
    (r"-----BEGIN CERTIFICATE[^\x22]*", "<certificate>"),
    (r"\b(succeeded|failed)  [0-9a-f]{8}\b", "$1  <commit>"),
    // Names that the server makes up.
    (r"\b[a-z]+-[a-z]+-\d{5}\b", "<name>"),
    (r"\bropewalk/\d\S* \S+", "ropewalk/<version> <system>"),
    (r"\bropewalk \d\S*", "ropewalk <version>"),
    (r#""(version|arch|os)": "[^"]*""#, r#""$1": "<$1>""#),
    (r"\b(run|scheduler)\.\d+\b", "$1.<n>"),
];

pub(crate) struct Rules {
    rules: Vec<(Regex, String)>,
}

impl Rules {
    /// The rules, and those that only this platform and this player's home need.
    pub(crate) fn new(rig: &Rig, home: &Path) -> Self {
        let own = [
            (
                literal(&rig.data.display().to_string()),
                "/var/lib/ropewalk",
            ),
            (literal(&home.display().to_string()), "~"),
            (format!(r":{}\b", rig.port), ":8080"),
        ];
        let all = own
            .iter()
            .map(|(pattern, text)| (pattern.as_str(), *text))
            .chain(RULES.iter().copied());
        Self {
            rules: all
                .map(|(pattern, text)| (Regex::new(pattern).unwrap(), text.to_owned()))
                .collect(),
        }
    }

    pub(crate) fn apply(&self, printed: &str) -> Vec<String> {
        let lines: Vec<&str> = printed.lines().collect();
        let mut told = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            let is_table = lines.get(at + 1).is_some_and(|line| is_rule(line));
            let length = match is_table {
                true => lines[at..]
                    .iter()
                    .take_while(|line| !line.is_empty())
                    .count(),
                false => 1,
            };
            match is_table {
                true => told.extend(self.table(&lines[at..at + length])),
                false => told.push(self.line(lines[at])),
            }
            at += length;
        }
        told
    }

    fn line(&self, line: &str) -> String {
        self.rules
            .iter()
            .fold(line.to_owned(), |text, (pattern, by)| {
                pattern.replace_all(&text, by).into_owned()
            })
    }

    /// Cell by cell, and each column as wide as it is then.
    fn table(&self, lines: &[&str]) -> Vec<String> {
        let columns = columns(lines[1]);
        let rows: Vec<Vec<String>> = lines
            .iter()
            .map(|line| {
                let letters: Vec<char> = line.chars().collect();
                let cell = |&(start, end): &(usize, usize)| {
                    let end = end.min(letters.len());
                    let text: String = letters[start.min(end)..end].iter().collect();
                    self.line(text.trim_end())
                };
                columns.iter().map(cell).collect()
            })
            .collect();
        let wide = |column: usize| {
            let cells = rows.iter().enumerate().filter(|(row, _)| *row != 1);
            cells
                .map(|(_, row)| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(wide).collect();
        rows.iter()
            .enumerate()
            .map(|(number, row)| {
                let cells = row.iter().zip(&widths).map(|(cell, &width)| match number {
                    1 => "\u{2500}".repeat(width),
                    _ => format!("{cell:width$}"),
                });
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

/// The line below a table's headings.
fn is_rule(line: &str) -> bool {
    line.starts_with('\u{2500}') && line.chars().all(|c| c == '\u{2500}' || c == ' ')
}

/// Where each column starts and ends; the last one does not.
fn columns(rule: &str) -> Vec<(usize, usize)> {
    let letters: Vec<char> = rule.chars().collect();
    let starts: Vec<usize> = (0..letters.len())
        .filter(|&at| letters[at] != ' ' && (at == 0 || letters[at - 1] == ' '))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
    starts.iter().copied().zip(ends).collect()
}

fn literal(text: &str) -> String {
    regex::escape(text)
}

#[test]
fn a_table_is_set_again_around_what_was_replaced() {
    let rules = Rules {
        rules: vec![(Regex::new("long-name").unwrap(), "<n>".to_owned())],
    };
    let printed =
        "before\nName        Kind\n──────────  ────\nlong-name   b\nother-name  a\n\nafter\n";
    assert_eq!(
        rules.apply(printed),
        [
            "before",
            "Name        Kind",
            "──────────  ────",
            "<n>         b",
            "other-name  a",
            "",
            "after"
        ]
    );
}
