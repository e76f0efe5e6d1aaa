//! What a token may do: Heroku's scopes (Dev Center, "OAuth"), and which of them reach what another is asked for.

/// `identity` stands for itself; of the others each writing one reaches what its reading one does, and each protected
/// one what its unprotected one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Who the token's user is.
    Identity,
    /// Apps, but not their config vars.
    Read,
    Write,
    /// Apps and their config vars.
    ReadProtected,
    WriteProtected,
    /// Everything, the account and its tokens too.
    Global,
}

impl Scope {
    pub const ALL: [Self; 6] = [
        Self::Identity,
        Self::Read,
        Self::Write,
        Self::ReadProtected,
        Self::WriteProtected,
        Self::Global,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
            Self::Global => "global",
        }
    }

    /// Whether who has this scope may do what asks for `needed`.
    pub fn reaches(self, needed: Self) -> bool {
        match needed {
            Self::Identity => true,
            Self::Read => self != Self::Identity,
            Self::Write => matches!(self, Self::Write | Self::WriteProtected | Self::Global),
            Self::ReadProtected => {
                matches!(
                    self,
                    Self::ReadProtected | Self::WriteProtected | Self::Global
                )
            }
            Self::WriteProtected => matches!(self, Self::WriteProtected | Self::Global),
            Self::Global => self == Self::Global,
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The scopes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// From names apart by commas or spaces; those we do not know are none.
    pub fn parse(text: &str) -> Self {
        let granted = text.split([',', ' ']).filter_map(Scope::parse);
        Self(granted.fold(0, |bits, scope| bits | scope.bit()))
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Whether one of them reaches `needed`.
    pub fn reach(self, needed: Scope) -> bool {
        self.iter().any(|has| has.reaches(needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: the scope a token has, then for each of [`Scope::ALL`] whether it reaches that.
    #[test]
    fn the_matrix_of_scopes() {
        for (text, expected) in [
            ("identity", "y....."),
            ("read", "yy...."),
            ("write", "yyy..."),
            ("read-protected", "yy.y.."),
            ("write-protected", "yyyyy."),
            ("global", "yyyyyy"),
            ("read identity", "yy...."),
            ("write,read-protected", "yyyy.."),
            ("", "......"),
            ("globally", "......"),
        ] {
            let reached: String = Scope::ALL
                .iter()
                .map(|scope| {
                    if Scopes::parse(text).reach(*scope) {
                        'y'
                    } else {
                        '.'
                    }
                })
                .collect();
            assert_eq!(reached, expected, "{text}");
        }
    }
}
