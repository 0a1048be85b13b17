#![no_main]

clearway_fuzz::target!(command_line);
