//! Which app the request at hand is about, noted when it is found, so that an error can name it.
//!
//! Only an app that the asker may see is ever noted: the note ends up in the answer.

use std::cell::OnceCell;

use ropewalk_api_types::error::ErrorApp;

tokio::task_local! {
    static APP: OnceCell<ErrorApp>;
}

/// Runs one request, and returns beside its outcome the app that it noted.
pub(crate) async fn with_note<T>(request: impl Future<Output = T>) -> (T, Option<ErrorApp>) {
    APP.scope(OnceCell::new(), async {
        let outcome = request.await;
        let noted = APP.try_with(|app| app.get().cloned()).ok().flatten();
        (outcome, noted)
    })
    .await
}

/// Notes the app; the first of a request stays. Outside of requests nothing happens.
pub(crate) fn note(app: ErrorApp) {
    let _ = APP.try_with(|noted| noted.set(app));
}
