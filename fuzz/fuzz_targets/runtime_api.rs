#![no_main]

clearway_fuzz::target!(runtime_api);
