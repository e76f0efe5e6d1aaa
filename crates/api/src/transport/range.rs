//! Pages of lists: `Range` in, 206 with `Next-Range` out while there is more.
//!
//! Bounds follow the order asked for: with `order=desc`, `]7..` starts below 7.

use std::cmp::Ordering;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use ropewalk_api_types::error::id;
use ropewalk_api_types::page::{Bound, Order, Range};
use serde::Serialize;

use crate::transport::body::json;
use crate::transport::error::ApiError;

/// Items of a page when nobody says how many.
const DEFAULT_MAX: u32 = 200;
/// And at most.
const MAX: u32 = 1_000;

const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// The request's `Range`, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Option<Range>);

/// By what a list can be ordered: the attribute's name, and its value in an item.
pub(crate) type Attribute<T> = (&'static str, fn(&T) -> Key);

/// A value to order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Text(String),
    Number(u64),
    Time(Timestamp),
}

impl Key {
    fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Time(at) => at.to_string(),
        }
    }

    /// How this compares with a bound; `None` when the bound is not of its kind.
    fn compare(&self, bound: &str) -> Option<Ordering> {
        match self {
            Self::Text(text) => Some(text.as_str().cmp(bound)),
            Self::Number(number) => Some(number.cmp(&bound.parse().ok()?)),
            Self::Time(at) => Some(at.cmp(&bound.parse().ok()?)),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            // One attribute gives one kind.
            _ => Ordering::Equal,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.headers.get(header::RANGE) {
            None => Ok(Self(None)),
            Some(value) => {
                let text = value.to_str().map_err(|_| refused("it is not text"))?;
                if text.trim().is_empty() {
                    return Ok(Self(None));
                }
                let range =
                    text.parse()
                        .map_err(|error: ropewalk_api_types::page::NotARange| {
                            refused(&error.to_string())
                        })?;
                Ok(Self(Some(range)))
            }
        }
    }
}

fn refused(why: &str) -> ApiError {
    ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        id::REQUESTED_RANGE_NOT_SATISFIABLE,
        format!("The Range header cannot be served: {why}."),
    )
}

impl Wanted {
    /// The page of `items` that was asked for; the first of `attributes` is the default order.
    pub(crate) fn page<T: Serialize>(
        self,
        items: Vec<T>,
        attributes: &[Attribute<T>],
    ) -> Result<Response, ApiError> {
        let page = self.select(items, attributes)?;
        Ok(page.head.answer(&page.items))
    }

    /// The same before anything is made of the items, so that only those of the page have to be.
    pub(crate) fn select<T>(
        self,
        mut items: Vec<T>,
        attributes: &[Attribute<T>],
    ) -> Result<Page<T>, ApiError> {
        let names: Vec<&str> = attributes.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let Some((default, _)) = attributes.first() else {
            let head = Head::default();
            return Ok(Page { items, head });
        };
        let range = self.0.unwrap_or_else(|| Range {
            attribute: (*default).to_owned(),
            first: None,
            last: None,
            max: None,
            order: None,
        });
        let (_, key) = attributes
            .iter()
            .find(|(name, _)| *name == range.attribute)
            .ok_or_else(|| refused(&format!("this list is ordered by {names} only")))?;
        if range.max == Some(0) {
            return Err(refused("max is 0"));
        }
        let max = range.max.unwrap_or(DEFAULT_MAX).min(MAX);
        let descending = range.order == Some(Order::Desc);
        items.sort_by(|a, b| {
            let order = key(a).order(&key(b));
            if descending { order.reverse() } else { order }
        });
        let mut items = select(items, *key, &range, descending)?;
        let end = end_of_page(&items, *key, max as usize);
        let more = items.len() > end;
        items.truncate(end);
        let mut head = Head {
            more,
            accept_ranges: Some(names),
            ..Head::default()
        };
        if let Some((first, last)) = items.first().zip(items.last()) {
            let (first, last) = (key(first).written(), key(last).written());
            head.content_range = Some(format!("{} {first}..{last}", range.attribute));
            if more {
                let next = Range {
                    first: Some(Bound {
                        value: last,
                        exclusive: true,
                    }),
                    max: Some(max),
                    ..range
                };
                head.next_range = Some(next.to_string());
            }
        }
        Ok(Page { items, head })
    }
}

/// Items of one page, and what is said about them.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) head: Head,
}

/// What an answer says of the page that it holds.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// There are items behind this page.
    more: bool,
    accept_ranges: Option<String>,
    content_range: Option<String>,
    next_range: Option<String>,
}

