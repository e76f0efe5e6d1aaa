//! The first account: made at the first start, with a token in a file that only root can read.

use anyhow::Result;
use jiff::Timestamp;
use ropewalk_model::{TokenId, UserId};
use ropewalk_store::{NewToken, Store};
use uuid::Uuid;

use crate::ops::data::{Data, replace};

/// Makes the administrator whose token the file holds, unless it is still good; so a lost file, and an account that
/// somebody deleted or demoted, come back at the next start.
pub(super) async fn ensure_admin(data: &Data, store: &Store, domain: &str) -> Result<()> {
    let file = data.path("admin-token");
    let now = Timestamp::now();
    if let Ok(text) = std::fs::read_to_string(&file) {
        let text = text.trim().to_owned();
        let found = store
            .read(move |view| view.authenticate(&text, now))
            .await?;
        if found.is_some_and(|(user, _)| user.admin) {
            return Ok(());
        }
    }
    let email = format!("admin@{domain}");
    let token = format!("RWK-{}", hex::encode(rand::random::<[u8; 32]>()));
    let text = token.clone();
    store
        .write(move |tx| {
            let user = match tx.user_by_email(&email)? {
                // Whoever can delete the file owns the machine, and gets the account back as it was.
                Some(user) => {
                    tx.set_admin(user.id, true, now)?;
                    user
                }
                None => tx.create_user(UserId(Uuid::new_v4()), &email, true, now)?,
            };
            tx.create_token(
                &NewToken {
                    id: TokenId(Uuid::new_v4()),
                    user: user.id,
                    text,
                    description: "Administrator of this installation".to_owned(),
                    scope: "global".to_owned(),
                    session: false,
                    expires_at: None,
                },
                now,
            )
        })
        .await?;
    replace(&file, format!("{token}\n").as_bytes(), 0o600)
}
