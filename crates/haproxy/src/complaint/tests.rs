//! What HAProxy 2.6.12 (Debian 12), 3.0.11 (Debian 13) and 3.2.26 (Debian testing) wrote when they were made to
//! fail, mostly with `setpriv --bounding-set=-...`; verbatim but for the paths.

use super::*;
use crate::configuration::SourceFile;
use proptest::prelude::*;

fn causes(text: &str) -> Vec<ComplaintCause> {
    Complaint::read(text.as_bytes()).causes
}

fn only(text: &str) -> ComplaintCause {
    let mut causes = causes(text);
    assert_eq!(causes.len(), 1, "{text}: {causes:?}");
    causes.remove(0)
}

const FULL_PRIVILEGES_2_6: &str = "\
[NOTICE]   (12150) : haproxy version is 2.6.12-1+deb12u4
[NOTICE]   (12150) : path to executable is /usr/sbin/haproxy
[ALERT]    (12150) : [haproxy.main()] Some configuration options require full privileges, so global.uid cannot be changed.
";
const FULL_PRIVILEGES_3_2: &str = "\
[NOTICE]   (12322) : Initializing new worker (12324)
[ALERT]    (12324) : [haproxy.main()] Some configuration options require full privileges, so global.uid cannot be changed.
[ALERT]    (12324) : [haproxy.main()] Alternately, if your system supports Linux capabilities, you may also consider using 'setcap cap_net_raw', 'setcap cap_net_admin' or 'setcap cap_sys_admin' in the 'global' section.
[NOTICE]   (12322) : haproxy version is 3.2.26-1
[NOTICE]   (12322) : path to executable is /usr/sbin/haproxy
[WARNING]  (12322) : Failed to load worker (12324) exited with code 1 (Exit)
";
const IN_USE_2_6: &str = "\
[ALERT]    (12164) : Binding [/work/c.cfg:7] for proxy f: cannot bind socket (Address already in use) for [127.0.0.1:18095]
[ALERT]    (12164) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.
";
const IN_USE_3_0: &str = "\
[ALERT]    (12261) : Binding [/h/c.cfg:7] for proxy f: protocol tcpv4: cannot bind socket (Address already in use) for [127.0.0.1:18095].
[ALERT]    (12261) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.
";
const LOW_PORT_3_2: &str = "\
[ALERT]    (12355) : Binding [/h/c.cfg:7] for proxy f: protocol tcpv4: cannot bind socket (Permission denied) for [127.0.0.1:81].
[ALERT]    (12355) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.
[WARNING]  (12353) : Failed to load worker (12355) exited with code 1 (Exit)
";
const NOT_HERE_2_6: &str = "[ALERT]    (12172) : Binding [/work/c.cfg:7] for proxy f: cannot bind socket (Cannot assign requested address) for [2001:db8::7:18093]\n";
const NOT_HERE_3_0: &str = "[ALERT]    (12267) : Binding [/h/c.cfg:7] for proxy f: protocol tcpv4: cannot bind socket (Cannot assign requested address) for [198.51.100.7:18093].\n";
const NO_SETUID_2_6: &str = "\
[ALERT]    (12176) : [haproxy.main()] Cannot set uid 65534.
[WARNING]  (12174) : Current worker (12176) exited with code 1 (Exit)
[ALERT]    (12174) : exit-on-failure: killing every processes with SIGTERM
[WARNING]  (12174) : All workers exited. Exiting... (1)
";
const NO_SETGID_3_2: &str = "\
[ALERT]    (12367) : [haproxy.main()] Cannot set gid 65534.
[WARNING]  (12365) : Failed to load worker (12367) exited with code 1 (Exit)
";
const NO_DIRECTORY_2_6: &str = "[ALERT]    (5643) : Binding [a.cfg:2] for frontend GLOBAL: cannot bind UNIX socket (No such file or directory) [/no/such/dir/s.sock]\n";
const NO_DIRECTORY_3_4: &str = "[ALERT]    (5661) : Binding [a.cfg:2] for frontend GLOBAL: protocol unix_stream: cannot bind UNIX socket (No such file or directory) [/no/such/dir/s.sock].\n";
const PEER_2_6: &str = "[ALERT]    (6119) : Binding [a.cfg:3] for proxy me: cannot bind socket (Cannot assign requested address) for [10.9.9.9:1024]\n";
const STATS_3_4: &str = "[ALERT]    (5389) : Binding [a.cfg:2] for frontend GLOBAL: protocol tcpv4: cannot bind socket (Cannot assign requested address) for [10.9.9.9:1025].\n";
const PROGRAM_3_4: &str =
    "[ALERT]    (23728) : config : parsing [prog.cfg:1]: unknown keyword 'program' out of section.\n";

