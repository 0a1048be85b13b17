//! Listening where there is no address, and finding out which process listens.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_kernel::capabilities::{Capability, effective};
use clearway_kernel::interfaces::was_made_anew;
use clearway_kernel::listeners::{bind_foreign, holders, is_local};
use clearway_kernel::transparency::{Family, TransparencyError, can_be_transparent};
use clearway_lab::inside::{self, Named, helper, run};

const TESTS: &[Named] = &[
    ("a_foreign_listener_serves_once_the_address_comes", a_foreign_listener_serves_once_the_address_comes),
    (
        "a_foreign_listener_shares_its_port_and_keeps_its_device",
        a_foreign_listener_shares_its_port_and_keeps_its_device,
    ),
    ("an_interface_that_was_made_anew_is_noticed", an_interface_that_was_made_anew_is_noticed),
    ("holders_are_found_in_both_families", holders_are_found_in_both_families),
    ("a_holder_out_of_sight_has_a_user", a_holder_out_of_sight_has_a_user),
    ("net_raw_or_net_admin_makes_transparent", net_raw_or_net_admin_makes_transparent),
];

const HELPERS: &[Named] = &[("look", look), ("transparent", transparent), ("opaque", opaque)];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

const FOREIGN: [&str; 2] = ["192.0.2.7:8080", "[2001:db8::7]:8080"];

fn flag(socket: &OwnedFd, v6: bool) -> Result<bool> {
    let socket = socket2::SockRef::from(socket);
    let shared = socket.freebind_v4()?;
    if v6 {
        ensure!(socket.freebind_v6()? == shared, "the two options are not one bit");
    }
    Ok(shared)
}

fn a_foreign_listener_serves_once_the_address_comes() -> Result<()> {
    let sysctl = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind")?;
    ensure!(sysctl.trim() == "0", "the test wants ip_nonlocal_bind=0");
    for text in FOREIGN {
        let address: SocketAddr = text.parse()?;
        ensure!(!is_local(address.ip()) && TcpListener::bind(address).is_err());
        let socket = bind_foreign(address, true, None)?;
        ensure!(!flag(&socket, address.is_ipv6())?, "FREEBIND is still set");
        ensure!(rustix::io::fcntl_getfd(&socket)?.contains(rustix::io::FdFlags::CLOEXEC));
        let option = if address.is_ipv6() { " nodad" } else { "" };
        run(&format!("ip address add {} dev lo{option}", address.ip()))?;
        ensure!(is_local(address.ip()), "{text} is here now");
        // The kernel adds the IPv6 route to a new address a little later, from a work queue.
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(error) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            ensure!(Instant::now() < deadline, "{text}: {error}");
            std::thread::yield_now();
        }
        TcpListener::from(socket).accept()?;
    }
    Ok(())
}

fn a_foreign_listener_shares_its_port_and_keeps_its_device() -> Result<()> {
    run("ip link add ck-d type veth peer ck-e")?;
    let address: SocketAddr = FOREIGN[0].parse()?;
    let first = bind_foreign(address, false, Some("ck-d"))?;
    let _second = bind_foreign(address, false, Some("ck-d"))?;
    let device = socket2::SockRef::from(&first).device()?.context("no device")?;
    ensure!(device.starts_with(b"ck-d"), "{device:?}");
    ensure!(holders(8080, None)?.len() == 2);
    ensure!(bind_foreign(address, false, Some("nowhere")).is_err());
    Ok(())
}

fn an_interface_that_was_made_anew_is_noticed() -> Result<()> {
    let make = "ip link add ck-d type veth peer ck-e";
    run(make)?;
    let tcp = bind_foreign(FOREIGN[0].parse()?, false, Some("ck-d"))?;
    let tcp6 = bind_foreign(FOREIGN[1].parse()?, true, Some("ck-d"))?;
    let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket2::SockRef::from(&udp).bind_device(Some(b"ck-d"))?;
    let bound = [tcp.as_fd(), tcp6.as_fd(), udp.as_fd()];
    let free = TcpListener::bind("127.0.0.1:0")?;
    let noticed = || bound.map(|socket| was_made_anew(socket, "ck-d"));
    ensure!(noticed() == [false; 3], "nothing has happened: {:?}", noticed());
    run("ip link del ck-d")?;
    ensure!(noticed() == [false; 3], "there is no other one yet: {:?}", noticed());
    run(make)?;
    ensure!(noticed() == [true; 3], "it is another one now: {:?}", noticed());
    ensure!(!was_made_anew(free.as_fd(), "ck-d"), "it is bound to no interface");
    ensure!(!was_made_anew(tcp.as_fd(), "nowhere"), "there is none");
    // The name is what counts, and this one has gone on to another.
    run("ip link set ck-e name ck-f")?;
    let other = bind_foreign(FOREIGN[0].parse()?, false, Some("ck-f"))?;
    run("ip link set ck-f name ck-g")?;
    ensure!(!was_made_anew(other.as_fd(), "ck-f") && !was_made_anew(other.as_fd(), "ck-g"));
    Ok(())
}

fn holders_are_found_in_both_families() -> Result<()> {
    let four = TcpListener::bind("0.0.0.0:8081")?;
    let six = bind_foreign("[::]:8081".parse()?, true, None)?;
    let found = holders(8081, None)?;
    ensure!(found.len() == 2, "{found:?}");
    for (holder, socket) in found.iter().zip([four.as_fd(), six.as_fd()]) {
        ensure!(u64::from(holder.inode) == rustix::fs::fstat(socket)?.st_ino, "{found:?}");
        ensure!(holder.process.as_ref().is_some_and(|process| process.pid == std::process::id()), "{holder}");
    }
    ensure!(holders(8081, Some("127.0.0.1".parse::<IpAddr>()?))?.len() == 1);
    ensure!(holders(8082, None)?.is_empty());
    Ok(())
}

fn look() -> Result<()> {
    for holder in holders(8083, None)? {
        println!("{holder}");
    }
    Ok(())
}

fn a_holder_out_of_sight_has_a_user() -> Result<()> {
    let _listener = TcpListener::bind("127.0.0.1:8083")?;
    // No other user may read the directory of the test program, so root without capabilities stands for one.
    let wrapper = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let output = helper("look", &wrapper)?.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let expected = "127.0.0.1:8083 held by a process of uid 0 that is not visible from here\n";
    ensure!(told == expected, "{told}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn transparent() -> Result<()> {
    for family in Family::ALL {
        can_be_transparent(family)?;
    }
    Ok(())
}

fn opaque() -> Result<()> {
    ensure!(!effective()?.missing(&[Capability::NetRaw]).is_empty());
    for family in Family::ALL {
        let outcome = can_be_transparent(family);
        ensure!(matches!(outcome, Err(TransparencyError::Denied(_))), "{outcome:?}");
    }
    Ok(())
}

fn net_raw_or_net_admin_makes_transparent() -> Result<()> {
    for (capabilities, name) in [
        ("-all,+net_raw", "transparent"),
        ("-all,+net_admin", "transparent"),
        ("-all,+net_bind_service", "opaque"),
    ] {
        let bounding = format!("--bounding-set={capabilities}");
        let output = helper(name, &["setpriv", &bounding, "--inh-caps=-all"])?.output()?;
        ensure!(output.status.success(), "{capabilities}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
