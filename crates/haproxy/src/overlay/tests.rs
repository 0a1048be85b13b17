use super::*;
use crate::configuration::SourceFile;

fn configuration(text: &str) -> Configuration {
    let file = SourceFile { name: "a".into(), path: "a".into(), bytes: text.into() };
    Configuration::scan(vec![file], &|_| None)
}

const TRANSPARENT: &str = "global\n user nobody\nbackend b\n source 0.0.0.0 usesrc clientip\n";

#[test]
fn says_what_is_needed_and_no_more() {
    let both = [Capability::NetRaw, Capability::NetBindService];
    let new = Version::release(3, 0, 11);
    let text = |text, version| Overlay::new(ChildFd(5), &configuration(text), version, &both).to_string();
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
    assert!(!Overlay::new(ChildFd(5), &configuration(TRANSPARENT), new, &[]).to_string().contains("setcap"));
}
