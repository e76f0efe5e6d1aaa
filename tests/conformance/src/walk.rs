//! The walk: steps one after the other, then everything that the server does not say it has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::report::{Outcome, Report};
use crate::schema::{Link, Published};
use crate::step::Step;
use crate::steps::{LAST, ON_A_DEPLOYED_APP, ON_A_NEW_APP, SPARED};
use crate::transport::{self, error_id};

/// For places of which nothing is known.
const NOTHING: &str = "nothing-of-this-name";

/// What is walked.
#[derive(Clone)]
pub struct Subject {
    /// `http://api.localhost:8080`
    pub base: String,
    /// Of scope global.
    pub token: String,
    /// An app of the token's account that was deployed and has a web dyno; it is restarted and released again.
    /// Without one, what needs it is left alone.
    pub deployed: Option<String>,
}

/// Walks the API and removes what it made. An error is a walk that could not go on; what does not fit is in the report.
pub async fn walk(subject: &Subject) -> Result<Report> {
    let client = Client::new(&subject.base, &subject.token)?;
    let mut walk = Walk {
        served: served(&client).await?,
        client,
        published: Published::read()?,
        report: Report::default(),
        known: BTreeMap::new(),
    };
    let name = format!(
        "conformance-{}",
        &uuid::Uuid::new_v4().simple().to_string()[..8]
    );
    walk.known.insert("new".to_owned(), name);
    let done = walk.all(subject).await;
    // Also after an error.
    let made = walk.known.get("made").cloned();
    if let (Err(_), Some(app)) = (&done, made) {
        let _ = walk
            .client
            .send("DELETE", &format!("/apps/{app}"), &[], None)
            .await;
    }
    done?;
    Ok(walk.report)
}

struct Walk {
    client: Client,
    published: Published,
    /// `GET /apps/{}`: what the server's own schema says that it has.
    served: BTreeSet<String>,
    report: Report,
    known: BTreeMap<String, String>,
}

impl Walk {
    async fn all(&mut self, subject: &Subject) -> Result<()> {
        transport::check(&self.client, &mut self.report).await?;
        for step in ON_A_NEW_APP {
            self.take(step).await?;
            if step.href == "/apps" && step.method == "POST" {
                let app = self.known.get("app").context("no app could be made")?;
                self.known.insert("made".to_owned(), app.clone());
            }
        }
        if let Some(deployed) = &subject.deployed {
            let own = self.known.insert("app".to_owned(), deployed.clone());
            for step in ON_A_DEPLOYED_APP {
                self.take(step).await?;
            }
            self.known.extend(own.map(|own| ("app".to_owned(), own)));
        }
        for link in self.published.links().to_vec() {
            self.leave(&link, subject.deployed.is_some()).await?;
        }
        for step in LAST {
            self.take(step).await?;
        }
        Ok(())
    }

    /// One step, if the server has its verb.
    async fn take(&mut self, step: &Step) -> Result<()> {
        let link = self
            .published
            .link(step.method, step.href)
            .with_context(|| format!("the schema has no {} {}", step.method, step.href))?
            .clone();
        if !self.served.contains(&plain(step.method, step.href)) {
            return Ok(());
        }
        let mut known = self.known.clone();
        for (name, value) in step.with {
            known.insert((*name).to_owned(), filled(value, &self.known));
        }
        let path = path(step.href, &known);
        let body = step.body.map(|body| filled(body, &known));
        let answer = self
            .client
            .send(step.method, &path, &[], body.as_deref())
            .await?;
        let outcome = self.judge(step, &link, &answer)?;
        if let Ok(json) = answer.json() {
            let one = json
                .as_array()
                .and_then(|items| items.last())
                .unwrap_or(&json);
            for (name, pointer) in step.keep {
                if let Some(value) = one.pointer(pointer).and_then(Value::as_str) {
                    self.known.insert((*name).to_owned(), value.to_owned());
                }
            }
        }
        self.report
            .add(&link.resource, step.method, step.href, outcome);
        Ok(())
    }

    fn judge(&self, step: &Step, link: &Link, answer: &Answer) -> Result<Outcome> {
        let status = answer.status;
        if !step.right.contains(&status) {
            // The answer may hold a token.
            let said = match status {
                400.. => answer.text.chars().take(300).collect(),
                _ => String::new(),
            };
            return Ok(Outcome::Fail(format!(
                "{status} instead of {:?} {said}",
                step.right
            )));
        }
        if status >= 400 {
            return Ok(match error_id(answer) {
                Ok(id) => Outcome::Refused(format!("{status} {id}")),
                Err(why) => Outcome::Fail(format!("{status} and {why}")),
            });
        }
        let misfits = self.published.misfits(&link.target, &answer.json()?)?;
        Ok(match misfits.is_empty() {
            true => Outcome::Pass,
            false => Outcome::Fail(misfits.join("; ")),
        })
    }

