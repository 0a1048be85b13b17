use super::super::{Configuration, SourceFile};
use super::*;
use std::path::PathBuf;

fn programs(text: &str) -> ProgramSections {
    let (name, path) = (PathBuf::from("a.cfg"), PathBuf::from("a.cfg"));
    let file = SourceFile { name, path, bytes: text.as_bytes().to_vec() };
    Configuration::scan(vec![file], &|name| (name == "DIR").then(|| "/opt".to_owned())).programs
}

fn refused(text: &str) -> String {
    programs(text).that_count(&mut |_| true).map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_section_is_read_as_haproxy_reads_it() {
    let text = "program api\n command \"$DIR/api\" --flag 'two words'\n no option start-on-reload\n\
                program b # c\n user nobody\n group nogroup\n command sh\n";
    let found = programs(text).that_count(&mut |_| true).unwrap_or_default();
    let [api, b] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((api.name.as_str(), api.starts_on_reload), ("api", false));
    assert_eq!(api.command, ["/opt/api", "--flag", "two words"]);
    assert_eq!((b.name.as_str(), b.starts_on_reload), ("b", true));
    assert_eq!(b.user.as_ref().map(|(name, span)| (name.as_str(), span.line)), Some(("nobody", 5)));
}

#[test]
fn what_haproxy_refuses_is_refused() {
    assert_eq!(
        refused("program a\n"),
        "parsing [a.cfg:1]: The program section 'a' lacks a command to launch."
    );
    assert!(refused("program\n command x\n").contains("[a.cfg:1]: 'program' expects an <id>"));
    assert!(refused("program a\n command x\n bind :80\n").contains("[a.cfg:3]: unknown keyword 'bind'"));
    assert!(
        refused("program a\n command x\nprogram a\n command y\n")
            .contains("[a.cfg:3]: 'a' program section already")
    );
    assert!(refused("program a\n command\n").contains("'command' expects a command"));
    assert!(refused("program a\n command x\n option nosuch\n").contains("unknown option 'nosuch'"));
    assert!(refused("program a\n command x\n user\n").contains("'user' expects a user name"));
    assert_eq!(refused("program a\n command x\n user a\n"), "");
}

#[test]
fn conditions_decide_what_counts() {
    let text = "global\n.if defined(X)\n master-worker no-exit-on-failure\n.endif\n\
                .if defined(A)\nprogram a\n command x\n.endif\nprogram b\n command y\n";
    let programs = programs(text);
    let names = |holds: bool| -> Vec<String> {
        let found = programs.that_count(&mut |guards| guards.is_empty() || holds).unwrap_or_default();
        found.into_iter().map(|one| one.name).collect()
    };
    assert_eq!((names(true), names(false)), (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()]));
    assert!(programs.may_die(&mut |_| true) && !programs.may_die(&mut |guards| guards.is_empty()));
}
