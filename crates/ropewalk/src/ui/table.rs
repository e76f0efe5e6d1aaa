//! Columns that line up: with headings, or bare for lists.

/// Rows of cells; short rows are filled up with empty ones.
#[derive(Debug, Default)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without headings.
    pub(crate) fn bare() -> Self {
        Self::default()
    }

    /// With headings and a line below them.
    pub(crate) fn with_headings(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|&heading| heading.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// All lines, without a line feed at the end.
    pub(crate) fn render(&self) -> String {
        let columns = self
            .rows
            .iter()
            .chain([&self.headings])
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self
                    .rows
                    .iter()
                    .chain([&self.headings])
                    .filter_map(|row| row.get(column));
                cells.map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut lines = Vec::new();
        if !self.headings.is_empty() {
            lines.push(line(&self.headings, &widths));
            let rule: Vec<String> = widths
                .iter()
                .map(|&width| "\u{2500}".repeat(width))
                .collect();
            lines.push(line(&rule, &widths));
        }
        lines.extend(self.rows.iter().map(|row| line(row, &widths)));
        lines.join("\n")
    }
}

/// `key:   value` lines, keys in front lined up.
pub(crate) fn object(pairs: &[(String, String)]) -> String {
    let longest = pairs.iter().map(|(key, _)| width(key)).max().unwrap_or(0);
    let lines = pairs.iter().map(|(key, value)| {
        let blanks = " ".repeat(longest + 1 - width(key));
        format!("{key}:{blanks}{value}").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, &column)| {
        let blanks = " ".repeat(column.saturating_sub(width(cell)));
        format!("{cell}{blanks}")
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Characters that show: colour sequences do not count.
fn width(text: &str) -> usize {
    let mut shown = 0;
    let mut in_sequence = false;
    for c in text.chars() {
        match (in_sequence, c) {
            (false, '\x1b') => in_sequence = true,
            (false, _) => shown += 1,
            (true, 'm') => in_sequence = false,
            (true, _) => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let mut table = Table::with_headings(&["Name", "Kind"]);
        table.row(["\x1b[31mwww\x1b[0m".into(), "custom".into()]);
        table.row(["\u{e4}".into()]);
        assert_eq!(
            table.render(),
            "Name  Kind\n────  ──────\n\x1b[31mwww\x1b[0m   custom\n\u{e4}"
        );
    }

    #[test]
    fn keys_line_up() {
        let pairs = [
            ("A".into(), "1".into()),
            ("LONG".into(), "2".into()),
            ("E".into(), String::new()),
        ];
        assert_eq!(object(&pairs), "A:    1\nLONG: 2\nE:");
    }
}
