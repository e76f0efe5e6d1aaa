//! A login that is asked for at a terminal and confirmed in a browser.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::rig::{Answer, PASSWORD, Rig};

async fn ask(rig: &Rig, description: &str) -> Value {
    let request = Request::builder()
        .method("POST")
        .uri("/auth")
        .header("x-forwarded-for", "203.0.113.9, 192.0.2.7")
        .body(Body::from(json!({"description": description}).to_string()));
    rig.send(request.unwrap()).await.expect(201)
}

fn field<'a>(asked: &'a Value, name: &str) -> &'a str {
    asked[name].as_str().unwrap()
}

async fn look(rig: &Rig, path: &str) -> Answer {
    let request = Request::builder().uri(path).body(Body::empty());
    rig.send(request.unwrap()).await
}

async fn poll(rig: &Rig, asked: &Value, secret: &str) -> Answer {
    let request = Request::builder()
        .uri(field(asked, "cli_url"))
        .header("authorization", format!("Bearer {secret}"))
        .body(Body::empty());
    rig.send(request.unwrap()).await
}

/// The form's hidden field.
fn csrf(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split_once('"').unwrap().0
}

async fn send(rig: &Rig, path: &str, form: &str) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()));
    rig.send(request.unwrap()).await
}

#[tokio::test]
async fn whoever_confirms_gives_the_terminal_a_token() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let asked = ask(&rig, "Ropewalk CLI login from <b>\"x\"</b>").await;
    let (browser, secret) = (field(&asked, "browser_url"), field(&asked, "token"));
    let page = look(&rig, browser).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    // Who asks, escaped, and from where our own router took it.
    assert!(
        page.text
            .contains("login from &lt;b&gt;&quot;x&quot;&lt;/b&gt;")
    );
    assert!(page.text.contains("192.0.2.7") && !page.text.contains("203.0.113.9"));
    assert!(!page.text.contains(secret) && !page.text.contains("<script"));

    let csrf = csrf(&page.text);
    let form = |csrf: &str, password: &str| {
        let password = password.replace(' ', "+");
        format!("csrf={csrf}&email=dev%40example.com&password={password}&code=&action=approve")
    };
    let forged = send(&rig, browser, &form("x", PASSWORD)).await;
    assert_eq!(forged.status, 403);
    let wrong = send(&rig, browser, &form(csrf, "wrong")).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.text.contains("role=\"alert\""));
    assert!(wrong.text.contains("value=\"dev@example.com\""));

    let waiting = poll(&rig, &asked, secret);
    let confirming = async {
        let done = send(&rig, browser, &form(csrf, PASSWORD)).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert!(done.text.contains("You are logged in as dev@example.com"));
    };
    let (answer, ()) = tokio::join!(waiting, confirming);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.expect(200);
    let token = field(&answer, "access_token");
    let account = rig.call_as(token, "GET", "/account", None).await;
    assert_eq!(account.expect(200)["email"], "dev@example.com");
    let sessions = rig.get("/oauth/sessions").await.expect(200);
    assert!(field(&sessions[0], "description").starts_with("Ropewalk CLI login from"));

    // All of it is good once.
    poll(&rig, &asked, secret).await.refused(404, "not_found");
    assert_eq!(look(&rig, browser).await.status, 404);
    assert_eq!(send(&rig, browser, &form(csrf, PASSWORD)).await.status, 404);
}

#[tokio::test]
async fn whoever_refuses_or_has_no_secret_gives_and_gets_nothing() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let asked = ask(&rig, "x").await;
    let browser = field(&asked, "browser_url");
    poll(&rig, &asked, "wrong")
        .await
        .refused(401, "unauthorized");
    poll(&rig, &asked, browser.rsplit('/').next().unwrap())
        .await
        .refused(401, "unauthorized");
    let page = look(&rig, browser).await.text;
    let refuse = format!("csrf={}&action=refuse", csrf(&page));
    let refused = send(&rig, browser, &refuse).await;
    assert_eq!(refused.status, 200);
    let secret = field(&asked, "token");
    let answer = poll(&rig, &asked, secret).await.expect(200);
    assert_eq!(
        answer,
        json!({"error": "The login was refused in the browser."})
    );
    poll(&rig, &asked, secret).await.refused(404, "not_found");
    assert_eq!(look(&rig, "/cli/browser/x").await.status, 404);
    let large = "x".repeat(9 << 10);
    assert_eq!(send(&rig, browser, &large).await.status, 413);
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_in_time_with_the_advice_to_ask_again() {
    let rig = Rig::new().await;
    let asked = ask(&rig, "").await;
    let began = tokio::time::Instant::now();
    let answer = poll(&rig, &asked, field(&asked, "token")).await;
    assert!(began.elapsed().as_secs() < 25);
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some(field(&asked, "cli_url")));
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let rig = Rig::new().await;
    for _ in 0..20 {
        ask(&rig, "x").await;
    }
    let request = Request::builder()
        .method("POST")
        .uri("/auth")
        .header("x-forwarded-for", "192.0.2.7")
        .body(Body::from("{}"));
    rig.send(request.unwrap()).await.refused(429, "rate_limit");
}
