//! Certificates: what is taken, what is refused, and which domains they serve.

use std::sync::atomic::Ordering;

use rcgen::{CertificateParams, KeyPair};
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
