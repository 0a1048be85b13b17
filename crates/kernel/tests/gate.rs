//! A gate that is closed, as real clients meet it and as the kernel shows it.

#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod traffic;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clearway_kernel::gate::{Gate, Manner};
use lab::{Named, run};

const TESTS: &[Named] = &[("smoke", smoke)];
const HELPERS: &[Named] = &[];

fn main() -> ExitCode {
    lab::main(TESTS, HELPERS)
}

fn smoke() -> Result<()> {
    let listener = traffic::listen("[::]:8080", false)?;
    for manner in [Manner::Drop, Manner::Hold] {
        Gate::probe(manner)?;
        eprintln!("{}", run("nft list ruleset")?);
        let gate = Gate::close(
            None,
            manner,
            &["127.0.0.1:8080".parse()?, "[::1]:8080".parse()?, "0.0.0.0:99".parse()?],
            &[443],
        )?;
        eprintln!("{}", run("nft list ruleset")?);
        let client = traffic::begin("127.0.0.1:8080")?;
        let client6 = traffic::begin("[::1]:8080")?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        eprintln!("{}", run("cat /proc/net/netfilter/nfnetlink_queue")?);
        eprintln!("connected {} {}", traffic::connected(&client)?, traffic::connected(&client6)?);
        eprintln!("{:?}", gate.open()?);
        eprintln!("connected {} {}", traffic::connected(&client)?, traffic::connected(&client6)?);
        eprintln!("{}", run("nft list ruleset")?);
    }
    drop(listener);
    ensure!(false);
    Ok(())
}
