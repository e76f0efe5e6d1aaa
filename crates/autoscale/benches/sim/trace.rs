//! Loads, as requests a second over time, and how long a request takes.

use std::f64::consts::TAU;

use super::dice::Dice;

/// Seconds of each run.
pub(super) const LENGTH: f64 = 5400.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trace {
    Step,
    Flash,
    Day,
    Square,
    SlowDatabase,
    Idle,
    StepTen,
    Ramp,
    Burst,
    Sawtooth,
    /// So many requests a second throughout.
    Constant(f64),
}

impl Trace {
    /// Those by which the goals are counted.
    pub(super) const COUNTED: [Trace; 6] = [
        Trace::Step,
        Trace::Flash,
        Trace::Day,
        Trace::Square,
        Trace::SlowDatabase,
        Trace::Idle,
    ];
    pub(super) const MORE: [Trace; 4] =
        [Trace::StepTen, Trace::Ramp, Trace::Burst, Trace::Sawtooth];

    pub(super) fn name(self) -> String {
        match self {
            Self::Step => "step from 100 to 500 a second for 50 min".into(),
            Self::Flash => "flash crowd: 900 a second more in 20 s, then away in 5 min".into(),
            Self::Day => "a day of 50 to 450 a second, in 90 min".into(),
            Self::Square => "80 and 300 a second, 5 min each".into(),
            Self::SlowDatabase => "200 a second, four times as slow for 10 min".into(),
            Self::Idle => "nearly nothing, 30 a second for 5 min of each 30".into(),
            Self::StepTen => "step from 40 to 400 a second for 50 min".into(),
            Self::Ramp => "from 50 to 600 a second within 10 min, and back".into(),
            Self::Burst => "100 a second, 500 for 20 s of each 10 min".into(),
            Self::Sawtooth => "a noisy sawtooth of 100 to 400 a second, 6 min".into(),
            Self::Constant(rate) => format!("{rate} a second throughout"),
        }
    }

    /// Requests a second at a time.
    pub(super) fn rate(self, now: f64) -> f64 {
        match self {
            Self::Step if (1200.0..4200.0).contains(&now) => 500.0,
            Self::Step => 100.0,
            Self::Flash if now > 1800.0 => {
                let since = now - 1800.0;
                100.0 + 900.0 * (-since / 300.0).exp() * (1.0 - (-since / 20.0).exp())
            }
            Self::Flash => 100.0,
            Self::Day => 250.0 - 200.0 * (now / LENGTH * TAU).cos(),
            Self::Square if ((now / 300.0) as u64).is_multiple_of(2) => 80.0,
            Self::Square => 300.0,
            Self::SlowDatabase => 200.0,
            Self::Idle if now % 1800.0 < 300.0 => 30.0,
            Self::Idle => 0.02,
            Self::StepTen if (1200.0..4200.0).contains(&now) => 400.0,
            Self::StepTen => 40.0,
            Self::Ramp => match now {
                ..1200.0 => 50.0,
                ..1800.0 => 50.0 + 550.0 * (now - 1200.0) / 600.0,
                ..3600.0 => 600.0,
                ..4200.0 => 600.0 - 550.0 * (now - 3600.0) / 600.0,
                _ => 50.0,
            },
            Self::Burst if now > 600.0 && now % 600.0 < 20.0 => 500.0,
            Self::Burst => 100.0,
            Self::Sawtooth => {
                let tooth = 100.0 + 300.0 * (now % 360.0) / 360.0;
                // The same noise for everybody: a fifth up or down, another each 7 s.
                let noise = Dice::new((now / 7.0) as u64 + 1).unit();
                tooth * (0.8 + 0.4 * noise)
            }
            Self::Constant(rate) => rate,
        }
    }

    /// No more a second at any time.
    pub(super) fn peak(self) -> f64 {
        match self {
            Self::Step | Self::Burst => 500.0,
            Self::Flash => 1000.0,
            Self::Day => 450.0,
            Self::Square => 300.0,
            Self::SlowDatabase => 200.0,
            Self::Idle => 30.0,
            Self::StepTen => 400.0,
            Self::Ramp => 600.0,
            Self::Sawtooth => 480.0,
            Self::Constant(rate) => rate,
        }
    }

    /// When the load, or what it takes, jumps up while little was going on before.
    pub(super) fn jumps(self) -> &'static [f64] {
        match self {
            Self::Step | Self::StepTen => &[1200.0],
            Self::Burst => &[1200.0],
            _ => &[],
        }
    }

    /// Times as long as usual.
    pub(super) fn slowness(self, now: f64) -> f64 {
        match self {
            Self::SlowDatabase if (1800.0..2400.0).contains(&now) => 4.0,
            _ => 1.0,
        }
    }

    /// Seconds that a request takes: mostly 30 ms, one in ten 230 ms.
    pub(super) fn service(self, now: f64, dice: &mut Dice) -> f64 {
        let usual = match dice.unit() < 0.9 {
            true => dice.spread(0.030, 0.6),
            false => dice.spread(0.230, 0.8),
        };
        self.slowness(now) * usual
    }

    /// Requests that are worked on at once, in the mean.
    pub(super) fn at_once(self, now: f64) -> f64 {
        self.rate(now) * self.slowness(now) * (0.9 * 0.030 + 0.1 * 0.230)
    }
}
