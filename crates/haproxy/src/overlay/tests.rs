use super::*;
use crate::configuration::SourceFile;

fn configuration(text: &str) -> Configuration {
    let file = SourceFile { name: "a".into(), path: "a".into(), bytes: text.into() };
    Configuration::scan(vec![file], &|_| None)
}

const TRANSPARENT: &str = "global\n user nobody\nbackend b\n source 0.0.0.0 usesrc clientip\n";

#[test]
fn says_what_is_needed_and_no_more() {
    let both = [WorkerCapability::NetRaw, WorkerCapability::NetBindService];
    let new = Version::release(3, 0, 11);
    let text =
        |text, version| Overlay::new(ChildFd(5), &configuration(text), version, &both, None).to_string();
    assert_eq!(
        text("listen a\n bind :80\n", new),
        "# Clearway's overlay: private, beside the user's own configuration.\nglobal\n    stats socket sockpair@5 \
         level admin expose-fd listeners\n    stats maxconn 26\n"
    );
    assert!(text("global\n stats maxconn 100\n", new).contains("stats maxconn 116\n"));
    assert!(text("global\n stats maxconn 4294967295\n", new).contains("stats maxconn 4294967295\n"));
    assert!(text(TRANSPARENT, new).ends_with("    setcap cap_net_raw,cap_net_bind_service\n"));
    assert!(!text(TRANSPARENT, Version::release(2, 8, 9)).contains("setcap"));
    assert!(!text(&TRANSPARENT.replace("nobody", "root"), new).contains("setcap"));
    assert!(
        !Overlay::new(ChildFd(5), &configuration(TRANSPARENT), new, &[], None).to_string().contains("setcap")
    );
}

#[test]
fn tells_lua_the_names_of_the_files_where_it_is_loaded() {
    let lua = |text| Lua::of(&configuration(text), ChildFd(7), Some("unix@/m"));
    assert_eq!(lua("global\n maxconn 10\n"), None);
    let both = "global\n lua-load a.lua\n lua-load-per-thread b.lua\n";
    let mut overlay = Overlay::new(ChildFd(5), &configuration(both), Version::release(2, 6, 12), &[], None);
    overlay.lua = lua(both);
    let lines = "    .if feature(LUA)\n    lua-load /proc/self/fd/7\n    lua-load-per-thread /proc/self/fd/7\n    .endif\n";
    assert!(overlay.to_string().ends_with(lines), "{overlay}");
}

#[test]
fn quotes_names_for_lua() {
    let lua = Lua {
        script: ChildFd(7),
        keywords: vec!["lua-load"],
        names: "a\"b\\c\nd;\u{e9}".into(),
        master_cli: None,
    };
    let text = String::from_utf8(lua.text()).unwrap();
    assert!(
        text.starts_with("local getenv, names, master_cli = os.getenv, \"a\\\"b\\\\c\\nd;\u{e9}\", nil\n"),
        "{text}"
    );
}

#[test]
fn sets_what_a_copy_asks_for() {
    let overlay = |text, master_cli| {
        Overlay::new(ChildFd(5), &configuration(text), Version::release(2, 6, 12), &[], master_cli)
            .to_string()
    };
    let asks = "frontend f\n log-format %[env(HAPROXY_MASTER_CLI)]\n";
    assert!(overlay(asks, Some("unix@/m")).ends_with("    setenv HAPROXY_USER_MASTER_CLI unix@/m\n"));
    assert!(!overlay(asks, None).contains("setenv"));
    assert!(!overlay("frontend f\n", Some("unix@/m")).contains("setenv"));
}
