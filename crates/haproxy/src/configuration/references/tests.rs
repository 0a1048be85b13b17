use super::super::sources::SourceFile;
use super::bases::LONGEST;
use super::found::MOST_BYTES;
use super::*;
use crate::command_line::Invocation;
use proptest::prelude::*;
use std::ffi::OsString;
use std::time::{Duration, Instant};

fn references(name: &str, text: &str) -> Vec<Reference> {
    let file = SourceFile { name: name.into(), path: name.into(), bytes: text.as_bytes().to_vec() };
    let lookup = |name: &str| (name == "DIR").then(|| "/env".to_owned());
    Configuration::scan(vec![file], &lookup).references
}

fn paths(text: &str) -> Vec<String> {
    references("/etc/haproxy/haproxy.cfg", text).iter().map(|one| one.path.display().to_string()).collect()
}

/// One line of a section: the files that it names.
fn in_frontend(line: &str) -> Vec<String> {
    paths(&format!("frontend f\n {line}\n"))
}

#[test]
fn certificates_and_authorities() {
    for (line, want) in [
        ("bind :443 ssl crt /etc/ssl/site.pem crt certs/ alpn h2", vec!["/etc/ssl/site.pem", "certs/"]),
        (
            "bind :443 ssl crt common.pem ca-file ca-auth.crt verify optional crl-file /c.crl \
          crt-ignore-err all",
            vec!["/c.crl", "ca-auth.crt", "common.pem"],
        ),
        (
            "bind :443 ssl default-crt a.pem.rsa ca-verify-file v.pem ca-sign-file s.pem tls-ticket-keys k \
          crt-list l.txt",
            vec!["a.pem.rsa", "k", "l.txt", "s.pem", "v.pem"],
        ),
        (
            "bind quic4@:443 ssl crt \"$DIR/a b.pem\" crt @web/site.pem ca-file @system-ca",
            vec!["/env/a b.pem"],
        ),
        (
            "server s 10.0.0.1:443 ssl verify required ca-file ca.pem crl-file r.pem crt me.pem sni str(crt)",
            vec!["ca.pem", "me.pem", "r.pem"],
        ),
        ("default-server ssl crt me.pem ca-file @system-ca", vec!["me.pem"]),
        ("server-template s 3 x:1 ssl crt me.pem", vec!["me.pem"]),
        (
            "ssl-f-use crt foobar.pem.rsa sigalgs \"RSA-PSS+SHA256\" key k.pem ca-file c.pem",
            vec!["c.pem", "foobar.pem.rsa", "k.pem"],
        ),
        ("bind :80 crt", vec![]),
    ] {
        assert_eq!(in_frontend(line), want, "{line}");
    }
}