    /// A verb that no step took: the server must not say that it has it, and must refuse it in the documented form.
    async fn leave(&mut self, link: &Link, all_steps: bool) -> Result<()> {
        let Link {
            resource,
            method,
            href,
            ..
        } = link;
        let is_last = LAST
            .iter()
            .any(|step| step.method == method && step.href == href);
        if is_last || self.report.has(resource, method, href) {
            return Ok(());
        }
        let outcome = if let Some((.., why)) = SPARED
            .iter()
            .find(|(verb, path, _)| verb == method && path == href)
        {
            Outcome::Spared(why)
        } else if !self.served.contains(&plain(method, href)) {
            let path = path(href, &self.known);
            let body = (method != "GET").then_some("{}");
            let answer = self.client.send(method, &path, &[], body).await?;
            refusal(&answer)
        } else if all_steps {
            Outcome::Fail("the server has it, and no step of the walk takes it".to_owned())
        } else {
            Outcome::Spared("it needs an app that was deployed")
        };
        self.report.add(resource, method, href, outcome);
        Ok(())
    }
}

/// What is not there is an empty list, not found, or refused with a reason.
fn refusal(answer: &Answer) -> Outcome {
    match (answer.status, error_id(answer)) {
        (200, _) if answer.text == "[]" => Outcome::Refused("an empty list".to_owned()),
        (status @ (404 | 422), Ok(id)) => Outcome::Refused(format!("{status} {id}")),
        (status, Ok(id)) => Outcome::Fail(format!("{status} {id}")),
        (status, Err(why)) => Outcome::Fail(format!("{status} and {why}")),
    }
}

/// What the server says that it has.
async fn served(client: &Client) -> Result<BTreeSet<String>> {
    let answer = client.send("GET", "/schema", &[], None).await?;
    let schema = answer.json().context("GET /schema")?;
    let definitions = schema["definitions"]
        .as_object()
        .context("GET /schema answers with definitions")?;
    let mut served = BTreeSet::new();
    for link in definitions
        .values()
        .flat_map(|definition| definition["links"].as_array().into_iter().flatten())
    {
        let text = |key: &str| link[key].as_str().unwrap_or_default();
        served.insert(plain(text("method"), text("href")));
    }
    Ok(served)
}

/// `GET /apps/{}/dynos`, whatever stands between the braces.
fn plain(method: &str, href: &str) -> String {
    let mut plain = format!("{method} ");
    for (n, part) in href.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if n > 0 => {
                plain.push_str("{}");
                plain.push_str(rest);
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

/// The path with its places filled.
fn path(href: &str, known: &BTreeMap<String, String>) -> String {
    let mut path = String::new();
    for (n, part) in href.split('{').enumerate() {
        match part.split_once('}') {
            Some((name, rest)) if n > 0 => {
                path.push_str(known.get(name).map_or(NOTHING, String::as_str));
                path.push_str(rest);
            }
            _ => path.push_str(part),
        }
    }
    path
}

/// The text with each `$name` replaced. Longer names first: `$app_id` is not `$app` and `_id`.
fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut names: Vec<_> = known.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${name}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_are_filled() {
        let known = BTreeMap::from([
            ("app".to_owned(), "demo".to_owned()),
            ("app_id".to_owned(), "17".to_owned()),
        ]);
        assert_eq!(
            path("/apps/{app}/x/{y}", &known),
            format!("/apps/demo/x/{NOTHING}")
        );
        assert_eq!(filled(r#"{"$app":"$app_id"}"#, &known), r#"{"demo":"17"}"#);
        assert_eq!(plain("GET", "/a/{(%23)}/b/{c}"), "GET /a/{}/b/{}");
    }

    #[test]
    fn every_step_is_a_link_of_the_schema() {
        let published = Published::read().unwrap();
        for step in ON_A_NEW_APP.iter().chain(ON_A_DEPLOYED_APP).chain(LAST) {
            assert!(published.link(step.method, step.href).is_some(), "{step:?}");
        }
        for (method, href, _) in SPARED {
            assert!(published.link(method, href).is_some(), "{method} {href}");
        }
    }
}
