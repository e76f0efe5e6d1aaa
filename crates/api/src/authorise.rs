//! The one function that decides who may do what: (actor, verb, resource).
//!
//! Architecture invariant: no handler decides by itself; it asks here, and [`crate::resource::app`] hands out no
//! app without having asked.

use ropewalk_model::{Scope, UserId};
use ropewalk_store::{Token, User};

/// Who asks, by which token.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) user: User,
    pub(crate) token: Token,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    Write,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The actor's own account.
    Account,
    /// The actor's own tokens.
    Tokens,
    /// An app of this owner, and what belongs to it.
    App { owner: UserId },
    /// An app's config vars, and what lets one read them: commands in its dynos.
    Config { owner: UserId },
    /// Making an app.
    NewApp,
    /// Stacks, regions, sizes: the same for everybody.
    Catalogue,
    /// How the platform itself is.
    Platform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Said as "there is no such thing": who may not see it does not learn that it is there.
    Hidden,
    /// The token's scope does not reach so far.
    Scope(&'static str),
}

/// The names of the scopes of tokens.
pub(crate) const SCOPES: [&str; 6] = {
    let mut names = [""; 6];
    let mut at = 0;
    while at < names.len() {
        names[at] = Scope::ALL[at].as_str();
        at += 1;
    }
    names
};

/// Whether this user may read an app of that owner by this token: the same rule, for readers of apps beside the API.
pub fn may_read_app(user: &User, token: &Token, owner: UserId) -> bool {
    let actor = Actor {
        user: user.clone(),
        token: token.clone(),
    };
    authorise(&actor, Verb::Read, Resource::App { owner }).is_ok()
}

pub(crate) fn authorise(actor: &Actor, verb: Verb, resource: Resource) -> Result<(), Denied> {
    let owner = match resource {
        Resource::App { owner } | Resource::Config { owner } => Some(owner),
        _ => None,
    };
    // Administrators own the machine; hiding an app from them would only be pretence.
    if owner.is_some_and(|owner| owner != actor.user.id && !actor.user.admin) {
        return Err(Denied::Hidden);
    }
    let needed = match (resource, verb) {
        (Resource::Account, Verb::Read) | (Resource::Catalogue, _) => Scope::Identity,
        (Resource::Config { .. }, Verb::Read) => Scope::ReadProtected,
        (Resource::Config { .. }, Verb::Write) => Scope::WriteProtected,
        (Resource::App { .. } | Resource::NewApp, Verb::Write) => Scope::Write,
        (Resource::App { .. } | Resource::NewApp | Resource::Platform, _) => Scope::Read,
        (Resource::Account | Resource::Tokens, _) => Scope::Global,
    };
    match needed.is_granted_by(&actor.token.scope) {
        true => Ok(()),
        false => Err(Denied::Scope(needed.as_str())),
    }
}

/// The scopes a token has; those we do not know are none.
pub(crate) fn scopes_of(token: &Token) -> impl Iterator<Item = &'static str> {
    Scope::granted(&token.scope).map(Scope::as_str)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ropewalk_model::TokenId;
    use uuid::Uuid;

    use super::*;

    const OWNER: UserId = UserId(Uuid::from_u128(1));
    const OTHER: UserId = UserId(Uuid::from_u128(2));

    fn actor(id: UserId, admin: bool, scope: &str) -> Actor {
        let at = Timestamp::UNIX_EPOCH;
        Actor {
            user: User {
                id,
                email: String::new(),
                name: None,
                admin,
                created_at: at,
                updated_at: at,
            },
            token: Token {
                id: TokenId(Uuid::from_u128(3)),
                user: id,
                hint: String::new(),
                description: String::new(),
                scope: scope.to_owned(),
                created_at: at,
                expires_at: None,
            },
        }
    }

    /// Each line: scope, then what it may: account r/w, tokens, app r/w, config r/w, platform.
    #[test]
    fn the_matrix_of_scopes() {
        let app = Resource::App { owner: OWNER };
        let config = Resource::Config { owner: OWNER };
        let asked = [
            (Verb::Read, Resource::Account),
            (Verb::Write, Resource::Account),
            (Verb::Read, Resource::Tokens),
            (Verb::Read, app),
            (Verb::Write, app),
            (Verb::Read, config),
            (Verb::Write, config),
            (Verb::Read, Resource::Platform),
        ];
        for (scope, expected) in [
            ("identity", "y......."),
            ("read", "y..y...y"),
            ("write", "y..yy..y"),
            ("read-protected", "y..y.y.y"),
            ("write-protected", "y..yyyyy"),
            ("read,identity", "y..y...y"),
            ("global", "yyyyyyyy"),
            ("", "........"),
            ("root", "........"),
        ] {
            let actor = actor(OWNER, false, scope);
            let may: String = asked
                .iter()
                .map(
                    |(verb, resource)| match authorise(&actor, *verb, *resource) {
                        Ok(()) => 'y',
                        Err(_) => '.',
                    },
                )
                .collect();
            assert_eq!(may, expected, "{scope}");
        }
    }

    #[test]
    fn other_peoples_apps_are_hidden_except_from_administrators() {
        for resource in [
            Resource::App { owner: OWNER },
            Resource::Config { owner: OWNER },
        ] {
            for verb in [Verb::Read, Verb::Write] {
                let other = actor(OTHER, false, "global");
                assert_eq!(authorise(&other, verb, resource), Err(Denied::Hidden));
                let admin = actor(OTHER, true, "global");
                assert_eq!(authorise(&admin, verb, resource), Ok(()));
                // Hidden also when the scope would not reach: nobody learns that it is there.
                let narrow = actor(OTHER, false, "identity");
                assert_eq!(authorise(&narrow, verb, resource), Err(Denied::Hidden));
            }
        }
    }
}
