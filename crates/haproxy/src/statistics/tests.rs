use proptest::prelude::*;

use super::*;

/// HAProxy 2.6.12, shortened: a `listen` with a server, and a listener.
const ANSWER: &str = "\
# pxname,svname,qcur,scur,smax,slim,stot,bin,bout,status,weight,type,last_chk,hrsp_2xx,rtime,
f0,FRONTEND,,1,3,9980,12,86,40,OPEN,,0,,7,,
f0,sock-1,,1,3,9980,12,86,40,OPEN,,3,,,,
f0,s,0,1,3,,12,86,40,UP 1/3,1,2,\"no, \"\"really\"\",
not\",7,1500,
f0,BACKEND,2,1,3,998,12,86,40,UP,1,1,,7,20,

";

fn sample(text: &str) -> StatSample {
    let mut reader = StatReader::default();
    text.lines().filter(|line| !line.is_empty()).for_each(|line| reader.line(line));
    reader.sample().unwrap()
}

fn at(name: &str) -> usize {
    FIELDS.iter().position(|field| field.name == name).unwrap()
}

fn number(sample: &StatSample, scope: Scope, name: &str) -> Option<i64> {
    sample.all().find(|(object, _)| object.scope == scope).and_then(|(_, numbers)| numbers.get(at(name)))
}

/// A sample with these numbers of the column `stot`, `scur`, `smax` and `weight`.
fn counted(stot: i64, scur: i64, smax: i64, weight: i64) -> StatSample {
    sample(&format!("# pxname,svname,stot,scur,smax,weight,type\nb,s,{stot},{scur},{smax},{weight},2"))
}

#[test]
fn columns_are_found_by_their_names_and_listeners_are_left_out() {
    let sample = sample(ANSWER);
    assert_eq!(sample.all().count(), 3);
    assert_eq!(number(&sample, Scope::Frontend, "sessions_total"), Some(12));
    assert_eq!(number(&sample, Scope::Frontend, "current_queue"), None);
    assert_eq!(number(&sample, Scope::Backend, "current_queue"), Some(2));
    let two = FIELDS.iter().position(|field| field.code == Some("2xx")).unwrap();
    let server = sample.all().find(|(object, _)| object.server == "s").unwrap().1;
    assert_eq!((server.get(two), server.get(at("response_time_average_seconds"))), (Some(7), Some(1500)));
    assert_eq!(server.get(at("status")), Some(1), "UP");
}

#[test]
fn nothing_of_http_is_told_where_there_is_none() {
    for (mode, wanted) in [("http", Some(7)), ("tcp", None), ("", Some(7))] {
        let sample = sample(&format!("# pxname,svname,req_tot,stot,type,mode\nf,FRONTEND,7,9,0,{mode}"));
        assert_eq!(number(&sample, Scope::Frontend, "http_requests_total"), wanted, "{mode}");
        assert_eq!(number(&sample, Scope::Frontend, "sessions_total"), Some(9), "{mode}");
    }
}

#[test]
fn another_answer_is_none() {
    for text in ["Unknown command\n", "# pxname,svname\n", "", "# a,b,type\nx,y,0\n"] {
        let mut reader = StatReader::default();
        text.lines().for_each(|line| reader.line(line));
        assert_eq!(reader.sample(), None, "{text}");
    }
}

#[test]
fn states_are_those_of_the_exporter() {
    for (scope, text, wanted) in [
        (Scope::Frontend, "OPEN", "UP"),
        (Scope::Frontend, "STOP", "DOWN"),
        (Scope::Backend, "UP", "UP"),
        (Scope::Backend, "DOWN", "DOWN"),
        (Scope::Server, "no check", "UP"),
        (Scope::Server, "UP 2/3", "UP"),
        (Scope::Server, "DOWN 1/2", "DOWN"),
        (Scope::Server, "MAINT (via b/s)", "MAINT"),
        (Scope::Server, "DRAIN (agent)", "DRAIN"),
        (Scope::Server, "NOLB 1/2", "NOLB"),
    ] {
        let kind = ["frontend", "backend", "server"].iter().position(|word| *word == scope.word()).unwrap();
        let sample = sample(&format!("# pxname,svname,status,type\np,q,{text},{kind}"));
        let at = number(&sample, scope, "status").unwrap();
        assert_eq!(scope.states()[usize::try_from(at).unwrap()], wanted, "{text}");
    }
}

#[test]
fn counters_are_added_up_and_a_weight_is_that_of_what_serves() {
    let mut joined = StatSample::default();
    joined.add(&counted(100, 5, 50, 3), StatOf::Ended);
    joined.add(&counted(10, 2, 7, 1), StatOf::Draining);
    joined.add(&counted(1, 1, 4, 9), StatOf::Serving);
    let told = |name| number(&joined, Scope::Server, name);
    assert_eq!((told("sessions_total"), told("current_sessions")), (Some(111), Some(3)));
    assert_eq!((told("max_sessions"), told("weight")), (Some(7), Some(9)));
}

#[test]
fn what_was_there_at_the_beginning_is_taken_off_the_counters_only() {
    let told = |sample: &StatSample, name| number(sample, Scope::Server, name);
    let since = counted(110, 5, 7, 3).since(&counted(100, 2, 7, 1));
    assert_eq!((told(&since, "sessions_total"), told(&since, "current_sessions")), (Some(10), Some(5)));
    assert_eq!(told(&since, "weight"), Some(3));
    let less = counted(90, 0, 0, 0).since(&counted(100, 0, 0, 0));
    assert_eq!(told(&less, "sessions_total"), Some(0), "a counter never goes below nothing");
}

#[test]
fn what_no_file_has_any_more_is_forgotten() {
    let mut ended = counted(5, 0, 0, 0);
    ended.add(&sample("# pxname,svname,stot,type\ngone,FRONTEND,4,0"), StatOf::Ended);
    let living = counted(1, 0, 0, 0);
    ended.keep_those_of(&[&living]);
    assert_eq!(ended.all().map(|(object, _)| object.proxy.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn the_fields_of_a_metric_stand_together_and_counters_are_called_so() {
    for field in FIELDS {
        let is_counter = field.joining == Joining::Counter;
        assert_eq!(field.name.ends_with("_total"), is_counter, "{}", field.name);
        assert!(field.help.ends_with('.') && !field.help.contains(['|', '"', '\\']), "{}", field.help);
        let places = FIELDS.iter().enumerate().filter(|(_, other)| other.name == field.name);
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        assert_eq!(places.last().unwrap() - places[0] + 1, places.len(), "{}", field.name);
        assert!(places.len() == 1 || field.code.is_some(), "{}", field.name);
    }
}

proptest! {
    #[test]
    fn no_text_is_too_odd(lines in proptest::collection::vec("[ -~\"\n,]{0,60}", 0..20)) {
        let mut reader = StatReader::default();
        reader.line("# pxname,svname,stot,type");
        for line in &lines {
            reader.line(line);
        }
        prop_assert!(reader.sample().is_some());
    }
}
