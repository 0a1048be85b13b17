//! Applies edit after edit to a HAProxy that lives, and compares it with one that is started from the same files.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearway_haproxy::change::{
    Capabilities, ChangeComparison, ChangeVerdict, ChangedFile, FilesOfHaproxy, comparison, files,
    transaction,
};
use clearway_haproxy::configuration::{Configuration, SourceFile};
use libtest_mimic::Failed;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::asked::Answers;
use super::binary::Binary;
use super::grammar;
use super::living::{Ground, Living};
use super::model::Model;

/// Edits to one process, before another configuration is tried.
const EDITS: usize = 6;

/// How long what was applied may need to be as what was started: servers that are checked come up.
const SETTLING: Duration = Duration::from_secs(4);

/// How a pair came out.
#[derive(Default)]
struct Count {
    same: u64,
    applied: u64,
    reloaded: u64,
    broken: u64,
    refused: u64,
}

struct Judge {
    ground: Ground,
    folder: tempfile::TempDir,
    started: u64,
    count: Count,
}

/// So many pairs, from this seed on.
pub(crate) fn judge(binary: Binary, pairs: u64, seed: u64) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let ports = [alive()?, alive()?];
    let files = folder.path().join("files");
    fs::create_dir(&files)?;
    for number in 0..grammar::POOL {
        certificate(&files.join(format!("pool{number}.pem")), number)?;
    }
    let variables = vec![
        ("FILES", files.display().to_string()),
        ("ALIVE", ports[0].to_string()),
        ("ALIVE_TOO", ports[1].to_string()),
    ];
    let ground = Ground { binary, files, variables };
    let mut judge = Judge { ground, folder, started: 0, count: Count::default() };
    let mut story = seed;
    while judge.count.all() < pairs {
        judge.story(story).map_err(|error| {
            Failed::from(format!(
                "seed {story} (CLEARWAY_APPLY_SEED={story}): {}",
                error.message().unwrap_or("")
            ))
        })?;
        story += 1;
    }
    let Count { same, applied, reloaded, broken, refused } = judge.count;
    println!(
        "{}: {applied} applied, {same} the same, {reloaded} reloads, {broken} broke off, {refused} refused by HAProxy",
        judge.ground.binary.version
    );
    if pairs >= 60 && applied < pairs / 5 {
        return Err("hardly anything was applied".into());
    }
    Ok(())
}

impl Count {
    fn all(&self) -> u64 {
        self.same + self.applied + self.reloaded + self.broken + self.refused
    }
}

