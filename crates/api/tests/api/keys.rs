//! SSH public keys of an account.

use serde_json::{Value, json};

use crate::rig::{DEV, OTHER, Rig};

/// Made for these tests; nobody has the private half.
pub(crate) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICSrwH9XycPKZ/rCUXyt/fh/dsn7p9TUb6+nHWvedsbU";
const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBO2qHTRSnb/12+E/zW2ZWVF9ZQ5p5ErVP2pncJehYanhTUfwN+qXSTk3xbx2yH1++aSBTLSBUHjhXiu3kxrX7ZU=";

async fn add(rig: &Rig, token: &str, key: &str) -> crate::rig::Answer {
    let body = json!({"public_key": key});
    rig.call_as(token, "POST", "/account/keys", Some(body))
        .await
}

#[tokio::test]
async fn keys_are_added_found_by_every_name_and_removed() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/account/keys").await.expect(200), json!([]));
    let made = add(&rig, DEV, &format!("{ED25519} laptop\n"))
        .await
        .expect(201);
    assert_eq!(made["public_key"], format!("{ED25519} laptop"));
    assert_eq!(
        (&made["comment"], &made["email"]),
        (&json!("laptop"), &json!("laptop"))
    );
    let md5 = made["fingerprint"].as_str().unwrap();
    assert_eq!((md5.len(), md5.matches(':').count()), (47, 15), "{md5}");
    let unnamed = add(&rig, DEV, P256).await.expect(201);
    assert_eq!(unnamed["comment"], "dev@example.com");
    let list = rig.get("/account/keys").await.expect(200);
    let list = list.as_array().unwrap();
    assert!(list.len() == 2 && list.contains(&made) && list.contains(&unnamed));

    let key = rig.ctx.store.read(|view| {
        let user = view.find_user("dev@example.com")?.id;
        Ok(view.ssh_keys(user)?.remove(0))
    });
    let sha256 = key.await.unwrap().fingerprint.replace('/', "%2F");
    for name in [made["id"].as_str().unwrap(), md5, &sha256] {
        let path = format!("/account/keys/{name}");
        assert_eq!(rig.get(&path).await.expect(200), made, "{name}");
        let others = rig.call_as(OTHER, "DELETE", &path, None).await;
        others.refused(404, "not_found");
    }
    let path = format!("/account/keys/{md5}");
    assert_eq!(
        rig.call("DELETE", &path, Value::Null).await.expect(200),
        made
    );
    rig.get(&path).await.refused(404, "not_found");
    // Another account may have it now.
    add(&rig, OTHER, ED25519).await.expect(201);
}

#[tokio::test]
async fn a_key_belongs_to_one_account_and_must_be_one() {
    let rig = Rig::new().await;
    add(&rig, OTHER, ED25519).await.expect(201);
    for token in [DEV, OTHER] {
        let said = add(&rig, token, &format!("{ED25519} again")).await;
        let said = said.refused(422, "invalid_params");
        assert!(
            said.contains("already") && !said.contains("other@"),
            "{said}"
        );
    }
    for (key, wanted) in [
        ("ssh-rsa AAAAB3NzaC1yc2E= me", "ssh-keygen -t ed25519"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "private key"),
        ("hello", "not an SSH public key"),
        ("", "not an SSH public key"),
    ] {
        let said = add(&rig, DEV, key).await.refused(422, "invalid_params");
        assert!(said.contains(wanted), "{key}: {said}");
    }
    rig.call("POST", "/account/keys", json!({}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(rig.get("/account/keys").await.expect(200), json!([]));
}

#[tokio::test]
async fn a_narrow_token_adds_and_removes_no_key() {
    let rig = Rig::new().await;
    let key = add(&rig, DEV, ED25519).await.expect(201);
    let asked = json!({"scope": ["write-protected", "identity"]});
    let made = rig.call("POST", "/oauth/authorizations", asked).await;
    let made = made.expect(201);
    let narrow = made["access_token"]["token"].as_str().unwrap();
    add(&rig, narrow, P256).await.refused(403, "forbidden");
    let path = format!("/account/keys/{}", key["id"].as_str().unwrap());
    let gone = rig.call_as(narrow, "DELETE", &path, None).await;
    gone.refused(403, "forbidden");
    let seen = rig.call_as(narrow, "GET", &path, None).await;
    assert_eq!(seen.expect(200), key);
}

#[tokio::test]
async fn where_git_speaks_ssh_is_told_where_it_does() {
    let rig = Rig::new().await;
    rig.get("/ropewalk/ssh").await.refused(404, "not_found");
    let mut ctx = rig.ctx.clone();
    ctx.ssh = Some(ropewalk_api::Ssh {
        port: 2222,
        host_key: ED25519.to_owned(),
    });
    let rig = Rig {
        router: ropewalk_api::routes(ctx),
        ..rig
    };
    assert_eq!(
        rig.get("/ropewalk/ssh").await.expect(200),
        json!({"host": "git.apps.test", "port": 2222, "host_key": ED25519})
    );
}
