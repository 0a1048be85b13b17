#![no_main]

clearway_fuzz::target!(servers_state);
