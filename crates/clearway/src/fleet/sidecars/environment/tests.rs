use super::*;

#[test]
fn only_what_haproxy_alone_knows_is_believed() {
    let answer =
        "PATH=/evil\nHAPROXY_CLI=unix@/a;sockpair@5;sockpair@9\nLD_PRELOAD=/evil\nHAPROXY_LOCALPEER=x";
    let known = [("HAPROXY_CLI", "unix@/a;sockpair@9"), ("HAPROXY_LOCALPEER", "x")];
    let known: Vec<_> = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(believed(answer, ChildFd(5)), known);
}

#[test]
fn the_environment_has_the_files_of_the_user() {
    let changes = Changes::from([("A".to_owned(), Some("b".to_owned())), ("PATH".to_owned(), None)]);
    let environment = ProgramEnvironment { changes, files: "x.cfg;y.cfg".into(), said: Vec::new() };
    let variables = environment.variables(Some(OsStr::new("me")), Some("unix@/m"));
    let get = |name: &str| variables.get(OsStr::new(name)).and_then(|value| value.to_str());
    assert_eq!((get("A"), get("PATH"), get("HAPROXY_LOCALPEER")), (Some("b"), None, Some("me")));
    assert_eq!((get("HAPROXY_CFGFILES"), get("HAPROXY_MWORKER")), (Some("x.cfg;y.cfg"), Some("1")));
    assert_eq!(get("HAPROXY_MASTER_CLI"), Some("unix@/m"));
}
