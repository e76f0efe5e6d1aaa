//! Dyno sizes: everybody sees them, administrators change them, and clients of Heroku's API see what they come to.

use ropewalk_model::admission::Memory;
use serde_json::{Value, json};

use crate::rig::{ADMIN, DEV, Rig};

async fn by_admin(rig: &Rig, method: &str, path: &str, body: Value) -> crate::rig::Answer {
    rig.call_as(ADMIN, method, path, Some(body)).await
}

#[tokio::test]
async fn administrators_say_which_sizes_there_are_and_everybody_uses_them() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let size = json!({"name": "Large", "memory_mib": 4096, "cpu_millis": 1500, "price": 2000});
    rig.call_as(DEV, "POST", "/ropewalk/dyno-sizes", Some(size.clone()))
        .await
        .refused(403, "forbidden");
    let made = by_admin(&rig, "POST", "/ropewalk/dyno-sizes", size).await;
    assert_eq!(
        made.expect(201),
        json!({
            "name": "Large", "memory_mib": 4096, "limit_mib": 8192, "cpu_shares": 4096, "cpu_millis": 1500,
            "pids": 2048, "disk_mib": 4096, "price": 2000, "dedicated": false, "sleeps": false, "usual": false,
        })
    );
    // Clients that know Heroku's API alone see it too, and take it.
    let shown = rig.get("/dyno-sizes/large").await.expect(200);
    assert_eq!(shown["memory"], json!(4.0));
    assert_eq!(shown["cost"], json!({"cents": 1440, "unit": "month"}));
    let changed = rig
        .call(
            "PATCH",
            "/apps/demo/formation/web",
            json!({"size": "LARGE"}),
        )
        .await;
    assert_eq!(changed.expect(200)["size"], "Large");

    let path = "/ropewalk/dyno-sizes/large";
    let more = json!({"memory_mib": 6144, "cpu_millis": null, "disk_mib": null, "price": null});
    let settled = rig.platform.changes();
    let more = by_admin(&rig, "PATCH", path, more).await.expect(200);
    assert_eq!(
        json!([
            more["memory_mib"],
            more["limit_mib"],
            more["cpu_millis"],
            more["disk_mib"],
            more["price"]
        ]),
        json!([6144, 12288, null, null, null])
    );
    assert!(rig.platform.changes() > settled, "the scheduler is told");
    let message = by_admin(&rig, "DELETE", path, json!({}))
        .await
        .refused(422, "invalid_params");
    assert!(
        message.contains("Large is in use by web of demo"),
        "{message}"
    );
    rig.call(
        "PATCH",
        "/apps/demo/formation/web",
        json!({"size": "basic"}),
    )
    .await
    .expect(200);
    by_admin(&rig, "DELETE", path, json!({})).await.expect(200);
    rig.get(path).await.refused(404, "not_found");
    assert_eq!(
        rig.call(
            "PATCH",
            "/apps/demo/formation/web",
            json!({"size": "large"})
        )
        .await
        .refused(422, "invalid_params"),
        "Couldn't find that dyno size (large). Sizes are: eco, basic, standard-1x, standard-2x, performance-m, \
         performance-l."
    );
}

#[tokio::test]
async fn a_size_that_cannot_be_is_refused_and_nothing_is_changed() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let before = rig.get("/ropewalk/dyno-sizes").await.text;
    for (method, path, body, why) in [
        ("POST", "", json!({}), "cannot be the name"),
        (
            "POST",
            "",
            json!({"name": "a b", "memory_mib": 512}),
            "cannot be the name",
        ),
        ("POST", "", json!({"name": "big"}), "needs `memory_mib`"),
        (
            "POST",
            "",
            json!({"name": "ECO", "memory_mib": 512}),
            "There is a dyno size Eco already",
        ),
        (
            "POST",
            "",
            json!({"name": "big", "memory_mib": 1}),
            "Memory of a dyno size must be from 16",
        ),
        ("PATCH", "/eco", json!({"name": "tiny"}), "keeps its name"),
        (
            "PATCH",
            "/eco",
            json!({"limit_mib": 256}),
            "less than the memory",
        ),
        (
            "PATCH",
            "/eco",
            json!({"pids": 1}),
            "Processes of a dyno size must be from 16",
        ),
        ("DELETE", "/standard-1x", json!({}), "new process types get"),
    ] {
        let path = format!("/ropewalk/dyno-sizes{path}");
        let answer = by_admin(&rig, method, &path, body).await;
        let message = answer.refused(422, "invalid_params");
        assert!(message.contains(why), "{method} {path}: {message}");
    }
    // As is one that the host has no memory for, of the size and of dynos.
    let memory = Memory {
        host_mib: 2048,
        overcommit: 100,
    };
    let told = rig.ctx.store.write(move |tx| tx.set_host_memory(memory));
    told.await.unwrap();
    let grown = by_admin(
        &rig,
        "PATCH",
        "/ropewalk/dyno-sizes/standard-1x",
        json!({"memory_mib": 4096}),
    );
    let message = grown.await.refused(422, "invalid_params");
    assert!(message.contains("Standard-1X so large"), "{message}");
    assert_eq!(rig.get("/ropewalk/dyno-sizes").await.text, before);
    let full = rig.call("PATCH", "/apps/demo/formation/web", json!({"quantity": 9}));
    assert_eq!(
        full.await.refused(422, "invalid_params"),
        "web=9:Standard-1X needs 4.5 GiB of memory, and this host has 1.6 GiB left for it: 3 would fit. Scale something \
         else down, or take a smaller size."
    );
    let path = "/ropewalk/dyno-sizes/nothing";
    by_admin(&rig, "PATCH", path, json!({"pids": 20}))
        .await
        .refused(404, "not_found");
}
