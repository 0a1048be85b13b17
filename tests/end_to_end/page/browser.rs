//! A browser without a window in a host of the test, driven over `WebDriver`: HTTP and JSON to `chromedriver`, and through that
//! what its `DevTools` protocol has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::namespace::Namespace;
use clearway_lab::process::Process;
use clearway_lab::wait::{eventually_because, patience};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{CannotRun, SOON};

/// What browsers of this kind are called, here and there.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Where the driver listens; each host has ports of its own.
const DRIVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9515);

/// A machine that does something else starts a browser slowly.
const SLOWLY: Duration = Duration::from_mins(1);

/// How wide, how high, which colours, and whether scripts run.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
    pub scripts: bool,
}

impl Look {
    /// A screen on a desk.
    pub const DESK: Self = Self { width: 1000, height: 900, scheme: "light", scripts: true };
    /// A telephone, at night.
    pub const PHONE: Self = Self { width: 360, height: 780, scheme: "dark", scripts: true };
}

/// A browser with one page. Dropped, the driver is killed, and the rest goes with the namespace.
pub struct Browser<'a> {
    host: &'a Namespace,
    session: String,
    _driver: Process,
    _home: TempDir,
}

fn program(names: &[&str]) -> Option<String> {
    let places = ["/usr/bin", "/usr/local/bin", "/usr/lib/chromium"];
    let mut paths = names.iter().flat_map(|name| places.map(|place| format!("{place}/{name}")));
    paths.find(|path| Path::new(path).exists())
}

/// An answer with its head, as long as that says: the driver leaves the connection open, whatever it is asked.
fn read_answer(stream: TcpStream) -> Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut answer, mut length) = (String::new(), 0);
    while !answer.ends_with("\r\n\r\n") {
        let begun = answer.len();
        ensure!(reader.read_line(&mut answer)? > 0, "it ends in its head: {answer}");
        if let Some((name, value)) = answer[begun..].split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(answer + &String::from_utf8(body)?)
}

impl<'a> Browser<'a> {
    /// Starts it in this host.
    pub fn start(host: &'a Namespace) -> Result<Self> {
        let missing = || {
            CannotRun(
                "it needs `chromium` and `chromium-driver` (`make setup` installs them on Debian)".to_owned(),
            )
        };
        let (browser, driver) =
            (program(&NAMES).ok_or_else(missing)?, program(&["chromedriver"]).ok_or_else(missing)?);
        let home = tempfile::Builder::new().prefix("clearway-browser-").tempdir()?;
        let mut command = host.command(driver);
        command.arg(format!("--port={}", DRIVER.port())).env("HOME", home.path());
        let driver = host.spawn({
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        })?;
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        // Root has no other way than without its own sandbox, and the namespace leads nowhere.
        let mut words =
            vec!["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &profile];
        words.extend(["--no-first-run", "--disable-breakpad", "--disable-crash-reporter", "--disable-sync"]);
        words.extend(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]);
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"binary": browser, "args": words}}}});
        let mut browser = Self { host, session: String::new(), _driver: driver, _home: home };
        let answer =
            eventually_because(SLOWLY, "a browser to start", || browser.ask("POST", "/session", &wanted))?;
        let session = answer["sessionId"].as_str().with_context(|| format!("no session in {answer}"))?;
        browser.session = format!("/session/{session}");
        Ok(browser)
    }

    /// Ends it, and waits until it is gone.
    pub fn quit(self) -> Result<()> {
        self.ask("DELETE", &self.session, &Value::Null).map(drop)
    }

    /// One question to the driver, and the value of its answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = self.host.enter(|| TcpStream::connect_timeout(&DRIVER, SOON))??;
        stream.set_read_timeout(Some(SLOWLY * patience()))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {DRIVER}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let answer = read_answer(stream).with_context(|| format!("no answer to {method} {path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP of the driver")?;
        let mut body: Value =
            serde_json::from_str(body).with_context(|| format!("{method} {path}: {answer}"))?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{method} {path}: {}", body["value"]);
        Ok(body["value"].take())
    }

    fn of_session(&self, what: &str, body: &Value) -> Result<Value> {
        self.ask("POST", &format!("{}/{what}", self.session), body)
    }

    /// A command of the `DevTools` protocol.
    pub fn tool(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.of_session("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// How the next pages look, and this one.
    pub fn look(&self, look: Look) -> Result<()> {
        let Look { width, height, scheme, scripts } = look;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tool("Emulation.setDeviceMetricsOverride", &size)?;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tool("Emulation.setEmulatedMedia", &scheme)?;
        self.tool("Emulation.setScriptExecutionDisabled", &json!({"value": !scripts})).map(drop)
    }

    /// Opens a page, and waits until it is loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.of_session("url", &json!({"url": url})).map(drop)
    }

    /// What a script of the test returns.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.of_session("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text of an element, as it is rendered; empty where there is none.
    pub fn text(&self, selector: &str) -> Result<String> {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        let text = self.run(&script)?;
        text.as_str().map(str::to_owned).with_context(|| format!("no text: {text}"))
    }

    /// Waits until the text of an element has all of these words.
    pub fn wait_for(&self, selector: &str, words: &[&str]) -> Result<String> {
        eventually_because(SOON, &format!("{selector} to say {words:?}"), || {
            let text = self.text(selector)?;
            match words.iter().find(|words| !text.contains(**words)) {
                None => Ok(text),
                Some(missing) => bail!("no `{missing}` in: {text}"),
            }
        })
    }

    /// Presses a key and lets it go.
    pub fn press(&self, key: char) -> Result<()> {
        let steps = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": steps}]});
        self.of_session("actions", &actions).map(drop)
    }

    /// A picture of the first part of the page, as high as this at most, as PNG of this scale.
    pub fn picture(&self, most: u32, scale: f64) -> Result<Vec<u8>> {
        let size = self.run("return [innerWidth, document.documentElement.scrollHeight]")?;
        let height = size[1].as_u64().context("a height")?.min(u64::from(most));
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": scale});
        let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.tool("Page.captureScreenshot", &wanted)?;
        from_base64(answer["data"].as_str().context("a picture")?)
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for character in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == character).context("no base64")?;
        (bits, held) = ((bits << 6) | u32::try_from(digit)?, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff)?);
        }
    }
    Ok(bytes)
}
