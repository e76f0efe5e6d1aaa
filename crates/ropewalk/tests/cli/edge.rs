//! `edge`, `edge:set`, `edge:unset`.

use serde_json::{Value, json};

use crate::fake::{Fake, ID, failed, ok};

const GET: &str = "GET /ropewalk/apps/demo/edge";
const PATCH: &str = "PATCH /ropewalk/apps/demo/edge";

/// Settings as the API shows them, nothing but `other` set.
fn edge(other: Value) -> Value {
    let mut edge = json!({"app": {"id": ID, "name": "demo"}, "pause": false, "https_redirect": false,
        "hsts_max_age": null, "trusted_ips": [], "basic_auth": null, "rate_limit": null, "max_body_bytes": null,
        "canary": null, "canary_weight_percent": null, "canary_cookie": null});
    for (key, value) in other.as_object().unwrap() {
        edge[key] = value.clone();
    }
    edge
}

#[test]
fn what_is_set_is_shown_as_it_is_typed() {
    let all = edge(json!({"https_redirect": true, "hsts_max_age": 31_536_000,
        "trusted_ips": ["192.0.2.0/24", "::1"], "basic_auth": {"user": "dev"},
        "rate_limit": {"requests": 10, "seconds": 1, "burst": 50}, "max_body_bytes": 10_000_000,
        "canary": {"id": ID, "name": "demo-next"}, "canary_weight_percent": 0.5, "canary_cookie": "beta"}));
    let fake = Fake::new().on(GET, 200, all.clone());
    assert_eq!(
        fake.run(&["edge", "-a", "demo"]),
        ok(
            "=== \u{2b22} demo edge settings\n\nhttps-redirect: on\nhsts:           1y\ntrusted-ips:    192.0.2.0/24,::1\nbasic-auth:     dev\nrate-limit:     10/s,burst=50\nmax-body:       10MB\ncanary:         demo-next\ncanary-weight:  0.5%\ncanary-cookie:  beta\n",
            ""
        )
    );
    let ran = fake.run(&["edge", "-a", "demo", "--json"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, shown), (0, all));
    let fake = Fake::new().on(GET, 200, edge(json!({})));
    assert_eq!(
        fake.run(&["edge", "-a", "demo"]),
        ok("\u{2b22} demo has no edge settings.\n", "")
    );
}

#[test]
fn settings_are_sent_as_the_api_takes_them() {
    let set = edge(json!({"https_redirect": true, "hsts_max_age": 15_552_000}));
    let fake = Fake::new().on(PATCH, 200, set.clone());
    assert_eq!(
        fake.run(&["edge:set", "https-redirect=on", "hsts=180d", "-a", "demo"]),
        ok(
            "https-redirect: on\nhsts:           180d\n",
            "Setting https-redirect, hsts on \u{2b22} demo... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [format!(
            "{PATCH} {{\"https_redirect\":true,\"hsts_max_age\":15552000}}"
        )]
    );
    let ran = fake.run(&["edge:set", "https-redirect=on", "--json", "-a", "demo"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, shown), (0, set));
}

#[test]
fn settings_are_ended_by_name() {
    let fake = Fake::new().on(PATCH, 200, edge(json!({})));
    assert_eq!(
        fake.run(&["edge:unset", "hsts", "https-redirect", "-a", "demo"]),
        ok(
            "",
            "Unsetting hsts, https-redirect on \u{2b22} demo... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [format!(
            "{PATCH} {{\"https_redirect\":false,\"hsts_max_age\":null}}"
        )]
    );
}

