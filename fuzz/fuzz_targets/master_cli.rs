#![no_main]

clearway_fuzz::target!(master_cli);
