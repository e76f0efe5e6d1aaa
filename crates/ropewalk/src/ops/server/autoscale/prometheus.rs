//! One number out of Prometheus text.

/// The sum of all samples of this name, whatever their labels; `None` without any that is a number.
pub(super) fn sum(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter_map(|line| sample(line.trim(), name));
    let numbers = samples.filter(|number| number.is_finite());
    numbers.fold(None, |sum, number| Some(sum.unwrap_or(0.0) + number))
}

/// `name{labels} number [time]`
fn sample(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let rest = match rest.strip_prefix('{') {
        Some(labels) => after_labels(labels)?,
        None if rest.starts_with([' ', '\t']) => rest,
        None => return None,
    };
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// What follows the closing brace; values may hold one, quoted.
fn after_labels(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return text.get(index + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP jobs Jobs that wait.
# TYPE jobs gauge
jobs{queue="mail",note="a } \" b"} 12
jobs{queue="sms"} 3.5 1700000000000
jobs_total 99
jobsize 7
 up 1
odd{ 5
empty
none NaN
"#;

    #[test]
    fn samples_of_a_name_are_added_up_whatever_their_labels() {
        assert_eq!(sum(TEXT, "jobs"), Some(15.5));
        assert_eq!(sum(TEXT, "jobs_total"), Some(99.0));
        assert_eq!(sum(TEXT, "up"), Some(1.0));
        for name in ["job", "queue", "odd", "empty", "none", "nothing", "# HELP"] {
            assert_eq!(sum(TEXT, name), None, "{name}");
        }
    }
}
