//! The first account: made at the first start, with a token in a file that only root can read.

use anyhow::Result;
use jiff::Timestamp;
use ropewalk_model::{TokenId, UserId};
use ropewalk_store::{NewToken, Store};
use uuid::Uuid;

use crate::ops::data::{Data, replace};

/// Makes the administrator unless there is one; a lost token file gets a new token.
pub(super) async fn ensure_admin(data: &Data, store: &Store, domain: &str) -> Result<()> {
    let file = data.path("admin-token");
    let now = Timestamp::now();
    if let Ok(text) = std::fs::read_to_string(&file) {
        let text = text.trim().to_owned();
        if store
            .read(move |view| view.authenticate(&text, now))
            .await?
            .is_some()
        {
            return Ok(());
        }
    }
    let email = format!("admin@{domain}");
    let token = format!("RWK-{}", hex::encode(rand::random::<[u8; 32]>()));
    let text = token.clone();
    store
        .write(move |tx| {
            let user = match tx.user_by_email(&email)? {
                Some(user) => user,
                None => tx.create_user(UserId(Uuid::new_v4()), &email, true, now)?,
            };
            tx.create_token(
                &NewToken {
                    id: TokenId(Uuid::new_v4()),
                    user: user.id,
                    text,
                    description: "Administrator of this installation".to_owned(),
                    scope: "global".to_owned(),
                    expires_at: None,
                },
                now,
            )
        })
        .await?;
    replace(&file, format!("{token}\n").as_bytes(), 0o600)
}
