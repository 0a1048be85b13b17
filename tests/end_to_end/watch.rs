//! Watching the files: what has changed is loaded by itself, and nothing else is.
//!
//! Whether nothing happens is never waited for: a look that has found nothing says so at level `debug`, and a
//! later change shows how many reloads there were.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Expect;
use rustix::process::Signal;

use crate::stage::{CannotRun, SOON, Stage, assert_code, assert_no_client_lost, said};

crate::tests![
    nothing_is_watched_unless_asked,
    an_edit_in_place_is_loaded_and_no_client_is_lost,
    a_file_that_an_editor_replaces_is_loaded,
    a_config_map_is_loaded_when_its_link_is_swapped,
    a_renewed_certificate_behind_a_link_is_loaded,
    a_changed_map_is_loaded,
    a_new_file_in_a_directory_is_loaded,
    a_burst_of_writes_is_one_reload,
    a_touch_is_no_reload,
    a_broken_file_is_tried_again_when_it_is_mended,
    a_file_that_comes_back_as_it_was_is_no_reload,
    the_files_follow_the_configuration,
    without_instances_or_watches_it_looks_by_itself,
    polling_needs_no_events,
    a_mounted_file_that_is_replaced_outside_is_explained,
];

/// A Clearway that watches, and what it has said.
struct Watching {
    stage: Stage,
    balancer: Balancer,
}

const ON: [(&str, &str); 3] =
    [("CLEARWAY_WATCH", "on"), ("CLEARWAY_WATCH_QUIET", "200ms"), ("CLEARWAY_LOG", "json,debug")];

/// What a look says that has found nothing.
const NOTHING: &str = "changed: 0";

impl Watching {
    /// Starts on the configuration that is in the file, and waits for the look that follows each start.
    fn start(stage: Stage) -> Result<Self> {
        Self::start_with(stage, &[])
    }

    fn start_with(stage: Stage, arguments: &[&str]) -> Result<Self> {
        let balancer = stage.start_with(arguments, &ON)?;
        Self { stage, balancer }.settled(0)
    }

    fn settled(self, position: u64) -> Result<Self> {
        self.balancer.wait_for_log(position, NOTHING, SOON)?;
        Ok(self)
    }

    /// Waits until a generation serves, and that it was because of this file.
    fn loaded(&self, generation: u32, because_of: &Path) -> Result<()> {
        self.balancer.wait_for_event(0, "generation.serving", &[("generation", &generation)], SOON)?;
        let name = because_of.display().to_string();
        let changed = self.balancer.events("watch.changed", &[])?;
        ensure!(changed.iter().any(|event| event["files"][0] == *name), "not because of {name}: {changed:?}");
        Ok(())
    }

    /// Asserts how many reloads a changed file has asked for, and stops.
    fn stop(mut self, reloads: usize) -> Result<()> {
        let log = self.balancer.stderr()?;
        let asked = log.matches("asked for by a changed file").count();
        ensure!(asked == reloads, "{asked} reloads instead of {reloads}:\n{log}");
        assert_code(self.balancer.stop(Signal::TERM, SOON)?, 0)?;
        self.stage.assert_clean()
    }
}

/// Writes beside the file and renames over it, as editors do.
fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("swp");
    fs::write(&beside, text)?;
    fs::rename(&beside, path).context("renaming over a file")
}

/// Lets a link mean something else, in one step.
fn relink(link: &Path, target: &str) -> Result<()> {
    let beside = link.with_file_name("link-to-be");
    symlink(target, &beside)?;
    fs::rename(&beside, link).context("renaming over a link")
}

/// The configuration with another comment: something that changes nothing but the file.
fn commented(stage: &Stage, comment: impl std::fmt::Display) -> String {
    format!("# {comment}\n{}", stage.plain())
}