#[test]
fn maps_patterns_pages_and_programs() {
    for (line, want) in [
        // from the manual
        (
            "use_backend bk_%[req.hdr(host),lower,map_dom(/etc/haproxy/hosts.map,default)]",
            vec!["/etc/haproxy/hosts.map"],
        ),
        ("http-request set-header X-C %[src,map_ip_str(\"geo.map\")]", vec!["geo.map"]),
        (r#"http-request set-header X-C "%[src,map_ip('geo ip.map',x)]""#, vec!["geo ip.map"]),
        (
            "acl valid-ua hdr(user-agent) -f exact-ua.lst -i -f generic-ua.lst test",
            vec!["exact-ua.lst", "generic-ua.lst"],
        ),
        (
            "http-request deny if { src -f bad.lst } or !{ path -i -m beg -f opt@good.lst -- -f no }",
            vec!["bad.lst", "good.lst"],
        ),
        ("acl a src,map_int_key(file@x.map) -M -u 7 -f virt@name -f ./virt@map", vec!["./virt@map", "x.map"]),
        ("http-request set-map(no.map) %[src] 1", vec![]),
        ("http-request add-acl(no.lst) %[src]", vec![]),
        ("http-request set-var(txn.map) str(-f)", vec![]),
        ("http-request deny if a -f", vec![]),
        (
            "http-request deny unless { req.hdr(x),word(1,.),jwt_verify(txn.alg,\"/etc/key.pem\") -m int 1 }",
            vec!["/etc/key.pem"],
        ),
        ("errorfile 503 /etc/haproxy/errors/503.http", vec!["/etc/haproxy/errors/503.http"]),
        (
            "http-request return status 200 content-type file lf-file page.html hdr file x if { path /file }",
            vec!["page.html"],
        ),
        ("http-request deny deny_status 400 errorfile bad.http", vec!["bad.http"]),
        ("http-error status 404 content-type text/plain string file file 404.txt", vec!["404.txt"]),
        ("errorfiles site 503", vec![]),
        ("filter spoe engine modsecurity config /etc/haproxy/spoe.conf", vec!["/etc/haproxy/spoe.conf"]),
        ("log-format \"%ci %[src,map_ip(net.map)]\"", vec!["net.map"]),
        ("server-state-file-name x", vec![]),
        ("external-check command /bin/x", vec![]),
        ("log /dev/log local0", vec![]),
    ] {
        assert_eq!(in_frontend(line), want, "{line}");
    }
    assert_eq!(
        paths(
            "global\n lua-load a.lua arg\n lua-load-per-thread b.lua\n server-state-file no\n pidfile no\n \
               stats socket /run/no.sock ssl crt c.pem\n stats-file no\n ssl-dh-param-file dh.pem\n\
               http-errors site\n errorfile 400 400.http\n"
        ),
        ["400.http", "a.lua", "b.lua", "c.pem", "dh.pem"]
    );
}

#[test]
fn bases_count_from_where_they_stand() {
    assert_eq!(
        paths(
            "global\n crt-base /crt\n ca-base ca\n key-base /key\nfrontend f\n bind :1 ssl crt a.pem ca-file b.pem \
               crt /c.pem crt-list l\n server s x ssl crt d.pem\n\
               crt-store web\n load crt e.pem key e.key ocsp e.ocsp alias x\n\
               crt-store\n crt-base own\n key-base ownkey\n load crt f.pem key f.key\n"
        ),
        [
            "/c.pem",
            "/crt/a.pem",
            "/crt/d.pem",
            "/crt/e.ocsp",
            "/crt/e.pem",
            "/key/e.key",
            "ca/b.pem",
            "l",
            "own/f.pem",
            "ownkey/f.key"
        ]
    );
}

#[test]
fn default_path_leads_relative_names() {
    let with = |policy: &str, name: &str| {
        let text = format!(
            "global\n lua-load first\n default-path {policy}\n lua-load x\nlisten l\n \
                            server s y ssl crt late\n"
        );
        references(name, &text).into_iter().map(|one| one.path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(with("current", "etc/h.cfg"), ["first", "late", "x"]);
    assert_eq!(with("config", "/etc/h.cfg"), ["/etc/late", "/etc/x", "first", "late"]);
    assert_eq!(with("config", "h.cfg"), ["first", "late", "x"]);
    assert_eq!(with("parent", "etc/h.cfg"), ["etc/../late", "etc/../x", "first", "late"]);
    assert_eq!(with("parent", "h.cfg"), ["../late", "../x", "first", "late"]);
    assert_eq!(with("origin /srv", "etc/h.cfg"), ["/srv/late", "/srv/x", "first", "late"]);
    let found =
        references("/etc/h.cfg", "global\n default-path config\nlisten l\n server s y ssl crt late\n");
    assert!(found.iter().all(|one| one.need == Need::Optional), "it lies in one of two places");
    assert_eq!(with("nonsense", "etc/h.cfg"), ["first", "late", "x"]);
}

#[test]
fn each_file_once_and_required_wins() {
    let found = references("h", "listen a\n acl a src -f opt@x\n acl b src -f x\n acl c src -f opt@y\n");
    let found: Vec<_> =
        found.iter().map(|one| (one.path.to_str().unwrap(), one.need, one.span.line)).collect();
    assert_eq!(found, [("x", Need::Required, 2), ("y", Need::Optional, 4)]);
}

#[test]
fn what_lies_beside_a_certificate_belongs_to_it() {
    let found = references("h", "listen a\n bind :1 ssl crt site.crt ca-file ca.pem\n");
    let beside = |index: usize| -> Vec<_> {
        found[index].companions().map(|path| path.display().to_string()).collect()
    };
    assert!(beside(0).is_empty(), "an authority has nothing");
    assert!(
        ["site.crt.key", "site.crt.ocsp", "site.key"].iter().all(|name| beside(1).contains(&(*name).into()))
    );
}

#[test]
fn a_list_names_more_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("list"),
        "# comment\n\na.pem\n/b.pem [alpn h2 ca-file ca.pem] *.example.org !x\nc.pem[key c.key] \r\n@web/no\n",
    )
    .unwrap();
    std::fs::write(at("h.cfg"), "global\n crt-base certs\nlisten a\n bind :1 ssl crt-list list\n").unwrap();
    let line = format!("haproxy -C {} -f h.cfg", folder.path().display());
    let invocation = Invocation::parse(line.split(' ').map(OsString::from)).unwrap();
    let found = Configuration::read(&invocation, &|_| None).unwrap();
    assert_eq!(found.references.len(), 1);
    let all: Vec<_> = found.all_references().into_iter().map(|one| one.path).collect();
    let want = ["/b.pem".into(), at("c.key"), at("ca.pem"), at("certs/a.pem"), at("certs/c.pem"), at("list")];
    assert_eq!(all, {
        let mut want = want.to_vec();
        want.sort();
        want
    });
}

#[test]
fn a_hostile_file_takes_no_time_and_no_memory() {
    let begun = Instant::now();
    for word in ["map(", "jwt_verify(", "{ { -u ", "map(a,", "-f x ", "crt crt-list ", "{ a -f b ", "x(\"\" "]
    {
        let many = word.repeat((1 << 18) / word.len() - 1);
        references("h", &format!("listen a\n bind {many}\n acl a b {many}\n use_backend {many}\n"));
    }
    let base = "b".repeat(4000);
    let names: Vec<String> = (0..200_000).map(|number| format!(" bind :1 ssl crt {number}\n")).collect();
    let names = names.concat();
    let found = references("h", &format!("global\n crt-base {base}\nlisten a\n{names}"));
    assert!(found.iter().map(|one| one.path.as_os_str().len()).sum::<usize>() <= MOST_BYTES + LONGEST);
    assert!(references("h", &format!("listen a\n{names}")).len() <= MOST);
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn likely_lines_never_panic(line in r#"[ \t"'\\#(){}\[\],@a-f%.-]{0,60}"#) {
        references("h", &format!("global\n {line}\n default-path {line}\nlisten a\n bind x ssl crt {line}\n acl a b {line}\n \
                                  http-request return {line}\n use_backend %[src,map({line}\n"));
        let mut found = Collected::default();
        lists::entries(std::path::Path::new("l"), line.as_bytes(), &Bases::default(), &mut found);
    }
}
