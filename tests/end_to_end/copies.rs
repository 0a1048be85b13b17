//! A copy of the configuration means what the files mean where they stand: their directories, and their names.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code};

crate::tests![
    a_copy_finds_what_lies_beside_the_file,
    a_copy_finds_what_lies_above_the_file,
    a_copy_of_files_in_several_directories_finds_what_lies_beside_each,
    a_roll_back_finds_what_lies_beside_the_file,
    the_names_of_the_files_are_the_users_own,
    lua_sees_the_names_of_the_files,
];

/// An answer of HAProxy's own at this port.
const SITE: u16 = 9080;

/// A Lua file that answers a request for the page of this name with `word`.
fn lua(name: &str, word: &str) -> String {
    format!(
        "core.register_service('{name}', 'http', function(applet)\n  applet:set_status(200)\n  \
         applet:start_response()\n  applet:send('{word}')\nend)\n"
    )
}

fn site(rules: &str) -> String {
    let mut text = String::from(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n",
    );
    let _ = write!(text, "frontend site\n    bind 127.0.0.1:{SITE}\n{rules}");
    text
}

/// What HAProxy answers.
fn page(stage: &Stage, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stage.hosts.balancer.enter(|| -> Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", SITE))?;
        connection.set_read_timeout(Some(SOON))?;
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("a whole answer")?;
        Ok(body.to_owned())
    })?
}

fn crash(balancer: &Balancer) -> Result<()> {
    let log = balancer.stderr()?;
    let line = log.lines().rfind(|line| line.contains(" serves, worker ")).context("it serves")?;
    let pid =
        line.split(" serves, worker ").nth(1).and_then(|rest| rest.split(':').next()).context("a pid")?;
    let position = balancer.log_position()?;
    balancer.kill_descendant(pid.parse()?)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON).map(|_| ())
}

/// Starts HAProxy from `/` on files, waits until it serves.
fn start(stage: &Stage, files: &[&Path]) -> Result<Balancer> {
    let (first, rest) = files.split_first().context("a file")?;
    let more: Vec<String> =
        rest.iter().flat_map(|file| ["-f".to_owned(), file.display().to_string()]).collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    ensure!(*first == stage.file(), "the first one is the stage's own");
    let balancer = stage.launch(&more, &[])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    // What served for long enough is not suspected after a crash: no test waits for that.
    Ok(balancer)
}

