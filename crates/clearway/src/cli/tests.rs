use super::*;

fn parse_line(line: &str, environment: &[(&str, &str)]) -> Result<Order, Refusal> {
    parse(line.split_whitespace().map(OsString::from).collect(), |name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    })
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn every_subcommand_is_known_to_the_entry_point() {
    for sub in command().get_subcommands() {
        assert!(crate::entry::SUBCOMMANDS.contains(&sub.get_name()), "{}", sub.get_name());
    }
}

#[test]
fn a_flag_wins_over_its_variable() {
    let line = "run --drain-timeout 10s -- haproxy -f a.cfg";
    let environment = [("CLEARWAY_DRAIN_TIMEOUT", "20s"), ("CLEARWAY_INSTANCE", "web")];
    let Ok(Order::Run(settings, haproxy)) = parse_line(line, &environment) else { panic!("{line}") };
    assert_eq!(settings.drain_timeout.as_secs(), 10);
    assert_eq!(settings.instance.unwrap().as_str(), "web");
    assert_eq!(haproxy, ["haproxy", "-f", "a.cfg"]);
}

#[test]
fn every_variable_is_read_and_named_when_it_is_wrong() {
    let is_a_path = |flag: &str| flag.ends_with("-directory") || flag.ends_with("-file");
    for row in TABLE.iter().filter(|row| !is_a_path(row.flag)) {
        let Err(Refusal::Setting(error)) = parse_line("run -- haproxy", &[(row.variable, "Ä !")]) else {
            panic!("{} took nonsense", row.variable)
        };
        assert!(error.to_string().starts_with(&format!("`{}` is `Ä !`: ", row.variable)), "{error}");
    }
}

#[test]
fn haproxys_arguments_need_no_dashes_before_them() {
    for line in [
        "run --instance web -f a.cfg",
        "run --instance web haproxy -f a.cfg",
        "run --instance=web -- -f a.cfg",
        "run --instance web -- haproxy -f a.cfg",
    ] {
        let Ok(Order::Run(settings, haproxy)) = parse_line(line, &[]) else { panic!("{line}") };
        assert_eq!(settings.instance.unwrap().as_str(), "web", "{line}");
        assert!(haproxy.ends_with(&["-f".into(), "a.cfg".into()]), "{line}: {haproxy:?}");
    }
    let Ok(Order::Doctor(target, haproxy)) = parse_line("doctor --json -f a.cfg", &[]) else { panic!() };
    assert!(target.json && haproxy == ["-f", "a.cfg"]);
}

#[test]
fn unknown_flags_are_refused_with_usage() {
    let Err(refusal @ Refusal::Clap(_)) = parse_line("run --no-such-flag", &[]) else { panic!() };
    assert_eq!(refusal.code(), ExitCode::Usage);
    let Err(help @ Refusal::Clap(_)) = parse_line("run --help", &[]) else { panic!() };
    assert_eq!(help.code(), ExitCode::Done);
}

#[test]
fn the_reference_is_what_the_table_says() {
    let written = include_str!("../../../../docs/reference/settings.md");
    assert!(written == pages::reference(), "docs/reference/settings.md is stale: run `make reference`");
}

#[test]
fn each_subcommand_has_a_page_and_is_completed() {
    let pages = pages::manuals().unwrap();
    let scripts: Vec<String> = ["bash", "zsh", "fish"]
        .map(|shell| match parse_line(&format!("completions {shell}"), &[]) {
            Ok(Order::Completions(shell)) => String::from_utf8(pages::completions(shell)).unwrap(),
            other => panic!("{other:?}"),
        })
        .into();
    for sub in command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = sub.get_name();
        let (_, page) = pages.iter().find(|(file, _)| *file == format!("clearway-{name}.1")).unwrap();
        let page = String::from_utf8_lossy(page);
        assert!(page.contains(&format!("clearway\\-{name} \\- ")), "{page}");
        assert!(page.contains(".SH OPTIONS\n") && page.contains(".SH \"EXIT STATUS\"\n"), "{page}");
        assert!(scripts.iter().all(|script| script.contains(name)), "{name}");
        assert!(
            matches!(parse_line(&format!("man {name}"), &[]), Ok(Order::Manual(Some(page))) if page == name)
        );
    }
    assert!(
        pages.iter().any(|(file, page)| file == "clearway-stop.1" && page == b".so man1/clearway-drain.1\n")
    );
}

#[test]
fn one_page_is_printed_or_all_are_written() {
    let page = |line: &str| match parse_line(line, &[]) {
        Ok(Order::Manual(page)) => page,
        other => panic!("{other:?}"),
    };
    assert_eq!(page("man"), None);
    assert_eq!(page("man stop").as_deref(), Some("stop"));
    assert!(matches!(parse_line("man --directory out", &[]), Ok(Order::Manuals(_))));
    for wrong in ["man bash", "man run --directory out", "completions powershell", "completions"] {
        assert!(matches!(parse_line(wrong, &[]), Err(Refusal::Clap(_))), "{wrong}");
    }
    assert_eq!(pages::manual(Some("stop")).unwrap(), pages::manual(Some("drain")).unwrap());
}

#[test]
fn a_plan_is_asked_for_in_three_ways() {
    for line in ["plan --json", "apply --dry-run --json", "diff --plan --json"] {
        assert!(matches!(parse_line(line, &[]), Ok(Order::Plan(target)) if target.json), "{line}");
    }
    assert!(matches!(parse_line("apply --instance web", &[]), Ok(Order::Apply(_))));
    assert!(matches!(parse_line("diff", &[]), Ok(Order::Diff(_, None))));
    for wrong in ["diff --plan --generation 3", "plan now", "apply --generation 3"] {
        assert!(matches!(parse_line(wrong, &[]), Err(Refusal::Clap(_))), "{wrong}");
    }
}

#[test]
fn the_version_begins_with_that_of_the_package() {
    assert!(env!("CLEARWAY_VERSION").starts_with(env!("CARGO_PKG_VERSION")));
}
