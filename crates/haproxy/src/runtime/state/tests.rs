use super::*;

const HEADING: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
    srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
    srv_check_addr srv_agent_addr srv_agent_port\n";

const SERVERS: &str = "3 b:4 1 s.1-_ 10.2.0.2 0 1 5 1 4 6 3 4 7 0 0 0 - 80 - 0 0 - - 0\n\
    3 b:4 2 t1 - 0 32 1 1 4 1 0 0 14 0 0 0 web 80 - 0 81 ::1 fd02::7 0\n\
    4 b6 1 s fd02::2 2 4 1 1 4 6 3 4 6 0 0 0 - 81 - 0 0 - - 0\n\
    short line\n\n";

fn answer() -> String {
    format!("{HEADING}{SERVERS}")
}

#[test]
fn servers_are_read_by_the_names_of_the_columns() {
    let answer = answer();
    let rows: Vec<ServerState<'_>> = ServersState::of(&answer).unwrap().rows().collect();
    let shown: Vec<String> = rows
        .iter()
        .map(|one| format!("{}/{} {:?} {}", one.proxy, one.name, one.endpoint(), one.is_in_maintenance()))
        .collect();
    // The last one was `disabled` and is ready: HAProxy goes on telling that it was.
    assert_eq!(
        shown,
        ["b:4/s.1-_ Some(10.2.0.2:80) true", "b:4/t1 None true", "b6/s Some([fd02::2]:81) false"]
    );
    assert_eq!((rows[0].admin(), rows[0].weight, rows[0].checked()), (Admin::Maintenance, 5, Some(true)));
    assert_eq!((rows[0].check_health, rows[1].check_port), (4, 81));
    assert_eq!((rows[1].fqdn, rows[1].address), (Some("web"), None));
    assert_eq!(rows[1].check_address, Some("::1".parse().unwrap()));
    assert_eq!(rows[1].agent_address, Some("fd02::7".parse().unwrap()));
    // An older one does not tell as much.
    let older = "1\n# be_name srv_name srv_op_state srv_admin_state srv_uweight srv_iweight\nb s 2 0 1 1";
    let rows: Vec<ServerState<'_>> = ServersState::of(older).unwrap().rows().collect();
    assert_eq!((rows[0].name, rows[0].operation, rows[0].endpoint()), ("s", RUNNING, None));
}

#[test]
fn another_answer_is_none() {
    assert!(ServersState::of("Unknown command: 'show servers state'").is_none());
    assert!(ServersState::of("").is_none());
    assert!(ServersState::of("1\n# be_id\n").is_none());
    // But without a server it is this one.
    assert_eq!(ServersState::of(HEADING.trim_end()).map(|told| told.rows().count()), Some(0));
}

#[test]
fn what_is_kept_is_what_was_told() {
    let answer = answer();
    let told = ServersState::of(&answer).unwrap();
    let file = "backend b:4\n server s.1-_ 10.2.0.2:80 weight 3 disabled\n";
    let file = crate::configuration::Configuration::of_text(std::path::Path::new("f.cfg"), file);
    let kept = Remembered::of(told, &file.stated);
    assert_eq!((kept.count(), kept.down()), (3, 2));
    let servers: Vec<(ServerState<'_>, Option<ServerFacts>)> = kept.servers().collect();
    assert!(told.rows().eq(servers.iter().map(|(row, _)| *row)), "{kept:?}");
    let stated = file.stated.find("b:4", "s.1-_").map(|one| one.facts.clone());
    assert_eq!(servers[0].1, stated);
    assert!(stated.is_some_and(|facts| facts.disabled && facts.address == "10.2.0.2:80@"));
    assert_eq!(servers[1].1, None);
    let without = kept.without(&["b:4/s.1-_".to_owned()].into());
    assert_eq!(without.count(), 2);
    assert!(without.servers().all(|(row, _)| row.name != "s.1-_"), "{without:?}");
    assert_eq!(kept.without(&["b:4/no".to_owned()].into()), kept);
    // A check that is just being made is no change.
    let later = answer.replace(" 4 7 0 ", " 4 6 0 ");
    assert_eq!(Remembered::of(ServersState::of(&later).unwrap(), &file.stated), kept);
    // What a later Clearway says that this one does not understand is passed over.
    assert_eq!("servers 2\n".parse::<Remembered>(), Err(NotRemembered));
    assert_eq!("servers 1\nnonsense\n".parse::<Remembered>().unwrap().servers().count(), 0);
}

#[test]
fn parts_are_whole_lines() {
    let text = "servers 1\nä b\nc d\na line that is longer than a part\nwithout an end";
    let kept: Remembered = text.parse().unwrap();
    let parts: Vec<&str> = kept.parts(12).collect();
    assert_eq!(parts, ["servers 1\n", "ä b\nc d\n", "a line that is longer than a part\n", "without an end"]);
}
