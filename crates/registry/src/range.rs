//! The `Range` header of blob downloads: one range of bytes, as an interrupted pull sends it.

/// Which bytes of a blob are to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// First byte and number of bytes, within the blob.
    Part {
        first: u64,
        count: u64,
    },
    /// The range lies outside the blob.
    Outside,
}

/// What a header asks of a blob of `size` bytes. Anything but one well-formed range of bytes counts as no range,
/// as HTTP allows.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let parsed = header
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'));
    let Some((first, last)) = parsed else {
        return Wanted::All;
    };
    match (number(first), number(last)) {
        // The last so many bytes.
        (None, Some(count)) if first.is_empty() => match count.min(size) {
            0 => Wanted::Outside,
            count => Wanted::Part {
                first: size - count,
                count,
            },
        },
        (Some(first), _) if first >= size && last.is_empty() => Wanted::Outside,
        (Some(first), None) if last.is_empty() => Wanted::Part {
            first,
            count: size - first,
        },
        (Some(first), Some(last)) if first > last => Wanted::All,
        (Some(first), Some(_)) if first >= size => Wanted::Outside,
        (Some(first), Some(last)) => Wanted::Part {
            first,
            count: last.min(size - 1) - first + 1,
        },
        _ => Wanted::All,
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_blob() {
        let part = |first, count| Wanted::Part { first, count };
        for (header, expected) in [
            ("bytes=0-", part(0, 10)),
            ("bytes=3-", part(3, 7)),
            ("bytes=3-5", part(3, 3)),
            ("bytes=3-99", part(3, 7)),
            ("bytes=-4", part(6, 4)),
            ("bytes=-99", part(0, 10)),
            ("bytes=10-", Wanted::Outside),
            ("bytes=10-12", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=5-3", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-3", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=99999999999999999999-", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::All);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Outside);
    }
}