fn survives(name: &str, policy: &str, lua_at: &str) -> Result<()> {
    let stage = Stage::new(name)?;
    std::fs::create_dir_all(stage.path("sub"))?;
    std::fs::write(stage.path(lua_at), lua("one", "tested"))?;
    let file_name = lua_at.rsplit('/').next().unwrap_or_default();
    let text = format!(
        "global\n    default-path {policy}\n    lua-load {file_name}\n{}",
        site("    http-request use-service lua.one\n")
    );
    let file = stage.path("sub/h.cfg");
    std::fs::write(&file, &text)?;
    std::os::unix::fs::symlink(&file, stage.file())?;
    // The path that is given is in the folder itself for `config`, and below it for `parent`.
    let given = if policy == "config" { stage.file() } else { file.clone() };
    let words = ["--".to_owned(), given.display().to_string()];
    let mut balancer = if policy == "config" {
        start(&stage, &[&given])?
    } else {
        // An empty first file: the stage names one.
        std::fs::remove_file(stage.file())?;
        stage.write("global\n")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let balancer = stage.launch(&words, &[])?;
        balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        balancer
    };
    ensure!(page(&stage, "/")? == "tested");
    // Changed, and never tested.
    std::fs::write(
        &file,
        text.replace("use-service lua.one", "return status 200 content-type text/plain string new"),
    )?;
    crash(&balancer)?;
    ensure!(page(&stage, "/")? == "tested", "the untested file serves");
    // Broken.
    std::fs::write(&file, "nonsense\n")?;
    crash(&balancer)?;
    ensure!(page(&stage, "/")? == "tested");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_copy_finds_what_lies_beside_the_file() -> Result<()> {
    survives("pathcfg", "config", "one.lua")
}

fn a_copy_finds_what_lies_above_the_file() -> Result<()> {
    survives("pathpar", "parent", "one.lua")
}

fn a_copy_of_files_in_several_directories_finds_what_lies_beside_each() -> Result<()> {
    let stage = Stage::new("pathdirs")?;
    let other = stage.path("my other");
    std::fs::create_dir_all(&other)?;
    std::fs::write(stage.path("a.lua"), lua("one", "first"))?;
    std::fs::write(other.join("a.lua"), lua("two", "second"))?;
    stage.write("global\n    default-path config\n    lua-load a.lua\n")?;
    let second = other.join("b.cfg");
    let text = format!(
        "global\n    lua-load a.lua\n{}",
        site("    http-request use-service lua.one if { path /one }\n    http-request use-service lua.two\n")
    );
    std::fs::write(&second, &text)?;
    let mut balancer = start(&stage, &[&stage.file(), &second])?;
    std::fs::write(&second, "nonsense\n")?;
    crash(&balancer)?;
    ensure!(page(&stage, "/one")? == "first" && page(&stage, "/two")? == "second");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_roll_back_finds_what_lies_beside_the_file() -> Result<()> {
    let stage = Stage::new("pathback")?;
    std::fs::write(stage.path("x.lua"), lua("one", "old"))?;
    let text = |word: &str| {
        let rules = "    http-request use-service lua.one\n";
        format!("global\n    default-path config\n    lua-load {word}.lua\n{}", site(rules))
    };
    stage.write(&text("x"))?;
    std::fs::write(stage.path("y.lua"), lua("one", "new"))?;
    let mut balancer = start(&stage, &[&stage.file()])?;
    stage.write(&text("y"))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(page(&stage, "/")? == "new");
    // It dies young, and the one that served before comes back. (A machine so slow that five seconds have passed by now
    // would start the new one again: then it is no roll-back, and the next try may be one.)
    crash(&balancer)?;
    let back = !balancer.events("generation.crashed", &[("back_to", &1)])?.is_empty();
    ensure!(page(&stage, "/")? == if back { "old" } else { "new" });
    ensure!(back, "five seconds had passed between a reload and the next line of this test");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_names_of_the_files_are_the_users_own() -> Result<()> {
    let stage = Stage::new("pathname")?;
    let rule =
        "    http-request return status 200 content-type text/plain lf-string \"%[env(HAPROXY_CFGFILES)]\"\n";
    stage.write(&site(rule))?;
    let second = stage.path("my second.cfg");
    std::fs::write(&second, "global\n")?;
    let mut balancer = start(&stage, &[&stage.file(), &second])?;
    let own = format!("{};{}", stage.file().display(), second.display());
    let is_own = |page: &str| page == own;
    let seen = page(&stage, "/")?;
    ensure!(is_own(&seen), "at first: {seen}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let seen = page(&stage, "/")?;
    ensure!(is_own(&seen), "after a reload: {seen}");
    std::fs::write(&second, "nonsense\n")?;
    crash(&balancer)?;
    let seen = eventually(SOON, "an answer", || page(&stage, "/").ok())?;
    ensure!(is_own(&seen), "after a crash: {seen}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// At run time, as `HAPROXY_CFGFILES` is not set before HAProxy has read all files.
fn lua_sees_the_names_of_the_files() -> Result<()> {
    let stage = Stage::new("luaname")?;
    for service in ["shared", "own"] {
        let text = format!(
            "core.register_service(\"{service}\", \"http\", function(applet)\n  local names = os.getenv(\"HAPROXY_CFGFILES\") \
             or \"nothing\"\n  applet:set_status(os.getenv(\"PATH\") and 200 or 500)\n  applet:add_header(\"content-length\", \
             string.len(names))\n  applet:start_response()\n  applet:send(names)\nend)\n"
        );
        std::fs::write(stage.path(&format!("{service}.lua")), text)?;
    }
    let rules = "    http-request use-service lua.shared if { path /shared }\n    http-request use-service lua.own if { path /own }\n";
    let (shared, own) = (stage.path("shared.lua"), stage.path("own.lua"));
    let loads =
        format!("global\n    lua-load {}\n    lua-load-per-thread {}\n", shared.display(), own.display());
    stage.write(&format!("{loads}{}", site(rules)))?;
    let mut balancer = start(&stage, &[&stage.file()])?;
    let names = stage.file().display().to_string();
    let both_see_it = |when: &str| {
        for path in ["/shared", "/own"] {
            let seen = eventually(SOON, "an answer", || page(&stage, path).ok())?;
            ensure!(seen == names, "{path} {when}: {seen}");
        }
        Ok(())
    };
    both_see_it("at first")?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    both_see_it("after a reload")?;
    std::fs::write(stage.file(), "nonsense\n")?;
    crash(&balancer)?;
    both_see_it("after a crash")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
