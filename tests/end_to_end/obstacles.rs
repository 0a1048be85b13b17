//! What others have in the way of transparent connections is named by log, status and doctor, with the server and its
//! line; the servers that can work do, and nothing of others is touched.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::Snapshot;
use clearway_lab::load::{Ask, Plan, ask_once};
use clearway_lab::session::Session;
use clearway_lab::topology::{BACK, FRONT, Family};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{CannotRun, PORT, SOON, Stage, assert_code, said};
use crate::topologies::{self, HERE};

crate::tests![
    kubelets_rule_is_named_with_the_server_that_it_cuts_off,
    a_rule_like_kubelets_is_named_in_nftables_too,
    rules_that_touch_our_bit_of_the_mark_are_named,
    policy_rules_that_come_before_ours_are_named,
    firewalld_lets_answers_in_and_the_doctor_knows_it,
    an_interface_without_a_link_local_address_is_named,
    a_server_that_is_a_client_is_named_with_its_line,
    families_that_do_not_match_are_in_the_status,
    each_finding_says_what_it_saw_and_what_mends_it,
];

/// What the doctor says, in words and as findings, and its exit code.
struct Doctor {
    words: String,
    findings: Vec<Value>,
    code: Option<i32>,
}

impl Doctor {
    fn ask(stage: &Stage) -> Result<Self> {
        let file = stage.file().display().to_string();
        let words = said(&stage.clearway(&["doctor", "-f", &file])?);
        let output = stage.clearway(&["doctor", "--json", "-f", &file])?;
        let json: Value = serde_json::from_slice(&output.stdout).context("the doctor's JSON")?;
        let findings = json["findings"].as_array().context("findings")?.clone();
        Ok(Self { words, findings, code: output.status.code() })
    }

    /// The findings of a severity that say this.
    fn says(&self, severity: &str, words: &str) -> usize {
        let one = |finding: &&Value| {
            finding["severity"] == severity && finding["saw"].as_str().is_some_and(|saw| saw.contains(words))
        };
        self.findings.iter().filter(one).count()
    }

    fn ensure(&self, severity: &str, words: &str, code: i32) -> Result<()> {
        ensure!(self.says(severity, words) > 0, "no {severity} `{words}` in:\n{}", self.words);
        ensure!(self.code == Some(code), "exit code {:?}:\n{}", self.code, self.words);
        Ok(())
    }

    fn ensure_not(&self, words: &str) -> Result<()> {
        ensure!(!self.words.contains(words), "`{words}` in:\n{}", self.words);
        Ok(())
    }
}

/// Where a line of the configuration stands that begins so.
fn line(stage: &Stage, beginning: &str, nth: usize) -> Result<String> {
    let text = std::fs::read_to_string(stage.file())?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| line.trim().starts_with(beginning));
    let (number, _) = lines.nth(nth).with_context(|| format!("line {nth} that begins with {beginning}"))?;
    Ok(format!("{}:{}", stage.file().display(), number + 1))
}

/// Whether a front answers with the client's own address.
fn answers(stage: &Stage, front: SocketAddr) -> bool {
    let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(2)));
    answer.is_ok_and(|answer| answer.is_ok_and(|seen| seen.starts_with(&front.ip().to_string()[..5])))
}

/// A server on 127.0.0.1 that the rule cuts off, and one on `::1` that it does not; then the remedy.
fn cut_off(stage: &Stage, named: &str) -> Result<()> {
    let _lo = topologies::serve_here(stage, topologies::loopback(), HERE)?;
    let _own = topologies::serve_here(stage, BACK, HERE)?;
    topologies::write(stage, topologies::loopback(), HERE)?;
    let before = stage.hosts.balancer.output("nft", &["-s", "list", "ruleset"])?;
    let mut balancer = stage.launch(&[], &[])?;
    let place = format!("where the server 127.0.0.1:{HERE} is (`s`, {})", line(stage, "server s", 0)?);
    let told = format!("{named}, {place}");
    balancer.wait_for_log(0, &format!("in the way of transparent connections: {told}"), SOON)?;
    balancer.wait_for_log(
        0,
        "hint: let the server listen on an address of the node or the pod instead",
        SOON,
    )?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains(&format!("IN THE WAY: {told}")), "{status}");
    Doctor::ask(stage)?.ensure("problem", &told, 2)?;
    let [v4, v6] = stage.fronts();
    eventually(SOON, "the server on ::1 to answer", || answers(stage, v6).then_some(()))?;
    ensure!(!answers(stage, v4), "the rule cuts no client off");
    // The remedy: the same server at the node's own address.
    topologies::write(stage, BACK, HERE)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "obstacle.gone", &[], SOON)?;
    for front in [v4, v6] {
        eventually(SOON, "the server at the node's address to answer", || {
            answers(stage, front).then_some(())
        })?;
    }
    Doctor::ask(stage)?.ensure_not(named)?;
    ensure!(!said(&stage.clearway(&["status"])?).contains("IN THE WAY"), "it is still in the status");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(
        stage.hosts.balancer.output("nft", &["-s", "list", "ruleset"])? == before,
        "rules of others have changed"
    );
    Ok(())
}

