//! The `Range` header of lists: `<attr> ]<first>..<last>; max=N, order=asc|desc`.
//!
//! Clients separate the parameters with `;` or `,`, in either order, with or without blanks and with a trailing
//! `;`. Whether an attribute exists and how its values compare is the server's to say.

use std::fmt;
use std::str::FromStr;

/// A page of a list, as asked for (`Range`) or as offered (`Next-Range`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// `id`, `name`, `version`, `created_at` ...
    pub attribute: String,
    pub first: Option<Bound>,
    pub last: Option<String>,
    /// At most so many; the server has a default and a ceiling.
    pub max: Option<u32>,
    pub order: Option<Order>,
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub value: String,
    /// Written `]value`: start behind it.
    pub exclusive: bool,
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Asc,
    Desc,
}

/// The header is not a range: 416.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotARange;

impl FromStr for Range {
    type Err = NotARange;

    fn from_str(header: &str) -> Result<Self, NotARange> {
        let (span, parameters) = header.split_once(';').unwrap_or((header, ""));
        let (attribute, bounds) = span
            .trim()
            .split_once(char::is_whitespace)
            .ok_or(NotARange)?;
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if attribute.is_empty() || !attribute.chars().all(known) {
            return Err(NotARange);
        }
        // A value may end with a dot, and it is the first that lists write themselves.
        let (first, last) = bounds.trim().rsplit_once("..").ok_or(NotARange)?;
        let mut range = Self {
            attribute: attribute.to_owned(),
            first: bound(first.trim()),
            last: Some(last.trim().to_owned()).filter(|last| !last.is_empty()),
            max: None,
            order: None,
        };
        for parameter in parameters
            .split([';', ','])
            .map(str::trim)
            .filter(|parameter| !parameter.is_empty())
        {
            match parameter
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
            {
                Some(("max", value)) => range.max = Some(value.parse().map_err(|_| NotARange)?),
                Some(("order", "asc")) => range.order = Some(Order::Asc),
                Some(("order", "desc")) => range.order = Some(Order::Desc),
                _ => return Err(NotARange),
            }
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.attribute)?;
        if let Some(first) = &self.first {
            write!(
                f,
                "{}{}",
                if first.exclusive { "]" } else { "" },
                first.value
            )?;
        }
        write!(f, "..{}", self.last.as_deref().unwrap_or(""))?;
        let order = self.order.map(|order| match order {
            Order::Asc => "order=asc",
            Order::Desc => "order=desc",
        });
        match (self.max, order) {
            (Some(max), Some(order)) => write!(f, "; max={max}, {order}"),
            (Some(max), None) => write!(f, "; max={max}"),
            (None, Some(order)) => write!(f, "; {order}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for NotARange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Range header is not of the form `<attribute> <first>..<last>; max=N, order=asc|desc`")
    }
}

impl std::error::Error for NotARange {}

fn bound(text: &str) -> Option<Bound> {
    let (exclusive, value) = match text.strip_prefix(']') {
        Some(value) => (true, value),
        None => (false, text),
    };
    if value.is_empty() {
        None
    } else {
        Some(Bound {
            value: value.to_owned(),
            exclusive,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_clients_use_is_read() {
        for (header, canonical) in [
            (
                "version ..; max=1, order=desc",
                "version ..; max=1, order=desc",
            ),
            (
                "version ..; order=desc,max=1",
                "version ..; max=1, order=desc",
            ),
            ("id ..; max=1000;", "id ..; max=1000"),
            (
                "number ..; order=desc,max=1",
                "number ..; max=1, order=desc",
            ),
            ("version ..; order=desc", "version ..; order=desc"),
            (
                "created_at ..; max=10, order=desc",
                "created_at ..; max=10, order=desc",
            ),
            ("name ]demo-dev..; max=2", "name ]demo-dev..; max=2"),
            ("id a..z", "id a..z"),
            ("name ..", "name .."),
        ] {
            let range: Range = header.parse().unwrap();
            assert_eq!(range.to_string(), canonical, "{header}");
            assert_eq!(canonical.parse::<Range>().unwrap(), range, "{header}");
        }
    }

    #[test]
    fn a_value_may_end_with_a_dot() {
        let range: Range = "hostname ]a.test...; max=2".parse().expect("a range");
        let first = range.first.expect("a first value");
        assert_eq!((first.value.as_str(), first.exclusive), ("a.test.", true));
        assert_eq!(range.last, None);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for header in [
            "",
            "id",
            "id 1-2",
            "bytes=0-1",
            "id ..; max=x",
            "id ..; order=up",
            "id ..; what=1",
            "a-b ..",
        ] {
            assert_eq!(header.parse::<Range>(), Err(NotARange), "{header}");
        }
    }
}