fn nothing_is_watched_unless_asked() -> Result<()> {
    let stage = Stage::new("wa-off")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&commented(&stage, "changed"))?;
    let inotify = fs::read_dir(format!("/proc/{}/fd", balancer.pid()))?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|target| target.to_string_lossy().contains("inotify"));
    ensure!(inotify.count() == 0, "inotify although it was not asked for");
    let output = stage.clearway(&["reload"])?;
    ensure!(said(&output).contains("generation 2"), "something else has reloaded: {}", said(&output));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn an_edit_in_place_is_loaded_and_no_client_is_lost() -> Result<()> {
    let stage = Stage::new("wa-place")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for generation in 2..7 {
        stage.write(&commented(stage, generation))?;
        watching.loaded(generation, &stage.file())?;
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    watching.stop(5)
}

fn a_file_that_an_editor_replaces_is_loaded() -> Result<()> {
    let stage = Stage::new("wa-editor")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    for generation in 2..4 {
        replace(&stage.file(), &commented(stage, generation))?;
        watching.loaded(generation, &stage.file())?;
    }
    watching.stop(2)
}

fn a_config_map_is_loaded_when_its_link_is_swapped() -> Result<()> {
    let stage = Stage::new("wa-map")?;
    let version = |number: u32| -> Result<()> {
        let name = format!("..2026_{number}");
        fs::create_dir(stage.path(&name))?;
        fs::write(stage.path(&name).join("haproxy.cfg"), commented(&stage, number))?;
        relink(&stage.path("..data"), &name)
    };
    version(1)?;
    symlink("..data/haproxy.cfg", stage.file())?;
    let balancer = stage.start_with(&[], &ON)?;
    balancer.wait_for_log(0, NOTHING, SOON)?;
    for number in 2..4 {
        version(number)?;
        // As the kubelet does.
        fs::remove_dir_all(stage.path(&format!("..2026_{}", number - 1)))?;
        balancer.wait_for_event(0, "generation.serving", &[("generation", &number)], SOON)?;
    }
    Watching { stage, balancer }.stop(2)
}

fn a_renewed_certificate_behind_a_link_is_loaded() -> Result<()> {
    let stage = Stage::new("wa-cert")?;
    let (live, archive) = (stage.path("live"), stage.path("archive"));
    fs::create_dir(&live)?;
    fs::create_dir(&archive)?;
    let issue = |number: u32| -> Result<()> {
        certificate(&archive.join(format!("site{number}.pem")))?;
        relink(&live.join("site.pem"), &format!("../archive/site{number}.pem"))
    };
    issue(1)?;
    let front =
        format!("frontend tls\n    bind 127.0.0.1:9443 ssl crt {}\n", live.join("site.pem").display());
    stage.write(&(stage.plain() + &front))?;
    let watching = Watching::start(stage)?;
    issue(2)?;
    watching.loaded(2, &live.join("site.pem"))?;
    // Not by a link this time.
    certificate(&archive.join("site2.pem"))?;
    watching.loaded(3, &live.join("site.pem"))?;
    watching.stop(2)
}

/// A certificate and its key in one file, as certbot's hooks put them together.
pub fn certificate(path: &Path) -> Result<()> {
    let (key, certificate) = (path.with_extension("k"), path.with_extension("c"));
    let output = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=site.example", "-days", "2"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output();
    let output = output.map_err(|error| CannotRun(format!("`openssl` makes the certificates: {error}")))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(path, [fs::read(certificate)?, fs::read(key)?].concat()).context("writing a certificate")
}

fn a_changed_map_is_loaded() -> Result<()> {
    let stage = Stage::new("wa-hosts")?;
    let map = stage.path("hosts.map");
    fs::write(&map, "10.9.9.9 f0\n")?;
    let front =
        format!("frontend m\n    bind 127.0.0.1:9001\n    use_backend %[src,map_ip({})]\n", map.display());
    stage.write(&(stage.plain() + &front))?;
    let watching = Watching::start(stage)?;
    fs::write(&map, "10.9.9.9 f1\n")?;
    watching.loaded(2, &map)?;
    watching.stop(1)
}

fn a_new_file_in_a_directory_is_loaded() -> Result<()> {
    let stage = Stage::new("wa-dir")?;
    stage.write(&stage.plain())?;
    let directory = stage.path("conf.d");
    fs::create_dir(&directory)?;
    let text = |port: u16| format!("listen l{port}\n    bind 127.0.0.1:{port}\n    server s 127.0.0.1:1\n");
    fs::write(directory.join("a.cfg"), text(9001))?;
    let watching = Watching::start_with(stage, &["-f", &directory.display().to_string()])?;
    let new = directory.join("b.cfg");
    fs::write(&new, text(9002))?;
    watching.loaded(2, &new)?;
    listening(&watching.stage, 9002, true)?;
    fs::remove_file(&new)?;
    watching.loaded(3, &new)?;
    listening(&watching.stage, 9002, false)?;
    watching.stop(2)
}

fn listening(stage: &Stage, port: u16, expected: bool) -> Result<()> {
    let end = format!(":{port}");
    clearway_lab::wait::eventually(SOON, &format!("port {port} to be open: {expected}"), || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        (listeners.iter().any(|(address, _)| address.ends_with(&end)) == expected).then_some(())
    })
}

fn a_burst_of_writes_is_one_reload() -> Result<()> {
    let stage = Stage::new("wa-burst")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    for number in 0..50 {
        stage.write(&commented(stage, number))?;
    }
    let last = "listen last\n    bind 127.0.0.1:9003\n    server s 127.0.0.1:1\n";
    stage.write(&(stage.plain() + last))?;
    listening(stage, 9003, true)?;
    let log = watching.balancer.stderr()?;
    let asked = log.matches("asked for by a changed file").count();
    // One, unless this machine needs longer than the quiet time between two writes.
    ensure!((1..=3).contains(&asked), "{asked} reloads for a burst of writes:\n{log}");
    watching.stop(asked)
}

fn a_touch_is_no_reload() -> Result<()> {
    let stage = Stage::new("wa-touch")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let file = watching.stage.file();
    let position = watching.balancer.log_position()?;
    File::options().append(true).open(&file)?.set_modified(std::time::SystemTime::now())?;
    watching.balancer.wait_for_log(position, NOTHING, SOON)?;
    let position = watching.balancer.log_position()?;
    replace(&file, &watching.stage.plain())?;
    watching.balancer.wait_for_log(position, NOTHING, SOON)?;
    replace(&file, &commented(&watching.stage, "changed"))?;
    watching.loaded(2, &file)?;
    watching.stop(1)
}

