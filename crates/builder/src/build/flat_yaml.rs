//! YAML that strangers wrote, where a flat map of plain values is all that is expected.
//!
//! An alias stands for a copy of what it names, so a file of some KiB can stand for GiB. Nothing nested is ever made
//! here, and the text of what is made is counted: it cannot be more than a file of that size holds without aliases.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Most text in one map, names and values together, in bytes.
const MAX_TEXT: usize = 256 << 10;
/// Most entries of one map.
const MAX_ENTRIES: usize = 10_000;

/// Names with strings, numbers, booleans and nulls; anything nested is an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FlatMap(pub(crate) Map<String, Value>);

/// Whether there is something, whatever it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence(pub(crate) bool);

impl<'de> Deserialize<'de> for FlatMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = FlatMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<FlatMap, A::Error> {
        let mut map = Map::new();
        let (mut count, mut text) = (0, 0);
        while let Some((name, Plain(value))) = entries.next_entry::<String, Plain>()? {
            count += 1;
            text += name.len() + value.as_str().map_or(0, str::len);
            if count > MAX_ENTRIES || text > MAX_TEXT {
                return Err(A::Error::custom("it holds too much"));
            }
            map.insert(name, value);
        }
        Ok(FlatMap(map))
    }
}

struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Scalar).map(Self)
    }
}

/// Has no `visit_seq` and no `visit_map`: the first nested value ends the reading.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything).map(Self)
    }
}

/// Passes over what is nested without making it: what is ignored is not expanded either.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut any = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(any)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut any = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            any = true;
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flat(yaml: &str) -> Option<Value> {
        serde_yaml::from_str::<FlatMap>(yaml)
            .ok()
            .map(|map| Value::Object(map.0))
    }

    #[test]
    fn plain_values_are_taken_and_nothing_else() {
        assert_eq!(
            flat("a: 1\nb: 'x'\nc: true\nd:\ne: -2\nf: 1.5\n"),
            Some(json!({"a": 1, "b": "x", "c": true, "d": null, "e": -2, "f": 1.5}))
        );
        assert_eq!(flat("{\"a\": \"b\"}"), Some(json!({"a": "b"})));
        assert_eq!(
            flat("a: &x word\nb: *x\n"),
            Some(json!({"a": "word", "b": "word"}))
        );
        for odd in [
            "a: [1]",
            "a: {b: 1}",
            "- a",
            "words",
            "a: !t b",
            "? [a]\n: b",
        ] {
            assert_eq!(flat(odd), None, "{odd}");
        }
    }

    #[test]
    fn aliases_cannot_stand_for_more_than_a_file_holds() {
        // Of lists: 60,000 elements 40,000 times.
        let list = format!("a: &a [{}1]\n", "1,".repeat(60_000));
        let nested = format!("{list}b: [{}*a]\n", "*a,".repeat(40_000));
        assert_eq!(flat(&nested), None);
        // Of one long word, as values and as names.
        let word = "x".repeat(100 << 10);
        let mut values = format!("a: &a {word}\n");
        let mut names = format!("a: &a {word}\n");
        for number in 0..20_000 {
            values.push_str(&format!("k{number}: *a\n"));
            names.push_str("? *a\n: 1\n");
        }
        assert_eq!(flat(&values), None);
        assert_eq!(flat(&names), None);
    }

    #[test]
    fn presence_expands_nothing() {
        let there = |yaml: &str| serde_yaml::from_str::<Presence>(yaml).unwrap().0;
        for nothing in ["", "~", "[]", "{}", "# x"] {
            assert!(!there(nothing), "{nothing}");
        }
        for something in ["x", "1", "[a]", "{a: b}"] {
            assert!(there(something), "{something}");
        }
        let list = format!("[&a [{}1], {}1]", "1,".repeat(60_000), "*a,".repeat(40_000));
        assert!(there(&list));
    }
}
