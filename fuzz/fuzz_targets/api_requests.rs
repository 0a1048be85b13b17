#![no_main]

clearway_fuzz::target!(api_requests);