fn a_broken_file_is_tried_again_when_it_is_mended() -> Result<()> {
    let stage = Stage::new("wa-broken")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    // Half of a line: the writer has not finished.
    stage.write(&(stage.plain() + "listen half\n    bi"))?;
    watching.balancer.wait_for_event(0, "generation.failed", &[("generation", &2)], SOON)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("generation 1 serving"), "{status}");
    stage.write(&(stage.plain() + "listen whole\n    bind 127.0.0.1:9004\n    server s 127.0.0.1:1\n"))?;
    watching.loaded(3, &stage.file())?;
    watching.stop(2)
}

fn a_file_that_comes_back_as_it_was_is_no_reload() -> Result<()> {
    let stage = Stage::new("wa-gone")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    fs::remove_file(stage.file())?;
    watching.balancer.wait_for_event(0, "watch.missing", &[("file", &stage.file().display())], SOON)?;
    stage.write(&stage.plain())?;
    watching.balancer.wait_for_event(0, "watch.back", &[("file", &stage.file().display())], SOON)?;
    stage.write(&commented(stage, "changed"))?;
    watching.loaded(2, &stage.file())?;
    watching.stop(1)
}

fn the_files_follow_the_configuration() -> Result<()> {
    let stage = Stage::new("wa-follow")?;
    stage.write(&stage.plain())?;
    let watching = Watching::start(stage)?;
    let stage = &watching.stage;
    let list = stage.path("elsewhere").join("bad.lst");
    fs::create_dir(stage.path("elsewhere"))?;
    fs::write(&list, "10.9.9.9\n")?;
    let front = "frontend m\n    bind 127.0.0.1:9001\n    tcp-request connection reject if { src -f";
    stage.write(&format!("{}{front} {} }}\n", stage.plain(), list.display()))?;
    watching.loaded(2, &stage.file())?;
    replace(&list, "10.9.9.8\n")?;
    watching.loaded(3, &list)?;
    watching.stop(2)
}

/// Runs Clearway in a user namespace with a limit of its own, set by a line of shell.
fn limited(name: &str, limit: &str, sysctl: &str) -> Result<()> {
    let stage = Stage::new(name)?;
    let copy = stage.open_to_strangers()?;
    ensure!(copy.exists(), "no copy of the program");
    stage.write(&stage.plain())?;
    let script = format!("echo {limit} && exec \"$@\"");
    let wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", &script, "sh"];
    let mut balancer = stage.launch_under(&wrapper, &ON)?;
    stage.wait_ready(&mut balancer)?;
    let polls = balancer.wait_for_event(0, "watch.polls", &[], SOON)?;
    ensure!(polls["error"].as_str().is_some_and(|error| error.contains(sysctl)), "it is not named: {polls}");
    stage.write(&commented(&stage, "changed"))?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    ensure!(balancer.events("watch.polls", &[])?.len() == 1, "said more than once: {}", balancer.stderr()?);
    Watching { stage, balancer }.stop(1)
}

fn without_instances_or_watches_it_looks_by_itself() -> Result<()> {
    limited("wa-inst", "0 > /proc/sys/user/max_inotify_instances", "fs.inotify.max_user_instances")?;
    limited("wa-watches", "1 > /proc/sys/user/max_inotify_watches", "fs.inotify.max_user_watches")
}

fn polling_needs_no_events() -> Result<()> {
    let stage = Stage::new("wa-poll")?;
    stage.write(&stage.plain())?;
    let mut environment = ON;
    environment[0].1 = "poll";
    let balancer = stage.start_with(&[], &environment)?;
    balancer.wait_for_log(0, NOTHING, SOON)?;
    replace(&stage.file(), &commented(&stage, "changed"))?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    Watching { stage, balancer }.stop(1)
}

fn a_mounted_file_that_is_replaced_outside_is_explained() -> Result<()> {
    let stage = Stage::new("wa-mount")?;
    let outside: PathBuf = stage.path("host.cfg");
    fs::write(&outside, stage.plain())?;
    fs::write(stage.file(), "")?;
    let script = format!("mount --bind {} {} && exec \"$@\"", outside.display(), stage.file().display());
    let mut balancer = stage.launch_under(&["unshare", "--mount", "sh", "-c", &script, "sh"], &ON)?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_log(0, NOTHING, SOON)?;
    // Written in place it is the same file inside, and its own directory there hears nothing of it.
    fs::write(&outside, commented(&stage, "changed"))?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    replace(&outside, &commented(&stage, "the container will never see this"))?;
    let replaced = balancer.wait_for_event(0, "watch.replaced", &[], SOON)?["detail"].to_string();
    ensure!(replaced.contains("--volume=DIRECTORY:"), "nothing helps: {replaced}");
    Watching { stage, balancer }.stop(1)
}
