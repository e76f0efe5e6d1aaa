//! Requests by policies.

use super::*;

fn facts<'a>(method: &'a Method, path: &'a PathAndQuery) -> Facts<'a> {
    Facts {
        method,
        path,
        host: "shop.example.com",
        port: None,
        ip: IpAddr::from([192, 0, 2, 7]),
        https: false,
        https_at: HttpsAt::Port(443),
        authorization: None,
        length: None,
    }
}

/// Of an address that may do everything.
fn judge(facts: &Facts<'_>, policy: &Policy) -> Decision {
    decide(facts, policy, |_| Ok(()))
}

fn path(text: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(text)
}

fn location(decision: Decision) -> Option<(u16, String)> {
    match decision {
        Decision::Pass => None,
        Decision::Answer(reply) => {
            let (name, value) = reply.header?;
            assert_eq!(name, header::LOCATION);
            Some((reply.status, value.to_str().ok()?.to_owned()))
        }
    }
}

#[test]
fn plain_http_is_sent_to_https_where_it_is_spoken() {
    let policy = Policy::compile(&EdgePolicy {
        https_redirect: true,
        ..EdgePolicy::default()
    });
    let path = path("/a%20b?c=d");
    for (method, port, https_at, wanted) in [
        (Method::GET, None, HttpsAt::Port(443), Some((301, ""))),
        (Method::HEAD, Some(80), HttpsAt::Port(443), Some((301, ""))),
        (Method::POST, None, HttpsAt::Port(443), Some((308, ""))),
        (Method::OPTIONS, None, HttpsAt::Port(443), Some((308, ""))),
        (
            Method::GET,
            Some(8080),
            HttpsAt::Port(8443),
            Some((301, ":8443")),
        ),
        (
            Method::GET,
            Some(8080),
            HttpsAt::SamePort,
            Some((301, ":8080")),
        ),
        (Method::GET, Some(443), HttpsAt::SamePort, Some((301, ""))),
        (Method::GET, None, HttpsAt::SamePort, Some((301, ""))),
        (Method::GET, Some(80), HttpsAt::Nowhere, None),
    ] {
        let facts = Facts {
            port,
            https_at,
            ..facts(&method, &path)
        };
        let wanted = wanted
            .map(|(status, port)| (status, format!("https://shop.example.com{port}/a%20b?c=d")));
        assert_eq!(location(judge(&facts, &policy)), wanted, "{facts:?}");
        let secure = Facts {
            https: true,
            ..facts
        };
        assert_eq!(judge(&secure, &policy), Decision::Pass);
    }
}

#[test]
fn proofs_of_a_domain_are_fetched_over_plain_http() {
    let policy = Policy::compile(&EdgePolicy {
        https_redirect: true,
        ..EdgePolicy::default()
    });
    for (text, passes) in [
        ("/.well-known/acme-challenge/token", true),
        ("/.well-known/acme-challenge", false),
        ("/x/.well-known/acme-challenge/token", false),
        ("/.well-known/security.txt", false),
    ] {
        let (method, path) = (Method::GET, path(text));
        let passed = judge(&facts(&method, &path), &policy) == Decision::Pass;
        assert_eq!(passed, passes, "{text}");
    }
}

#[test]
fn a_target_that_is_no_path_is_the_root() {
    let policy = Policy::compile(&EdgePolicy {
        https_redirect: true,
        ..EdgePolicy::default()
    });
    let (method, path) = (Method::OPTIONS, path("*"));
    assert_eq!(
        location(judge(&facts(&method, &path), &policy)),
        Some((308, "https://shop.example.com/".to_owned()))
    );
}

#[test]
fn hsts_is_said_over_https_only_and_the_apps_own_stays() {
    let policy = Policy::compile(&EdgePolicy {
        hsts: Some(60),
        ..EdgePolicy::default()
    });
    assert_eq!(policy.hsts(false), None);
    let mut response = Response::new(());
    keep_to_https(&mut response, policy.hsts(true));
    let said =
        |response: &Response<()>| response.headers()[header::STRICT_TRANSPORT_SECURITY].clone();
    assert_eq!(said(&response), "max-age=60");
    response.headers_mut().insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=1; includeSubDomains"),
    );
    keep_to_https(&mut response, policy.hsts(true));
    assert_eq!(said(&response), "max-age=1; includeSubDomains");
}

