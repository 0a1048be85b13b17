use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use clearway_core::settings::{SettingKey, Settings};
use tokio::sync::mpsc;

use super::*;
use crate::front::api::Readiness;
use crate::front::public::seats;
use crate::front::request::Request as Asked;

/// How long a test waits for an answer.
const SOON: Duration = Duration::from_secs(10);

/// An API at a path, before a loop that answers three questions.
struct Served {
    folder: tempfile::TempDir,
    state: watch::Sender<ApiState>,
    threads: Vec<JoinHandle<()>>,
    /// How many reloads were asked for.
    reloads: Arc<AtomicUsize>,
}

impl Served {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        let path = folder.path().join("api.sock").display().to_string();
        settings.set(SettingKey::Admin, &path, "--admin").unwrap();
        let (requests, mut asked) = mpsc::channel(8);
        let state = watch::Sender::new(ApiState::Open);
        let attendant = Attendant::new(settings.admin[0].clone(), None, &requests, state.subscribe());
        drop(requests);
        let reloads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reloads);
        let answers = std::thread::spawn(move || {
            while let Some(request) = asked.blocking_recv() {
                match request {
                    Asked::Alive(sender) => sender.send(()).unwrap(),
                    Asked::Ready(sender) => {
                        let reason = "not yet".to_owned();
                        drop(sender.send(Readiness { is_ready: false, reason }));
                    }
                    Asked::Configuration(number, sender) => {
                        let body = format!("{{\"generation\":{}}}", number.unwrap_or(7)).into_bytes();
                        drop(sender.send(Ok(body)));
                    }
                    // It is never answered.
                    Asked::Reload(sender) => {
                        std::mem::forget(sender);
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        let threads = vec![std::thread::spawn(move || serve(vec![attendant])), answers];
        let served = Self { folder, state, threads, reloads };
        served.wait_until(true);
        served
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    fn wait_until(&self, listens: bool) {
        let end = std::time::Instant::now() + SOON;
        // It ends to listen before its path goes.
        while UnixStream::connect(self.path()).is_ok() != listens || self.path().exists() != listens {
            assert!(std::time::Instant::now() < end, "it listens: {}", !listens);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends bytes; the answer to the end.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be answered before all is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        self.send(head.as_bytes())
    }

    fn end(mut self) {
        self.state.send_replace(ApiState::Ended);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        assert!(!self.path().exists(), "the file of the socket was left");
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[test]
fn a_question_is_answered_and_what_is_none_is_refused_with_a_sentence() {
    let served = Served::begin();
    let alive = served.ask("GET", "/healthz", "");
    assert!(alive.starts_with("HTTP/1.1 200 OK\r\n") && alive.ends_with("\r\n\r\nalive\n"), "{alive}");
    assert!(alive.contains("cache-control: no-store") && !alive.contains("access-control"), "{alive}");
    for (path, body) in
        [("/v1/config", "{\"generation\":7}"), ("/v1/config?generation=2", "{\"generation\":2}")]
    {
        let files = served.ask("GET", path, "");
        assert!(status(&files) == 200 && files.ends_with(body), "a client of a path may see files: {files}");
        assert!(files.contains("content-type: application/json"), "{files}");
    }
    let ready = served.ask("GET", "/readyz", "");
    assert!(status(&ready) == 503 && ready.ends_with("not yet\n"), "{ready}");
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let many = "X-Many: 1\r\n".repeat(500);
    for (method, path, headers, wanted) in [
        ("GET", "/nowhere", "", 404),
        ("GET", "/v1/status/", "", 404),
        ("DELETE", "/healthz", "", 405),
        ("BREW", "/v1/reload", "", 405),
        ("POST", "/healthz", "X-Clearway: 1\r\n", 405),
        ("OPTIONS", "/v1/reload", "Origin: http://evil.example\r\n", 405),
        ("POST", "/v1/reload", "", 403),
        ("POST", "/v1/reload?dryrun", "X-Clearway: 1\r\n", 400),
        ("GET", "/v1/config?generation=-1", "", 400),
        ("GET", "/v1/config?generation=4294967296", "", 400),
        ("GET", "/v1/config/diff?x", "", 400),
        ("POST", "/v1/config", "X-Clearway: 1\r\n", 405),
        ("POST", "/v1/reload", "X-Clearway: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
        ("GET", "/healthz", &long, 431),
        ("GET", "/healthz", &many, 431),
    ] {
        let answer = served.ask(method, path, headers);
        // What was not read may have reset the connection, with the answer.
        assert!(
            status(&answer) == wanted || (answer.is_empty() && headers.len() > 4096),
            "{method} {path}: {answer}"
        );
        if wanted < 431 {
            assert!(answer.contains("content-type: text/plain") && answer.ends_with('\n'), "{answer}");
        }
        assert!(wanted != 405 || answer.contains("\r\nallow: "), "{answer}");
    }
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\r\n\r\n"[..], b"GET /healthz HTTP/9.9\r\n\r\n", b"GET\r\n\r\n"]
    {
        assert_eq!(status(&served.send(bytes)), 400, "{bytes:?}");
    }
    assert_eq!(status(&served.ask("HEAD", "/healthz", "")), 200);
    assert!(served.ask("GET", "/openapi.json", "").contains("content-type: application/json"));
    served.end();
}

#[test]
fn hundreds_of_silent_clients_keep_no_other_one_out() {
    let served = Served::begin();
    let mut silent: Vec<UnixStream> = (0..5 * seats::MOST).map(|_| served.connect()).collect();
    for stream in &mut silent {
        // The first ones are gone.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHo");
    }
    assert_eq!(status(&served.ask("GET", "/healthz", "")), 200);
    let first = silent[0].read(&mut [0; 16]);
    assert!(
        first.as_ref().is_ok_and(|read| *read == 0)
            || first.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    );
    served.end();
}

#[test]
fn clients_that_wait_for_an_answer_stay_and_one_too_many_is_closed() {
    let served = Served::begin();
    let mut waiting = Vec::new();
    for _ in 0..seats::MOST {
        let mut stream = served.connect();
        stream.write_all(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nX-Clearway: 1\r\n\r\n").unwrap();
        waiting.push(stream);
    }
    let end = std::time::Instant::now() + SOON;
    while served.reloads.load(Ordering::Relaxed) < seats::MOST {
        assert!(std::time::Instant::now() < end, "not all have asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(served.ask("GET", "/healthz", "").is_empty(), "one more is let in");
    drop(waiting.pop());
    while status(&served.ask("GET", "/healthz", "")) != 200 {
        assert!(std::time::Instant::now() < end, "the place of one that is gone is not free");
    }
    drop(waiting);
    served.end();
}

#[test]
fn a_closed_one_leaves_the_address_and_an_open_one_takes_it_again() {
    let served = Served::begin();
    let mut kept = served.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 512];
    assert!(kept.read(&mut answer).unwrap() > 0);
    served.state.send_replace(ApiState::Closed);
    served.wait_until(false);
    assert!(!served.path().exists());
    // What is connected is sent to the other one, too.
    assert_eq!(kept.read(&mut answer).unwrap(), 0, "it may still ask");
    served.state.send_replace(ApiState::Open);
    served.wait_until(true);
    assert_eq!(status(&served.ask("GET", "/healthz", "")), 200);
    served.end();
}
