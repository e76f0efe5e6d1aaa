//! What holds for every resource: versions, pages, tags, ids of requests, other origins, large headers.

use anyhow::Result;

use crate::client::{Answer, Client};
use crate::report::{Outcome, Report};

/// One thing that must hold, how it is asked, and what is wrong with the answer.
struct Rule {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    wrong: fn(&Answer) -> Option<String>,
}

/// Adds a row for each rule.
pub(crate) async fn check(client: &Client, report: &mut Report) -> Result<()> {
    for rule in rules() {
        let headers: Vec<(&'static str, &str)> = rule
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = client.send(rule.method, rule.path, &headers, None).await?;
        let outcome = match (rule.wrong)(&answer) {
            None => Outcome::Pass,
            Some(why) => Outcome::Fail(format!("{} and {why}", answer.status)),
        };
        report.add("(transport)", rule.method, rule.name, outcome);
    }
    let tag = client.send("GET", "/account", &[], None).await?;
    let again = [("if-none-match", tag.header("etag"))];
    let again = client.send("GET", "/account", &again, None).await?;
    let outcome = match (again.status, again.text.is_empty()) {
        (304, true) => Outcome::Pass,
        (status, _) => Outcome::Fail(format!("{status} for a tag that has not changed")),
    };
    report.add("(transport)", "GET", "ETag and If-None-Match", outcome);
    Ok(())
}

fn rules() -> Vec<Rule> {
    let rule = |name, path, headers: &[(&'static str, &str)], wrong| Rule {
        name,
        method: "GET",
        path,
        headers: headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        wrong,
    };
    let mut rules = vec![
        rule(
            "headers of every answer",
            "/account",
            &[],
            headers_of_every_answer,
        ),
        rule(
            "no compression unless asked",
            "/dyno-sizes",
            &[],
            |answer| {
                let encoding = answer.header("content-encoding");
                (!encoding.is_empty()).then(|| format!("content-encoding {encoding}"))
            },
        ),
        rule(
            "one page",
            "/dyno-sizes",
            &[("range", "name ..; max=1, order=desc")],
            |answer| match answer.status == 206 && answer.header("next-range").starts_with("name ]")
            {
                true => None,
                false => Some(format!("next-range {:?}", answer.header("next-range"))),
            },
        ),
        rule(
            "an empty range",
            "/dyno-sizes",
            &[("range", "")],
            |answer| (answer.status != 200).then(|| "no list".to_owned()),
        ),
        rule(
            "a bad range",
            "/dyno-sizes",
            &[("range", "bytes=0-9")],
            |answer| is_error(answer, 416, "requested_range_not_satisfiable"),
        ),
        rule(
            "another version",
            "/account",
            &[("accept", "application/vnd.heroku+json; version=4")],
            |answer| is_error(answer, 406, "not_acceptable"),
        ),
        rule("no such path", "/no/such/path", &[], |answer| {
            is_error(answer, 404, "not_found")
        }),
        Rule {
            method: "OPTIONS",
            ..rule(
                "a page of another origin asks",
                "/apps",
                &[
                    ("origin", "https://dashboard.example.com"),
                    ("access-control-request-method", "PATCH"),
                ],
                |answer| match answer
                    .header("access-control-allow-methods")
                    .contains("PATCH")
                {
                    true => None,
                    false => Some("PATCH is not allowed".to_owned()),
                },
            )
        },
        Rule {
            method: "HEAD",
            ..rule("HEAD", "/account", &[], |answer| {
                match answer.status == 200 && !answer.header("etag").is_empty() {
                    true => None,
                    false => Some("no ETag".to_owned()),
                }
            })
        },
        // The chain that the CLI makes grows with each of its own requests.
        Rule {
            headers: vec![("request-id", "0123456789abcdef,".repeat(950))],
            ..rule("16 KiB of headers", "/account", &[], |answer| {
                (answer.status != 200).then(|| "refused".to_owned())
            })
        },
    ];
    for (name, accept) in [
        (
            "version 3.sdk",
            "application/vnd.heroku+json; version=3.sdk",
        ),
        ("any type", "*/*"),
        ("plain JSON", "application/json"),
    ] {
        rules.push(rule(name, "/account", &[("accept", accept)], |answer| {
            (answer.status != 200).then(|| "refused".to_owned())
        }));
    }
    rules
}

fn headers_of_every_answer(answer: &Answer) -> Option<String> {
    let id = answer.header("request-id");
    if uuid::Uuid::parse_str(id).is_err() {
        return Some(format!("request-id {id:?}"));
    }
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "private, no-cache"),
        ("vary", "Authorization, Accept"),
    ] {
        let has = answer.header(name);
        if has != value {
            return Some(format!("{name} {has:?}"));
        }
    }
    let left = answer.header("ratelimit-remaining");
    match left.parse::<u64>() {
        Ok(_) => None,
        Err(_) => Some(format!("ratelimit-remaining {left:?}")),
    }
}

/// `None` if it is that error, in the documented form.
pub(crate) fn is_error(answer: &Answer, status: u16, id: &str) -> Option<String> {
    match error_id(answer) {
        Ok(found) if answer.status == status && found == id => None,
        Ok(found) => Some(format!("id {found}")),
        Err(why) => Some(why),
    }
}

/// The id of a documented error; otherwise what is wrong with it.
pub(crate) fn error_id(answer: &Answer) -> Result<String, String> {
    let body = answer.json().map_err(|error| error.to_string())?;
    let id = body["id"].as_str().unwrap_or_default();
    if body["message"].as_str().unwrap_or_default().is_empty() {
        return Err("no message".to_owned());
    }
    let fits = match id {
        "bad_request" => [400, 413].contains(&answer.status),
        "unauthorized" => answer.status == 401,
        "delinquent" | "verification_required" => answer.status == 402,
        "forbidden" | "suspended" | "two_factor" => answer.status == 403,
        "not_found" => answer.status == 404,
        "not_acceptable" => answer.status == 406,
        "conflict" => answer.status == 409,
        "gone" => answer.status == 410,
        "unsupported" => answer.status == 415,
        "requested_range_not_satisfiable" => answer.status == 416,
        "invalid_params" | "confirmation_required" => answer.status == 422,
        "locked" => answer.status == 423,
        "rate_limit" => answer.status == 429,
        "internal_server_error" => answer.status == 500,
        "maintenance" => answer.status == 503,
        _ => return Err(format!("the undocumented id {id:?}")),
    };
    match fits {
        true => Ok(id.to_owned()),
        false => Err(format!("id {id}, which comes with another status")),
    }
}
