#![no_main]

clearway_fuzz::target!(settings);
