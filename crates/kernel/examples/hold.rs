//! Installs the plumbing, prints what it is as JSON, and removes it when standard input ends.
//!
//! `hold [instance]`, as root, in a network namespace where that does no harm. Killed with SIGKILL it shows
//! what the kernel removes by itself and what `hold --sweep` has to. `hold --residue` lists.

use std::error::Error;
use std::io::{self, Read};

use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, residue, sweep};

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("--sweep") => println!("{}", sweep()?),
        Some("--residue") => residue()?.iter().for_each(|line| println!("{line}")),
        instance => hold(instance)?,
    }
    Ok(())
}

fn hold(instance: Option<&str>) -> Result<(), Box<dyn Error>> {
    let instance = instance.map(str::parse).transpose()?;
    let (mut plumbing, notices) = Plumbing::install(instance.as_ref(), None, &PlumbingNeeds::default())?;
    for notice in notices {
        eprintln!("notice: {notice}");
    }
    println!("{}", serde_json::to_string(&plumbing.describe())?);
    io::stdin().read_to_end(&mut Vec::new())?;
    plumbing.remove()?;
    Ok(())
}
