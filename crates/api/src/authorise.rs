//! Who asks, and the one rule of [`ropewalk_model::rights`] asked for them.
//!
//! Architecture invariant: no handler decides by itself; it asks here, and [`crate::resource::app`] hands out no
//! app without having asked.

pub(crate) use ropewalk_model::Scope;
use ropewalk_model::rights;
pub(crate) use ropewalk_model::rights::{Denied, Relation, Resource, Verb};
use ropewalk_store::{Token, User};

/// Who asks, by which token.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) user: User,
    pub(crate) token: Token,
}

pub(crate) fn authorise(actor: &Actor, verb: Verb, resource: Resource) -> Result<(), Denied> {
    rights::authorise(&actor.token.actor(&actor.user), verb, resource)
}
