//! This crate against the real HAProxy, in as many versions as there are: what it believes must be so.
//!
//! By default against `haproxy` in the `PATH`; `CLEARWAY_TEST_HAPROXY` names other commands, separated by `;`
//! (`chroot /some/debian haproxy` is one; it needs `/proc` there). Without any, every test is ignored by name.
//! Needs no root (a test that does says so); uses abstract sockets, memfds and sockets on loopback that the kernel
//! chose; ends the processes it started, by pid.

use std::net::TcpListener;

use libtest_mimic::{Arguments, Failed, Trial};

mod apply;
mod apply_cases;
#[path = "../shared/binary.rs"]
mod binary;
mod derived;
mod handover;
mod life;
mod process;

use binary::Binary;

/// One test: its name and what it does with a HAProxy.
type Case = (&'static str, fn(&Binary) -> Result<Verdict, Failed>);

/// How a test ended that did not fail.
pub(crate) enum Verdict {
    Passed,
    /// Cannot be tried here, and why.
    Ignored(&'static str),
}

const CASES: [Case; 16] = [
    ("version_is_read", life::version_is_read),
    ("overlay_causes_no_warning", life::overlay_causes_no_warning),
    ("answers_over_both_channels", life::answers_over_both_channels),
    ("a_draining_worker_answers_over_the_master", life::a_draining_worker_answers_over_the_master),
    ("a_bad_file_ends_the_connection_at_once", life::a_bad_file_ends_the_connection_at_once),
    ("fighting_flags_and_keywords_are_harmless", life::fighting_flags_and_keywords_are_harmless),
    ("user_and_transparency_keep_exactly_the_rights", life::user_and_transparency_keep_exactly_the_rights),
    ("conditions_can_be_asked", life::conditions_can_be_asked),
    ("sockets_go_around", handover::sockets_go_around),
    ("six_hundred_sockets", handover::six_hundred_sockets),
    ("no_sockets_is_an_answer", handover::no_sockets_is_an_answer),
    ("silence_makes_haproxy_bind_for_itself", handover::silence_makes_haproxy_bind_for_itself),
    ("a_socket_that_does_not_match_is_found_out", handover::a_socket_that_does_not_match_is_found_out),
    ("a_derived_copy_listens_on_private_ports", derived::a_derived_copy_listens_on_private_ports),
    ("applied_is_as_started", apply::applied_is_as_started),
    ("names_and_interfaces_go_around", handover::names_and_interfaces_go_around),
];

fn main() {
    let arguments = Arguments::from_args();
    let binaries = Binary::all();
    let mut trials = Vec::new();
    for (name, case) in CASES {
        if binaries.is_empty() {
            let reason = "no haproxy in the PATH: apt-get install haproxy";
            trials.push(Trial::ignorable_test(name, move || {
                Ok(libtest_mimic::Completion::ignored_with(reason))
            }));
        }
        for binary in &binaries {
            let binary = binary.clone();
            trials.push(Trial::ignorable_test(format!("{name} ({})", binary.version), move || {
                Ok(match case(&binary)? {
                    Verdict::Passed => libtest_mimic::Completion::Completed,
                    Verdict::Ignored(reason) => libtest_mimic::Completion::ignored_with(reason),
                })
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Listening sockets on addresses of 127.0.0.1 that the kernel chose.
pub(crate) fn listeners(count: usize) -> Result<Vec<TcpListener>, Failed> {
    Ok((0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?)
}

/// A configuration with these bind lines.
pub(crate) fn listen(binds: &[String]) -> String {
    let mut text = String::from(
        "defaults\n mode tcp\n timeout client 30s\n timeout server 30s\n timeout connect 5s\nlisten web\n",
    );
    for bind in binds {
        text.extend([" bind ", bind, "\n"]);
    }
    // There is no server: connections are accepted, then closed.
    text.push_str(" server none 127.0.0.1:1\n");
    text
}

/// Fails with a text unless something holds.
pub(crate) fn check(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}
