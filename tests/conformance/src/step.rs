//! One request of the walk, as data.

/// A verb of the published schema, how it is called, and what its answer leaves for later steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) method: &'static str,
    /// As the schema writes it; places are filled from what is known.
    pub(crate) href: &'static str,
    /// JSON; `$name` stands for what is known under that name.
    pub(crate) body: Option<&'static str>,
    /// Statuses that are right. Those from 400 on count as refused by design.
    pub(crate) right: &'static [u16],
    /// Names, and where in the answer (or its last item) the values are that they stand for from here on.
    pub(crate) keep: &'static [(&'static str, &'static str)],
    /// Ids and names that only hold here, in front of what is known.
    pub(crate) with: &'static [(&'static str, &'static str)],
}

/// A GET that answers 200.
pub(crate) const fn get(href: &'static str) -> Step {
    Step {
        method: "GET",
        href,
        body: None,
        right: &[200],
        keep: &[],
        with: &[],
    }
}

/// Any other verb that answers `status`.
pub(crate) const fn send(
    method: &'static str,
    href: &'static str,
    body: &'static str,
    right: &'static [u16],
) -> Step {
    Step {
        method,
        body: Some(body),
        right,
        ..get(href)
    }
}

impl Step {
    pub(crate) const fn keep(self, keep: &'static [(&'static str, &'static str)]) -> Self {
        Self { keep, ..self }
    }

    pub(crate) const fn with(self, with: &'static [(&'static str, &'static str)]) -> Self {
        Self { with, ..self }
    }
}
