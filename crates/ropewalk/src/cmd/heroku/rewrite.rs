//! Addresses of the API in what the API says, turned into the helper's, and back. Pure.
//!
//! Logs, outputs and sources have addresses on the API's host, which Node may not be able to look up (`.localhost`)
//! or to trust; the helper can.

use serde_json::Value;

/// One way: from one base address to another. Both without a slash at the end.
pub(super) struct Rewrite {
    pub(super) from: String,
    pub(super) to: String,
}

/// Below this every address authorises by itself, or is public.
const OWN: &str = "/ropewalk/";

impl Rewrite {
    /// `body` with other addresses; `None` when nothing in it is to be changed.
    pub(super) fn json(&self, body: &[u8]) -> Option<Vec<u8>> {
        let needle = format!("{}{OWN}", self.from);
        let mentioned = body
            .windows(needle.len())
            .any(|window| window == needle.as_bytes());
        if !mentioned {
            return None;
        }
        let mut value: Value = serde_json::from_slice(body).ok()?;
        self.walk(&mut value)
            .then(|| serde_json::to_vec(&value).ok())?
    }

    /// Whether something was changed.
    fn walk(&self, value: &mut Value) -> bool {
        let mut changed = false;
        match value {
            Value::Array(list) => {
                for one in list {
                    changed |= self.walk(one);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    changed |= match value {
                        Value::String(text) => name.ends_with("url") && self.address(text),
                        // What an app is given is the person's own, whatever it looks like.
                        _ if name == "env" => false,
                        value => self.walk(value),
                    };
                }
            }
            _ => {}
        }
        changed
    }

    fn address(&self, text: &mut String) -> bool {
        let rest = text
            .strip_prefix(self.from.as_str())
            .filter(|rest| rest.starts_with(OWN));
        let Some(rest) = rest else { return false };
        *text = format!("{}{rest}", self.to);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rewritten(value: &Value) -> Option<Value> {
        let rewrite = Rewrite {
            from: "http://api.localhost:8080".into(),
            to: "http://127.0.0.1:5000".into(),
        };
        let body = serde_json::to_vec(value).unwrap();
        rewrite
            .json(&body)
            .map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn addresses_of_streams_lead_to_the_helper() {
        let before = json!([
            {"logplex_url": "http://api.localhost:8080/ropewalk/logs/x?srv=1",
             "source_blob": {"get_url": "http://api.localhost:8080/ropewalk/sources/y", "url": null}},
            {"output_stream_url": "http://api.localhost:8080/ropewalk/outputs/z"}
        ]);
        let after = json!([
            {"logplex_url": "http://127.0.0.1:5000/ropewalk/logs/x?srv=1",
             "source_blob": {"get_url": "http://127.0.0.1:5000/ropewalk/sources/y", "url": null}},
            {"output_stream_url": "http://127.0.0.1:5000/ropewalk/outputs/z"}
        ]);
        assert_eq!(rewritten(&before), Some(after));
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for value in [
            json!({"web_url": "http://demo.localhost:8080/", "message": "http://api.localhost:8080/ropewalk/x"}),
            json!({"url": "http://api.localhost:8080.example.com/ropewalk/x"}),
            json!({"url": "http://api.localhost:8080/apps"}),
            json!({"env": {"url": "http://api.localhost:8080/ropewalk/x"}}),
            json!("http://api.localhost:8080/ropewalk/x"),
        ] {
            assert_eq!(rewritten(&value), None, "{value}");
        }
    }
}
