//! What routers reported in the last minutes, kept in memory; gathered anew after a start.
//!
//! Bounded: a fixed number of steps for each app that had traffic in the last ten minutes, and in each step the buckets
//! that something fell into; and one sum for each app that there is. Reads no clock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use ropewalk_api_types::router::{AppStats, DynoStats};
use ropewalk_model::traffic::{Connections, Load, Recent, Requests, Totals, Traffic, Window};
use ropewalk_model::{AppId, DynoId};

/// Seconds of a step, and how many steps: the last minute, and the last ten.
const WINDOWS: [(u64, u64); 2] = [(5, 12), (60, 10)];

/// The same for whoever watches; the second that is not over does not count.
const RECENT: (u64, u64) = (1, 10);

/// Seconds after which what a router said of the moment is no longer true: it says so every second.
const FRESH: u64 = 3;

/// Apps' traffic. Times are whole seconds of a clock that nobody sets, since it began.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    apps: HashMap<AppId, History>,
    /// Since the start.
    totals: HashMap<AppId, Requests>,
    /// Since the start, of apps that had any; how many are open is told by the router's connection.
    connections: HashMap<AppId, Connections>,
    open: HashMap<AppId, HashMap<u64, (u64, u64)>>,
    swept: u64,
}

#[derive(Debug, Default)]
struct History {
    windows: [VecDeque<Step>; WINDOWS.len()],
    recent: VecDeque<Step>,
    /// By the router's connection, with the second in which it was said.
    loads: HashMap<u64, (u64, Load)>,
}

/// A few seconds.
#[derive(Debug, Default)]
struct Step {
    number: u64,
    app: Requests,
    dynos: BTreeMap<DynoId, Requests>,
}

impl Recorder {
    /// Takes a router's report of one app.
    pub(crate) fn hear(&mut self, app: AppId, router: u64, stats: &AppStats, now: u64) {
        self.sweep(now);
        let ended = of_app(stats);
        self.totals.entry(app).or_default().add(&ended);
        if let Some(tcp) = &stats.tcp {
            let sum = self.connections.entry(app).or_default();
            sum.add(&Connections {
                ended: tcp.ended.clone(),
                open: 0,
                bytes_in: tcp.bytes_in,
                bytes_out: tcp.bytes_out,
            });
            let open = self.open.entry(app).or_default();
            open.retain(|_, (at, _)| at.saturating_add(FRESH) > now);
            open.insert(router, (now, tcp.open));
        }
        let history = self.apps.entry(app).or_default();
        history.hear(router, stats, &ended, now);
    }

    /// What is known of every app since the start.
    pub(crate) fn totals(&self, routers: &[u64], now: u64) -> BTreeMap<AppId, Totals> {
        let load = |app| {
            let history = self.apps.get(app);
            history.map_or_else(Load::default, |history| history.load(routers, now))
        };
        let totals = self.totals.iter().map(|(app, requests)| {
            let totals = Totals {
                requests: requests.clone(),
                load: load(app),
                connections: self.connections_of(*app, routers, now),
            };
            (*app, totals)
        });
        totals.collect()
    }

    /// Requests and connections of an app that are under way.
    pub(crate) fn open(&self, app: AppId, routers: &[u64], now: u64) -> u64 {
        let history = self.apps.get(&app);
        let requests = history.map_or(0, |history| history.load(routers, now).in_flight);
        requests.saturating_add(self.connections_of(app, routers, now).open)
    }

    /// Forgets all but these apps.
    pub(crate) fn keep(&mut self, apps: &HashSet<AppId>) {
        self.totals.retain(|app, _| apps.contains(app));
        self.connections.retain(|app, _| apps.contains(app));
        self.open.retain(|app, _| apps.contains(app));
    }

    fn connections_of(&self, app: AppId, routers: &[u64], now: u64) -> Connections {
        let mut connections = self.connections.get(&app).cloned().unwrap_or_default();
        for (router, (at, open)) in self.open.get(&app).into_iter().flatten() {
            if routers.contains(router) && at.saturating_add(FRESH) > now {
                connections.open = connections.open.saturating_add(*open);
            }
        }
        connections
    }

