use clearway_haproxy::configuration::SourceFile;
use clearway_haproxy::version::Version;

use super::*;

fn scan(text: &str) -> Configuration {
    let path = PathBuf::from("/c/h.cfg");
    let file = SourceFile { name: path.clone(), path, bytes: text.into() };
    Configuration::scan(vec![file], &|_| None)
}

/// HAProxy as it answers.
struct Haproxy(Vec<&'static str>);

impl Wire for Haproxy {
    fn ask(&mut self, commands: &[&str], _: std::time::Duration) -> Result<Vec<String>, String> {
        self.0.extend(commands.iter().map(|command| if *command == "show map" { "asked" } else { "" }));
        Ok(vec!["# id (file) description\n0 (hosts.map) pattern loaded from file 'hosts.map'\n".to_owned()])
    }

    fn give(&mut self, _: &str, _: &str, _: std::time::Duration) -> Result<String, String> {
        Err("nothing is changed for a plan".to_owned())
    }
}

fn planned(changed: &[FileDifference], was: &str, is: &str) -> FilesPlan {
    let can = Capabilities::new(Version::release(3, 0, 0), "");
    plan(changed, (&scan(was), &scan(is)), &can, &mut Haproxy(Vec::new())).unwrap()
}

const MAP: &str = "frontend f\n use_backend %[src,map_ip(/m/a.map)]\n";

#[test]
fn a_file_is_named_as_the_line_names_it() {
    let text = "frontend f\n bind :1 ssl crt certs/\n use_backend %[src,map_ip(hosts.map)]\n";
    let references = scan(text).all_references();
    for relative in ["hosts.map", "certs/a.pem"] {
        let named = name(&absolute(Path::new(relative)), &references);
        assert!(named.is_relative() && named.ends_with(relative), "{named:?}");
    }
    assert_eq!(name(Path::new("/elsewhere"), &references), Path::new("/elsewhere"));
}

#[test]
fn what_a_new_line_names_is_the_matter_of_that_line() {
    let (added, removed) =
        (FileDifference::Added("/m/a.map".into()), FileDifference::Removed("/m/a.map".into()));
    assert_eq!(planned(std::slice::from_ref(&added), "frontend f\n", MAP), FilesPlan::default());
    assert_eq!(planned(std::slice::from_ref(&removed), MAP, "frontend f\n"), FilesPlan::default());
    assert_eq!(planned(&[added], MAP, MAP).reasons[0].to_string(), "/m/a.map: it is new");
    assert_eq!(planned(&[removed], MAP, MAP).reasons[0].to_string(), "/m/a.map: it is gone");
}

#[test]
fn one_that_cannot_be_read_is_a_reload() {
    let changed = [FileDifference::Changed("/m/a.map".into())];
    let reasons = planned(&changed, MAP, MAP).reasons;
    assert!(reasons[0].to_string().starts_with("/m/a.map: reading it: "), "{reasons:?}");
}

#[test]
fn a_payload_fits_into_the_smallest_buffer() {
    assert_eq!(longest(&scan("global\n")), BUFFER - SPARE);
    assert_eq!(longest(&scan("global\n tune.bufsize 8192\n")), 8192 - SPARE);
    assert_eq!(longest(&scan("global\n tune.bufsize 65536\n")), BUFFER - SPARE);
    assert_eq!(longest(&scan("global\n tune.bufsize \"${SIZE}\"\n")), 0);
}