const NO_CHROOT_2_6: &str = "[ALERT]    (12190) : [haproxy.main()] Cannot chroot(/tmp).\n";
const NO_RAW_3_0: &str = "\
[ALERT]    (12240) : Failed to preset the capabilities to preserve using capset(): Operation not permitted
[ALERT]    (12240) : [haproxy.main()] Cannot switch uid to 65534.
[WARNING]  (12238) : Current worker (12240) exited with code 1 (Exit)
[WARNING]  (12238) : A worker process unexpectedly died and this can only be explained by a bug in haproxy or its dependencies.
Please check that you are running an up to date and maintained version of haproxy and open a bug report.
";
const SETCAP_2_6: &str = "\
[ALERT]    (12152) : config : parsing [/proc/self/fd/11:3] : unknown keyword 'setcap' in 'global' section
[ALERT]    (12152) : config : Error(s) found in configuration file : /proc/self/fd/11
[ALERT]    (12152) : config : Fatal errors found in configuration.
";
const KEYWORD_3_2: &str = "[ALERT]    (11299) : config : parsing [/h/bad.cfg:9] : unknown keyword 'frobnicate' in 'listen' section\n";
const CERTIFICATE_3_2: &str = "[ALERT]    (12380) : config : parsing [/h/c.cfg:7] : 'bind 127.0.0.1:18093' in section 'listen' : unable to stat SSL certificate from file '/nonexistent.pem' : No such file or directory.\n";
const FILES_3_0: &str =
    "[ALERT]    (12292) : [haproxy.main()] Cannot raise FD limit to 2000051, limit is 1024.\n";
const FILES_3_4: &str = "[ALERT]    (27625) : [haproxy.main()] Cannot raise FD limit to 8046, current limit is 1024 and hard limit is 8029. You may prefer to let HAProxy adjust the limit by itself; for this, please just drop any 'maxconn' and 'ulimit-n' from the global section, and possibly add 'fd-hard-limit' lower than this hard limit.\n";
const DENIED_2_6: &str =
    "[ALERT]    (12927) : config : Could not open configuration file /h/unreadable.cfg : Permission denied\n";
const DENIED_3_2: &str =
    "[ALERT]    (12959) : config : Cannot open configuration directory /h/noperm : Permission denied\n";
const MISSING_3_0: &str = "[ALERT]    (10819) : config : Cannot open configuration file/directory /nonexist.cfg : No such file or directory\n";
const RESOLVE_3_2: &str =
    "[ALERT]    (12396) : [/h/c.cfg:8] : 'server f/s' : could not resolve address 'no.such.host.invalid'.\n";
const USER_2_6: &str = "[ALERT]    (12186) : config : parsing [/work/c.cfg:2] : cannot find user id for 'nobodyxx' (0:Success)\n";
const LF_2_6: &str = "[ALERT]    (12522) : config : parsing [/work/c.cfg:8]: Missing LF on last line, file might have been truncated at position 26.\n";
const NO_SOCKETS_2_6: &str = "\
[WARNING]  (10807) : Failed to get the number of sockets to be transferred !
[ALERT]    (10807) : Failed to get the sockets from the old process!
";
const UNIX_DENIED: &str = "[ALERT]    (1) : Binding [/h/c.cfg:7] for proxy f: protocol unix_stream: cannot bind UNIX socket (Permission denied) [/run/x/a.sock].\n";

#[test]
fn each_step_of_binding_a_unix_socket_is_known() {
    // 3.0.11, in a container with `--read-only`, with `--user`, and without CHOWN.
    let line = |what: &str| {
        format!(
            "[ALERT]    (12) : Binding [a.cfg:5] for frontend GLOBAL: protocol unix_stream: {what} [/run/s]."
        )
    };
    let read_only = line("error when trying to unlink previous UNIX socket (Read-only file system)");
    assert_eq!(only(&read_only), ComplaintCause::ReadOnly { path: "/run/s".into() });
    let denied = only(&line("cannot bind UNIX socket (Permission denied)"));
    assert_eq!(
        (denied.path(), &denied),
        (Some("/run/s"), &ComplaintCause::BindDenied { address: "/run/s".into() })
    );
    let owner = line("cannot change UNIX socket ownership (Operation not permitted)");
    assert_eq!(only(&owner), ComplaintCause::OwnerDenied { path: "/run/s".into() });
}