    /// What is known of an app. Without a router nothing is known of the moment.
    pub(crate) fn read(&self, app: AppId, routers: &[u64], now: u64) -> Traffic {
        let nothing = History::default();
        let history = self.apps.get(&app).unwrap_or(&nothing);
        let windows = WINDOWS
            .into_iter()
            .zip(&history.windows)
            .map(|(shape, steps)| window(shape, steps, now));
        Traffic {
            windows: windows.collect(),
            load: (!routers.is_empty()).then(|| history.load(routers, now)),
        }
    }

    /// What is known of the last seconds: of `only`, or of every app that had a request or has one.
    pub(crate) fn recent(&self, only: Option<AppId>, routers: &[u64], now: u64) -> Recent {
        let (_, seconds) = RECENT;
        let first = now.saturating_sub(seconds);
        let measured = now - first;
        let read = |history: &History| {
            let over = history.recent.iter().filter(|step| step.number < now);
            Traffic {
                windows: vec![sum(seconds, measured, over, first)],
                load: (!routers.is_empty()).then(|| history.load(routers, now)),
            }
        };
        let is_busy = |traffic: &Traffic| {
            let ended = traffic.windows.iter().any(|window| window.app.total() > 0);
            ended || traffic.load.as_ref().is_some_and(|load| load.in_flight > 0)
        };
        let apps = match only {
            Some(app) => {
                let nothing = History::default();
                let history = self.apps.get(&app).unwrap_or(&nothing);
                BTreeMap::from([(app, read(history))])
            }
            None => {
                let all = self.apps.iter().map(|(app, history)| (*app, read(history)));
                all.filter(|(_, traffic)| is_busy(traffic)).collect()
            }
        };
        Recent {
            seconds,
            measured,
            apps,
        }
    }

    /// Forgets apps whose last step is over, once a minute.
    fn sweep(&mut self, now: u64) {
        if now >= self.swept + 60 {
            self.swept = now;
            self.apps.retain(|_, history| history.is_current(now));
        }
    }
}

impl History {
    /// `ended`: of the whole app, what `stats` say has ended.
    fn hear(&mut self, router: u64, stats: &AppStats, ended: &Requests, now: u64) {
        for ((width, count), steps) in WINDOWS.into_iter().zip(&mut self.windows) {
            step(steps, now / width, count).hear(stats, ended);
        }
        let (width, count) = RECENT;
        step(&mut self.recent, now / width, count + 1).hear(stats, ended);
        self.loads
            .retain(|_, (at, _)| at.saturating_add(FRESH) > now);
        let load = Load {
            in_flight: stats.in_flight,
            waiting: stats.waiting,
            dynos: dynos(stats)
                .map(|(id, stats)| (id, stats.in_flight))
                .collect(),
        };
        self.loads.insert(router, (now, load));
    }

    fn load(&self, routers: &[u64], now: u64) -> Load {
        let mut sum = Load::default();
        for router in routers {
            if let Some((at, load)) = self.loads.get(router)
                && at.saturating_add(FRESH) > now
            {
                sum.add(load);
            }
        }
        sum
    }

    fn is_current(&self, now: u64) -> bool {
        WINDOWS
            .into_iter()
            .zip(&self.windows)
            .any(|((width, count), steps)| {
                steps
                    .back()
                    .is_some_and(|step| step.number + count > now / width)
            })
    }
}

impl Step {
    fn hear(&mut self, stats: &AppStats, ended: &Requests) {
        self.app.add(ended);
        for (id, stats) in dynos(stats) {
            let requests = Requests {
                classes: stats.classes,
                codes: BTreeMap::new(),
                times: stats.times.iter().copied().collect(),
            };
            self.dynos.entry(id).or_default().add(&requests);
        }
    }
}

fn of_app(stats: &AppStats) -> Requests {
    Requests {
        classes: stats.classes,
        codes: stats.codes.clone(),
        times: stats.times.iter().copied().collect(),
    }
}

fn dynos(stats: &AppStats) -> impl Iterator<Item = (DynoId, &DynoStats)> {
    stats
        .dynos
        .iter()
        .filter_map(|(id, stats)| Some((id.parse().ok()?, stats)))
}

/// The step that is filled now; older ones go.
fn step(steps: &mut VecDeque<Step>, number: u64, count: u64) -> &mut Step {
    while steps
        .front()
        .is_some_and(|step| step.number + count <= number)
    {
        steps.pop_front();
    }
    // Time may seem to stand still between two readers of the clock, and no more.
    if steps.back().is_none_or(|last| last.number < number) {
        steps.push_back(Step {
            number,
            ..Step::default()
        });
    }
    let last = steps.len() - 1;
    &mut steps[last]
}

