use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn set(key: SettingKey, text: &str) -> Result<Settings, InvalidSetting> {
    let mut settings = Settings::default();
    settings.set(key, text, "--flag").map(|()| settings)
}

#[test]
fn every_row_has_its_own_flag_and_variable() {
    for (i, a) in TABLE.iter().enumerate() {
        for b in &TABLE[i + 1..] {
            assert!(a.flag != b.flag && a.variable != b.variable && a.key != b.key);
        }
        assert!(!a.help.ends_with('.'), "{}: no trailing period", a.flag);
    }
}

#[test]
fn durations_have_units_or_are_seconds() {
    for (text, expected) in [
        ("295s", Duration::from_secs(295)),
        ("295", Duration::from_secs(295)),
        ("5m", Duration::from_mins(5)),
        ("1m30s", Duration::from_secs(90)),
        ("500ms", Duration::from_millis(500)),
        ("0", Duration::ZERO),
        ("1d", Duration::from_hours(24)),
    ] {
        assert_eq!(set(SettingKey::DrainTimeout, text).unwrap().drain_timeout, expected, "{text}");
    }
    for bad in ["s", "5x", "1 2", "-1s", "5m3", "99999999999999999999s", "9999999d", "ä"] {
        let error = set(SettingKey::DrainTimeout, bad).unwrap_err();
        assert!(error.to_string().contains("such as `295s`"), "{bad}: {error}");
    }
}

#[test]
fn the_mark_is_one_bit() {
    assert_eq!(set(SettingKey::Mark, "0x40000000").unwrap().mark, Mark::bit(30));
    assert_eq!(set(SettingKey::Mark, "0x40000000/0x40000000").unwrap().mark, Mark::bit(30));
    assert_eq!(set(SettingKey::Mark, "1").unwrap().mark, Mark::bit(0));
    for bad in ["3", "0", "0x", "x", "0x40000000/0xffffffff"] {
        assert!(set(SettingKey::Mark, bad).is_err(), "{bad}");
    }
}

#[test]
fn the_ports_of_the_old_images_are_taken() {
    assert_eq!(set(SettingKey::Ports, "1234,5678").unwrap().ports, [1234, 5678]);
    assert_eq!(set(SettingKey::Ports, "80, 443").unwrap().ports, [80, 443]);
    let error = set(SettingKey::Ports, "80,http").unwrap_err().to_string();
    assert_eq!(
        error,
        "`--flag` is `80,http`: `http` is not a port: expected numbers from 1 to 65535 with commas between"
    );
    assert!(set(SettingKey::Ports, "0").is_err());
}

#[test]
fn log_takes_format_and_level_in_any_order() {
    let json = set(SettingKey::Log, "json").unwrap().log;
    assert_eq!((json.format, json.level), (LogFormat::Json, LogLevel::Info));
    let both = set(SettingKey::Log, "debug,json").unwrap().log;
    assert_eq!((both.format, both.level), (LogFormat::Json, LogLevel::Debug));
    assert!(set(SettingKey::Log, "loud").is_err());
}

#[test]
fn watching_is_off_unless_asked_for() {
    assert_eq!(Settings::default().watch, WatchMode::Off);
    assert_eq!(set(SettingKey::Watch, "on").unwrap().watch, WatchMode::On);
    assert_eq!(set(SettingKey::Watch, "poll").unwrap().watch, WatchMode::Poll);
    assert_eq!(set(SettingKey::WatchQuiet, "2s").unwrap().watch_quiet, Duration::from_secs(2));
    let error = set(SettingKey::Watch, "yes").unwrap_err().to_string();
    assert_eq!(error, "`--flag` is `yes`: expected `off`, `on` or `poll`");
}

#[test]
fn servers_are_carried_unless_asked_otherwise_and_tables_if_asked() {
    let carry = |text: &str| set(SettingKey::Carry, text).map(|settings| settings.carry);
    let of = |servers, tables| CarrySetting { servers, tables };
    assert_eq!(Settings::default().carry, of(true, None));
    for (text, expected) in [
        ("off", of(false, None)),
        ("servers", of(true, None)),
        ("tables", of(false, Some(100_000))),
        ("servers,tables", of(true, Some(100_000))),
        ("tables=50000, servers", of(true, Some(50_000))),
    ] {
        assert_eq!(carry(text).unwrap(), expected, "{text}");
    }
    for bad in ["on", "servers,off", "servers,", "tables=", "tables=0", "tables=-1", "tables=1x", "servers=1"]
    {
        assert!(carry(bad).unwrap_err().to_string().contains("expected"), "{bad}");
    }
}

