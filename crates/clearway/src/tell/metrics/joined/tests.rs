use clearway_haproxy::statistics::{StatOf, StatReader};

use super::*;

fn joined(rows: &str) -> JoinedStatistics {
    let mut reader = StatReader::default();
    let text = format!("# pxname,svname,stot,hrsp_2xx,hrsp_5xx,status,rtime,type\n{rows}");
    text.lines().for_each(|line| reader.line(line));
    let mut sample = StatSample::default();
    sample.add(&reader.sample().unwrap(), StatOf::Serving);
    JoinedStatistics { sample, answered: 1, remembered: 2, unknown: 3 }
}

#[test]
fn names_and_labels_are_those_of_the_exporter() {
    let joined = joined("f,FRONTEND,3,2,1,OPEN,,0\nb,s,2,,,DRAIN,1500,2\n");
    let text = joined.text(MetricsFormat::Prometheus);
    for line in [
        r#"clearway_haproxy_generations{counters="remembered"} 2"#,
        r#"haproxy_frontend_sessions_total{proxy="f"} 3"#,
        r#"haproxy_frontend_http_responses_total{proxy="f",code="5xx"} 1"#,
        r#"haproxy_server_status{proxy="b",server="s",state="DRAIN"} 1"#,
        r#"haproxy_server_status{proxy="b",server="s",state="UP"} 0"#,
        r#"haproxy_server_response_time_average_seconds{proxy="b",server="s"} 1.5"#,
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
    assert!(!text.contains("haproxy_server_http_responses_total{"), "not said, so not told: {text}");
    assert!(!text.contains("haproxy_backend_"), "there is none: {text}");
    assert_eq!(text.matches("# TYPE haproxy_frontend_http_responses_total ").count(), 1, "{text}");
}

#[test]
fn a_part_has_no_end_and_counters_are_called_as_the_format_wants() {
    let text = joined("f,FRONTEND,3,2,1,OPEN,,0\n").text(MetricsFormat::OpenMetrics);
    assert!(
        text.contains("# TYPE haproxy_frontend_sessions counter\nhaproxy_frontend_sessions_total{"),
        "{text}"
    );
    assert!(!text.contains("# EOF"), "{text}");
}

#[test]
fn a_name_from_outside_cannot_end_its_label() {
    let text = joined("\"a\"\"b\",FRONTEND,3,,,OPEN,,0\n").text(MetricsFormat::Prometheus);
    assert!(text.contains(r#"haproxy_frontend_sessions_total{proxy="a\"b"} 3"#), "{text}");
}
