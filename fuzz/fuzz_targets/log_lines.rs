#![no_main]

clearway_fuzz::target!(log_lines);
