//! Shares, and that a client stays where it is.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::COOKIE;

use super::*;

fn rule(weight: u16) -> Canary {
    Canary {
        app: "next".to_owned(),
        weight,
        cookie: Some("beta".to_owned()),
    }
}

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::try_from(*line).unwrap());
    }
    headers
}

/// By the address alone.
fn side(weight: u16, app: &str, fwd: &str) -> Side {
    draw(&rule(weight), app, &HeaderMap::new(), fwd).side
}

fn share(weight: u16, clients: u32, address: impl Fn(u32) -> String) -> f64 {
    let canaries = (0..clients).filter(|n| side(weight, "app", &address(*n)) == Side::Canary);
    canaries.count() as f64 / f64::from(clients)
}

#[test]
fn a_share_of_the_clients_is_what_the_weight_says() {
    let kinds: [fn(u32) -> String; 4] = [
        // Neighbours, as in an office or a carrier's network.
        |n| Ipv4Addr::from(0x0a00_0000 + n).to_string(),
        // From everywhere.
        |n| Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).to_string(),
        |n| Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64 | 1).to_string(),
        // All by one proxy.
        |n| format!("{},192.0.2.1", Ipv4Addr::from(0x0b00_0000 + n)),
    ];
    for (kind, address) in kinds.into_iter().enumerate() {
        for weight in [100, 500, 2_000, 5_000, 9_900] {
            let wanted = f64::from(weight) / 10_000.0;
            let clients = 10_000;
            // Five standard deviations of that many throws.
            let tolerance = 5.0 * (wanted * (1.0 - wanted) / f64::from(clients)).sqrt();
            let got = share(weight, clients, address);
            assert!(
                (got - wanted).abs() <= tolerance,
                "kind {kind}: {got} instead of {wanted}"
            );
        }
        assert_eq!(share(0, 100, address), 0.0);
        assert_eq!(share(10_000, 100, address), 1.0);
    }
}

#[test]
fn a_client_stays_where_it_is_and_a_larger_share_takes_nobody_away() {
    for n in 0..100u32 {
        let address = Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).to_string();
        let mut before = Side::Own;
        for weight in (0..=10_000).step_by(250) {
            let drawn = draw(&rule(weight), "app", &HeaderMap::new(), &address);
            if before == Side::Canary {
                assert_eq!(drawn.side, Side::Canary, "{address} at {weight}");
            }
            before = drawn.side;
            // By cookie it is the same from whichever address.
            if let Some(cookie) = drawn.cookie(false) {
                let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
                let moved = draw(&rule(weight), "app", &headers(&[cookie]), "198.51.100.99");
                assert_eq!((moved.side, moved.cookie(false)), (drawn.side, None));
            }
        }
        assert_eq!(before, Side::Canary);
    }
}

#[test]
fn one_client_of_ipv6_has_a_network() {
    let mut sides = [0, 0];
    for network in 0..200u128 {
        let first = 0x2001_0db8_u128 << 96 | network << 64;
        let side_of = |host: u128| side(5_000, "app", &Ipv6Addr::from(first | host).to_string());
        assert!((1..20).all(|host| side_of(host) == side_of(0)));
        sides[usize::from(side_of(0) == Side::Canary)] += 1;
    }
    assert!(sides[0] > 50 && sides[1] > 50, "{sides:?}");
    for n in 0..100 {
        let plain = format!("192.0.2.{n}");
        let mapped = format!("::ffff:192.0.2.{n}");
        assert_eq!(side(5_000, "app", &plain), side(5_000, "app", &mapped));
    }
}

#[test]
fn nobody_is_first_in_every_app() {
    let differ = (0..100)
        .filter(|n| {
            let address = format!("192.0.2.{n}");
            side(5_000, "one", &address) != side(5_000, "two", &address)
        })
        .count();
    assert!((25..=75).contains(&differ), "{differ}");
}

#[test]
fn a_cookie_of_the_app_goes_before_the_weight() {
    for (weight, lines, wanted) in [
        (0, &["beta=always"][..], Side::Canary),
        (10_000, &["beta=never"], Side::Own),
        (0, &["a=b; beta=always; c=d"], Side::Canary),
        (0, &["a=b", "beta=always"], Side::Canary),
        // The lot that it brings says otherwise.
        (5_000, &["ropewalk-canary=9999; beta=always"], Side::Canary),
        (5_000, &["beta=never; ropewalk-canary=0"], Side::Own),
        // Anything else says nothing.
        (0, &["beta=perhaps"], Side::Own),
        (10_000, &["beta="], Side::Canary),
        (10_000, &["betas=never"], Side::Canary),
        (10_000, &["xbeta=never"], Side::Canary),
        (10_000, &["Beta=never"], Side::Canary),
        (0, &["beta"], Side::Own),
    ] {
        let drawn = draw(&rule(weight), "app", &headers(lines), "192.0.2.1");
        assert_eq!(drawn.side, wanted, "{weight} {lines:?}");
        assert_eq!(drawn.cookie(true), None, "{weight} {lines:?}");
    }
    // Where no cookie is named, none is heeded.
    let rule = Canary {
        cookie: None,
        ..rule(0)
    };
    let drawn = draw(&rule, "app", &headers(&["beta=always"]), "192.0.2.1");
    assert_eq!(drawn, Draw::OWN);
}

#[test]
fn lots_that_are_none_are_drawn_anew() {
    let by_address = draw(&rule(5_000), "app", &HeaderMap::new(), "192.0.2.1");
    for text in ["", "-1", "+1", "10000", "70000", "1e3", " 5", "0x10", "a"] {
        let lines = format!("ropewalk-canary={text}x; ropewalk-canary={text}");
        let drawn = draw(&rule(5_000), "app", &headers(&[&lines]), "192.0.2.1");
        assert_eq!(drawn, by_address, "{text:?}");
    }
    // The first that is one counts.
    let lines = headers(&["ropewalk-canary=x; ropewalk-canary=9999; ropewalk-canary=0"]);
    assert_eq!(draw(&rule(5_000), "app", &lines, "192.0.2.1"), Draw::OWN);
}

#[test]
fn a_lot_is_kept_from_scripts_and_from_plain_http() {
    let drawn = draw(&rule(5_000), "app", &HeaderMap::new(), "192.0.2.1");
    let text = |https| drawn.cookie(https).unwrap().to_str().unwrap().to_owned();
    let lot = lot("app", "192.0.2.1");
    assert_eq!(
        text(false),
        format!("ropewalk-canary={lot}; Path=/; HttpOnly")
    );
    assert_eq!(
        text(true),
        format!("ropewalk-canary={lot}; Path=/; HttpOnly; Secure")
    );
}
