//! How fast a rule acts. What is left open is what its targets are usually scaled at.

use super::RuleError;

/// Longest of the times, in seconds.
pub const MOST_SECONDS: u32 = 3600;

/// Times in seconds, steps in dynos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between a change and the next step up.
    pub up_rest: Option<u32>,
    /// Fewer dynos must have been enough for so long before any goes.
    pub down_after: Option<u32>,
    /// Between a change and the next step down.
    pub down_rest: Option<u32>,
    /// Most dynos that come in one step.
    pub most_up: Option<u32>,
    /// Most dynos that go in one step.
    pub most_down: Option<u32>,
    /// A load that needs twice the dynos that are ready is met without rest and without a limit to the step.
    pub panic: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            up_rest: None,
            down_after: None,
            down_rest: None,
            most_up: None,
            most_down: None,
            panic: true,
        }
    }
}

impl Pace {
    pub(super) fn check(&self) -> Result<(), RuleError> {
        let within = |what, value: Option<u32>, least, most| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(RuleError::Pace(what, least, most, value))
            }
            _ => Ok(()),
        };
        within("The rest before a step up", self.up_rest, 0, MOST_SECONDS)?;
        within(
            "The time before dynos go",
            self.down_after,
            10,
            MOST_SECONDS,
        )?;
        within(
            "The rest before a step down",
            self.down_rest,
            0,
            MOST_SECONDS,
        )?;
        let steps = [
            ("The most dynos in a step up", self.most_up),
            ("The most dynos in a step down", self.most_down),
        ];
        for (what, value) in steps {
            within(what, value, 1, crate::formation::MAX_QUANTITY)?;
        }
        Ok(())
    }
}
