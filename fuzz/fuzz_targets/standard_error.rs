#![no_main]

clearway_fuzz::target!(standard_error);
