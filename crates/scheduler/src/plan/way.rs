//! How dynos of a process type take the place of those before: as its app asks, else as the platform is used to.

use ropewalk_model::dyno_setting::{Order, Rollout};
use ropewalk_model::{AppDynoSettings, ProcessType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// All of a candidate beside all that there are.
    Beside,
    /// By and by, in the place of those that are there.
    InPlace {
        /// So many rows more than wanted at most.
        surge: u32,
        /// So many at a time.
        batch: u32,
        /// None starts while another of its name is there.
        unique: bool,
    },
}

impl Way {
    pub(crate) fn of(settings: &AppDynoSettings, process_type: &ProcessType) -> Self {
        let settings = settings.of(process_type);
        if settings.singleton == Some(true) {
            return Self::InPlace {
                surge: 0,
                batch: 1,
                unique: true,
            };
        }
        let starts_first = process_type.is_web() || settings.order == Some(Order::StartFirst);
        match (settings.rollout, starts_first) {
            (Some(Rollout::Rolling), true) => {
                let batch = settings.batch.unwrap_or(1);
                Self::InPlace {
                    surge: settings.surge.unwrap_or(batch),
                    batch,
                    unique: false,
                }
            }
            (Some(Rollout::Rolling), false) => Self::InPlace {
                surge: 0,
                batch: settings.batch.unwrap_or(1),
                unique: true,
            },
            (_, true) => Self::Beside,
            (_, false) => Self::InPlace {
                surge: 0,
                batch: u32::MAX,
                unique: true,
            },
        }
    }

    pub(crate) fn is_in_place(self) -> bool {
        self != Self::Beside
    }
}
