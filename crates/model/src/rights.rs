//! Who may do what: one pure rule over (actor, verb, resource), for the API, for git and for the registry.
//!
//! Architecture invariant: whoever guards a door asks [`authorise`] and decides nothing by itself. What the rule
//! needs to know is looked up by the caller; how a refusal is said to the world is the caller's too.

use crate::{Scope, Scopes, UserId};

/// Who asks, and how far the token reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    pub user: UserId,
    /// Administrators own the machine; hiding anything on it from them would only be pretence.
    pub admin: bool,
    pub scopes: Scopes,
}

/// What a user is to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Owner,
    Collaborator,
    /// Nothing at all. Administrators are strangers too; they get through by being administrators.
    Stranger,
}

impl Relation {
    /// `collaborates`: whether the app's list of collaborators has the user.
    pub fn of(user: UserId, owner: UserId, collaborates: bool) -> Self {
        match (user == owner, collaborates) {
            (true, _) => Self::Owner,
            (false, true) => Self::Collaborator,
            (false, false) => Self::Stranger,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Read,
    Write,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The actor's own account.
    Account,
    /// The actor's own tokens, password and second factor.
    Tokens,
    /// Everybody's accounts.
    Users,
    /// An app and what belongs to it.
    App(Relation),
    /// An app's config vars, and what lets one read them: commands in its dynos.
    Config(Relation),
    /// Who works on an app.
    Sharing(Relation),
    /// An app's name and its end.
    Ownership(Relation),
    /// Making an app.
    NewApp,
    /// Stacks, regions, sizes: the same for everybody, and the operator's to change.
    Catalogue,
    /// How the platform itself is.
    Platform,
    /// What is measured of everybody's apps.
    Measures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// To be said as "there is no such thing": who may not see it does not learn that it is there.
    Hidden,
    /// Only the app's owner, or an administrator.
    NotOwner,
    /// Only an administrator.
    NotAdmin,
    /// The token's scope does not reach so far; this one would.
    Scope(Scope),
}

/// The rule.
///
/// # Errors
/// Why not. [`Denied::Hidden`] wins over everything else, so that a refusal tells strangers nothing.
pub fn authorise(actor: &Actor, verb: Verb, resource: Resource) -> Result<(), Denied> {
    use Resource::{App, Config, Ownership, Sharing};
    if let App(relation) | Config(relation) | Sharing(relation) | Ownership(relation) = resource
        && relation == Relation::Stranger
        && !actor.admin
    {
        return Err(Denied::Hidden);
    }
    let owned = match (resource, verb) {
        (Sharing(relation) | Ownership(relation), Verb::Write) => Some(relation),
        _ => None,
    };
    if owned.is_some_and(|relation| relation != Relation::Owner) && !actor.admin {
        return Err(Denied::NotOwner);
    }
    let of_admins = matches!(resource, Resource::Users | Resource::Measures)
        || (resource, verb) == (Resource::Catalogue, Verb::Write);
    if of_admins && !actor.admin {
        return Err(Denied::NotAdmin);
    }
    let needed = match (resource, verb) {
        (Resource::Account | Resource::Catalogue, Verb::Read) => Scope::Identity,
        (Config(_), Verb::Read) => Scope::ReadProtected,
        // Who shares an app hands out its config vars.
        (Config(_) | Sharing(_), Verb::Write) => Scope::WriteProtected,
        (App(_) | Ownership(_) | Resource::NewApp, Verb::Write) => Scope::Write,
        (App(_) | Ownership(_) | Sharing(_) | Resource::NewApp, Verb::Read)
        | (Resource::Platform | Resource::Measures, _) => Scope::Read,
        (Resource::Account | Resource::Catalogue, Verb::Write)
        | (Resource::Tokens | Resource::Users, _) => Scope::Global,
    };
    match actor.scopes.reach(needed) {
        true => Ok(()),
        false => Err(Denied::Scope(needed)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn actor(admin: bool, scopes: &str) -> Actor {
        Actor {
            user: UserId(Uuid::from_u128(1)),
            admin,
            scopes: Scopes::parse(scopes),
        }
    }

    fn all_of(relation: Relation) -> [Resource; 11] {
        [
            Resource::Account,
            Resource::Tokens,
            Resource::Users,
            Resource::App(relation),
            Resource::Config(relation),
            Resource::Sharing(relation),
            Resource::Ownership(relation),
            Resource::NewApp,
            Resource::Catalogue,
            Resource::Platform,
            Resource::Measures,
        ]
    }

    /// For each resource in the order of [`all_of`] two letters, reading and writing: `y` may, `s` the scope does
    /// not reach, `h` hidden, `o` not the owner, `a` not an administrator.
    fn row(actor: &Actor, relation: Relation) -> String {
        let cells = all_of(relation).map(|resource| {
            [Verb::Read, Verb::Write].map(|verb| match authorise(actor, verb, resource) {
                Ok(()) => 'y',
                Err(Denied::Scope(_)) => 's',
                Err(Denied::Hidden) => 'h',
                Err(Denied::NotOwner) => 'o',
                Err(Denied::NotAdmin) => 'a',
            })
        });
        cells.map(|cell| cell.iter().collect::<String>()).join(" ")
    }

    /// Relation × scope × verb × resource, all of it.
    #[test]
    fn the_matrix() {
        use Relation::{Collaborator, Owner, Stranger};
        //                      acc tok use app con sha own new cat pla mea
        for (who, relation, scopes, expected) in [
            (
                "user",
                Owner,
                "identity",
                "ys ss aa ss ss ss ss ss ya ss aa",
            ),
            ("user", Owner, "read", "ys ss aa ys ss ys ys ys ya yy aa"),
            ("user", Owner, "write", "ys ss aa yy ss ys yy yy ya yy aa"),
            (
                "user",
                Owner,
                "read-protected",
                "ys ss aa ys ys ys ys ys ya yy aa",
            ),
            (
                "user",
                Owner,
                "write-protected",
                "ys ss aa yy yy yy yy yy ya yy aa",
            ),
            (
                "user",
                Owner,
                "read,identity",
                "ys ss aa ys ss ys ys ys ya yy aa",
            ),
            ("user", Owner, "global", "yy yy aa yy yy yy yy yy ya yy aa"),
            ("user", Owner, "", "ss ss aa ss ss ss ss ss sa ss aa"),
            ("user", Owner, "root", "ss ss aa ss ss ss ss ss sa ss aa"),
            (
                "user",
                Collaborator,
                "identity",
                "ys ss aa ss ss so so ss ya ss aa",
            ),
            (
                "user",
                Collaborator,
                "read",
                "ys ss aa ys ss yo yo ys ya yy aa",
            ),
            (
                "user",
                Collaborator,
                "write",
                "ys ss aa yy ss yo yo yy ya yy aa",
            ),
            (
                "user",
                Collaborator,
                "read-protected",
                "ys ss aa ys ys yo yo ys ya yy aa",
            ),
            (
                "user",
                Collaborator,
                "write-protected",
                "ys ss aa yy yy yo yo yy ya yy aa",
            ),
            (
                "user",
                Collaborator,
                "global",
                "yy yy aa yy yy yo yo yy ya yy aa",
            ),
            ("user", Collaborator, "", "ss ss aa ss ss so so ss sa ss aa"),
            (
                "user",
                Stranger,
                "identity",
                "ys ss aa hh hh hh hh ss ya ss aa",
            ),
            ("user", Stranger, "read", "ys ss aa hh hh hh hh ys ya yy aa"),
            (
                "user",
                Stranger,
                "write",
                "ys ss aa hh hh hh hh yy ya yy aa",
            ),
            (
                "user",
                Stranger,
                "read-protected",
                "ys ss aa hh hh hh hh ys ya yy aa",
            ),
            (
                "user",
                Stranger,
                "write-protected",
                "ys ss aa hh hh hh hh yy ya yy aa",
            ),
            (
                "user",
                Stranger,
                "global",
                "yy yy aa hh hh hh hh yy ya yy aa",
            ),
            ("user", Stranger, "", "ss ss aa hh hh hh hh ss sa ss aa"),
            (
                "admin",
                Stranger,
                "identity",
                "ys ss ss ss ss ss ss ss ys ss ss",
            ),
            (
                "admin",
                Stranger,
                "read",
                "ys ss ss ys ss ys ys ys ys yy yy",
            ),
            (
                "admin",
                Stranger,
                "write",
                "ys ss ss yy ss ys yy yy ys yy yy",
            ),
            (
                "admin",
                Stranger,
                "read-protected",
                "ys ss ss ys ys ys ys ys ys yy yy",
            ),
            (
                "admin",
                Stranger,
                "write-protected",
                "ys ss ss yy yy yy yy yy ys yy yy",
            ),
            (
                "admin",
                Stranger,
                "global",
                "yy yy yy yy yy yy yy yy yy yy yy",
            ),
            (
                "admin",
                Collaborator,
                "global",
                "yy yy yy yy yy yy yy yy yy yy yy",
            ),
            ("admin", Owner, "global", "yy yy yy yy yy yy yy yy yy yy yy"),
            ("admin", Stranger, "", "ss ss ss ss ss ss ss ss ss ss ss"),
        ] {
            let actor = actor(who == "admin", scopes);
            assert_eq!(
                row(&actor, relation),
                expected,
                "{who} {relation:?} {scopes}"
            );
        }
    }

    #[test]
    fn an_owner_who_is_also_listed_stays_the_owner() {
        let (a, b) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert_eq!(Relation::of(a, a, true), Relation::Owner);
        assert_eq!(Relation::of(b, a, true), Relation::Collaborator);
        assert_eq!(Relation::of(b, a, false), Relation::Stranger);
    }
}
