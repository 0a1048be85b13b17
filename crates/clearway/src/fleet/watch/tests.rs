use super::*;
use std::ffi::OsString;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};

const QUIET: Duration = Duration::from_millis(50);

/// Long enough for any machine.
const SOON: Duration = Duration::from_secs(20);

struct Stage {
    folder: tempfile::TempDir,
    invocation: Invocation,
    watch: Watch,
}

impl Stage {
    /// With `h.cfg`, which names `a.lua`.
    fn new(mode: WatchMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("haproxy -C {} -f h.cfg", folder.path().display());
        let invocation = Invocation::parse(line.split(' ').map(OsString::from)).unwrap();
        let mut stage = Self { folder, invocation, watch: Watch::new(mode, QUIET) };
        stage.write("h.cfg", "global\n lua-load a.lua\n");
        stage.write("a.lua", "");
        stage.follow();
        stage
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    fn follow(&mut self) {
        let configuration = Arc::new(Configuration::read(&self.invocation, &|_| None).unwrap());
        self.watch.follow(&configuration, &self.invocation);
    }

    /// Whether nothing is to be looked at any more, and nothing is.
    fn is_idle(&self) -> bool {
        self.watch.times.next().is_none() && self.watch.looking.is_none() && self.watch.following.is_none()
    }

    /// What has changed.
    async fn changed(&mut self) -> Vec<String> {
        let changed = tokio::time::timeout(SOON, self.watch.changed()).await.expect("nothing has changed");
        changed.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Until nothing is to be looked at any more.
    async fn settle(&mut self) {
        while !self.is_idle() {
            let _ = tokio::time::timeout(QUIET, self.watch.changed()).await;
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON * 3, test).await }).expect("it waits in vain");
}

#[test]
fn tells_what_has_changed_and_then_is_idle() {
    run(async {
        let mut stage = Stage::new(WatchMode::On);
        stage.settle().await;
        stage.write("a.lua", "1");
        assert_eq!(stage.changed().await, ["a.lua"]);
        stage.settle().await;
        assert!(stage.is_idle(), "nothing is due while nothing happens");
        stage.write("other", "1");
        stage.write("new", "global\n");
        std::fs::rename(stage.at("new"), stage.at("h.cfg")).unwrap();
        assert_eq!(stage.changed().await, ["h.cfg"]);
    });
}

#[test]
fn names_that_do_not_matter_are_no_hint() {
    run(async {
        let mut stage = Stage::new(WatchMode::On);
        stage.settle().await;
        stage.write("other", "1");
        assert!(tokio::time::timeout(QUIET, stage.watch.changed()).await.is_err());
        assert!(stage.is_idle(), "another file is no reason to look");
    });
}

#[test]
fn a_directory_that_is_replaced_is_followed() {
    run(async {
        let mut stage = Stage::new(WatchMode::On);
        stage.settle().await;
        let (now, away) = (stage.folder.path().to_path_buf(), stage.folder.path().with_extension("away"));
        std::fs::rename(&now, &away).unwrap();
        std::fs::create_dir(&now).unwrap();
        stage.write("h.cfg", "global\n lua-load a.lua\n");
        stage.write("a.lua", "");
        while !stage.watch.said.is_empty() || !stage.is_idle() {
            let _ = tokio::time::timeout(QUIET, stage.watch.changed()).await;
        }
        stage.write("a.lua", "1");
        assert_eq!(stage.changed().await, ["a.lua"]);
        std::fs::remove_dir_all(away).unwrap();
    });
}

#[test]
fn the_files_of_a_new_configuration_are_followed() {
    run(async {
        let mut stage = Stage::new(WatchMode::On);
        stage.write("h.cfg", "global\n lua-load b.lua\n");
        assert_eq!(stage.changed().await, ["h.cfg"]);
        stage.follow();
        stage.settle().await;
        stage.write("a.lua", "read by none");
        stage.write("b.lua", "1");
        assert_eq!(stage.changed().await, ["b.lua"]);
    });
}

#[test]
fn what_changes_between_reading_and_following_is_seen() {
    run(async {
        let mut stage = Stage::new(WatchMode::On);
        let configuration = Arc::new(Configuration::read(&stage.invocation, &|_| None).unwrap());
        stage.write("h.cfg", "global\n");
        stage.watch.follow(&configuration, &stage.invocation);
        assert_eq!(stage.changed().await, ["h.cfg"]);
    });
}

#[test]
fn polling_looks_again_before_it_asks() {
    run(async {
        let mut stage = Stage::new(WatchMode::Poll);
        stage.settle_once().await;
        stage.write("a.lua", "half");
        // A quiet time that is not over in this test.
        stage.watch.times = LookTimes::after(SOON * 2);
        stage.poll();
        while !stage.watch.times.is_hinted() {
            let _ = tokio::time::timeout(QUIET, stage.watch.changed()).await;
        }
        stage.watch.times = LookTimes::after(QUIET);
        stage.watch.times.hint(due::elapsed());
        assert_eq!(stage.changed().await, ["a.lua"]);
        assert!(stage.watch.times.next().is_some(), "it goes on");
    });
}

impl Stage {
    /// It is time to look, as if nothing had been hinted at.
    fn poll(&mut self) {
        self.watch.times.poll(due::elapsed());
    }

