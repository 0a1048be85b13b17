#![no_main]

clearway_fuzz::target!(stick_tables);
