use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn version_1_in_a_container_and_on_a_host() {
    let mount = tempfile::tempdir().unwrap();
    let memberships = "5:cpuset:/docker/1f\n4:cpu,memory:/docker/1f\n0::/docker/1f\n";
    let memory = mount.path().join("memory");
    write(&memory, "memory.limit_in_bytes", "67108864\n");
    write(&memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    let inside = Cgroup::in_mount(mount.path(), memberships);
    assert_eq!((inside.limit(), inside.kills(), inside.in_use()), (Some(64 << 20), Some(3), None));
    write(&memory, "memory.stat", "cache 4096\nrss 1000\ntotal_cache 8192\ntotal_rss 2000\n");
    assert_eq!(Cgroup::in_mount(mount.path(), memberships).in_use(), Some(2000));

    write(&memory.join("docker/1f"), "memory.limit_in_bytes", "9223372036854771712\n");
    write(&memory.join("docker/1f"), "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n");
    let outside = Cgroup::in_mount(mount.path(), memberships);
    assert_eq!((outside.limit(), outside.kills()), (None, None), "no limit, and a kernel before 4.13");
}

#[test]
fn version_2() {
    let mount = tempfile::tempdir().unwrap();
    let folder = mount.path().join("system.slice/haproxy.service");
    write(&folder, "memory.max", "max\n");
    write(&folder, "memory.events", "low 0\noom 1\noom_kill 1\noom_group_kill 0\n");
    let group = Cgroup::in_mount(mount.path(), "0::/system.slice/haproxy.service\n");
    assert_eq!((group.limit(), group.kills()), (None, Some(1)));
    write(&folder, "memory.max", "1048576\n");
    write(&folder, "memory.stat", "anon 512\nfile 4096\nanon_thp 0\n");
    let group = Cgroup::in_mount(mount.path(), "0::/system.slice/haproxy.service\n");
    assert_eq!((group.limit(), group.in_use()), (Some(1 << 20), Some(512)));
}

#[test]
fn nonsense_is_no_group() {
    for memberships in ["", "x", "::", "4:memory", "\u{0}:\n:memory:\n"] {
        let group = Cgroup::in_mount(Path::new("/nowhere"), memberships);
        assert_eq!((group.limit(), group.kills()), (None, None), "{memberships:?}");
    }
}

#[test]
fn a_process_of_ours_can_be_moved_up_and_back() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let before = oom_score_adjustment(child.id()).unwrap();
    set_oom_score_adjustment(child.id(), before + 300).unwrap();
    assert_eq!(oom_score_adjustment(child.id()).unwrap(), (before + 300).min(1000));
    set_oom_score_adjustment(child.id(), before).unwrap();
    assert_eq!(oom_score_adjustment(child.id()).unwrap(), before);
    child.kill().unwrap();
    child.wait().unwrap();
}
