//! Certificates: what is taken, what is refused, and which domains they serve.

use std::sync::atomic::Ordering;

use rcgen::{CertificateParams, KeyPair};
use ropewalk_api_types::sni_endpoint::{Revocation, RevocationStatus};
use serde_json::{Value, json};

use crate::rig::Rig;

/// A self-signed certificate for these names, and its key.
fn certificate(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn body((chain, key): &(String, String)) -> Value {
    json!({"certificate_chain": chain, "private_key": key})
}

#[tokio::test]
async fn a_certificate_serves_the_domains_it_is_good_for() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let path = "/apps/demo/sni-endpoints";
    let made = certificate(&["*.example.com", "example.com"]);
    let added = rig.call("POST", path, body(&made)).await.expect(201);
    assert_eq!(
        added["ssl_cert"]["cert_domains"],
        json!(["*.example.com", "example.com"])
    );
    assert_eq!(added["ssl_cert"]["self_signed?"], true);
    assert_eq!(added["domains"], json!([]));
    assert!(!added.to_string().contains("PRIVATE KEY"));
    let name = added["name"].as_str().unwrap();

    let domains = "/apps/demo/domains";
    let www = json!({"hostname": "www.example.com", "sni_endpoint": name});
    let domain = rig.call("POST", domains, www).await.expect(202);
    assert_eq!(domain["sni_endpoint"]["name"], name);
    let other = json!({"hostname": "www.example.net", "sni_endpoint": name});
    rig.call("POST", domains, other)
        .await
        .refused(422, "invalid_params");
    let unknown = json!({"hostname": "shop.example.com", "sni_endpoint": "nothing"});
    let refused = rig
        .call("POST", domains, unknown)
        .await
        .refused(422, "invalid_params");
    assert!(refused.contains("has no certificate"), "{refused}");
    let plain = json!({"hostname": "example.com", "sni_endpoint": null});
    rig.call("POST", domains, plain).await.expect(202);
    let changed = json!({"sni_endpoint": added["id"]});
    rig.call("PATCH", "/apps/demo/domains/example.com", changed)
        .await
        .expect(200);
    let shown = rig.get(&format!("{path}/{name}")).await.expect(200);
    assert_eq!(shown["domains"].as_array().unwrap().len(), 2);

    // Whatever changes what is served is waited for: two domains were made, and one was given another certificate.
    let settles = || rig.platform.certificate_settles.load(Ordering::SeqCst);
    assert_eq!(settles(), 3);
    let newer = certificate(&["www.example.com"]);
    let updated = rig
        .call("PATCH", &format!("{path}/{name}"), body(&newer))
        .await
        .expect(200);
    assert_eq!(
        updated["ssl_cert"]["cert_domains"],
        json!(["www.example.com"])
    );
    rig.call("DELETE", &format!("{path}/{name}"), json!({}))
        .await
        .expect(200);
    assert_eq!(settles(), 5);
    let domain = rig
        .get("/apps/demo/domains/www.example.com")
        .await
        .expect(200);
    assert_eq!(domain["sni_endpoint"], Value::Null);
    assert_eq!(rig.get(path).await.expect(200), json!([]));
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_the_reason() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let (good, other) = (certificate(&["a.example"]), certificate(&["a.example"]));
    let mut old = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = KeyPair::generate().unwrap();
    let expired = (old.self_signed(&key).unwrap().pem(), key.serialize_pem());
    let nameless = certificate(&[]);
    for (pair, said) in [
        ((good.0.clone(), other.1), "does not belong"),
        (
            ("nothing".to_owned(), good.1.clone()),
            "1 to 10 certificates",
        ),
        ((good.0.clone(), "nothing".to_owned()), "not PEM"),
        (("x".repeat(70_000), good.1.clone()), "larger than 64 KiB"),
        ((good.0.repeat(11), good.1.clone()), "1 to 10 certificates"),
        (expired, "expired"),
        (nameless, "names no host"),
    ] {
        let refused = rig
            .call("POST", "/apps/demo/sni-endpoints", body(&pair))
            .await
            .refused(422, "invalid_params");
        assert!(refused.contains(said), "{said}: {refused}");
    }
}