/// Word for word what kubelet makes (`pkg/kubelet/kubelet_network_linux.go`), by today's `iptables`.
fn kubelets_rule_is_named_with_the_server_that_it_cuts_off() -> Result<()> {
    let works = Command::new("iptables").arg("--version").output();
    if !works.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("nf_tables")) {
        return Err(CannotRun("`iptables` is not there, or not the one of nftables".to_owned()).into());
    }
    let stage = Stage::new("okubelet")?;
    let iptables = |words: &[&str]| stage.hosts.balancer.output("iptables", words).map(|_| ());
    iptables(&["-N", "KUBE-FIREWALL"])?;
    iptables(&[
        "-A",
        "KUBE-FIREWALL",
        "!",
        "-s",
        "127.0.0.0/8",
        "-d",
        "127.0.0.0/8",
        "-m",
        "comment",
        "--comment",
        "block incoming localnet connections",
        "-m",
        "conntrack",
        "!",
        "--ctstate",
        "RELATED,ESTABLISHED,DNAT",
        "-j",
        "DROP",
    ])?;
    for chain in ["INPUT", "OUTPUT"] {
        iptables(&["-I", chain, "-j", "KUBE-FIREWALL"])?;
    }
    cut_off(
        &stage,
        "kubelet's rule drops what other addresses send to 127.0.0.0/8 (table ip filter, chain KUBE-FIREWALL)",
    )
}

fn a_rule_like_kubelets_is_named_in_nftables_too() -> Result<()> {
    let stage = Stage::new("onfkube")?;
    stage.hosts.balancer.nft(
        "table ip node {
           chain guard { ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 ct status & dnat == 0 ct state new drop; }
           chain out { type filter hook output priority 0; ct state new jump guard; }
           chain in { type filter hook input priority 0; jump guard; }
         }",
    )?;
    cut_off(&stage, "a rule drops what other addresses send to 127.0.0.0/8 (table ip node, chain guard)")
}

