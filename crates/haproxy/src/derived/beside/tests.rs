use super::*;

fn copy(files: &[(&str, &str)], sections: Sections) -> Vec<String> {
    let files = files.iter().map(|(path, text)| SourceFile {
        name: PathBuf::from(path),
        path: PathBuf::from(path),
        bytes: text.as_bytes().to_vec(),
    });
    let configuration = Configuration::scan(files.collect(), &|_| None);
    let copies = beside(&configuration, sections);
    copies.into_iter().map(|copy| String::from_utf8_lossy(&copy.bytes).into_owned()).collect()
}

#[test]
fn a_copy_without_anything_to_rewrite_is_the_same() {
    let text =
        "global\n\tdefault-path origin /x\n# default-path config\nfrontend a # env(HAPROXY_CFGFILES)\n";
    assert_eq!(copy(&[("/etc/h/a.cfg", text)], Sections::WithoutPrograms), [text]);
}

#[test]
fn default_path_leads_to_the_directory_of_the_file_itself() {
    let text = "global\n  default-path  config # here\n\n  lua-load x.lua";
    let wanted = "global\n  default-path  origin /etc/my\\ h # here\n\n  lua-load x.lua";
    assert_eq!(copy(&[("/etc/my h/a.cfg", text)], Sections::All), [wanted]);
    let wanted = "global\ndefault-path origin /etc/h/..\n";
    assert_eq!(copy(&[("/etc/h/a.cfg", "global\ndefault-path 'parent'\n")], Sections::All), [wanted]);
}

#[test]
fn the_next_file_in_another_directory_has_its_own() {
    let files = [
        ("/a/1.cfg", "global\ndefault-path config\n"),
        ("/a/2.cfg", "defaults\n"),
        ("/b/3.cfg", "listen x\n"),
        ("/b/4.cfg", "global\ndefault-path current\n"),
        ("/c/5.cfg", "listen y\n"),
    ];
    let wanted = [
        "global\ndefault-path origin /a\n",
        "defaults\n",
        "global\n    default-path origin /b\n",
        "listen x\n",
        "global\ndefault-path current\n",
        "listen y\n",
    ];
    assert_eq!(copy(&files, Sections::All), wanted);
}

#[test]
fn what_depends_on_a_condition_is_not_carried_on() {
    let text = "global\n.if defined(X)\ndefault-path config\n.endif\n";
    let wanted = "global\n.if defined(X)\ndefault-path origin /a\n.endif\n";
    assert_eq!(
        copy(&[("/a/1.cfg", text), ("/b/2.cfg", "defaults\n")], Sections::All),
        [wanted, "defaults\n"]
    );
}

#[test]
fn programs_go_and_lines_keep_their_numbers() {
    let text = "program a\n command x\n.if 1\n user y\n.endif\nlisten b\n bind :80\nprogram c\n command z";
    let wanted = "\n\n.if 1\n\n.endif\nlisten b\n bind :80\n\n";
    assert_eq!(copy(&[("/a", text)], Sections::WithoutPrograms), [wanted]);
    assert_eq!(copy(&[("/a", text)], Sections::All), [text]);
}

#[test]
fn only_what_is_asked_for_at_run_time_has_another_name() {
    let text = "log-format \"%[env(HAPROXY_CFGFILES)] %[env(HAPROXY_CFGFILES,1)]\" \"$HAPROXY_CFGFILES\"";
    let wanted =
        "log-format \"%[env(HAPROXY_USER_CFGFILES)] %[env(HAPROXY_USER_CFGFILES,1)]\" \"$HAPROXY_CFGFILES\"";
    assert_eq!(copy(&[("/a", text)], Sections::All), [wanted]);
}

#[test]
fn each_name_has_its_own_other_one() {
    let text = "log-format %[env(HAPROXY_MASTER_CLI)]%[env(HAPROXY_CFGFILES)]%[env(HAPROXY_MASTER_CLIS)] # env(HAPROXY_MASTER_CLI)";
    let wanted = "log-format %[env(HAPROXY_USER_MASTER_CLI)]%[env(HAPROXY_USER_CFGFILES)]%[env(HAPROXY_MASTER_CLIS)] # env(HAPROXY_MASTER_CLI)";
    assert_eq!(copy(&[("/a", text)], Sections::All), [wanted]);
}