#[test]
fn knows_what_it_has_seen() {
    let address = |address: &str| address.to_owned();
    for (text, want) in [
        (FULL_PRIVILEGES_2_6, ComplaintCause::UserWithRights),
        (FULL_PRIVILEGES_3_2, ComplaintCause::UserWithRights),
        (IN_USE_2_6, ComplaintCause::AddressInUse { address: address("127.0.0.1:18095") }),
        (IN_USE_3_0, ComplaintCause::AddressInUse { address: address("127.0.0.1:18095") }),
        (LOW_PORT_3_2, ComplaintCause::BindDenied { address: address("127.0.0.1:81") }),
        (
            NOT_HERE_2_6,
            ComplaintCause::AddressNotHere {
                address: address("2001:db8::7:18093"),
                place: "/work/c.cfg:7".into(),
            },
        ),
        (
            NOT_HERE_3_0,
            ComplaintCause::AddressNotHere {
                address: address("198.51.100.7:18093"),
                place: "/h/c.cfg:7".into(),
            },
        ),
        (UNIX_DENIED, ComplaintCause::BindDenied { address: address("/run/x/a.sock") }),
        (NO_SETUID_2_6, ComplaintCause::CannotChangeUser),
        (NO_SETGID_3_2, ComplaintCause::CannotChangeGroup),
        (NO_CHROOT_2_6, ComplaintCause::CannotChangeRoot { directory: "/tmp".into() }),
        (NO_RAW_3_0, ComplaintCause::RightNotHeld),
        (
            SETCAP_2_6,
            ComplaintCause::UnknownKeyword { keyword: "setcap".into(), place: "/proc/self/fd/11:3".into() },
        ),
        (
            KEYWORD_3_2,
            ComplaintCause::UnknownKeyword { keyword: "frobnicate".into(), place: "/h/bad.cfg:9".into() },
        ),
        (CERTIFICATE_3_2, ComplaintCause::Certificate { file: "/nonexistent.pem".into() }),
        (FILES_3_0, ComplaintCause::TooFewFiles { wanted: "2000051".into(), limit: "1024".into() }),
        (FILES_3_4, ComplaintCause::TooFewFiles { wanted: "8046".into(), limit: "8029".into() }),
        (DENIED_2_6, ComplaintCause::ConfigurationDenied { path: "/h/unreadable.cfg".into() }),
        (DENIED_3_2, ComplaintCause::ConfigurationDenied { path: "/h/noperm".into() }),
        (MISSING_3_0, ComplaintCause::ConfigurationMissing { path: "/nonexist.cfg".into() }),
        (RESOLVE_3_2, ComplaintCause::Unresolved { host: "no.such.host.invalid".into() }),
        (USER_2_6, ComplaintCause::UnknownUser { name: "nobodyxx".into() }),
        (LF_2_6, ComplaintCause::LastLineOpen),
        (NO_DIRECTORY_2_6, ComplaintCause::DirectoryMissing { path: "/no/such/dir/s.sock".into() }),
        (NO_DIRECTORY_3_4, ComplaintCause::DirectoryMissing { path: "/no/such/dir/s.sock".into() }),
        (
            PROGRAM_3_4,
            ComplaintCause::UnknownKeyword { keyword: "program".into(), place: "prog.cfg:1".into() },
        ),
        (NO_SOCKETS_2_6, ComplaintCause::SocketsNotReceived),
    ] {
        let cause = only(text);
        assert_eq!(cause, want);
        let remedy = cause.remedy(None);
        assert!(!remedy.contains('\n') && !remedy.contains("  ") && !remedy.ends_with('.'), "{remedy}");
    }
}