impl Judge {
    fn story(&mut self, seed: u64) -> Result<(), Failed> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        let tree = grammar::story(EDITS).new_tree(&mut runner).map_err(|reason| reason.to_string())?;
        let (mut model, edits) = tree.current();
        self.write(&model)?;
        let Some(mut living) = self.start()? else {
            self.count.refused += 1;
            return Ok(());
        };
        for edits in edits {
            let before = model.clone();
            for edit in &edits {
                edit.to(&mut model);
            }
            let said = || format!("\n== before\n{before}\n== after\n{}\n== edits\n{edits:?}", model.text());
            self.write(&model)?;
            let Some(fresh) = self.start()? else {
                // It refuses the file: nothing is compared.
                self.count.refused += 1;
                model = before;
                self.write(&model)?;
                continue;
            };
            match self.apply(&living, &before, &model)? {
                Applied::Yes => self.equal(&living, &fresh, &model, &said)?,
                Applied::No => living = fresh,
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Option<Living>, Failed> {
        self.started += 1;
        self.ground.start(&self.folder.path().join(format!("p{}", self.started)))
    }

    fn write(&self, model: &Model) -> Result<(), Failed> {
        let files = &self.ground.files;
        fs::write(files.join("haproxy.cfg"), model.text())?;
        fs::write(files.join("a.map"), model.map_text())?;
        fs::write(files.join("paths.acl"), model.patterns_text())?;
        fs::copy(files.join(format!("pool{}.pem", model.site)), files.join("site.pem"))?;
        fs::write(files.join("list.txt"), model.list_text(&files.display().to_string()))?;
        Ok(())
    }

    fn scan(&self, model: &Model) -> Configuration {
        let name = self.ground.files.join("haproxy.cfg");
        let source = SourceFile { name: name.clone(), path: name, bytes: model.text().into() };
        let lookup = |wanted: &str| match wanted {
            "PLACE" => Some("/place".to_owned()),
            _ => {
                self.ground.variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
            }
        };
        Configuration::scan(vec![source], &lookup)
    }

    fn apply(&mut self, living: &Living, before: &Model, after: &Model) -> Result<Applied, Failed> {
        let can = Capabilities::new(self.ground.binary.version, &living.ask("help")?);
        let comparison = comparison(&self.scan(before), &self.scan(after), &can);
        let contents: Vec<(PathBuf, String)> = self.changed(before, after);
        let changed: Vec<ChangedFile<'_>> = contents
            .iter()
            .map(|(path, content)| ChangedFile { path, content: content.as_bytes(), has_companions: false })
            .collect();
        let mut answers = Vec::new();
        for question in FilesOfHaproxy::QUESTIONS {
            answers.push(living.ask(question)?);
        }
        let [maps, acls, certificates, authorities, revocations] = &answers[..] else {
            return Err("questions without answers".into());
        };
        let has = FilesOfHaproxy::of([maps, acls, certificates, authorities, revocations]);
        let ChangeComparison { verdict, checks, .. } =
            comparison.with_files(files::plan(&changed, &has, &can, 12_000));
        match verdict {
            ChangeVerdict::Same => {
                self.count.same += 1;
                Ok(Applied::Yes)
            }
            ChangeVerdict::RunTime(plan) => {
                let outcome =
                    transaction::carry_out(&plan, &mut living.wire(), Duration::from_secs(10), &mut |_| {});
                if let Err(broken) = outcome {
                    eprintln!("broke off: {broken}");
                    self.count.broken += 1;
                    return Ok(Applied::No);
                }
                for check in checks {
                    if !check.is_met(&living.ask(&check.command)?) {
                        return Err(format!("{} is not as planned", check.command).into());
                    }
                }
                self.count.applied += 1;
                Ok(Applied::Yes)
            }
            ChangeVerdict::Reload(reasons) => {
                if std::env::var_os("CLEARWAY_APPLY_REASONS").is_some() {
                    for reason in reasons {
                        println!("reload: {reason}");
                    }
                }
                self.count.reloaded += 1;
                Ok(Applied::No)
            }
        }
    }

    /// The files that the new configuration names and that are others.
    fn changed(&self, before: &Model, after: &Model) -> Vec<(PathBuf, String)> {
        let files = &self.ground.files;
        let site = |model: &Model| {
            fs::read_to_string(files.join(format!("pool{}.pem", model.site))).unwrap_or_default()
        };
        let folder = files.display().to_string();
        let is_named = &after.frontend;
        [
            (is_named.map, "a.map", before.map_text(), after.map_text()),
            (is_named.acl, "paths.acl", before.patterns_text(), after.patterns_text()),
            (is_named.tls, "site.pem", site(before), site(after)),
            (is_named.tls, "list.txt", before.list_text(&folder), after.list_text(&folder)),
        ]
        .into_iter()
        .filter(|(is_named, _, before, after)| *is_named && before != after)
        .map(|(_, name, _, after)| (files.join(name), after))
        .collect()
    }

    fn equal(
        &self,
        living: &Living,
        fresh: &Living,
        model: &Model,
        said: &dyn Fn() -> String,
    ) -> Result<(), Failed> {
        let files = &self.ground.files;
        let mut questions = Vec::new();
        if model.frontend.map {
            questions.push(format!("show map {}", files.join("a.map").display()));
        }
        if model.frontend.acl {
            questions.push(format!("show acl {}", files.join("paths.acl").display()));
        }
        if model.frontend.tls {
            questions.push(format!("show ssl cert {}", files.join("site.pem").display()));
            questions.push(format!("show ssl crt-list -n {}", files.join("list.txt").display()));
        }
        let until = Instant::now() + SETTLING;
        loop {
            let different = Answers::of(living, &questions)?.difference(&Answers::of(fresh, &questions)?);
            if different.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{}{}", different.join("\n"), said()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether the living one was brought to the new file.
enum Applied {
    Yes,
    No,
}

/// A port at which something accepts connections, for checks, as long as the test lives.
fn alive() -> Result<u16, Failed> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    Ok(port)
}

/// Enough for `option httpchk`.
fn answer(mut connection: std::net::TcpStream) {
    use std::io::{Read, Write};
    let _ = connection.set_read_timeout(Some(Duration::from_secs(1)));
    if connection.read(&mut [0; 512]).is_ok_and(|read| read > 0) {
        let _ = connection.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

fn certificate(path: &Path, number: usize) -> Result<(), Failed> {
    let key = path.with_extension("key");
    let mut process = Command::new("openssl");
    process.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "9",
    ]);
    process
        .args(["-subj", &format!("/CN=pool{number}.example")])
        .arg("-out")
        .arg(path)
        .arg("-keyout")
        .arg(&key);
    if !process.output()?.status.success() {
        return Err("openssl makes no certificate: apt-get install openssl".into());
    }
    let both = [fs::read(path)?, fs::read(&key)?].concat();
    fs::remove_file(&key)?;
    Ok(fs::write(path, both)?)
}
