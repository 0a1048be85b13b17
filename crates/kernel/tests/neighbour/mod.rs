//! A second host, servers that tell whom they see, and clients of both kinds.
//!
//! ```text
//! client 10.1.0.2 ---- 10.1.0.1 this host, 192.0.2.1 on `lo`
//!        fd01::2       fd01::1
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use crate::lab::{helper, run};

/// Whatever is waited for: tests fail after this.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing must come for an answer to count as gone astray.
const SILENCE: Duration = Duration::from_millis(1500);

/// The addresses of the client, IPv4 and IPv6.
pub(crate) const CLIENT: [&str; 2] = ["10.1.0.2", "fd01::2"];

/// A network namespace with one process in it; gone with that.
pub(crate) struct Host {
    process: Child,
}

impl Host {
    /// Starts the other host and connects it to this one.
    pub(crate) fn start() -> Result<Self> {
        let mut command = helper("stay", &["unshare", "--net"])?;
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        // One byte says that the namespace is there.
        process.stdout.take().context("no output")?.read_exact(&mut [0])?;
        let host = Self { process };
        run(&format!("ip link add v0 type veth peer name v1 netns {}", host.process.id()))?;
        for line in [
            // No link-local address that appears when duplicate detection is done: it would change the state.
            "ip link set v0 addrgenmode none",
            "ip addr add 10.1.0.1/24 dev v0",
            "ip addr add fd01::1/64 dev v0 nodad",
            "ip addr add 192.0.2.1/32 dev lo",
            "ip link set v0 up",
        ] {
            run(line)?;
        }
        for line in [
            "ip link set lo up",
            "ip addr add 10.1.0.2/24 dev v1",
            "ip addr add fd01::2/64 dev v1 nodad",
            "ip link set v1 up",
            "ip route add default via 10.1.0.1",
        ] {
            host.run(line)?;
        }
        host.warm_up()?;
        Ok(host)
    }

    /// Right after an interface came up, neighbour discovery takes a second or two.
    fn warm_up(&self) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while self.ask("[fd01::1]:9")? != "refused" {
            ensure!(Instant::now() < deadline, "the hosts do not reach each other");
        }
        Ok(())
    }

    /// Runs a command there.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run(&format!("nsenter -t {} -n {line}", self.process.id()))
    }

    /// Connects from there: what [`ask`] returns.
    pub(crate) fn ask(&self, target: &str) -> Result<String> {
        let pid = self.process.id().to_string();
        let output = helper("ask", &["nsenter", "-t", &pid, "-n"])?.env("TARGET", target).output()?;
        let told = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(told)
    }

    /// A server there, until the host is gone.
    pub(crate) fn serve(&self, address: &str) -> Result<Server> {
        let pid = self.process.id().to_string();
        let mut command = helper("serve", &["nsenter", "-t", &pid, "-n"])?;
        let mut process =
            command.env("TARGET", address).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        process.stdout.take().context("no output")?.read_exact(&mut [0])?;
        Ok(Server { process })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server on the other host.
pub(crate) struct Server {
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The helper that is a host: lives until its standard input ends.
pub(crate) fn stay() -> Result<()> {
    ready()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The helper that is a server on the other host.
pub(crate) fn serve_there() -> Result<()> {
    serve(&std::env::var("TARGET")?)?;
    stay()
}

/// The helper that is a client on the other host.
pub(crate) fn ask_from_there() -> Result<()> {
    print!("{}", ask(&std::env::var("TARGET")?, None)?);
    Ok(())
}

fn ready() -> Result<()> {
    std::io::stdout().write_all(b"!")?;
    Ok(std::io::stdout().flush()?)
}

/// A server that answers each byte with the address it sees, as a line. It ends with the process.
pub(crate) fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    Ok(())
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    let line = format!("{}\n", connection.peer_addr()?.ip().to_canonical());
    while connection.read_exact(&mut [0]).is_ok() {
        connection.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// Connects, from that address, foreign (as HAProxy with `usesrc clientip` does) or not, and asks whom the
/// server sees: that address, `refused`, or `silence`.
pub(crate) fn ask(target: &str, source: Option<&str>) -> Result<String> {
    match connect(target, source, SILENCE) {
        Ok(mut connection) => whom(&mut connection),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => Ok("refused".to_owned()),
            Some(ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
                Ok("silence".to_owned())
            }
            _ => Err(error),
        },
    }
}

/// A connection that stays open.
pub(crate) fn open(target: &str, source: Option<&str>) -> Result<TcpStream> {
    connect(target, source, DEADLINE)
}

fn connect(target: &str, source: Option<&str>, patience: Duration) -> Result<TcpStream> {
    let socket = socket(target, source)?;
    socket.connect_timeout(&target.parse::<SocketAddr>()?.into(), patience)?;
    Ok(socket.into())
}

/// A socket that is about to connect from a foreign address.
pub(crate) fn socket(target: &str, source: Option<&str>) -> Result<Socket> {
    let target: SocketAddr = target.parse()?;
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(source) = source {
        let source: IpAddr = source.parse()?;
        let address = SocketAddr::new(source, 0).into();
        // Local clients are not transparent.
        if socket.bind(&address).is_err() {
            match source {
                IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
                IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
            }
            socket.bind(&address)?;
        }
    }
    Ok(socket)
}

/// Whom the server of an open connection sees, or `silence`.
pub(crate) fn whom(connection: &mut TcpStream) -> Result<String> {
    connection.set_read_timeout(Some(SILENCE))?;
    connection.write_all(b"?")?;
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match connection.read(&mut byte) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(_) if byte == *b"\n" => return Ok(String::from_utf8(line)?),
            Ok(_) => line.extend(byte),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok("silence".to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
}
