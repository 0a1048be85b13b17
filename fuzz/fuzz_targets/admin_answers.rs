#![no_main]

clearway_fuzz::target!(admin_answers);
