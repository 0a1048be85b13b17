use super::*;

const MAPS: &str = "# id (file) description\n0 (/a.map) pattern loaded from file '/a.map' used by map\n\
                    4 (/both) pattern\n\n";
const ACLS: &str = "# id (file) description\n1 (/p.acl) pattern loaded\n2 () acl 'path' file 'm.cfg' line 12.\n\
                    4 (/both) pattern\n\n";
const AUTHORITIES: &str = "# filename\n/ca.pem - 1 certificate(s)\n\n";
const CERTIFICATES: &str = "# transaction\n*/site.pem\n# filename\n/site.pem\n\n";

fn has() -> FilesOfHaproxy {
    FilesOfHaproxy::of([MAPS, ACLS, CERTIFICATES, AUTHORITIES, "Unknown command\n"])
}

fn can(version: &str) -> Capabilities {
    let text = format!("HAProxy version {version} 2026/01/01 - https://haproxy.org/");
    Capabilities::new(crate::version::Version::parse(&text).unwrap(), "")
}

fn planned(path: &str, content: &str) -> FilesPlan {
    let has = has();
    let file = ChangedFile { path: Path::new(path), content: content.as_bytes(), has_companions: false };
    plan(&[file], &has, &can("2.6.12"), 20)
}

fn commands(plan: &FilesPlan) -> Vec<String> {
    let orders = plan.steps.iter().flat_map(|step| &step.orders);
    orders
        .map(|one| {
            format!("{}{}", one.command, one.payload.as_ref().map_or(String::new(), |p| format!(" << {p}")))
        })
        .collect()
}

fn reason(path: &str, content: &str) -> String {
    planned(path, content).reasons.first().map(ReloadReason::to_string).unwrap_or_default()
}

#[test]
fn a_map_is_filled_in_parts_that_fit_and_taken_at_once() {
    let plan = planned("/a.map", "# words\n\n/a  b c\r\n\t/long/long b\n/x y");
    assert_eq!(
        commands(&plan),
        [
            "prepare map /a.map",
            "add map @{version} /a.map << /a b c\n/long/long b\n",
            "add map @{version} /a.map << /x y\n",
            "commit map @{version} /a.map"
        ]
    );
    assert!(plan.checks[0].is_met("0x55 /a b c\n0x56 /long/long b\n0x57 /x y\n\n"));
    assert!(!plan.checks[0].is_met("0x55 /a b c\n\n"));
    assert_eq!(plan.steps[0].why, "another content, with 3 entries");
    assert!(planned("/a.map", "").checks[0].is_met("\n"));
}

#[test]
fn patterns_are_given_one_by_one() {
    let plan = planned("/p.acl", "/a\n/b");
    assert_eq!(
        commands(&plan),
        [
            "prepare acl /p.acl",
            "add acl @{version} /p.acl /a",
            "add acl @{version} /p.acl /b",
            "commit acl @{version} /p.acl"
        ]
    );
}

#[test]
fn what_is_in_doubt_is_a_reload() {
    assert_eq!(reason("/a.map", "key"), "/a.map: a key has no value");
    assert!(reason("/a.map", "key value ").contains("read otherwise"));
    assert!(reason("/a.map", "key aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").contains("read otherwise"));
    for pattern in ["a b", "a;b", "a\\b", "<<", "\"a\"", "ä"] {
        assert!(reason("/p.acl", pattern).contains("read otherwise"), "{pattern}");
    }
    assert!(reason("/both", "a b").contains("more than one way"));
    assert!(reason("/error.http", "a").contains("by a reload alone"));
    assert!(reason("/a;b.map", "a b").contains("unusual"));
    assert!(reason("/site.pem", "-----BEGIN CERTIFICATE-----\n").contains("has not a certificate and"));
}

#[test]
fn a_certificate_is_one_transaction() {
    let has = has();
    let content = b"-----BEGIN CERTIFICATE-----\r\nAA\n\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nBB\n";
    let mut file = ChangedFile { path: Path::new("/site.pem"), content, has_companions: false };
    let planned = plan(std::slice::from_ref(&file), &has, &can("2.6.12"), 9000);
    let orders = &planned.steps[0].orders;
    let payload = orders[0].payload.as_deref().unwrap();
    assert!(!payload.contains("\n\n") && !payload.contains('\r') && payload.ends_with("BB\n"), "{payload}");
    assert_eq!(orders[1].command, "commit ssl cert /site.pem");
    assert!(!format!("{planned:?}").contains("BB"), "a private key is shown");
    assert_eq!(plan(std::slice::from_ref(&file), &has, &can("2.6.12"), 20).reasons.len(), 1);
    file.has_companions = true;
    assert_eq!(plan(&[file], &has, &can("2.6.12"), 9000).reasons.len(), 1);
}

#[test]
fn authorities_wait_for_a_version_that_can() {
    let content = b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
    let file = [ChangedFile { path: Path::new("/ca.pem"), content, has_companions: false }];
    assert!(plan(&file, &has(), &can("3.0.11"), 9000).reasons[0].what.contains("before HAProxy 3.2"));
    let planned = plan(&file, &has(), &can("3.2.26"), 9000);
    assert_eq!(planned.steps[0].orders[1].command, "commit ssl ca-file /ca.pem");
    assert!(planned.checks[0].is_met("Filename: /ca.pem\nStatus: Used\n\n"));
    assert!(!planned.checks[0].is_met("Filename: /ca.pem\nStatus: Unused\n\n"));
}

#[test]
fn a_file_that_haproxy_has_under_two_names_is_a_reload() {
    let maps = "0 (a.map) pattern loaded\n1 (./a.map) pattern loaded\n2 (b.map) pattern loaded\n";
    let certificates = "/site.pem\n//site.pem\n/other.pem\n";
    let has = FilesOfHaproxy::of([maps, "", certificates, "", ""]);
    let reasons = |path: &str, content: &str| {
        let file = ChangedFile { path: Path::new(path), content: content.as_bytes(), has_companions: false };
        plan(&[file], &has, &can("3.2.26"), 9000).reasons
    };
    for path in ["a.map", "./a.map", "/site.pem", "//site.pem"] {
        assert!(reasons(path, "a b")[0].what.contains("another name"), "{path}");
    }
    assert_eq!(reasons("b.map", "a b"), []);
}