fn window((width, count): (u64, u64), steps: &VecDeque<Step>, now: u64) -> Window {
    // The step that is filled now is not over.
    let first = (now / width + 1).saturating_sub(count);
    sum(width * count, now - first * width, steps.iter(), first)
}

/// Of the steps from `first` on.
fn sum<'a>(
    seconds: u64,
    measured: u64,
    steps: impl Iterator<Item = &'a Step>,
    first: u64,
) -> Window {
    let mut window = Window {
        seconds,
        measured,
        ..Window::default()
    };
    for step in steps.filter(|step| step.number >= first) {
        window.app.add(&step.app);
        for (id, requests) in &step.dynos {
            window.dynos.entry(*id).or_default().add(requests);
        }
    }
    window
}

#[cfg(test)]
mod tests {
    use ropewalk_api_types::router::TcpStats;
    use ropewalk_model::ResponseTimes;
    use uuid::Uuid;

    use super::*;

    const APP: AppId = AppId(Uuid::from_u128(1));
    const DYNO: DynoId = DynoId(Uuid::from_u128(2));

    /// One answer by [`DYNO`], one H12, one request in flight that waits.
    fn stats() -> AppStats {
        let dyno = DynoStats {
            classes: [1, 0, 1, 0, 0, 0],
            in_flight: 0,
            times: vec![(5, 2)],
        };
        AppStats {
            requests: 3,
            classes: dyno.classes,
            in_flight: 1,
            waiting: 1,
            codes: BTreeMap::from([("H12".to_owned(), 1)]),
            times: dyno.times.clone(),
            dynos: BTreeMap::from([
                (DYNO.to_string(), dyno),
                ("no id".to_owned(), DynoStats::default()),
            ]),
            ..AppStats::default()
        }
    }

    #[test]
    fn connections_over_tcp_add_up_and_are_open_by_router() {
        let mut recorder = Recorder::default();
        let stats = |open| AppStats {
            tcp: Some(TcpStats {
                ended: BTreeMap::from([("H15".to_owned(), 1)]),
                open,
                bytes_in: 10,
                bytes_out: 20,
            }),
            ..AppStats::default()
        };
        recorder.hear(APP, 1, &stats(3), 5);
        recorder.hear(APP, 2, &stats(4), 6);
        let read = |routers: &[u64], now| recorder.totals(routers, now)[&APP].connections.clone();
        let sum = Connections {
            ended: BTreeMap::from([("H15".to_owned(), 2)]),
            open: 7,
            bytes_in: 20,
            bytes_out: 40,
        };
        assert_eq!(read(&[1, 2], 7), sum);
        assert_eq!(read(&[2], 7).open, 4, "the other one has gone");
        assert_eq!(read(&[1, 2], 8).open, 4, "or has fallen silent");
        recorder.keep(&HashSet::new());
        assert!(recorder.totals(&[1], 7).is_empty());
    }

    #[test]
    fn a_minute_and_ten_are_kept_and_no_more() {
        let mut recorder = Recorder::default();
        let totals = |recorder: &Recorder, now| {
            let windows = recorder.read(APP, &[1], now).windows;
            windows
                .iter()
                .map(|window| (window.measured, window.app.total()))
                .collect::<Vec<_>>()
        };
        assert_eq!(totals(&recorder, 0), [(0, 0), (0, 0)]);
        for now in 0..100 {
            recorder.hear(APP, 1, &stats(), now);
        }
        assert_eq!(totals(&recorder, 100), [(55, 110), (100, 200)]);
        assert_eq!(totals(&recorder, 104), [(59, 110), (104, 200)]);
        assert_eq!(totals(&recorder, 200), [(55, 0), (200, 200)]);
        assert_eq!(totals(&recorder, 659), [(59, 0), (599, 80)]);
        assert_eq!(totals(&recorder, 720), [(55, 0), (540, 0)]);
        let kept = &recorder.apps[&APP].windows;
        assert_eq!([kept[0].len(), kept[1].len()], [12, 2]);
    }

