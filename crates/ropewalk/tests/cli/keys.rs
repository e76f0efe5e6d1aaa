//! SSH keys, and a git remote that uses them.

use std::fs;

use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, account, app, failed, ok};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICSrwH9XycPKZ";

fn key(comment: &str) -> Value {
    json!({
        "id": ID, "comment": comment, "email": comment, "fingerprint": "f1:08",
        "public_key": format!("{KEY} {comment}"), "created_at": AT, "updated_at": AT,
    })
}

#[test]
fn keys_are_listed_short_and_long() {
    let fake = Fake::new()
        .on("GET /account/keys", 200, json!([key("laptop"), key("ci")]))
        .on("GET /account", 200, account());
    let email = account()["email"].as_str().unwrap().to_owned();
    let short = format!(
        "=== {email} keys\n\nci ssh-ed25519 AAAAC3NzaC...wH9XycPKZ\nlaptop ssh-ed25519 AAAAC3NzaC...wH9XycPKZ\n"
    );
    assert_eq!(
        fake.run(&["keys"]).stdout,
        short.replace("...wH9", "...rwH9")
    );
    let long = fake.run(&["keys", "--long"]).stdout;
    assert!(
        long.ends_with(&format!("{KEY} ci\n{KEY} laptop\n")),
        "{long}"
    );
    let listed: Value = serde_json::from_str(&fake.run(&["keys", "--json"]).stdout).unwrap();
    assert_eq!(listed, json!([key("ci"), key("laptop")]));
    let none = Fake::new().on("GET /account/keys", 200, json!([]));
    assert_eq!(none.run(&["keys"]), ok("You have no SSH keys.\n", ""));
}

#[test]
fn a_key_is_found_asked_about_and_added() {
    let fake = Fake::new().on("POST /account/keys", 201, key("laptop"));
    let login = [("ROPEWALK_TOKEN", "secret-token")];
    let add = |args: &[&str], answer: &str| {
        let args = [&["keys:add"], args].concat();
        fake.run_with(&args, answer, &login)
    };
    assert_eq!(add(&[], "").code, 1);
    let folder = fake.home.path().join(".ssh");
    fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("id_ecdsa.pub", "ecdsa-sha2-nistp256 AAAA work\n");
    write("id_ecdsa-cert.pub", "no key");
    write("config", "no key");
    assert_eq!(add(&[], "n\n").code, 1);
    let none: [&str; 0] = [];
    assert_eq!(fake.requests(), none);
    assert_eq!(add(&[], "\n").code, 0);
    write("id_ed25519.pub", &format!("{KEY} laptop\n"));
    assert_eq!(add(&[], "2\n").code, 0);
    assert_eq!(add(&[], "3\n").code, 1);
    assert_eq!(add(&["--yes"], "").code, 0);
    let file = folder.join("id_ed25519.pub").display().to_string();
    let ran = add(&[&file], "");
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("SSH key... done"), "{}", ran.stderr);
    let sent = |key: &str| format!("POST /account/keys {{\"public_key\":\"{key}\"}}");
    let (ecdsa, ed25519) = (
        sent("ecdsa-sha2-nistp256 AAAA work"),
        sent(&format!("{KEY} laptop")),
    );
    assert_eq!(
        fake.requests(),
        [&ecdsa, &ecdsa, &ed25519, &ed25519].map(String::as_str)
    );
}

#[test]
fn a_private_key_does_not_leave_the_machine() {
    let fake = Fake::new();
    let file = fake.home.path().join("id");
    fs::write(&file, "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n").unwrap();
    let ran = fake.run(&["keys:add", &file.display().to_string()]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("is not a valid ssh key file") && !ran.stderr.contains("secret"),
        "{}",
        ran.stderr
    );
    let none: [&str; 0] = [];
    assert_eq!(fake.requests(), none);
}

#[test]
fn keys_are_removed_by_comment_and_all_at_once() {
    let remove = format!("DELETE /account/keys/{ID}");
    let fake = Fake::new()
        .on("GET /account/keys", 200, json!([key("laptop"), key("ci")]))
        .on(&remove, 200, key("laptop"));
    let ran = fake.run(&["keys:remove", "laptop"]);
    assert_eq!(ran, ok("", "Removing laptop SSH key... done\n"));
    let expected = " \u{25b8}    SSH Key phone not found.\n \u{25b8}    Found keys: ci, laptop.\n";
    assert_eq!(fake.run(&["keys:remove", "phone"]), failed(1, expected));
    fake.requests();
    let ran = fake.run(&["keys:clear"]);
    assert_eq!(ran, ok("", "Removing all SSH keys... done\n"));
    assert_eq!(fake.requests(), ["GET /account/keys", &remove, &remove]);
}

#[test]
fn a_remote_over_ssh_leads_to_the_app() {
    let fake = Fake::new();
    let port = fake.port;
    let ssh = json!({"host": "localhost", "port": 2222, "host_key": KEY});
    let missing =
        json!({"id": "not_found", "message": "Couldn't find that ssh.", "resource": "ssh"});
    let fake = fake
        .on("GET /apps/demo", 200, app("demo", port))
        .on("GET /ropewalk/ssh", 404, missing)
        .on("GET /ropewalk/ssh", 200, ssh)
        .on("GET /apps/demo/config-vars", 200, json!({}));
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git")
            .args(args)
            .current_dir(fake.home.path())
            .env("HOME", fake.home.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "-q"]);
    let remote = ["git:remote", "-a", "demo", "--ssh-git"];
    let expected = " \u{25b8}    This server does not speak git over SSH.\n \u{25b8}    Push over HTTP: run the command without --ssh-git.\n";
    assert_eq!(fake.run(&remote), failed(1, expected));
    let url = "ssh://git@localhost:2222/demo.git";
    let ran = fake.run(&remote);
    assert_eq!(ran.stdout, format!("set git remote ropewalk to {url}\n"));
    assert!(
        ran.stderr.contains(&format!("[localhost]:2222 {KEY}")),
        "{}",
        ran.stderr
    );
    assert_eq!(git(&["remote", "get-url", "ropewalk"]).trim(), url);
    // The app is known by it.
    assert_eq!(fake.run(&["config"]).code, 0);
}