#[test]
fn names_the_flag_to_add() {
    for (text, flag) in [
        (LOW_PORT_3_2, "--cap-add=NET_BIND_SERVICE"),
        (NO_SETUID_2_6, "--cap-add=SETUID"),
        (NO_SETGID_3_2, "--cap-add=SETGID"),
        (NO_CHROOT_2_6, "--cap-add=SYS_CHROOT"),
        (NO_RAW_3_0, "--cap-add=NET_RAW"),
        (NOT_HERE_2_6, "`v6only`"),
        (FILES_3_0, "--ulimit nofile=2000051"),
    ] {
        assert!(only(text).remedy(None).contains(flag), "{flag}");
    }
    assert!(!only(UNIX_DENIED).remedy(None).contains("cap-add"));
    assert!(!only(NOT_HERE_3_0).remedy(None).contains("v6only"));
}

#[test]
fn says_to_a_user_that_capabilities_are_roots() {
    for (text, or) in [
        (LOW_PORT_3_2, "bind a port from 1024 on"),
        (NO_SETUID_2_6, "leave `user` and `uid` out"),
        (NO_SETGID_3_2, "leave `group` and `gid` out"),
        (NO_CHROOT_2_6, "leave `chroot` out"),
    ] {
        let complaint = Complaint::read(text.as_bytes());
        let hints = |is_root| complaint.remedies(None, is_root).collect::<Vec<_>>().join("\n");
        let (user, root) = (hints(false), hints(true));
        assert!(user.contains("as root, without `--user`") && user.ends_with(or), "{user}");
        assert!(!root.contains("`--user`") && root.contains("--cap-add="), "{root}");
    }
    // What is no matter of rights is mended alike.
    let files = Complaint::read(FILES_3_0.as_bytes());
    assert!(files.remedies(None, false).eq(files.remedies(None, true)));
}

#[test]
fn knows_by_the_files_which_line_wants_an_address() {
    let text = "global\n stats socket ipv4@10.9.9.9:1025\n peer me 10.9.9.9:1024\n user x\n";
    let file = SourceFile { name: "a.cfg".into(), path: "/a.cfg".into(), bytes: text.as_bytes().to_vec() };
    let files = Configuration::scan(vec![file], &|_| None);
    assert!(only(STATS_3_4).remedy(Some(&files)).contains("to the `stats socket` line"));
    let peer = only(PEER_2_6);
    assert!(peer.remedy(Some(&files)).contains("`bind 10.9.9.9:1024` and `server NAME`"));
    assert!(peer.remedy(None).contains("to the bind line"));
    // Nothing in these files is transparent.
    let user = only(FULL_PRIVILEGES_2_6);
    assert!(!user.remedy(Some(&files)).contains("usesrc") && user.remedy(None).contains("usesrc"));
    assert!(only(PROGRAM_3_4).remedy(None).contains("has removed `program`"));
}

#[test]
fn gives_the_address_so_that_the_holder_can_be_looked_up() {
    assert_eq!(only(IN_USE_3_0).address(), Some(([127, 0, 0, 1], 18095).into()));
    assert_eq!(only(NOT_HERE_2_6).address().unwrap().to_string(), "[2001:db8::7]:18093");
    assert_eq!(only(UNIX_DENIED).address(), None);
}

#[test]
fn keeps_every_word_and_finds_the_essence() {
    let complaint = Complaint::read(NO_SETUID_2_6.as_bytes());
    assert_eq!(complaint.lines.join("\n") + "\n", NO_SETUID_2_6);
    assert_eq!(complaint.essence(), ["[ALERT]    (12176) : [haproxy.main()] Cannot set uid 65534."]);
    assert_eq!(Complaint::read(FULL_PRIVILEGES_3_2.as_bytes()).essence().len(), 2);
    let other = Complaint::read(b"Segmentation fault\n\n");
    assert_eq!((other.essence(), other.causes.len()), (vec!["Segmentation fault"], 0));
    assert_eq!(Complaint::read(&[0xff, b'\n', 0xfe]).lines, ["\u{fffd}", "\u{fffd}"]);
    let both = [IN_USE_2_6, IN_USE_2_6, LOW_PORT_3_2].concat();
    assert_eq!(causes(&both).len(), 2);
}

proptest! {
    #[test]
    fn never_panics(text in "(cannot bind socket \\(|Permission denied|\\)|\\[|\\]|[a-z:.' ]|Cannot raise FD limit to |pen configuration |unknown keyword '| : |,){0,12}") {
        let complaint = Complaint::read(text.as_bytes());
        for cause in &complaint.causes {
            let _ = (cause.address(), cause.remedy(None));
        }
        let _ = complaint.essence();
    }
}
