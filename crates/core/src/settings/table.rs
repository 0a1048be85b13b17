//! The table of the settings, a row for each.

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// What is set.
    pub key: SettingKey,
    /// The long flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable of the same meaning; the flag wins over it.
    pub variable: &'static str,
    /// What stands for the value in `--help`.
    pub value: &'static str,
    /// The default as it would be typed, or what happens without.
    pub default: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

/// The settings by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is described by its row in `TABLE`
pub enum SettingKey {
    Instance,
    DrainTimeout,
    StopDelay,
    TakeoverDrain,
    TakeoverBack,
    TakeoverMost,
    TakeoverDirectory,
    HoldAfterStop,
    HoldAfterLoss,
    ReadyTimeout,
    Settle,
    Carry,
    Strategy,
    OldGenerations,
    OldAge,
    OldMemory,
    Log,
    Mark,
    RunDirectory,
    Ports,
    Watch,
    WatchQuiet,
    Canary,
    CanaryAddress,
    CanaryEvery,
    Intercept,
    InterceptFail,
}

/// All settings, of `clearway run` and of `clearway hold`.
pub const TABLE: &[Setting] = &[
    Setting {
        key: SettingKey::Instance,
        flag: "instance",
        variable: "CLEARWAY_INSTANCE",
        value: "NAME",
        default: "a private, unnamed instance that never meets another",
        help: "The name under which Clearways belong together: `a-z`, `0-9` and `-`, up to 32 characters",
    },
    Setting {
        key: SettingKey::DrainTimeout,
        flag: "drain-timeout",
        variable: "CLEARWAY_DRAIN_TIMEOUT",
        value: "DURATION",
        default: "295s",
        help: "How long sessions may take to finish after a stop was asked for, before they are cut",
    },
    Setting {
        key: SettingKey::StopDelay,
        flag: "stop-delay",
        variable: "CLEARWAY_STOP_DELAY",
        value: "DURATION",
        default: "0s",
        help: "How long after a stop was asked for everything goes on but the health check, so that balancers in front see it coming",
    },
    Setting {
        key: SettingKey::TakeoverDrain,
        flag: "takeover-drain",
        variable: "CLEARWAY_TAKEOVER_DRAIN",
        value: "DURATION",
        default: "24h",
        help: "How long sessions may take to finish after another Clearway of this name took over, before they are cut",
    },
    Setting {
        key: SettingKey::TakeoverBack,
        flag: "takeover-back",
        variable: "CLEARWAY_TAKEOVER_BACK",
        value: "DURATION",
        default: "10m",
        help: "How long a container that was superseded does not get the sockets back when it is started again; each try counts anew",
    },
    Setting {
        key: SettingKey::TakeoverMost,
        flag: "takeover-most",
        variable: "CLEARWAY_TAKEOVER_MOST",
        value: "NUMBER",
        default: "10",
        help: "After how many takeovers within `CLEARWAY_TAKEOVER_BACK` every further container of this name is turned away, \
               because containers replace each other for ever; `0`: never",
    },
    Setting {
        key: SettingKey::TakeoverDirectory,
        flag: "takeover-directory",
        variable: "CLEARWAY_TAKEOVER_DIRECTORY",
        value: "DIRECTORY",
        default: "abstract sockets, which all containers of one network namespace see",
        help: "A directory on a volume that Clearways of one name share, for the sockets over which they take over",
    },
    Setting {
        key: SettingKey::HoldAfterStop,
        flag: "hold-after-stop",
        variable: "CLEARWAY_HOLD_AFTER_STOP",
        value: "DURATION",
        default: "10s",
        help: "`clearway hold`: how long the sockets stay open after the balancer was stopped as planned",
    },
    Setting {
        key: SettingKey::HoldAfterLoss,
        flag: "hold-after-loss",
        variable: "CLEARWAY_HOLD_AFTER_LOSS",
        value: "DURATION",
        default: "5m",
        help: "`clearway hold`: how long the sockets stay open after the balancer was lost",
    },
    Setting {
        key: SettingKey::ReadyTimeout,
        flag: "ready-timeout",
        variable: "CLEARWAY_READY_TIMEOUT",
        value: "DURATION",
        default: "10m",
        help: "How long a new HAProxy may take to prove that it is ready, before it is given up",
    },
    Setting {
        key: SettingKey::Settle,
        flag: "settle",
        variable: "CLEARWAY_SETTLE",
        value: "DURATION",
        default: "200ms",
        help: "How long a new HAProxy that is ready must live beside the one that serves, before it replaces it",
    },
    Setting {
        key: SettingKey::Carry,
        flag: "carry",
        variable: "CLEARWAY_CARRY",
        value: "WHAT",
        default: "servers",
        help: "What a generation knows that passes to the next one: `servers` (health, and what was set through the \
               runtime API), `off` (docs/explanation/carry.md)",
    },
    Setting {
        key: SettingKey::Strategy,
        flag: "strategy",
        variable: "CLEARWAY_STRATEGY",
        value: "NAME",
        default: "handoff",
        help: "How clients come to the new HAProxy at a reload: `handoff`, `reuseport`, `syn-drop`, `plug`, `tableflip`, `auto` \
               (docs/explanation/strategies.md)",
    },
    Setting {
        key: SettingKey::OldGenerations,
        flag: "old-generations",
        variable: "CLEARWAY_OLD_GENERATIONS",
        value: "NUMBER",
        default: "50",
        help: "How many old generations may be finishing their sessions; above, those with the fewest are cut",
    },
    Setting {
        key: SettingKey::OldAge,
        flag: "old-age",
        variable: "CLEARWAY_OLD_AGE",
        value: "DURATION",
        default: "as long as its last session",
        help: "How long an old generation may finish its sessions, before they are cut",
    },
    Setting {
        key: SettingKey::OldMemory,
        flag: "old-memory",
        variable: "CLEARWAY_OLD_MEMORY",
        value: "SIZE",
        default: "as much as there is",
        help: "How much memory all old generations may have together (`512M`); above, those with the fewest \
               sessions are cut",
    },
    Setting {
        key: SettingKey::Log,
        flag: "log",
        variable: "CLEARWAY_LOG",
        value: "FORMAT,LEVEL",
        default: "text,info",
        help: "Clearway's own log on standard error: `text` or `json`, and `error`, `warn`, `info` or `debug`",
    },
    Setting {
        key: SettingKey::Mark,
        flag: "mark",
        variable: "CLEARWAY_MARK",
        value: "BIT",
        default: "bit 29 (0x20000000), or the next that no policy rule tests",
        help: "The one bit of the packet mark that Clearway uses, as a number with one bit set (0x20000000)",
    },
    Setting {
        key: SettingKey::RunDirectory,
        flag: "run-directory",
        variable: "CLEARWAY_RUN_DIRECTORY",
        value: "DIRECTORY",
        default: "/run/clearway, or an abstract socket where nothing can be written",
        help: "Where the admin socket is made, and where the subcommands look for it",
    },
    Setting {
        key: SettingKey::Ports,
        flag: "ports",
        variable: "HAPROXY_PORTS",
        value: "PORT,...",
        default: "the ports are found in the configuration",
        help: "Ports in addition to those found in the configuration, as the shell-script images took them",
    },
    Setting {
        key: SettingKey::Watch,
        flag: "watch",
        variable: "CLEARWAY_WATCH",
        value: "MODE",
        default: "off",
        help: "Reload by itself when the configuration or a file that it names changes: `off`, `on` (the kernel tells), `poll` (looks every 5 s)",
    },
    Setting {
        key: SettingKey::WatchQuiet,
        flag: "watch-quiet",
        variable: "CLEARWAY_WATCH_QUIET",
        value: "DURATION",
        default: "500ms",
        help: "How long watched files must be left alone before they are looked at, so that many changes are one reload",
    },
    Setting {
        key: SettingKey::Canary,
        flag: "canary",
        variable: "CLEARWAY_CANARY",
        value: "MODE",
        default: "on",
        help: "Prove with connections to the transparent servers that their answers to clients come back, at the start and after each \
               change: `off`, `on`, `ready` (Clearway is ready only if they do)",
    },
    Setting {
        key: SettingKey::CanaryAddress,
        flag: "canary-address",
        variable: "CLEARWAY_CANARY_ADDRESS",
        value: "ADDRESS[,ADDRESS]",
        default: "198.18.179.1,2001:2::179",
        help: "Source address of the canary's probes, one for each family: one that no client has, and that the servers route as \
               they route clients",
    },
    Setting {
        key: SettingKey::CanaryEvery,
        flag: "canary-every",
        variable: "CLEARWAY_CANARY_EVERY",
        value: "DURATION",
        default: "off",
        help: "How often it is proved again although nothing has changed here",
    },
    Setting {
        key: SettingKey::Intercept,
        flag: "intercept",
        variable: "CLEARWAY_INTERCEPT",
        value: "RULE[;RULE]",
        default: "nothing",
        help: "Which connections that go through this host to addresses of others a `bind ... transparent` gets: \
               `DESTINATION[,...] port PORT[,...] [from INTERFACE] to PORT`, such as `10.2.0.0/16,2001:db8:2::/48 port \
               80,8000-8099 from lan0 to 8080; any port 25 to 2525`",
    },
    Setting {
        key: SettingKey::InterceptFail,
        flag: "intercept-fail",
        variable: "CLEARWAY_INTERCEPT_FAIL",
        value: "MODE",
        default: "open",
        help: "What becomes of these connections when Clearway is lost: `open` (they go on to where they were going), \
               `closed` (they are rejected until the next start, or until `clearway cleanup`)",
    },
];