#[test]
fn mistakes_say_what_to_type() {
    let fake = Fake::new();
    let hint = " \u{25b8}    What each of them does: ropewalk edge:set --help.\n";
    for (args, says) in [
        (
            &["edge:set", "hsts=soon"][..],
            " \u{25b8}    hsts must be a time of at most 10 years, not \"soon\". For example: hsts=1y.\n",
        ),
        (
            &["edge:set", "https-redirect=perhaps"],
            " \u{25b8}    https-redirect must be on or off, not \"perhaps\". For example: https-redirect=on.\n",
        ),
        (
            &["edge:set", "canary=5%"],
            " \u{25b8}    canary must be another app of the same owner, not \"5%\". For example: canary=shop-next.\n",
        ),
    ] {
        let args: Vec<&str> = args.iter().chain(&["-a", "demo"]).copied().collect();
        assert_eq!(fake.run(&args), failed(2, &format!("{says}{hint}")));
    }
    for args in [&["edge:set", "nothing=1"][..], &["edge:unset", "nothing"]] {
        let args: Vec<&str> = args.iter().chain(&["-a", "demo"]).copied().collect();
        let ran = fake.run(&args);
        assert_eq!(ran.code, 2);
        assert!(
            ran.stderr.starts_with(
                " \u{25b8}    There is no edge setting nothing. There are: pause, https-redirect, hsts"
            ),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(
        fake.run(&["edge:set", "hsts", "-a", "demo"]),
        failed(
            2,
            " \u{25b8}    hsts lacks a value.\n \u{25b8}    For example: ropewalk edge:set hsts=1y.\n"
        )
    );
    assert!(fake.requests().is_empty());
    let help = fake.run(&["edge:set", "--help"]).stdout;
    assert!(
        help.contains("https-redirect=on  Requests over plain HTTP"),
        "{help}"
    );
}

#[test]
fn a_password_comes_by_standard_input_and_never_by_the_command_line() {
    let set = edge(json!({"basic_auth": {"user": "dev"}}));
    let fake = Fake::new().on(PATCH, 200, set);
    let token = [("ROPEWALK_TOKEN", "secret-token")];
    let args = ["edge:set", "basic-auth=dev", "-a", "demo"];
    assert_eq!(
        fake.run_with(&args, "hunter2hunter2\n", &token),
        ok(
            "basic-auth: dev\n",
            "Setting basic-auth on \u{2b22} demo... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [format!(
            "{PATCH} {{\"basic_auth\":{{\"user\":\"dev\",\"password\":\"hunter2hunter2\"}}}}"
        )]
    );
    let ran = fake.run(&["edge:set", "basic-auth=dev:hunter2hunter2", "-a", "demo"]);
    assert_eq!(
        ran,
        failed(
            2,
            " \u{25b8}    A password does not belong on the command line, where others on this machine see it.\n \u{25b8}    Name the user alone, and type the password when asked or pipe it in: ropewalk edge:set basic-auth=USER.\n"
        )
    );
    let short = " \u{25b8}    The password of basic-auth must have 8 to 128 characters, all of which can be typed.\n";
    assert_eq!(fake.run_with(&args, "hunter2\n", &token), failed(2, short));
    assert!(fake.requests().is_empty());
    let unset = fake.run(&["edge:unset", "basic-auth", "-a", "demo"]);
    assert_eq!(unset.code, 0);
    assert_eq!(
        fake.requests(),
        [format!("{PATCH} {{\"basic_auth\":null}}")]
    );
}

#[test]
fn a_canary_is_set_by_name_and_ended_with_what_it_answers() {
    let set =
        edge(json!({"canary": {"id": ID, "name": "demo-next"}, "canary_weight_percent": 5.0}));
    let fake = Fake::new().on(PATCH, 200, set);
    assert_eq!(
        fake.run(&[
            "edge:set",
            "canary=demo-next",
            "canary-weight=5%",
            "-a",
            "demo"
        ]),
        ok(
            "canary:        demo-next\ncanary-weight: 5%\n",
            "Setting canary, canary-weight on \u{2b22} demo... done\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [format!(
            "{PATCH} {{\"canary\":\"demo-next\",\"canary_weight_percent\":5.0}}"
        )]
    );
    let unset = fake.run(&["edge:unset", "canary", "-a", "demo"]);
    assert_eq!(unset.code, 0);
    assert_eq!(fake.requests(), [format!("{PATCH} {{\"canary\":null}}")]);
}