#[tokio::test]
async fn the_platform_gets_certificates_for_an_app_that_wants_it() {
    let rig = Rig::new().await;
    let id = rig.app("demo").await;
    let path = "/apps/demo/acm";
    let changes = || rig.platform.acm_changes.load(Ordering::SeqCst);
    let refused = rig
        .call("PATCH", path, json!({"acm_refresh": true}))
        .await
        .refused(422, "invalid_params");
    assert!(refused.contains("certs:auto:enable"), "{refused}");
    assert_eq!(
        rig.call("POST", path, json!({})).await.expect(200)["acm"],
        true
    );
    assert_eq!(rig.get("/apps/demo").await.expect(200)["acm"], true);
    rig.call("PATCH", path, json!({"acm_refresh": true}))
        .await
        .expect(200);
    let www = json!({"hostname": "www.example.com", "sni_endpoint": null});
    let www = rig
        .call("POST", "/apps/demo/domains", www)
        .await
        .expect(202);
    assert_eq!(changes(), 3, "a domain may want a certificate");
    // As what gets them does.
    let made = certificate(&["www.example.com"]);
    let domain = www["id"].as_str().unwrap().parse().unwrap();
    let new = ropewalk_store::NewSniEndpoint {
        id: uuid::Uuid::new_v4(),
        app: id,
        name: "acm-1".to_owned(),
        certificate_chain: made.0,
        private_key: made.1,
    };
    rig.ctx
        .store
        .write(move |tx| tx.keep_acm_certificate(domain, &new, jiff::Timestamp::now()))
        .await
        .unwrap()
        .unwrap();
    let domain = rig
        .get("/apps/demo/domains/www.example.com")
        .await
        .expect(200);
    assert_eq!(domain["acm_status"], "cert issued");
    assert_eq!(domain["sni_endpoint"]["name"], "acm-1");
    let endpoint = "/apps/demo/sni-endpoints/acm-1";
    let shown = rig.get(endpoint).await.expect(200);
    assert_eq!(shown["ssl_cert"]["acm"], true);
    // It is the platform's own to replace and remove, and for its domain alone.
    let other = certificate(&["www.example.com"]);
    for (method, path, wanted) in [
        ("PATCH", endpoint, body(&other)),
        ("DELETE", endpoint, json!({})),
        (
            "POST",
            "/apps/demo/domains",
            json!({"hostname": "a.example.com", "sni_endpoint": "acm-1"}),
        ),
    ] {
        let refused = rig
            .call(method, path, wanted)
            .await
            .refused(422, "invalid_params");
        assert!(refused.contains("got by the platform"), "{refused}");
    }
    // A certificate of one's own takes its place, and it goes.
    let own = rig
        .call("POST", "/apps/demo/sni-endpoints", body(&other))
        .await
        .expect(201);
    let www = "/apps/demo/domains/www.example.com";
    rig.call("PATCH", www, json!({"sni_endpoint": own["name"]}))
        .await
        .expect(200);
    rig.get(endpoint).await.refused(404, "not_found");

    let settles = rig.platform.certificate_settles.load(Ordering::SeqCst);
    assert_eq!(
        rig.call("DELETE", path, json!({})).await.expect(200)["acm"],
        false
    );
    assert_eq!(
        rig.platform.certificate_settles.load(Ordering::SeqCst),
        settles + 1
    );
    let domain = rig.get(www).await.expect(200);
    assert_eq!(domain["acm_status"], Value::Null);
    assert_eq!(domain["sni_endpoint"]["name"], own["name"], "it stays");
    let log = rig.log(id).await.join("\n");
    for line in ["enabled", "are tried anew", "disabled"] {
        assert!(
            log.contains(&format!("Automatic certificates {line} by user")),
            "{log}"
        );
    }
}

#[tokio::test]
async fn where_no_certificates_can_be_got_it_is_said_why() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let ctx = ropewalk_api::Context {
        no_acm: Some("Bring your own.".to_owned()),
        ..rig.ctx.clone()
    };
    let rig = rig.with_context(ctx);
    let refused = rig
        .call("POST", "/apps/demo/acm", json!({}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(refused, "Bring your own.");
}

#[tokio::test]
async fn what_the_authority_says_is_shown() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let path = "/apps/demo/sni-endpoints";
    let made = certificate(&["example.com"]);
    let added = rig.call("POST", path, body(&made)).await.expect(201);
    assert!(added["ssl_cert"].get("revocation").is_none(), "{added}");
    let told = Revocation {
        status: RevocationStatus::Revoked,
        must_staple: false,
        stapled_until: None,
        revoked_at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        reason: Some("its key is compromised".to_owned()),
    };
    rig.platform
        .revocations
        .lock()
        .unwrap()
        .insert(made.0, told);
    let name = added["name"].as_str().unwrap();
    let shown = rig.get(&format!("{path}/{name}")).await.expect(200);
    assert_eq!(
        shown["ssl_cert"]["revocation"],
        json!({
            "status": "revoked",
            "must_staple": false,
            "revoked_at": "2026-01-02T03:04:05Z",
            "reason": "its key is compromised",
        })
    );
}
