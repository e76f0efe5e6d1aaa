//! Takes headers out of a head and leaves the rest in its order.
//!
//! `HeaderMap::remove` fills the hole with the last header, so whoever passes heads on removes only here. Decides nothing
//! about which headers are taken out.

use std::cell::Cell;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Takes out the headers whose names `is_out`. Costs one look at each name where there is none, else the map is filled
/// anew, in the room that it has.
pub(crate) fn take_out(headers: &mut HeaderMap, is_out: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&is_out) {
        return;
    }
    let mut all = ROOM.take();
    all.extend(headers.drain());
    let mut rest = all.drain(..).peekable();
    while let Some((name, value)) = rest.next() {
        let Some(name) = name else { continue };
        let stays = !is_out(&name);
        // Most names come once; those are moved.
        if rest.peek().is_none_or(|(next, _)| next.is_some()) {
            if stays {
                headers.append(name, value);
            }
            continue;
        }
        if stays {
            headers.append(&name, value);
        }
        while let Some((_, value)) = rest.next_if(|(next, _)| next.is_none()) {
            if stays {
                headers.append(&name, value);
            }
        }
    }
    drop(rest);
    ROOM.set(all);
}

thread_local! {
    /// Where the headers lie meanwhile: empty but during [`take_out`], and as large as the largest head that it saw.
    static ROOM: Cell<Vec<(Option<HeaderName>, HeaderValue)>> = const { Cell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(names: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (index, name) in names.iter().enumerate() {
            headers.append(*name, HeaderValue::from(index));
        }
        headers
    }

    fn left(names: &[&'static str], out: &[&str]) -> Vec<(String, String)> {
        let mut headers = map(names);
        take_out(&mut headers, |name| out.contains(&name.as_str()));
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn the_rest_keeps_its_order() {
        let names = ["a", "te", "b", "c", "b", "te", "upgrade", "d"];
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let pairs = pairs.iter();
            pairs.map(|(a, b)| ((*a).into(), (*b).into())).collect()
        };
        assert_eq!(
            left(&names, &["te", "upgrade"]),
            pairs(&[("a", "0"), ("b", "2"), ("b", "4"), ("c", "3"), ("d", "7")])
        );
        assert_eq!(left(&["a", "b"], &["x"]), pairs(&[("a", "0"), ("b", "1")]));
        assert_eq!(left(&["a", "a"], &["a"]), pairs(&[]));
    }
}
