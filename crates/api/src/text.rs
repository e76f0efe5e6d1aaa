//! Texts that strangers send and people will read.

/// At most `max` characters, without those that move the cursor, hide, or turn the direction of reading.
pub(crate) fn plain(text: &str, max: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .take(max)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// For HTML, inside elements and inside quoted attributes.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Whether this looks like an e-mail address that can be typed, put into Basic credentials and into a path.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.split_once('@') else {
        return false;
    };
    text.len() <= 254
        && !name.is_empty()
        && !host.is_empty()
        && !host.contains('@')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "@.-_+~!#$&'*=^`{|}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_is_left_out() {
        assert_eq!(plain(" a\u{202e}b\x1b[31m\nc ", 255), "ab[31mc");
        assert_eq!(plain("abcdef", 3), "abc");
        assert_eq!(
            html("<a href=\"x\">'&</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&lt;/a&gt;"
        );
    }

    #[test]
    fn addresses_have_one_at_sign_and_nothing_odd() {
        for (text, is) in [
            ("dev@example.com", true),
            ("admin@localhost", true),
            ("a.b+c@x-y.example", true),
            ("@example.com", false),
            ("dev@", false),
            ("dev", false),
            ("a@b@c", false),
            ("a:b@c", false),
            ("a b@c", false),
            ("a/b@c", false),
            ("~", false),
        ] {
            assert_eq!(is_email(text), is, "{text}");
        }
    }
}
