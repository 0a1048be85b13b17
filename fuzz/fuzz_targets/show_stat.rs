#![no_main]

clearway_fuzz::target!(show_stat);
