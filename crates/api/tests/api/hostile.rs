//! Random requests made from the published schema and from our own: no answer is a 5xx, every error is a documented
//! one, and nobody else's things change.
//!
//! A run is repeated by the seed that it prints: `ROPEWALK_SEED=7 cargo test -p ropewalk-api hostile`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use conformance::Published;
use http::Request;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use ropewalk_api::Rate;
use ropewalk_model::{AppId, TokenId, UserId};
use ropewalk_store::{NewToken, View};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::rig::{DEV, OTHER, Rig};

const REQUESTS: u32 = 20_000;
const SEED: u64 = 20_260_401;
/// Requests at the same time.
const AT_ONCE: u32 = 4;
/// Requests after which what was destroyed is made again.
const TIDY: u32 = 50;

/// Names and ids that stand for something: the asker's own, other people's, nobody's.
struct Names {
    own: Vec<String>,
    foreign: Vec<String>,
}

/// One verb and path, and the schema of its body if one is known.
struct Door {
    method: String,
    href: String,
    body: Option<Value>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_requests_never_fail_on_our_side_nor_touch_other_peoples_things() {
    let seed = std::env::var("ROPEWALK_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEED);
    println!("ROPEWALK_SEED={seed}");
    let rig = Rig::with_rate(Rate {
        burst: u32::MAX,
        per_minute: 0,
    })
    .await;
    let foreign = furnish(&rig, OTHER, "theirs").await;
    let own = furnish(&rig, DEV, "mine").await;
    let before = dump(&rig).await;
    assert!(before.contains("theirs") && before.contains("SECRET"));
    let names = Arc::new(Names { own, foreign });
    let doors = Arc::new(doors(&rig).await);
    let rig = Arc::new(rig);
    // By the hundreds of their statuses.
    let sent: Arc<[AtomicU32; 6]> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..AT_ONCE {
        let (rig, names, doors, sent) = (
            Arc::clone(&rig),
            Arc::clone(&names),
            Arc::clone(&doors),
            Arc::clone(&sent),
        );
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(n.into()));
            for turn in 0..REQUESTS / AT_ONCE {
                if turn % TIDY == 0 {
                    restore(&rig).await;
                }
                if let Some(status) = attack(&rig, &mut random, &names, &doors).await {
                    sent[usize::from(status / 100)].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        if let Err(error) = task {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let sent = sent.each_ref().map(|count| count.load(Ordering::Relaxed));
    println!("answers by hundreds: {sent:?}");
    // Requests that are all refused at the first look would prove nothing.
    assert!(
        sent[2] > REQUESTS / 10 && sent[4] > REQUESTS / 10,
        "{sent:?}"
    );
    assert!(sent.iter().sum::<u32>() > REQUESTS / 10 * 9, "{sent:?}");
    assert_eq!(dump(&rig).await, before, "other people's things changed");
}

/// An app with everything that one can have; returns the names and ids that lead to it.
async fn furnish(rig: &Rig, token: &str, name: &str) -> Vec<String> {
    let call = async |method: &str, path: &str, body: Value| {
        rig.call_as(token, method, path, Some(body)).await.json()
    };
    let made = call("POST", "/apps", json!({"name": name})).await;
    let id: AppId = made["id"].as_str().unwrap().parse().unwrap();
    let release = rig
        .deploy(
            id,
            &[("web", "node web.js"), ("worker", "y"), ("release", "z")],
        )
        .await;
    rig.dyno(id, "web.1").await;
    let host = format!("www.{name}.example.com");
    let app = format!("/apps/{name}");
    call(
        "PATCH",
        &format!("{app}/config-vars"),
        json!({"SECRET": format!("of {name}")}),
    )
    .await;
    call("POST", &format!("{app}/domains"), json!({"hostname": host})).await;
    call(
        "PUT",
        &format!("{app}/buildpack-installations"),
        json!({"updates": [{"buildpack": "heroku/nodejs"}]}),
    )
    .await;
    let mut names = vec![
        name.to_owned(),
        id.to_string(),
        host,
        release.id.to_string(),
        release.slug.unwrap().to_string(),
    ];
    for list in [
        "builds",
        "dynos",
        "formation",
        "domains",
        "releases",
        "collaborators",
    ] {
        let items = rig
            .call_as(token, "GET", &format!("{app}/{list}"), None)
            .await
            .json();
        names.extend(
            items
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
    }
    let tokens = rig
        .call_as(token, "GET", "/oauth/authorizations", None)
        .await
        .json();
    names.push(tokens[0]["id"].as_str().unwrap().to_owned());
    names
}

/// Puts the asker's token and an app of theirs back, where random requests took them away.
async fn restore(rig: &Rig) {
    rig.ctx
        .store
        .write(|tx| {
            let now = Timestamp::now();
            if tx.authenticate(DEV, now)?.is_none() {
                let token = NewToken {
                    id: TokenId(Uuid::new_v4()),
                    user: UserId(Uuid::from_u128(1)),
                    text: DEV.to_owned(),
                    description: "test".to_owned(),
                    scope: "global".to_owned(),
                    session: false,
                    expires_at: None,
                };
                tx.create_token(&token, now)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let body = json!({"name": "mine"});
    // Taken while it is there.
    rig.call_as(DEV, "POST", "/apps", Some(body)).await;
}

/// Everything of the other user, as text.
async fn dump(rig: &Rig) -> String {
    rig.ctx
        .store
        .read(|view| {
            let user = UserId(Uuid::from_u128(2));
            let mut text = format!("{:?}\n{:?}\n", view.user(user)?, view.tokens(user)?);
            for app in view.apps()?.into_iter().filter(|app| app.owner == user) {
                dump_app(&mut text, view, &app)?;
            }
            Ok(text)
        })
        .await
        .unwrap()
}

fn dump_app(
    text: &mut String,
    view: &View<'_>,
    app: &ropewalk_store::App,
) -> ropewalk_store::Result<()> {
    let id = app.id;
    let _ = writeln!(text, "{app:?}");
    for release in view.releases(id, u32::MAX >> 1)? {
        let vars = view.config_vars(id, release.version)?;
        let _ = writeln!(text, "{release:?} {:?}", vars.0);
    }
    let _ = writeln!(text, "{:?}", view.builds(id, u32::MAX >> 1)?);
    let _ = writeln!(text, "{:?}", view.formation(id)?);
    let _ = writeln!(text, "{:?}", view.autoscale_rules(id)?);
    let _ = writeln!(text, "{:?}", view.dynos(id)?);
    let _ = writeln!(text, "{:?}", view.domains(id)?);
    let _ = writeln!(text, "{:?}", view.buildpacks(id)?);
    let _ = writeln!(text, "{:?}", view.edge_policy(id)?);
    let _ = writeln!(text, "{:?}", view.collaborators(id)?);
    Ok(())
}

/// What Heroku publishes, and what this server says of itself.
async fn doors(rig: &Rig) -> Vec<Door> {
    let mut doors: Vec<Door> = Published::read()
        .unwrap()
        .links()
        .iter()
        .map(|link| Door {
            method: link.method.clone(),
            href: link.href.clone(),
            body: link.body.clone(),
        })
        .collect();
    let own = rig.get("/schema").await.json();
    let links = own["definitions"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|definition| definition["links"].as_array().unwrap().clone());
    // Three times: what is there deserves more than what is not.
    for link in links.flat_map(|link| [link.clone(), link.clone(), link]) {
        doors.push(Door {
            method: link["method"].as_str().unwrap().to_owned(),
            href: link["href"].as_str().unwrap().to_owned(),
            body: link.get("schema").cloned(),
        });
    }
    for (method, own) in [
        ("GET", "/ropewalk/logs/{x}"),
        ("GET", "/ropewalk/outputs/{x}"),
        ("GET", "/ropewalk/attach/{x}"),
        ("GET", "/ropewalk/status"),
        ("GET", "/ropewalk/tasks"),
        ("GET", "/ropewalk/dyno-sizes"),
        ("POST", "/ropewalk/dyno-sizes"),
        ("GET", "/ropewalk/dyno-sizes/{x}"),
        ("PATCH", "/ropewalk/dyno-sizes/{x}"),
        ("DELETE", "/ropewalk/dyno-sizes/{x}"),
        ("GET", "/ropewalk/apps/{x}/metrics"),
        ("GET", "/ropewalk/apps/{x}/edge"),
        ("PATCH", "/ropewalk/apps/{x}/edge"),
        ("GET", "/ropewalk/apps/{x}/formation/{x}/autoscale"),
        ("PUT", "/ropewalk/apps/{x}/formation/{x}/autoscale"),
        ("DELETE", "/ropewalk/apps/{x}/formation/{x}/autoscale"),
        ("GET", "/ropewalk/apps/{x}/autoscale"),
        ("GET", "/ropewalk/apps/{x}/autoscale-events"),
        ("GET", "/ropewalk/apps/{x}/tcp-routes"),
        ("POST", "/ropewalk/apps/{x}/tcp-routes"),
        ("DELETE", "/ropewalk/apps/{x}/tcp-routes/{x}"),
        ("GET", "/ropewalk/apps/{x}/rebase"),
        ("POST", "/ropewalk/apps/{x}/rebase"),
        ("GET", "/ropewalk/apps/{x}/jobs"),
        ("POST", "/ropewalk/apps/{x}/jobs"),
        ("GET", "/ropewalk/apps/{x}/jobs/{x}"),
        ("PATCH", "/ropewalk/apps/{x}/jobs/{x}"),
        ("DELETE", "/ropewalk/apps/{x}/jobs/{x}"),
        ("GET", "/ropewalk/apps/{x}/jobs/{x}/runs"),
        ("POST", "/ropewalk/apps/{x}/jobs/{x}/runs"),
    ] {
        doors.push(Door {
            method: method.to_owned(),
            href: own.to_owned(),
            body: None,
        });
    }
    doors
}

/// One request and a look at its answer; its status, unless it could not be sent.
async fn attack(rig: &Rig, random: &mut StdRng, names: &Names, doors: &[Door]) -> Option<u16> {
    let door = &doors[random.random_range(0..doors.len())];
    let method = match random.random_range(0..20) {
        0 => pick(
            random,
            &[
                "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW",
            ],
        ),
        _ => door.method.as_str(),
    };
    let path = path(random, names, &door.href);
    let body = body(random, names, door);
    let mut request = Request::builder().method(method).uri(&path);
    request = match random.random_range(0..30) {
        0 => request,
        1 => request.header("authorization", "Bearer nonsense"),
        2 => request.header("authorization", "Basic bm9uc2Vuc2U="),
        _ => request.header("authorization", format!("Bearer {DEV}")),
    };
    for _ in 0..random.random_range(0..3) {
        let (name, value) = header(random);
        request = request.header(name, value);
    }
    // A path that is no URI never reaches a server.
    let request = request.body(Body::from(body.clone())).ok()?;
    let answer = rig.send(request).await;
    let said = || {
        let body: String = String::from_utf8_lossy(&body).chars().take(2_000).collect();
        format!("{method} {path} {body}\n{} {}", answer.status, answer.text)
    };
    assert!(answer.status < 500, "{}", said());
    if answer.status >= 400 && method != "HEAD" {
        let Ok(body) = serde_json::from_str::<Value>(&answer.text) else {
            panic!("{}", said());
        };
        let id = body["id"].as_str().unwrap_or_default();
        assert!(documented(answer.status).contains(&id), "{}", said());
        let message = body["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{}", said());
    }
    assert!(!answer.text.contains("of theirs"), "{}", said());
    Some(answer.status)
}

/// The ids that may come with a status.
fn documented(status: u16) -> &'static [&'static str] {
    match status {
        400 | 413 => &["bad_request"],
        401 => &["unauthorized"],
        403 => &["forbidden", "two_factor"],
        404 => &["not_found"],
        406 => &["not_acceptable"],
        415 => &["unsupported"],
        416 => &["requested_range_not_satisfiable"],
        422 => &["invalid_params"],
        429 => &["rate_limit"],
        _ => &[],
    }
}

fn pick<'a, T: ?Sized>(random: &mut StdRng, among: &[&'a T]) -> &'a T {
    among[random.random_range(0..among.len())]
}

/// The path with each place filled; mostly with what leads somewhere.
fn path(random: &mut StdRng, names: &Names, href: &str) -> String {
    let mut path = String::new();
    for (n, part) in href.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if n > 0 => {
                let of_app = href.trim_start_matches("/ropewalk").starts_with("/apps/");
                path.push_str(&place(random, names, n == 1 && of_app));
                path.push_str(rest);
            }
            _ => path.push_str(part),
        }
    }
    if random.random_ratio(1, 20) {
        path.push_str(pick(
            random,
            &[
                "?x=1",
                "?eq[name]=%00",
                "/",
                "//",
                "?",
                "/..%2f..",
                "%zz",
                "#",
            ],
        ));
    }
    path
}

fn place(random: &mut StdRng, names: &Names, is_app: bool) -> String {
    let own = |random: &mut StdRng| names.own[random.random_range(0..names.own.len())].clone();
    let foreign =
        |random: &mut StdRng| names.foreign[random.random_range(0..names.foreign.len())].clone();
    if is_app && random.random_ratio(9, 10) {
        return match random.random_range(0..4) {
            0 => names.foreign[random.random_range(0..2)].clone(),
            _ => names.own[0].clone(),
        };
    }
    match random.random_range(0..10) {
        0..3 => own(random),
        3..5 => foreign(random),
        5..8 => pick(
            random,
            &[
                "~",
                "web.1",
                "web",
                "1",
                "v2",
                "2",
                "preboot",
                "basic",
                "us",
                "debian-13",
                "cedar",
                "dev@example.com",
                "other@example.com",
                "run.4821",
                "worker",
            ],
        )
        .to_owned(),
        8 => pick(
            random,
            &[
                "%00",
                "%ff%fe",
                "..",
                "%2e%2e%2f",
                "%F0%9F%92%A5",
                "-1",
                "99999999999999999999",
                "v",
                "00000000-0000-0000-0000-000000000000",
                "%27%20OR%201=1--",
                "*",
                "%0a",
                "null",
            ],
        )
        .to_owned(),
        _ => "a".repeat(random.random_range(1..5_000)),
    }
}

fn header(random: &mut StdRng) -> (&'static str, &'static str) {
    const HEADERS: &[(&str, &[&str])] = &[
        (
            "range",
            &[
                "id ..; max=1000;",
                "version ..; max=1, order=desc",
                "name ]a..z; max=2",
                "",
                "bytes=0-1",
                "id ..; max=99999999999999999999",
                "id ..; max=-1",
                "created_at x..",
                "version -1..",
                "updated_at 9999-99-99..",
                "id ]..",
                "id ..; order=up",
                "\u{7f}",
            ],
        ),
        (
            "accept",
            &[
                "application/vnd.heroku+json; version=3.sdk",
                "*/*",
                "version=9",
                "",
                ";;;,,,",
            ],
        ),
        (
            "content-type",
            &[
                "application/json",
                "text/plain",
                "multipart/form-data",
                ";",
                "",
            ],
        ),
        (
            "content-length",
            &["0", "999999999999999999999", "-1", "1048577", "x"],
        ),
        ("if-none-match", &["*", "\"x\"", "W/", ","]),
        ("last-event-id", &["-1", "x", "99999999999999999999"]),
        ("origin", &["https://example.com", "null"]),
        ("access-control-request-method", &["PATCH", ""]),
        ("upgrade", &["websocket"]),
        ("heroku-two-factor-code", &["123456", "x"]),
        ("x-http-method-override", &["DELETE"]),
        ("request-id", &["x,x,x"]),
        ("host", &["api.apps.test", "evil", ""]),
        ("accept-encoding", &["gzip"]),
        ("accept-expansion", &["plan"]),
    ];
    let (name, values) = HEADERS[random.random_range(0..HEADERS.len())];
    let value = pick(random, values);
    match value.bytes().all(|b| (32..127).contains(&b)) {
        true => (name, value),
        false => (name, "x"),
    }
}

fn body(random: &mut StdRng, names: &Names, door: &Door) -> Vec<u8> {
    if door.method == "GET" && random.random_ratio(9, 10) {
        return Vec::new();
    }
    match random.random_range(0..40) {
        0 => Vec::new(),
        1 => b"{".to_vec(),
        2 => b"[]".to_vec(),
        3 => b"null".to_vec(),
        4 => br#"{"name":"\ud800"}"#.to_vec(),
        5 => vec![0xff, 0xfe, 0],
        6 => b"[".repeat(100_000),
        7 => br#"{"a":"#.repeat(10_000),
        8 => vec![b' '; (1 << 20) + 1],
        9 => br#"{"name":1,"name":2}"#.to_vec(),
        10 => br#"{"quantity":1e999}"#.to_vec(),
        11 => format!(r#"{{"name":"{}"}}"#, "x".repeat(200_000)).into_bytes(),
        12 => br#"{"A":"x"}"#.to_vec(),
        _ => {
            let mut value = match &door.body {
                Some(schema) => valid(random, names, schema, 0),
                None => json!({}),
            };
            for _ in 0..random.random_range(0..3) {
                spoil(random, names, &mut value);
            }
            value.to_string().into_bytes()
        }
    }
}

/// A value that the schema would allow, more or less: references are filled with names.
fn valid(random: &mut StdRng, names: &Names, schema: &Value, depth: u32) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        let required: BTreeSet<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut object = Map::new();
        for (key, property) in properties {
            if depth < 4 && (required.contains(key.as_str()) || random.random_bool(0.5)) {
                object.insert(key.clone(), of_key(random, names, key, property, depth));
            }
        }
        return Value::Object(object);
    }
    let kind = schema["type"][0].as_str().unwrap_or("string");
    match kind {
        "object" => json!({"A_KEY": "value", "SECRET": null}),
        "array" => json!([valid(random, names, &schema["items"], depth + 1)]),
        "boolean" => json!(random.random_bool(0.5)),
        "integer" | "number" => json!(random.random_range(-2..200)),
        _ => json!(place(random, names, false)),
    }
}

/// By what the key is called, where a made up value would lead nowhere.
fn of_key(random: &mut StdRng, names: &Names, key: &str, schema: &Value, depth: u32) -> Value {
    match key {
        "name" => json!(pick(random, &["mine", "theirs", "new-app", "A B", "", "x"])),
        "command" => json!(pick(random, &["date", "web x", " ", "env", "refuse me"])),
        "hostname" => json!(pick(
            random,
            &[
                "www.theirs.example.com",
                "a.example.com",
                "theirs.apps.test",
                "*.example.com",
                "x"
            ]
        )),
        "buildpack" => json!(pick(
            random,
            &["heroku/nodejs", "https://example.com/x.tgz", "../x"]
        )),
        "updates" => json!([
            {"type": pick(random, &["web", "worker", "nope", "release"]),
             "quantity": pick(random, &["1", "+1", "-1", "0", "99999999999", "x"]),
             "size": pick(random, &["basic", "Standard-1X", "huge"])},
            {"buildpack": "heroku/python"},
        ]),
        "scope" => json!([pick(random, &["global", "read", "root"])]),
        "stack" | "build_stack" => json!(pick(random, &["debian-13", "debian-12", "plan9"])),
        "user" | "recipient" => json!(pick(random, &["other@example.com", "dev@example.com", "x"])),
        "release" | "slug" | "id" | "app" => json!(place(random, names, key == "app")),
        _ => valid(random, names, schema, depth + 1),
    }
}

/// Breaks one thing somewhere in the value.
fn spoil(random: &mut StdRng, names: &Names, value: &mut Value) {
    if let Value::Object(object) = value {
        let keys: Vec<String> = object.keys().cloned().collect();
        if !keys.is_empty() && random.random_ratio(2, 3) {
            let key = &keys[random.random_range(0..keys.len())];
            if random.random_bool(0.3) {
                object.remove(key);
            } else if let Some(inner) = object.get_mut(key) {
                spoil(random, names, inner);
            }
            return;
        }
        object.insert(odd_text(random), odd(random, names));
        return;
    }
    if let Value::Array(items) = value
        && random.random_bool(0.5)
    {
        let many = random.random_range(0..3_000);
        let one = items.first().cloned().unwrap_or_else(|| odd(random, names));
        *items = vec![one; many];
        return;
    }
    *value = odd(random, names);
}

fn odd(random: &mut StdRng, names: &Names) -> Value {
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(1.5e300),
        5 => json!([[[[[[[[[[{}]]]]]]]]]]),
        6 => json!({"": {"": {"": null}}}),
        7 => json!(names.foreign[random.random_range(0..names.foreign.len())]),
        8 => json!("x".repeat(random.random_range(0..100_000))),
        9 => json!([]),
        10 => json!(random.next_u64().to_string()),
        _ => json!(odd_text(random)),
    }
}

fn odd_text(random: &mut StdRng) -> String {
    pick(
        random,
        &[
            "",
            "\0",
            "a\0b",
            "\u{ffff}",
            "\u{202e}",
            "💥",
            "$(id)",
            "'; DROP TABLE apps; --",
            "../../etc/passwd",
            "\r\nSet-Cookie: x=1",
            "__proto__",
            "PORT",
            "DYNO",
            "%s%n",
            "~",
            "-1",
            "NaN",
            " ",
            "A=B",
        ],
    )
    .to_owned()
}
