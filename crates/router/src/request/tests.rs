//! What a request head becomes on its way to a dyno.

use std::time::Duration;

use super::*;

fn parts(headers: &[(&'static str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri("/x?y=1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("request").into_parts().0
}

fn peer() -> Peer {
    Peer {
        ip: IpAddr::from([10, 1, 2, 3]),
        port: 443,
        https: true,
        server_name: None,
        stall: Arc::new(stall::Limit::new(Duration::from_secs(55))),
    }
}

fn rewritten(mut head: Parts) -> Parts {
    let subject = subject(&head, &peer(), "x".to_owned());
    let upgrade = wants_upgrade(&head);
    rewrite(&mut head, &subject, &peer(), upgrade);
    head
}

#[test]
fn hosts() {
    let of = |value: &str| host(&parts(&[("host", value)]));
    assert_eq!(of("App.Example.COM:8080").as_deref(), Ok("app.example.com"));
    assert_eq!(of("app.example.com.").as_deref(), Ok("app.example.com"));
    assert_eq!(of("[::1]:80").as_deref(), Ok("[::1]"));
    assert_eq!(of("[::1]").as_deref(), Ok("[::1]"));
    for bad in ["", ":80", "a@b", "a/b", "a b"] {
        assert_eq!(of(bad), Err(Refusal::BAD_HOST), "{bad:?}");
    }
    assert_eq!(host(&parts(&[])), Err(Refusal::BAD_HOST));
    assert_eq!(
        host(&parts(&[("host", "a"), ("host", "a")])),
        Err(Refusal::BAD_HOST)
    );
}

#[test]
fn request_ids_are_kept_only_in_the_allowed_form() {
    let long = "a".repeat(200);
    let longer = "a".repeat(201);
    for (given, kept) in [
        ("01234567890123456789", true),
        ("abc+/=-ABC0123456789", true),
        (long.as_str(), true),
        ("0123456789012345678", false),
        ("0123456789012345678_", false),
        (longer.as_str(), false),
    ] {
        let id = request_id(Some(given.as_bytes()));
        assert_eq!(id == given, kept, "{given}");
        assert!(kept || id.len() == 36);
    }
}

#[test]
fn forwarded_headers_are_ours_and_the_client_is_appended() {
    let head = rewritten(parts(&[
        ("host", "x"),
        ("x-forwarded-for", "1.1.1.1,2.2.2.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "1"),
        ("via", "1.0 cdn"),
    ]));
    assert_eq!(
        head.headers["x-forwarded-for"],
        "1.1.1.1, 2.2.2.2, 10.1.2.3"
    );
    assert_eq!(head.headers["x-forwarded-proto"], "https");
    assert_eq!(head.headers["x-forwarded-port"], "443");
    let via: Vec<_> = head.headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.0 cdn", "1.1 ropewalk"]);
    let start = head.headers["x-request-start"].to_str().expect("text");
    assert!(start.len() == 13 && start.bytes().all(|byte| byte.is_ascii_digit()));
}

#[test]
fn hop_by_hop_headers_go_and_connection_cannot_take_ours() {
    let head = rewritten(parts(&[
        ("host", "x"),
        ("connection", "close, X-Secret, x-forwarded-for, host"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("x-kept", "1"),
    ]));
    for gone in [
        "connection",
        "x-secret",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(head.headers["host"], "x");
    assert_eq!(head.headers["x-kept"], "1");
    assert_eq!(head.headers["x-forwarded-for"], "10.1.2.3");
}

#[test]
fn headers_that_pass_for_ours_behind_cgi_go() {
    let head = rewritten(parts(&[
        ("host", "a"),
        ("x_forwarded_for", "6.6.6.6"),
        ("content_length", "9"),
        ("x-forwarded_proto", "gopher"),
        ("my_own", "stays"),
    ]));
    for gone in ["x_forwarded_for", "content_length", "x-forwarded_proto"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(head.headers["my_own"], "stays");
    assert_eq!(head.headers["x-forwarded-for"], "10.1.2.3");
}

#[test]
fn an_upgrade_keeps_its_two_headers() {
    let head = rewritten(parts(&[
        ("host", "x"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ]));
    assert_eq!(head.headers["connection"], "upgrade");
    assert_eq!(head.headers["upgrade"], "websocket");
}

#[test]
fn refusals() {
    let of = |headers: &[(&'static str, &str)]| check(&parts(headers), 8192);
    assert_eq!(of(&[("expect", "100-Continue")]), Ok(()));
    assert_eq!(of(&[("expect", "200-ok")]), Err(Refusal::EXPECT));
    assert_eq!(of(&[("transfer-encoding", "chunked")]), Ok(()));
    assert_eq!(
        of(&[("transfer-encoding", "gzip, chunked")]),
        Err(Refusal::BAD_HEADER)
    );
    assert_eq!(check(&parts(&[]), 16), Err(Refusal::TARGET));
    let mut connect = parts(&[]);
    connect.method = Method::CONNECT;
    assert_eq!(check(&connect, 8192), Err(Refusal::METHOD));
}

#[test]
fn cookie_crumbs_are_joined_for_http_1() {
    let mut head = parts(&[("cookie", "a=1"), ("cookie", "b=2")]);
    head.version = Version::HTTP_2;
    let head = rewritten(head);
    assert_eq!(head.headers.get_all("cookie").iter().count(), 1);
    assert_eq!(head.headers["cookie"], "a=1; b=2");
}

#[test]
fn a_head_takes_the_form_of_either_protocol() {
    let head = rewritten(parts(&[
        ("host", "App.test:8080"),
        ("te", "gzip, trailers"),
    ]));
    let mut request = Request::from_parts(head, http_body_util::Empty::<bytes::Bytes>::new());
    for _ in 0..2 {
        assert_eq!(to_http2(&mut request, true), Ok(()));
        assert_eq!(request.uri(), "http://app.test:8080/x?y=1");
        assert_eq!(request.version(), Version::HTTP_2);
        assert!(!request.headers().contains_key("host"));
        assert_eq!(request.headers()["te"], "trailers");
    }
    for _ in 0..2 {
        to_http1(&mut request);
        assert_eq!(request.uri(), "/x?y=1");
        assert_eq!(request.version(), Version::HTTP_11);
        assert_eq!(request.headers()["host"], "App.test:8080");
        assert!(!request.headers().contains_key("te"));
    }
    let mut bad = Request::from_parts(rewritten(parts(&[("host", "a b")])), ());
    assert_eq!(to_http2(&mut bad, false), Err(Refusal::BAD_HOST));
}

#[test]
fn trailers_are_taken_by_who_says_so() {
    let takes = |value: &str| takes_trailers(&parts(&[("te", value)]).headers);
    assert!(takes("trailers") && takes("gzip;q=0.5, Trailers"));
    assert!(!takes("gzip") && !takes_trailers(&parts(&[]).headers));
}
