use super::*;

#[test]
fn our_abstract_names_are_found_in_the_kernels_table() {
    let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 20841 @clearway/web\n\
        0000000000000000: 00000003 00000000 00000000 0001 03 20842 @clearway/web\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 20843 /run/clearway/web.sock\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 20844 @other\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 20845\n\
        0000000000000000: 00000002 00000000 00010000 0001 01 20846 @clearway/_0badcafe\n";
    assert_eq!(abstract_names(table), ["_0badcafe", "web"]);
}

#[test]
fn none_is_found_where_none_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings { run_directory: directory.path().to_owned(), ..Settings::default() };
    settings.instance = Some("t-none-here".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failure = runtime.block_on(find(&Target { settings, json: false, named: None })).unwrap_err();
    assert_eq!(failure.code, ExitCode::NoInstance);
    assert!(failure.message.contains("`t-none-here`"));
}
