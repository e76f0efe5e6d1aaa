//! Metrics, in the text form that Prometheus scrapes.
//!
//! Nothing is counted here: what is told was counted elsewhere, and is read anew for each scrape. Names are
//! `ropewalk_<noun>_<unit>[_total]`; the prefix is put here.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};
use thiserror::Error;

use crate::process;

const PREFIX: &str = "ropewalk";

/// `Content-Type` of what [`Reading::render`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

#[derive(Debug, Error)]
#[error("the metrics cannot be written")]
pub struct MetricError {
    #[source]
    source: prometheus::Error,
}

/// By which numbers of one name are told apart: name and value.
pub type Labels = Vec<(&'static str, String)>;

/// How many values were at most so large.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// Upper end of each bucket, rising, and how many values were no larger.
    pub buckets: Vec<(f64, u64)>,
    pub count: u64,
    /// Of all values.
    pub sum: f64,
}

/// Everything that is told in one answer.
#[derive(Debug)]
pub struct Reading {
    families: Vec<MetricFamily>,
}

impl Default for Reading {
    /// With what this process uses.
    fn default() -> Self {
        let mut reading = Self {
            families: Vec::new(),
        };
        let usage = process::usage();
        let none = Labels::new;
        reading.gauges(
            "process_resident_memory_bytes",
            "Resident memory of the server.",
            [(none(), usage.rss_bytes as f64)],
        );
        reading.gauges(
            "process_open_fds",
            "File descriptors that the server has open.",
            [(none(), usage.open_fds as f64)],
        );
        reading.gauges(
            "process_threads",
            "Threads of the server.",
            [(none(), usage.threads as f64)],
        );
        reading.counters(
            "process_cpu_seconds_total",
            "Processor time that the server used.",
            [(none(), usage.cpu_seconds)],
        );
        reading
    }
}

impl Reading {
    /// Numbers that only grow.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.family(name, help, MetricType::COUNTER, samples, |metric, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
    }

    /// Numbers that go up and down.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.family(name, help, MetricType::GAUGE, samples, |metric, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    pub fn distributions(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Distribution)>,
    ) {
        self.family(
            name,
            help,
            MetricType::HISTOGRAM,
            samples,
            |metric, value| {
                let bucket = |(upper, count): (f64, u64)| {
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(upper);
                    bucket.set_cumulative_count(count);
                    bucket
                };
                let mut histogram = Histogram::default();
                histogram.set_bucket(value.buckets.into_iter().map(bucket).collect());
                histogram.set_sample_count(value.count);
                histogram.set_sample_sum(value.sum);
                metric.set_histogram(histogram);
            },
        );
    }

    /// The text.
    ///
    /// # Errors
    /// A name that Prometheus does not take.
    pub fn render(&self) -> Result<String, MetricError> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.families, &mut text)
            .map_err(|source| MetricError { source })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// A name without numbers is left out.
    fn family<T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels, T)>,
        put: impl Fn(&mut Metric, T),
    ) {
        let metrics: Vec<Metric> = samples
            .into_iter()
            .map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
                put(&mut metric, value);
                metric
            })
            .collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(format!("{PREFIX}_{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

fn pair((name, value): (&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_rendered_with_the_process() {
        let mut reading = Reading::default();
        let labels = |value: &str| vec![("class", value.to_owned())];
        reading.counters(
            "requests_total",
            "Requests.",
            [(labels("2xx"), 7.0), (labels("a\"b\n"), 1.0)],
        );
        reading.gauges("nothing", "Left out.", []);
        let distribution = Distribution {
            buckets: vec![(0.5, 1), (2.0, 3)],
            count: 4,
            sum: 9.5,
        };
        reading.distributions("wait_seconds", "Waits.", [(labels("x"), distribution)]);
        let text = reading.render().unwrap();
        for line in [
            "# TYPE ropewalk_requests_total counter",
            "ropewalk_requests_total{class=\"2xx\"} 7",
            "ropewalk_requests_total{class=\"a\\\"b\\n\"} 1",
            "ropewalk_wait_seconds_bucket{class=\"x\",le=\"2\"} 3",
            "ropewalk_wait_seconds_bucket{class=\"x\",le=\"+Inf\"} 4",
            "ropewalk_wait_seconds_sum{class=\"x\"} 9.5",
            "ropewalk_wait_seconds_count{class=\"x\"} 4",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in {text}"
            );
        }
        assert!(text.contains("\nropewalk_process_resident_memory_bytes "));
        assert!(!text.contains("nothing"));
    }
}
