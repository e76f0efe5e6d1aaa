//! The second factor: enabling it, logging in with it, losing it.

use aws_lc_rs::hmac;
use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use serde_json::json;

use crate::auth::{LOGIN, basic};
use crate::rig::{ADMIN, Answer, DEV, PASSWORD, Rig};

/// The step of now. Codes of one step before and after are taken, so a test may take a while.
fn step() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap() / 30
}

/// What an authenticator shows at a step.
fn code(secret: &str, step: u64) -> String {
    let mut bits = String::new();
    for letter in secret.chars() {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let key: Vec<u8> = (0..bits.len() / 8)
        .map(|n| u8::from_str_radix(&bits[n * 8..n * 8 + 8], 2).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// As after a restart: tries are counted anew. Passwords are not counted, for codes are what is looked at.
fn restarted(rig: Rig) -> Rig {
    let ctx = ropewalk_api::Context {
        login_rate: ropewalk_api::Rate::REQUESTS,
        ..rig.ctx.clone()
    };
    Rig {
        router: ropewalk_api::routes(ctx),
        ..rig
    }
}

async fn log_in(rig: &Rig, code: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method("POST")
        .uri("/oauth/authorizations")
        .header(
            "authorization",
            basic(&format!("dev@example.com:{PASSWORD}")),
        );
    if let Some(code) = code {
        request = request.header("Heroku-Two-Factor-Code", code);
    }
    rig.send(request.body(Body::from(LOGIN)).unwrap()).await
}

/// Enables it by the code of `now`: the secret and the recovery codes.
async fn enable(rig: &Rig, now: u64) -> (String, Vec<String>) {
    rig.set_password().await;
    let path = "/ropewalk/two-factor";
    rig.call("POST", path, json!({"password": "wrong"}))
        .await
        .refused(422, "invalid_params");
    let proposed = rig
        .call("POST", path, json!({"password": PASSWORD}))
        .await
        .expect(201);
    let secret = proposed["secret"].as_str().unwrap().to_owned();
    let uri = proposed["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Ropewalk%20%28apps.test%29:dev%40example.com?secret="));
    // It does not count before a first code has shown that it works.
    assert_eq!(proposed["enabled"], false);
    rig.call("POST", path, json!({"code": "000000"}))
        .await
        .refused(422, "invalid_params");
    let enabled = rig
        .call("POST", path, json!({"code": code(&secret, now)}))
        .await
        .expect(201);
    assert_eq!(enabled["enabled"], true);
    let codes = enabled["recovery_codes"].as_array().unwrap();
    let codes = codes.iter().map(|code| code.as_str().unwrap().to_owned());
    let codes: Vec<String> = codes.collect();
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

#[tokio::test]
async fn logging_in_takes_a_code_that_is_good_once() {
    let (rig, now) = (Rig::new().await, step());
    let (secret, codes) = enable(&rig, now).await;
    let rig = restarted(rig);
    let account = rig.get("/account").await.expect(200);
    assert_eq!(account["two_factor_authentication"], true);
    log_in(&rig, None).await.refused(403, "two_factor");
    // The code that enabled it is spent.
    let spent = code(&secret, now);
    log_in(&rig, Some(&spent)).await.refused(403, "two_factor");
    let next = code(&secret, now + 1);
    log_in(&rig, Some(&next)).await.expect(201);
    log_in(&rig, Some(&next)).await.refused(403, "two_factor");

    let rig = restarted(rig);
    let typed = codes[0].to_uppercase().replace('-', " ");
    log_in(&rig, Some(&typed)).await.expect(201);
    log_in(&rig, Some(&codes[0]))
        .await
        .refused(403, "two_factor");
    let asked = json!({"password": PASSWORD, "two_factor_authentication": false});
    let account = rig.call("PATCH", "/account", asked).await.expect(200);
    assert_eq!(account["two_factor_authentication"], false);
    log_in(&rig, None).await.expect(201);
}

#[tokio::test]
async fn codes_can_be_tried_a_few_times_only() {
    let (rig, now) = (Rig::new().await, step());
    let (secret, _) = enable(&rig, now).await;
    let rig = restarted(rig);
    for _ in 0..5 {
        log_in(&rig, Some("000000"))
            .await
            .refused(403, "two_factor");
    }
    log_in(&rig, Some(&code(&secret, now + 1)))
        .await
        .refused(429, "rate_limit");
}

#[tokio::test]
async fn it_is_disabled_with_the_password_or_by_an_administrator() {
    let rig = Rig::new().await;
    rig.call("POST", "/ropewalk/two-factor", json!({}))
        .await
        .refused(422, "invalid_params");
    enable(&rig, step()).await;
    let path = "/ropewalk/two-factor";
    rig.call("DELETE", path, json!({}))
        .await
        .refused(422, "invalid_params");
    rig.call("POST", path, json!({"password": PASSWORD}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(rig.get(path).await.json()["enabled"], true);
    let asked = Some(json!({"two_factor_authentication": false}));
    let user = "/ropewalk/users/dev@example.com";
    rig.call_as(DEV, "PATCH", user, asked.clone())
        .await
        .refused(403, "forbidden");
    let user = rig.call_as(ADMIN, "PATCH", user, asked).await.expect(200);
    assert_eq!(user["two_factor_authentication"], false);
    log_in(&rig, None).await.expect(201);
    let body = json!({"two_factor_authentication": true});
    rig.call("PATCH", "/account", body)
        .await
        .refused(422, "invalid_params");
}

#[tokio::test]
async fn a_pre_authorization_is_answered() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    rig.call("PUT", "/apps/demo/pre-authorizations", json!({}))
        .await
        .expect(200);
}