fn rules_that_touch_our_bit_of_the_mark_are_named() -> Result<()> {
    let stage = Stage::new("omark")?;
    stage.write(&stage.transparent())?;
    let load = |priority: i32, rule: &str| {
        stage.hosts.balancer.nft(&format!(
            "table inet others\ndelete table inet others
             table inet others {{
               chain c {{ {rule}; }}
               chain pre {{ type filter hook prerouting priority {priority}; jump c; }}
             }}"
        ))
    };
    let clears = "takes away the bit 0x20000000 of packet marks, which is Clearway's (table inet others, chain c, from \
                  prerouting)";
    load(-100, "meta mark set 0x101")?;
    Doctor::ask(&stage)?.ensure("problem", clears, 2)?;
    load(-100, "ip saddr 10.9.0.0/16 meta mark set 0x101")?;
    Doctor::ask(&stage)?.ensure("note", clears, 0)?;
    load(-100, "meta mark set meta mark | 0x20000000")?;
    Doctor::ask(&stage)?.ensure("problem", "sets the bit 0x20000000 of packet marks", 2)?;
    load(-100, "meta mark & 0x20000000 != 0 counter")?;
    Doctor::ask(&stage)?.ensure("note", "asks for the bit 0x20000000 of packet marks", 0)?;
    // Before us, or with bits of its own: Docker, Tailscale, kube-proxy.
    load(-300, "meta mark set 0x101")?;
    Doctor::ask(&stage)?.ensure_not("of packet marks")?;
    load(-100, "meta mark set meta mark & 0xff00ffff | 0x00040000 counter")?;
    Doctor::ask(&stage)?.ensure_not("of packet marks")?;
    // What runs says so by itself. The canary does not come through either.
    load(-100, "meta mark set 0x101")?;
    let mut balancer = stage.launch(&[], &[])?;
    balancer.wait_for_log(0, &format!("in the way of transparent connections: a rule {clears}"), SOON)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("IN THE WAY: a rule takes away"), "{status}");
    let server = format!("(`s`, {})", line(&stage, "server s", 0)?);
    balancer.wait_for_event(
        0,
        "canary.server",
        &[("server", &"10.2.0.2:8080"), ("verdict", &"broken")],
        SOON,
    )?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.lines().any(|one| one.contains("no return path") && one.contains(&server)), "{status}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn policy_rules_that_come_before_ours_are_named() -> Result<()> {
    let stage = Stage::new("orule")?;
    stage.write(&stage.transparent())?;
    let host = &stage.hosts.balancer;
    let rule = |what: &str, words: &str| {
        host.ip(&["-6", "rule", what].into_iter().chain(words.split(' ')).collect::<Vec<_>>()).map(|_| ())
    };
    let with = |words: &str, check: &dyn Fn(&Doctor) -> Result<()>| -> Result<()> {
        rule("add", words)?;
        let outcome = Doctor::ask(&stage).and_then(|doctor| check(&doctor)).context(words.to_owned());
        rule("del", words)?;
        outcome
    };
    Doctor::ask(&stage)?.ensure_not("policy rule")?;
    with("pref 100 from all lookup main", &|doctor| {
        doctor.ensure("problem", "IPv6 policy rule `100: from all lookup 254", 2)?;
        doctor.ensure("problem", "of others comes before Clearway's", 2)
    })?;
    for words in
        ["pref 100 from fd09::/64 lookup main", "pref 100 from all fwmark 0x80000/0xff0000 lookup 52"]
    {
        with(words, &|doctor| doctor.ensure("note", "of others comes before Clearway's", 0))?;
    }
    with("pref 7000 from all fwmark 0x20000000/0xff000000 lookup 52", &|doctor| {
        doctor.ensure("problem", "of others asks for the bit 0x20000000", 2)
    })?;
    for words in ["pref 5210 from all fwmark 0x80000/0xff0000 lookup main", "pref 32000 from all lookup main"]
    {
        with(words, &|doctor| doctor.ensure_not("policy rule"))?;
    }
    Ok(())
}

/// The chains of firewalld's table, as its version 1.3 makes them for a zone with one port open.
fn firewalld(reverse_path: &str, port: u16) -> String {
    format!(
        "table inet firewalld
         delete table inet firewalld
         table inet firewalld {{
           chain mangle_PREROUTING {{ type filter hook prerouting priority mangle + 10; jump mangle_PREROUTING_ZONES; }}
           chain mangle_PREROUTING_ZONES {{ return; }}
           chain filter_PREROUTING {{
             type filter hook prerouting priority filter + 10
             icmpv6 type {{ nd-router-advert, nd-neighbor-solicit }} accept
             meta nfproto ipv6 fib {reverse_path} oif missing drop
           }}
           chain filter_INPUT {{
             type filter hook input priority filter + 10
             ct state {{ established, related }} accept
             ct status dnat accept
             iifname lo accept
             ct state invalid drop
             jump filter_INPUT_ZONES
             reject with icmpx admin-prohibited
           }}
           chain filter_INPUT_ZONES {{ goto filter_IN_public; }}
           chain filter_IN_public {{
             tcp dport {port} accept
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
           }}
           chain filter_FORWARD {{
             type filter hook forward priority filter + 10
             ct state {{ established, related }} accept
             reject with icmpx admin-prohibited
           }}
           chain filter_OUTPUT {{
             type filter hook output priority filter + 10
             ct state {{ established, related }} accept
             oifname lo accept
           }}
         }}"
    )
}

fn firewalld_lets_answers_in_and_the_doctor_knows_it() -> Result<()> {
    let stage = Stage::new("ofwd")?;
    stage.write(&stage.transparent())?;
    for (reverse_path, how) in [("saddr . mark . iif", "strict"), ("saddr . mark", "loose")] {
        stage.hosts.balancer.nft(&firewalld(reverse_path, PORT))?;
        let mut balancer = stage.start()?;
        balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
        let report =
            clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_secs(1)))?;
        crate::stage::assert_no_client_lost(&report.wait()?).context(how)?;
        let doctor = Doctor::ask(&stage)?;
        let filter = format!("{how} reverse-path filter (table inet firewalld, chain filter_PREROUTING)");
        doctor.ensure("good", &filter, 0)?;
        doctor.ensure("note", "firewalld filters here", 0)?;
        ensure!(doctor.words.contains("--add-port=PORT/tcp"), "{}", doctor.words);
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    Ok(())
}

