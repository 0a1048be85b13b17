use super::*;

fn found(name: &str, value: &str) -> Option<Stray> {
    strays([(name, value)]).pop()
}

#[test]
fn a_mistyped_name_is_told_with_the_one_that_is_meant() {
    for (name, meant) in [
        ("CLEARWAY_DRAINTIMEOUT", "CLEARWAY_DRAIN_TIMEOUT"),
        ("CLEARWAY_DRAIN_TIMOUT", "CLEARWAY_DRAIN_TIMEOUT"),
        ("clearway_drain_timeout", "CLEARWAY_DRAIN_TIMEOUT"),
        ("CLEARWAY_STRATEGIE", "CLEARWAY_STRATEGY"),
        ("CLEARWAY_PORTS", "HAPROXY_PORTS"),
        ("CLEARWAY_INTERCEPT_FAILS", "CLEARWAY_INTERCEPT_FAIL"),
        ("CLEARWAY_LOGS", "CLEARWAY_LOG"),
    ] {
        assert_eq!(found(name, "8s").unwrap().nearest, Some(meant), "{name}");
    }
    assert_eq!(found("CLEARWAY_SOMETHING_ELSE_ALTOGETHER", "").unwrap().nearest, None);
    let words = strays([("CLEARWAY_DRAINTIMEOUT", "8s")])[0].to_string();
    assert!(words.ends_with("did you mean `CLEARWAY_DRAIN_TIMEOUT`?"), "{words}");
}

#[test]
fn settings_and_what_others_set_are_left_alone() {
    for row in TABLE {
        assert_eq!(found(row.variable, "x"), None, "{}", row.variable);
    }
    for name in ["PATH", "CLEARWAY", "HAPROXY_PORT", "CLEARWAY_IMAGE", "CLEARWAY_TEST_PATIENCE"] {
        assert_eq!(found(name, "x"), None, "{name}");
    }
}

/// What Kubernetes sets for Services that are called `clearway`, `clearway-edge` and `clearway-old-port`.
#[test]
fn the_variables_of_a_kubernetes_service_are_left_alone() {
    for prefix in ["CLEARWAY", "CLEARWAY_EDGE", "CLEARWAY_OLD_PORT"] {
        for (rest, value) in [
            ("SERVICE_HOST", "10.0.0.11"),
            ("SERVICE_PORT", "80"),
            ("SERVICE_PORT_HTTP", "80"),
            ("SERVICE_PORT_HTTP_ALT", "8080"),
            ("PORT", "tcp://10.0.0.11:80"),
            ("PORT_80_TCP", "tcp://10.0.0.11:80"),
            ("PORT_80_TCP_PROTO", "tcp"),
            ("PORT_80_TCP_PORT", "80"),
            ("PORT_80_TCP_ADDR", "10.0.0.11"),
            ("PORT_443_UDP", "udp://10.0.0.11:443"),
        ] {
            assert_eq!(found(&format!("{prefix}_{rest}"), value), None, "{prefix}_{rest}");
        }
    }
    // These only look like it.
    for name in ["CLEARWAY_PORT", "CLEARWAY_PORT_X_TCP", "CLEARWAY_PORT_80", "CLEARWAY_SERVICE"] {
        assert!(found(name, "80").is_some(), "{name}");
    }
}