#[test]
fn the_canary_is_on_unless_asked_otherwise() {
    assert_eq!(Settings::default().canary, CanaryMode::On);
    assert_eq!(set(SettingKey::Canary, "off").unwrap().canary, CanaryMode::Off);
    assert_eq!(set(SettingKey::Canary, "ready").unwrap().canary, CanaryMode::Ready);
    assert!(set(SettingKey::Canary, "yes").unwrap_err().to_string().contains("`off`, `on` or `ready`"));
}

#[test]
fn the_canary_has_one_address_a_family() {
    let addresses =
        |text: &str| set(SettingKey::CanaryAddress, text).map(|settings| settings.canary_address.to_string());
    let row = TABLE.iter().find(|row| row.key == SettingKey::CanaryAddress).unwrap();
    assert_eq!(ProbeAddresses::default().to_string(), row.default);
    assert_eq!(addresses(row.default).unwrap(), row.default);
    assert_eq!(addresses("10.9.9.9").unwrap(), "10.9.9.9,2001:2::179");
    assert_eq!(addresses("fd99::9").unwrap(), "198.18.179.1,fd99::9");
    assert_eq!(addresses("fd99::9, 10.9.9.9").unwrap(), "10.9.9.9,fd99::9");
    for bad in [
        "x",
        "10.9.9.9,",
        "10.9.9.9,10.9.9.8",
        "10.9.9.9/32",
        "[fd99::9]",
        "127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "224.0.0.1",
        "169.254.0.1",
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
        "::ffff:10.9.9.9",
    ] {
        assert!(addresses(bad).is_err(), "{bad}");
    }
    let error = addresses("127.0.0.1").unwrap_err().to_string();
    assert!(error.contains("a loopback address"), "{error}");
}

#[test]
fn each_server_gets_the_address_of_its_family() {
    let addresses = ProbeAddresses::default();
    assert_eq!(addresses.towards("10.2.0.2".parse().unwrap()), addresses.v4);
    assert_eq!(addresses.towards("::ffff:10.2.0.2".parse().unwrap()), addresses.v4);
    assert_eq!(addresses.towards("fd02::2".parse().unwrap()), addresses.v6);
}

#[test]
fn the_canary_repeats_itself_only_if_asked() {
    assert_eq!(Settings::default().canary_every, None);
    assert_eq!(set(SettingKey::CanaryEvery, "off").unwrap().canary_every, None);
    assert_eq!(set(SettingKey::CanaryEvery, "5m").unwrap().canary_every, Some(Duration::from_mins(5)));
    for bad in ["0", "on", "10ms", "9999d"] {
        assert!(
            set(SettingKey::CanaryEvery, bad).unwrap_err().to_string().contains("such as `30s`"),
            "{bad}"
        );
    }
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    for row in TABLE {
        assert_eq!(set(row.key, "").unwrap(), Settings::default());
    }
}

proptest! {
    #[test]
    fn nothing_that_is_typed_panics(text in ".{0,40}") {
        for row in TABLE {
            let _ = set(row.key, &text);
        }
    }
}

#[test]
fn what_is_intercepted_and_how_it_fails_are_two_settings() {
    let mut settings = set(SettingKey::InterceptFail, "closed").unwrap();
    assert!(settings.interception.is_empty() && !settings.interception.is_closed());
    settings.set(SettingKey::Intercept, "any port 25 to 2525", "CLEARWAY_INTERCEPT").unwrap();
    assert!(settings.interception.is_closed());
    for (key, bad, expected) in [
        (
            SettingKey::Intercept,
            "any port 25 to 2525; any port x to 1",
            "rule 2 (`any port x to 1`): `x` is not a port",
        ),
        (SettingKey::InterceptFail, "shut", "expected `open`"),
    ] {
        let error = set(key, bad).unwrap_err().to_string();
        assert!(error.starts_with("`--flag` is `") && error.contains(expected), "{error}");
    }
}