impl Head {
    /// 200, or 206 while there is more, with `items`.
    pub(crate) fn answer<T: Serialize>(self, items: &[T]) -> Response {
        let status = if self.more {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        let mut response = json(status, &items);
        let headers = response.headers_mut();
        for (name, text) in [
            (header::ACCEPT_RANGES, self.accept_ranges),
            (header::CONTENT_RANGE, self.content_range),
            (NEXT_RANGE, self.next_range),
        ] {
            if let Some(text) = text {
                put(headers, name, &text);
            }
        }
        response
    }
}

/// How many of the items in order make the page: `max`, and those behind it of the same value as the last, because
/// the next page begins behind that value and would leave them out.
fn end_of_page<T>(items: &[T], key: fn(&T) -> Key, max: usize) -> usize {
    let Some(last) = max.checked_sub(1).and_then(|last| items.get(last)) else {
        return items.len();
    };
    let last = key(last);
    let equal = items[max..].iter().take_while(|item| key(item) == last);
    max + equal.count()
}

/// The items between the bounds, in order.
fn select<T>(
    items: Vec<T>,
    key: fn(&T) -> Key,
    range: &Range,
    descending: bool,
) -> Result<Vec<T>, ApiError> {
    let mut page = Vec::new();
    for item in items {
        let place = |bound: &str| {
            let order = key(&item)
                .compare(bound)
                .ok_or_else(|| refused(&format!("{bound} is no {}", range.attribute)))?;
            Ok::<_, ApiError>(if descending { order.reverse() } else { order })
        };
        if let Some(first) = &range.first {
            let order = place(&first.value)?;
            if order == Ordering::Less || (first.exclusive && order == Ordering::Equal) {
                continue;
            }
        }
        if let Some(last) = &range.last
            && place(last)? == Ordering::Greater
        {
            continue;
        }
        page.push(item);
    }
    Ok(page)
}

fn put(headers: &mut http::HeaderMap, name: HeaderName, text: &str) {
    // Names and ids are plain; a value that is not cannot be said in a header and is left out.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn page(header: &str) -> (u16, Vec<u64>, Option<String>) {
        let mut parts = http::Request::builder()
            .header("range", header)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let attributes: [Attribute<u64>; 2] = [
            ("version", |n| Key::Number(*n)),
            ("id", |n| Key::Text(format!("{n:02}"))),
        ];
        let wanted = match Wanted::from_request_parts(&mut parts, &()).await {
            Ok(wanted) => wanted,
            Err(error) => return (error_status(error), Vec::new(), None),
        };
        match wanted.page((1..=12).rev().collect(), &attributes) {
            Err(error) => (error_status(error), Vec::new(), None),
            Ok(response) => {
                let status = response.status().as_u16();
                let next = response
                    .headers()
                    .get("next-range")
                    .map(|value| value.to_str().unwrap().to_owned());
                let bytes = response.into_body().collect().await.unwrap().to_bytes();
                (status, serde_json::from_slice(&bytes).unwrap(), next)
            }
        }
    }

    fn error_status(error: ApiError) -> u16 {
        axum::response::IntoResponse::into_response(error)
            .status()
            .as_u16()
    }

    #[test]
    fn items_of_one_value_are_not_torn_apart() {
        let key = |n: &u64| Key::Number(n / 10);
        for (items, max, end) in [
            (vec![1, 2, 11, 12, 21], 1, 2),
            (vec![1, 2, 11, 12, 21], 2, 2),
            (vec![1, 2, 11, 12, 21], 3, 4),
            (vec![1, 2, 11, 12, 21], 5, 5),
            (vec![1, 2], 9, 2),
            (vec![], 1, 0),
        ] {
            assert_eq!(end_of_page(&items, key, max), end, "{items:?} {max}");
        }
    }

    #[tokio::test]
    async fn every_spelling_gives_its_page() {
        for (header, status, items, next) in [
            ("", 200, (1..=12).collect::<Vec<u64>>(), None),
            (
                "version ..; max=1, order=desc",
                206,
                vec![12],
                Some("version ]12..; max=1, order=desc"),
            ),
            (
                "version ..; order=desc,max=1",
                206,
                vec![12],
                Some("version ]12..; max=1, order=desc"),
            ),
            (
                "version ]12..; max=2, order=desc",
                206,
                vec![11, 10],
                Some("version ]10..; max=2, order=desc"),
            ),
            ("version ]2..; max=2, order=desc", 200, vec![1], None),
            (
                "version ..; order=desc",
                200,
                (1..=12).rev().collect(),
                None,
            ),
            ("id ..; max=1000;", 200, (1..=12).collect(), None),
            ("id ..; max=99999", 200, (1..=12).collect(), None),
            ("id ]10..; max=2", 200, vec![11, 12], None),
            ("version 10..", 200, vec![10, 11, 12], None),
            ("version 3..5", 200, vec![3, 4, 5], None),
            ("version 5..3; order=desc", 200, vec![5, 4, 3], None),
            (
                "version 3..5; max=2",
                206,
                vec![3, 4],
                Some("version ]4..5; max=2"),
            ),
            ("version ]3..5", 200, vec![4, 5], None),
            (
                "version ..;order=desc;max=1;",
                206,
                vec![12],
                Some("version ]12..; max=1, order=desc"),
            ),
            (
                "  version   ..  ;  max = 1 , order = desc ; ",
                206,
                vec![12],
                Some("version ]12..; max=1, order=desc"),
            ),
            ("version ..", 200, (1..=12).collect(), None),
            ("   ", 200, (1..=12).collect(), None),
            ("version 99..", 200, vec![], None),
            ("name ..", 416, vec![], None),
            ("version x..", 416, vec![], None),
            ("version ..; max=0", 416, vec![], None),
            ("bytes=0-10", 416, vec![], None),
        ] {
            let (got, found, offered) = page(header).await;
            assert_eq!(got, status, "{header}");
            assert_eq!(found, items, "{header}");
            assert_eq!(offered.as_deref(), next, "{header}");
        }
    }
}