#[test]
fn only_trusted_addresses_pass_where_some_are() {
    let (method, path) = (Method::GET, path("/.well-known/acme-challenge/x"));
    for (trusted, ip, passes) in [
        (&[][..], "203.0.113.1", true),
        (&["192.0.2.0/24"], "192.0.2.7", true),
        (&["192.0.2.0/24"], "192.0.3.7", false),
        (&["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", true),
        (&["192.0.2.0/24"], "2001:db8::1", false),
        // Understood by nobody, so nobody is trusted.
        (&["everywhere"], "192.0.2.7", false),
    ] {
        let policy = Policy::compile(&EdgePolicy {
            trusted_ips: trusted.iter().map(|text| (*text).to_owned()).collect(),
            https_redirect: true,
            ..EdgePolicy::default()
        });
        let facts = Facts {
            ip: ip.parse().unwrap(),
            ..facts(&method, &path)
        };
        let wanted = match passes {
            true => Decision::Pass,
            false => Decision::Answer(Reply {
                gate: Gate::TrustedIps,
                status: 403,
                header: None,
            }),
        };
        assert_eq!(judge(&facts, &policy), wanted, "{trusted:?} {ip}");
    }
}

#[test]
fn who_is_asked_for_a_password_passes_with_it_alone() {
    let (method, path) = (Method::GET, path("/"));
    let auth = BasicAuth::new("dev", "hunter2hunter2", [3; 16]).unwrap();
    let policy = |kept: &str| {
        Policy::compile(&EdgePolicy {
            basic_auth: Some(kept.to_owned().into()),
            ..EdgePolicy::default()
        })
    };
    let right = format!("Basic {}", BASE64_STANDARD.encode("dev:hunter2hunter2"));
    let wrong = format!("Basic {}", BASE64_STANDARD.encode("dev:hunter2hunter3"));
    let long = format!("Basic {}", BASE64_STANDARD.encode([b'x'; 600]));
    let other_case = right.replace("Basic", "bAsIc");
    let kept = auth.kept();
    for (kept, header, passes) in [
        (kept.as_str(), None, false),
        (&kept, Some(right.as_str()), true),
        (&kept, Some(&other_case), true),
        (&kept, Some(&wrong), false),
        (&kept, Some(&long), false),
        (&kept, Some("Basic"), false),
        (&kept, Some("Basic ???"), false),
        (&kept, Some("Bearer dev:hunter2hunter2"), false),
        // Not understood, so nobody comes in.
        ("", Some(&right), false),
    ] {
        let facts = Facts {
            authorization: header.map(str::as_bytes),
            ..facts(&method, &path)
        };
        match judge(&facts, &policy(kept)) {
            Decision::Pass => assert!(passes, "{header:?}"),
            Decision::Answer(reply) => {
                assert!(!passes, "{header:?}");
                assert_eq!((reply.gate, reply.status), (Gate::BasicAuth, 401));
                assert_eq!(reply.header.unwrap().0, header::WWW_AUTHENTICATE);
            }
        }
    }
    let value = HeaderValue::from_static("x");
    let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    Policy::compile(&EdgePolicy::default()).strip(&mut headers);
    assert_eq!(headers.len(), 1);
    policy(&kept).strip(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn no_password_is_asked_for_over_plain_http_where_that_is_left() {
    let (method, path) = (Method::GET, path("/"));
    let policy = Policy::compile(&EdgePolicy {
        https_redirect: true,
        basic_auth: Some(String::new().into()),
        ..EdgePolicy::default()
    });
    let gate = |facts: &Facts<'_>| match judge(facts, &policy) {
        Decision::Answer(reply) => Some(reply.gate),
        Decision::Pass => None,
    };
    let facts = facts(&method, &path);
    assert_eq!(gate(&facts), Some(Gate::HttpsRedirect));
    let secure = Facts {
        https: true,
        ..facts
    };
    assert_eq!(gate(&secure), Some(Gate::BasicAuth));
}

#[test]
fn who_came_too_often_is_told_when_to_come_again() {
    let (method, path) = (Method::GET, path("/"));
    let policy = Policy::compile(&EdgePolicy {
        rate_limit: Some(ropewalk_api_types::router::RateLimit {
            requests: 30,
            seconds: 60,
            burst: 5,
        }),
        // Guesses are limited before they are answered.
        basic_auth: Some(String::new().into()),
        ..EdgePolicy::default()
    });
    for (wait, seconds) in [(1, "1"), (1_000, "1"), (1_001, "2"), (120_000, "120")] {
        let decision = decide(&facts(&method, &path), &policy, |rate| {
            assert_eq!((rate.interval, rate.burst), (2_000_000, 5));
            Err(Duration::from_millis(wait))
        });
        let wanted = Decision::Answer(Reply {
            gate: Gate::RateLimit,
            status: 429,
            header: Some((header::RETRY_AFTER, HeaderValue::from_static(seconds))),
        });
        assert_eq!(decision, wanted);
    }
    let others = Policy::compile(&EdgePolicy {
        trusted_ips: vec!["203.0.113.0/24".to_owned()],
        rate_limit: Some(ropewalk_api_types::router::RateLimit {
            requests: 0,
            seconds: 0,
            burst: 0,
        }),
        ..EdgePolicy::default()
    });
    let decision = decide(&facts(&method, &path), &others, |_| {
        panic!("who is not trusted spends nothing")
    });
    assert!(matches!(decision, Decision::Answer(reply) if reply.gate == Gate::TrustedIps));
    let trusted = Facts {
        ip: IpAddr::from([203, 0, 113, 1]),
        ..facts(&method, &path)
    };
    let decision = decide(&trusted, &others, |rate| {
        assert_eq!((rate.interval, rate.burst), (1, 1));
        Ok(())
    });
    assert_eq!(decision, Decision::Pass);
}

#[test]
fn a_body_that_says_it_is_too_large_goes_no_further() {
    let (method, path) = (Method::POST, path("/"));
    for (most, length, passes) in [
        (None, Some(u64::MAX), true),
        (Some(10), Some(10), true),
        (Some(10), Some(11), false),
        (Some(0), Some(0), true),
        (Some(0), Some(1), false),
        // It is counted on its way.
        (Some(10), None, true),
    ] {
        let policy = Policy::compile(&EdgePolicy {
            max_body: most,
            ..EdgePolicy::default()
        });
        let facts = Facts {
            length,
            ..facts(&method, &path)
        };
        let wanted = match passes {
            true => Decision::Pass,
            false => Decision::Answer(Reply::TOO_LARGE),
        };
        assert_eq!(judge(&facts, &policy), wanted, "{most:?} {length:?}");
    }
}
