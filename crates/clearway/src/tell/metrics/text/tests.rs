use std::time::Duration;

use super::*;
use crate::tell::metrics::table;

fn written(format: MetricsFormat, write: impl FnOnce(&mut MetricsText)) -> String {
    let mut text = MetricsText::new(format);
    write(&mut text);
    text.finish()
}

#[test]
fn values_of_labels_are_escaped() {
    let text = written(MetricsFormat::Prometheus, |text| {
        text.labelled(&table::BUILD_INFO, &["1 \"a\\b\"\nc", "d"], 1);
    });
    let line = text.lines().last().unwrap();
    assert_eq!(line, r#"clearway_build_info{version="1 \"a\\b\"\nc",commit="d"} 1"#);
}

#[test]
fn a_counter_is_called_as_each_format_wants_it() {
    let write = |text: &mut MetricsText| text.one(&table::CRASHES, 3);
    let help = table::CRASHES.help;
    assert_eq!(
        written(MetricsFormat::Prometheus, write),
        format!(
            "# HELP clearway_crashes_total {help}\n# TYPE clearway_crashes_total counter\nclearway_crashes_total 3\n"
        )
    );
    assert_eq!(
        written(MetricsFormat::OpenMetrics, write),
        format!(
            "# HELP clearway_crashes {help}\n# TYPE clearway_crashes counter\nclearway_crashes_total 3\n# EOF\n"
        )
    );
}

#[test]
fn a_histogram_is_cumulative_and_ends_with_all() {
    let mut took: Series<Durations> = Series::new(&table::RELOAD_SECONDS);
    for milliseconds in [10, 300, 400, 1000, 40_000] {
        took.observe(&[], Duration::from_millis(milliseconds));
    }
    let text = written(MetricsFormat::OpenMetrics, |text| text.durations(&took));
    let values = |suffix: &str| {
        let name = format!("clearway_reload_seconds{suffix}");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&name)).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        values("_bucket").join(" "),
        r#"{le="0.01"} 1 {le="0.05"} 1 {le="0.1"} 1 {le="0.25"} 1 {le="0.5"} 3 {le="1.0"} 4 {le="2.5"} 4 {le="5.0"} 4 "#
            .to_owned()
            + r#"{le="10.0"} 4 {le="30.0"} 4 {le="+Inf"} 5"#
    );
    assert_eq!((values("_sum"), values("_count")), (vec![" 41.71".to_owned()], vec![" 5".to_owned()]));
}

#[test]
fn openmetrics_is_written_only_where_it_is_asked_for() {
    // As Prometheus 2 and 3 ask.
    let two = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
               text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
    for wanted in [two, three, "Application/OpenMetrics-Text", "text/plain, application/openmetrics-text"] {
        assert_eq!(MetricsFormat::accepted(wanted), MetricsFormat::OpenMetrics, "{wanted}");
    }
    for other in [
        "",
        "*/*",
        "text/plain;version=0.0.4",
        "text/plain;q=0.6,application/openmetrics-text;q=0.5",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=NaN",
        "application/openmetrics-text;q=much",
        ";;,,q=1;",
    ] {
        assert_eq!(MetricsFormat::accepted(other), MetricsFormat::Prometheus, "{other}");
    }
}
