#![no_main]

clearway_fuzz::target!(own_command_line);
