//! The conformance walk over a whole platform: through the router, with real dynos.

#![allow(clippy::unwrap_used)] // support code of tests

use conformance::{Subject, walk};
use e2e::{Repo, Rig};

#[test]
fn every_resource_and_verb_of_the_api_passes_or_is_refused_as_designed() {
    let rig = Rig::start();
    let app = rig.create("conform");
    rig.push(&Repo::example("hello"), &app).good();
    rig.wait_up(&app, 1);
    let subject = Subject {
        base: rig.url("api"),
        token: rig.token.clone(),
        deployed: Some(app),
    };
    let report = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(walk(&subject))
        .unwrap();
    assert_eq!(report.failures(), 0, "{report}\n{}", rig.log());
}
