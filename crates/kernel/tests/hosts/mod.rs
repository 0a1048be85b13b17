//! Other hosts for tests with real packets: each a process in a network namespace of its own that ends, and
//! is gone with all it had, when its [`Host`] is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use crate::lab::{helper, run};

/// The port on which every host serves.
pub(crate) const PORT: u16 = 80;

/// Whatever is waited for: tests fail after this.
const DEADLINE: Duration = Duration::from_secs(20);

/// The helper: serves in both families, and says for each line it is sent how many connections came.
pub(crate) fn host() -> Result<()> {
    run("ip link set lo up")?;
    let listener = TcpListener::bind(("::", PORT))?;
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            counter.fetch_add(1, SeqCst);
            // Until the other end goes: so that no TIME-WAIT is ours.
            let _ = connection.read(&mut [0]);
        }
    });
    println!("ready");
    for _ in std::io::stdin().lines() {
        println!("{}", seen.load(SeqCst));
    }
    Ok(())
}

/// A host beside the one of the test.
pub(crate) struct Host {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    before: usize,
}

impl Host {
    /// Starts it, without any link.
    pub(crate) fn start() -> Result<Self> {
        let mut child =
            helper("host", &["unshare", "-n"])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut host = Self { child, input, output, before: 0 };
        let first = host.line()?;
        ensure!(first == "ready", "the host said `{first}`");
        Ok(host)
    }

    /// Starts it with a cable from our `eth<number>`, `10.<number>.0.1` and `fd<number>::1`, to its `eth0`,
    /// `.2` and `::2`.
    pub(crate) fn wired(number: u8) -> Result<Self> {
        let mut host = Self::start()?;
        run(&format!("ip link add eth{number} type veth peer name eth0 netns {}", host.child.id()))?;
        // No link-local addresses: they come late, and routes with them.
        run(&format!("ip link set eth{number} addrgenmode none"))?;
        host.run("ip link set eth0 addrgenmode none")?;
        run(&format!("ip addr add 10.{number}.0.1/24 dev eth{number}"))?;
        run(&format!("ip addr add fd{number:02}::1/64 dev eth{number} nodad"))?;
        run(&format!("ip link set eth{number} up"))?;
        host.run(&format!("ip addr add 10.{number}.0.2/24 dev eth0"))?;
        host.run(&format!("ip addr add fd{number:02}::2/64 dev eth0 nodad"))?;
        host.run("ip link set eth0 up")?;
        // Right after a link comes up, IPv6 neighbour discovery takes a second or two.
        let address = SocketAddr::new(format!("fd{number:02}::2").parse()?, PORT);
        let deadline = Instant::now() + DEADLINE;
        let first = loop {
            match TcpStream::connect_timeout(&address, DEADLINE) {
                Ok(connection) => break connection,
                Err(error) => ensure!(Instant::now() < deadline, "{address}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        while host.accepted()? == 0 {
            ensure!(Instant::now() < deadline, "{address}: not accepted");
        }
        SockRef::from(&first).set_linger(Some(Duration::ZERO))?;
        drop(first);
        host.forget()?;
        Ok(host)
    }

    /// The same, and everything it does not know goes to us.
    pub(crate) fn behind_us(number: u8) -> Result<Self> {
        let host = Self::wired(number)?;
        host.run(&format!("ip route add default via 10.{number}.0.1"))?;
        host.run(&format!("ip -6 route add default via fd{number:02}::1"))?;
        Ok(host)
    }

    /// Its process, and so its network namespace, for `ip link ... netns`.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command line without quotes on it.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run(&format!("nsenter -t {} -n {line}", self.child.id()))
    }

    /// Loads nftables rules on it.
    pub(crate) fn filter(&self, chain: &str, rules: &str) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        let hook = format!("type filter hook {chain} priority 0");
        writeln!(file, "table inet filter {{\nchain {chain} {{\n{hook}\n{rules}\n}}\n}}")?;
        self.run(&format!("nft -f {}", file.path().display())).map(drop)
    }

    /// How many connections its application has accepted since it was made.
    pub(crate) fn accepted(&mut self) -> Result<usize> {
        writeln!(self.input, "how many")?;
        Ok(self.line()?.parse::<usize>()?.saturating_sub(self.before))
    }

    /// Takes what has been accepted so far for nothing.
    fn forget(&mut self) -> Result<()> {
        self.before += self.accepted()?;
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