fn an_interface_without_a_link_local_address_is_named() -> Result<()> {
    let stage = Stage::new("olink")?;
    stage.write(&stage.transparent())?;
    let named = format!(
        "`servers` has no IPv6 link-local address, where the server [fd02::2]:{PORT} is (`s`, {})",
        line(&stage, "server s", 1)?
    );
    Doctor::ask(&stage)?.ensure("note", &named, 0)?;
    stage.hosts.balancer.ip(&["address", "add", "fe80::1/64", "dev", "servers", "nodad"])?;
    Doctor::ask(&stage)?.ensure_not("link-local")
}

/// The server's host asks the balancer for what it serves itself.
fn a_server_that_is_a_client_is_named_with_its_line() -> Result<()> {
    let stage = Stage::new("oself")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    for (index, front) in FRONT.into_iter().enumerate() {
        let front = SocketAddr::new(front, PORT);
        let own = stage.hosts.servers([Family::V4, Family::V6][index])[0];
        let plan = Plan::open(&[front], 1.0, Duration::from_mins(1)).from(vec![own]);
        let load = clearway_lab::load::start(&stage.hosts.server, plan)?;
        let told = format!(
            "the server {} (`s`, {}) is a client as well",
            SocketAddr::new(own, PORT),
            line(&stage, "server s", index)?
        );
        // HAProxy tries for 20 s, and is asked every 10 s.
        let line = balancer.wait_for_log(0, &told, Duration::from_secs(30))?;
        ensure!(line.contains(&format!("`acl own src {own}`")), "{line}");
        let status = said(&stage.clearway(&["status"])?);
        ensure!(status.contains(&format!("IN THE WAY: {told}")), "{status}");
        Doctor::ask(&stage)?.ensure("problem", &told, 2)?;
        ensure!(load.finish()?.total.ok == 0, "it is served: what is wrong then?");
    }
    // Others are served all the time.
    for front in stage.fronts() {
        drop(Session::open(&stage.hosts.client, front, None)?);
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn families_that_do_not_match_are_in_the_status() -> Result<()> {
    let stage = Stage::new("ofam")?;
    let both = "bind 10.1.0.1:8080\n    bind fd01::1:8081 v6only\n";
    stage.write(&stage.transparent().replace("bind 10.1.0.1:8080\n", both))?;
    let mut balancer = stage.start()?;
    let told = format!(
        "IN THE WAY: IPv6 clients ({}) are sent to the IPv4 server `s` ({})",
        line(&stage, "bind", 1)?,
        line(&stage, "server s", 0)?
    );
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains(&told), "`{told}` is missing in {status}");
    for front in stage.fronts() {
        ensure!(answers(&stage, front), "{front} does not answer");
    }
    stage.write(&stage.transparent())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(!status.contains("IN THE WAY"), "{status}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// Something of every kind is wrong at once.
fn each_finding_says_what_it_saw_and_what_mends_it() -> Result<()> {
    let stage = Stage::new("oall")?;
    stage.hosts.balancer.nft(
        "table ip others {
           chain post { type nat hook postrouting priority srcnat; oifname servers masquerade; }
           chain pre { type filter hook prerouting priority 0; meta mark set 0x101; }
         }",
    )?;
    stage.hosts.balancer.ip(&["rule", "add", "pref", "10", "lookup", "main"])?;
    stage.hosts.balancer.sysctl("net/ipv6/conf/lo/disable_ipv6", "1")?;
    stage.write(&stage.transparent().replace("source ipv6@", "source 0.0.0.0"))?;
    let before = Snapshot::take(&stage.hosts.balancer)?;
    let doctor = Doctor::ask(&stage)?;
    ensure!(doctor.code == Some(2), "{}", doctor.words);
    for words in [
        "MASQUERADE towards `servers`",
        "takes away the bit",
        "policy rule `10:",
        "disable_ipv6 is 1",
        "than `source`",
    ] {
        ensure!(doctor.says("problem", words) == 1, "`{words}` in:\n{}", doctor.words);
    }
    for finding in &doctor.findings {
        let has = |key: &str| finding[key].as_str().is_some_and(|text| !text.is_empty());
        ensure!(has("saw") && has("severity"), "{finding}");
        ensure!(finding["severity"] != "problem" || has("matters") && has("remedy"), "{finding}");
    }
    let differences = before.diff(&Snapshot::take(&stage.hosts.balancer)?);
    ensure!(differences.is_empty(), "the doctor has changed something: {differences:?}");
    Ok(())
}