    /// The look that follows each start.
    async fn settle_once(&mut self) {
        let is_busy =
            |watch: &Watch| watch.times.is_hinted() || watch.looking.is_some() || watch.following.is_some();
        while is_busy(&self.watch) {
            let _ = tokio::time::timeout(QUIET, self.watch.changed()).await;
        }
    }
}

/// A filesystem that does not answer, until it does.
struct Hung {
    answers: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicUsize,
}

static HUNG: Hung =
    Hung { answers: Mutex::new(false), changed: Condvar::new(), waiting: AtomicUsize::new(0) };

impl Hung {
    fn look(job: Job) -> Looked {
        HUNG.waiting.fetch_add(1, SeqCst);
        let answers = HUNG.answers.lock().unwrap();
        drop(HUNG.changed.wait_timeout_while(answers, SOON, |answers| !*answers).unwrap());
        HUNG.waiting.fetch_sub(1, SeqCst);
        look::look(job)
    }
}

#[test]
fn a_look_that_hangs_stops_nothing_and_is_not_begun_again() {
    run(async {
        let mut stage = Stage::new(WatchMode::Poll);
        stage.settle_once().await;
        stage.watch.look = Hung::look;
        stage.write("a.lua", "1");
        stage.poll();
        while HUNG.waiting.load(SeqCst) == 0 {
            let _ = tokio::time::timeout(QUIET, stage.watch.changed()).await;
        }
        // There is a hint, and a reload has read another configuration: that waits, and the loop does not.
        stage.watch.times.hint(due::elapsed());
        stage.write("h.cfg", "global\n lua-load a.lua\n lua-load b.lua\n");
        let configuration = Arc::new(Configuration::read(&stage.invocation, &|_| None).unwrap());
        let mut followed = stage.watch.follow(&configuration, &stage.invocation).unwrap();
        for _ in 0..5 {
            assert!(tokio::time::timeout(QUIET, stage.watch.changed()).await.is_err());
        }
        assert_eq!(HUNG.waiting.load(SeqCst), 1, "one look at a time");
        assert!(followed.try_recv().is_err(), "what was not looked at was not seen");

        *HUNG.answers.lock().unwrap() = true;
        HUNG.changed.notify_all();
        while followed.try_recv().is_err() {
            let _ = tokio::time::timeout(QUIET, stage.watch.changed()).await;
        }
        // What HAProxy will read by then is no news; what comes is.
        stage.settle_once().await;
        stage.write("b.lua", "1");
        stage.poll();
        assert_eq!(stage.changed().await, ["b.lua"]);
    });
}

#[test]
fn off_is_off() {
    run(async {
        let mut stage = Stage::new(WatchMode::Off);
        stage.write("a.lua", "1");
        assert!(tokio::time::timeout(QUIET * 2, stage.watch.changed()).await.is_err());
        assert!(stage.watch.times.next().is_none() && stage.watch.seen.paths().next().is_none());
    });
}
