//! Metrics, in the text form that Prometheus scrapes.
//!
//! Names are `ropewalk_<noun>_<unit>[_total]`; the prefix is put here.

use prometheus::{Encoder, HistogramOpts, Opts, Registry, TextEncoder};
use thiserror::Error;

use crate::process;

/// A number that only grows.
pub type Counter = prometheus::IntCounter;
/// Counters told apart by labels.
pub type Counters = prometheus::IntCounterVec;
/// A number that goes up and down.
pub type Gauge = prometheus::IntGauge;
/// A distribution, in seconds or bytes.
pub type Histogram = prometheus::Histogram;

const PREFIX: &str = "ropewalk";

#[derive(Debug, Error)]
#[error("metric {name}: {source}")]
pub struct MetricError {
    name: String,
    #[source]
    source: prometheus::Error,
}

/// A registry. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter, MetricError> {
        self.register(name, Counter::with_opts(opts(name, help)))
    }

    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Counters, MetricError> {
        self.register(name, Counters::new(opts(name, help), labels))
    }

    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge, MetricError> {
        self.register(name, Gauge::with_opts(opts(name, help)))
    }

    /// `bounds` are the upper ends of the buckets, rising.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Result<Histogram, MetricError> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(bounds.to_vec());
        self.register(name, Histogram::with_opts(opts))
    }

    /// Everything in the text form, the gauges of this process included.
    pub fn render(&self) -> Result<String, MetricError> {
        let fail = |source| MetricError {
            name: "all".to_owned(),
            source,
        };
        let mut out = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut out)
            .map_err(fail)?;
        let mut text = String::from_utf8_lossy(&out).into_owned();
        let usage = process::usage();
        for (name, kind, value) in [
            ("resident_memory_bytes", "gauge", usage.rss_bytes as f64),
            ("open_fds", "gauge", usage.open_fds as f64),
            ("threads", "gauge", usage.threads as f64),
            ("cpu_seconds_total", "counter", usage.cpu_seconds),
        ] {
            text.push_str(&format!(
                "# TYPE {PREFIX}_process_{name} {kind}\n{PREFIX}_process_{name} {value}\n"
            ));
        }
        Ok(text)
    }

    fn register<M>(
        &self,
        name: &str,
        metric: Result<M, prometheus::Error>,
    ) -> Result<M, MetricError>
    where
        M: prometheus::core::Collector + Clone + 'static,
    {
        let fail = |source| MetricError {
            name: name.to_owned(),
            source,
        };
        let metric = metric.map_err(fail)?;
        self.registry
            .register(Box::new(metric.clone()))
            .map_err(fail)?;
        Ok(metric)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_the_process() {
        let metrics = Metrics::default();
        let pushes = metrics.counter("pushes_total", "Pushes taken.").unwrap();
        let answers = metrics
            .counters("answers_total", "Answers by status.", &["status"])
            .unwrap();
        let seconds = metrics
            .histogram("build_seconds", "Time of a build.", &[1.0, 10.0])
            .unwrap();
        pushes.inc_by(2);
        answers.with_label_values(&["200"]).inc();
        seconds.observe(3.5);
        let text = metrics.render().unwrap();
        for line in [
            "ropewalk_pushes_total 2",
            "ropewalk_answers_total{status=\"200\"} 1",
            "ropewalk_build_seconds_bucket{le=\"10\"} 1",
            "ropewalk_process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let metrics = Metrics::default();
        metrics.gauge("dynos", "Dynos.").unwrap();
        let error = metrics.gauge("dynos", "Dynos.").unwrap_err();
        assert!(error.to_string().starts_with("metric dynos: "));
    }
}