    #[test]
    fn the_last_ten_seconds_that_are_over_are_told() {
        let mut recorder = Recorder::default();
        let other = AppId(Uuid::from_u128(9));
        let told = |recorder: &Recorder, now| {
            let recent = recorder.recent(None, &[1], now);
            let totals = recent.apps.values().map(|traffic| {
                assert_eq!(traffic.windows[0].measured, recent.measured);
                traffic.windows[0].app.total()
            });
            (recent.seconds, recent.measured, totals.collect::<Vec<_>>())
        };
        assert_eq!(told(&recorder, 0), (10, 0, vec![]));
        for now in 0..30 {
            recorder.hear(APP, 1, &stats(), now);
            if now == 3 {
                assert_eq!(told(&recorder, 3), (10, 3, vec![6]));
            }
        }
        // Nothing of an app that is idle.
        recorder.hear(other, 1, &AppStats::default(), 29);
        assert_eq!(told(&recorder, 29), (10, 10, vec![20]));
        assert_eq!(told(&recorder, 30), (10, 10, vec![20]));
        assert_eq!(told(&recorder, 35), (10, 10, vec![10]));
        assert_eq!(told(&recorder, 40), (10, 10, vec![]));
        assert_eq!(recorder.apps[&APP].recent.len(), 11);

        let one = recorder.recent(Some(other), &[1], 30);
        assert_eq!(one.apps.len(), 1);
        assert_eq!(one.apps[&other].load, Some(Load::default()));
        let one = recorder.recent(Some(APP), &[], 30);
        assert_eq!(one.apps[&APP].load, None);
        assert_eq!(one.apps[&APP].windows[0].dynos[&DYNO].total(), 20);
    }

    #[test]
    fn totals_grow_until_the_app_is_gone() {
        let mut recorder = Recorder::default();
        for now in [0, 5000] {
            recorder.hear(APP, 1, &stats(), now);
        }
        let totals = recorder.totals(&[1], 5000);
        assert_eq!(totals[&APP].requests.total(), 4);
        assert_eq!(totals[&APP].load.in_flight, 1);
        assert_eq!(recorder.totals(&[1], 6000)[&APP].load, Load::default());
        recorder.keep(&HashSet::from([APP]));
        assert_eq!(recorder.totals(&[1], 5000).len(), 1);
        recorder.keep(&HashSet::new());
        assert!(recorder.totals(&[1], 5000).is_empty());
    }

    #[test]
    fn dynos_codes_and_times_are_told_apart() {
        let mut recorder = Recorder::default();
        recorder.hear(APP, 1, &stats(), 7);
        recorder.hear(APP, 1, &stats(), 20);
        let read = recorder.read(APP, &[1], 21);
        for window in &read.windows {
            assert_eq!(window.measured, 21);
            assert_eq!(window.app.codes, BTreeMap::from([("H12".to_owned(), 2)]));
            assert_eq!(window.app.times, ResponseTimes::from_iter([(5, 4)]));
            assert_eq!(window.dynos.len(), 1);
            assert_eq!(window.dynos[&DYNO].classes, [2, 0, 2, 0, 0, 0]);
        }
        let other = AppId(Uuid::from_u128(9));
        let unknown = recorder.read(other, &[1], 21);
        assert!(unknown.windows.iter().all(|window| window.app.total() == 0));
        assert_eq!(unknown.load, Some(Load::default()));
    }

    #[test]
    fn what_is_under_way_is_the_sum_of_the_routers_that_are_there() {
        let mut recorder = Recorder::default();
        for router in [1, 2] {
            recorder.hear(APP, router, &stats(), 10);
        }
        let waiting = |routers: &[u64], now| {
            let load = recorder.read(APP, routers, now).load;
            load.map(|load| (load.in_flight, load.waiting, load.dynos.len()))
        };
        assert_eq!(waiting(&[1, 2], 10), Some((2, 2, 1)));
        assert_eq!(waiting(&[2, 3], 12), Some((1, 1, 1)));
        assert_eq!(waiting(&[1, 2], 13), Some((0, 0, 0)));
        assert_eq!(waiting(&[], 10), None);
    }

    #[test]
    fn an_app_without_traffic_is_forgotten() {
        let mut recorder = Recorder::default();
        recorder.hear(APP, 1, &stats(), 5);
        let other = AppId(Uuid::from_u128(9));
        recorder.hear(other, 1, &stats(), 599);
        assert_eq!(recorder.apps.len(), 2);
        recorder.hear(other, 1, &stats(), 660);
        assert_eq!(recorder.apps.len(), 1);
    }
}
