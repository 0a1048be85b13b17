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
    Apply,
    Strategy,
    OldGenerations,
    OldAge,
    OldMemory,
    Log,
    Mark,
    RunDirectory,
    Admin,
    AdminTokenFile,
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
        default: "none: a private instance, without takeovers",
        help: "Name of the instance, within which Clearways take over from each other: `a-z`, `0-9` and `-`, at \
               most 32 characters",
    },
    Setting {
        key: SettingKey::DrainTimeout,
        flag: "drain-timeout",
        variable: "CLEARWAY_DRAIN_TIMEOUT",
        value: "DURATION",
        default: "295s",
        help: "Maximum time for sessions to finish after a stop, before they are cut",
    },
    Setting {
        key: SettingKey::StopDelay,
        flag: "stop-delay",
        variable: "CLEARWAY_STOP_DELAY",
        value: "DURATION",
        default: "0s",
        help: "Delay between a request to stop and the stop: `clearway health` fails at once, so that load \
               balancers in front send no more clients",
    },
    Setting {
        key: SettingKey::TakeoverDrain,
        flag: "takeover-drain",
        variable: "CLEARWAY_TAKEOVER_DRAIN",
        value: "DURATION",
        default: "24h",
        help: "Maximum time for sessions to finish after another Clearway of this instance has taken over, \
               before they are cut",
    },
    Setting {
        key: SettingKey::TakeoverBack,
        flag: "takeover-back",
        variable: "CLEARWAY_TAKEOVER_BACK",
        value: "DURATION",
        default: "10m",
        help: "How long a superseded container that is started again does not get the sockets back; each \
               attempt starts this time anew",
    },
    Setting {
        key: SettingKey::TakeoverMost,
        flag: "takeover-most",
        variable: "CLEARWAY_TAKEOVER_MOST",
        value: "NUMBER",
        default: "10",
        help: "Number of takeovers within `CLEARWAY_TAKEOVER_BACK` after which further containers of this \
               instance are refused, because containers keep replacing each other; `0`: no limit",
    },
    Setting {
        key: SettingKey::TakeoverDirectory,
        flag: "takeover-directory",
        variable: "CLEARWAY_TAKEOVER_DIRECTORY",
        value: "DIRECTORY",
        default: "abstract sockets, which all containers of one network namespace see",
        help: "Directory on a volume that the Clearways of an instance share, for the sockets over which they \
               take over",
    },
    Setting {
        key: SettingKey::HoldAfterStop,
        flag: "hold-after-stop",
        variable: "CLEARWAY_HOLD_AFTER_STOP",
        value: "DURATION",
        default: "10s",
        help: "`clearway hold`: how long the sockets stay open after a planned stop of the balancer",
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
        help: "Maximum time for a new HAProxy to become ready, before it is given up",
    },
    Setting {
        key: SettingKey::Settle,
        flag: "settle",
        variable: "CLEARWAY_SETTLE",
        value: "DURATION",
        default: "200ms",
        help: "How long a new HAProxy that is ready must live beside the serving one, before it replaces it",
    },
    Setting {
        key: SettingKey::Carry,
        flag: "carry",
        variable: "CLEARWAY_CARRY",
        value: "WHAT",
        default: "servers",
        help: "What passes from one generation to the next: `servers` (their health, and what was set through \
               the runtime API), `tables` (stick tables without `peers`, up to 100000 entries in all; \
               `tables=NUMBER` for another limit), both with a comma between, or `off` \
               (docs/explanation/carry.md)",
    },
    Setting {
        key: SettingKey::Apply,
        flag: "apply",
        variable: "CLEARWAY_APPLY",
        value: "MODE",
        default: "reload",
        help: "What a request to reload does: `reload`, or `auto` (changes that HAProxy can make at run time are \
               applied to the generation that serves; a reload for all else)",
    },
    Setting {
        key: SettingKey::Strategy,
        flag: "strategy",
        variable: "CLEARWAY_STRATEGY",
        value: "NAME",
        default: "handoff",
        help: "How a reload moves clients to the new HAProxy: `handoff`, `reuseport`, `syn-drop`, `plug`, \
               `tableflip`, `auto` (docs/explanation/strategies.md)",
    },
    Setting {
        key: SettingKey::OldGenerations,
        flag: "old-generations",
        variable: "CLEARWAY_OLD_GENERATIONS",
        value: "NUMBER",
        default: "50",
        help: "Maximum number of old generations that finish their sessions; above it, those with the fewest \
               sessions are cut",
    },
    Setting {
        key: SettingKey::OldAge,
        flag: "old-age",
        variable: "CLEARWAY_OLD_AGE",
        value: "DURATION",
        default: "no limit",
        help: "Maximum time for an old generation to finish its sessions, before they are cut",
    },
    Setting {
        key: SettingKey::OldMemory,
        flag: "old-memory",
        variable: "CLEARWAY_OLD_MEMORY",
        value: "SIZE",
        default: "no limit",
        help: "Maximum memory of all old generations together (`512M`); above it, those with the fewest \
               sessions are cut",
    },
    Setting {
        key: SettingKey::Log,
        flag: "log",
        variable: "CLEARWAY_LOG",
        value: "FORMAT,LEVEL",
        default: "text,info",
        help: "Format and level of Clearway's log on standard error: `text` or `json`, and `error`, `warn`, \
               `info` or `debug`",
    },
    Setting {
        key: SettingKey::Mark,
        flag: "mark",
        variable: "CLEARWAY_MARK",
        value: "BIT",
        default: "bit 29 (0x20000000), or the next that no policy rule tests",
        help: "Bit of the packet mark that Clearway uses, as a number with one bit set (0x20000000)",
    },
    Setting {
        key: SettingKey::RunDirectory,
        flag: "run-directory",
        variable: "CLEARWAY_RUN_DIRECTORY",
        value: "DIRECTORY",
        default: "/run/clearway, or an abstract socket where that cannot be written",
        help: "Directory of the admin socket, for Clearway and for the subcommands that look for it",
    },
    Setting {
        key: SettingKey::Admin,
        flag: "admin",
        variable: "CLEARWAY_ADMIN",
        value: "ADDRESS",
        default: "nowhere",
        help: "Where the API listens for monitoring and tools (docs/reference/api.md): a path with options, such as \
               `/run/clearway/api.sock,mode=660,group=monitoring`, or `127.0.0.1:PORT`, `[::1]:PORT`; any other IP \
               address only with `CLEARWAY_ADMIN_TOKEN_FILE`; several with blanks between",
    },
    Setting {
        key: SettingKey::AdminTokenFile,
        flag: "admin-token-file",
        variable: "CLEARWAY_ADMIN_TOKEN_FILE",
        value: "FILE",
        default: "none: over loopback no token is needed",
        help: "File with the token that clients of the API must show over TCP; it is read again when it has changed",
    },
    Setting {
        key: SettingKey::Ports,
        flag: "ports",
        variable: "HAPROXY_PORTS",
        value: "PORT,...",
        default: "none",
        help: "Ports in addition to those found in the configuration (the variable of the shell-script images)",
    },
    Setting {
        key: SettingKey::Watch,
        flag: "watch",
        variable: "CLEARWAY_WATCH",
        value: "MODE",
        default: "off",
        help: "Reload when the configuration or a file that it names changes: `off`, `on` (notified by the \
               kernel), `poll` (every 5 s)",
    },
    Setting {
        key: SettingKey::WatchQuiet,
        flag: "watch-quiet",
        variable: "CLEARWAY_WATCH_QUIET",
        value: "DURATION",
        default: "500ms",
        help: "How long watched files must stay unchanged before they are compared, so that many changes make \
               one reload",
    },
    Setting {
        key: SettingKey::Canary,
        flag: "canary",
        variable: "CLEARWAY_CANARY",
        value: "MODE",
        default: "on",
        help: "Verify, with connections to the transparent servers at the start and after each change, that \
               their answers to clients return here: `off`, `on`, `ready` (Clearway is ready only then)",
    },
    Setting {
        key: SettingKey::CanaryAddress,
        flag: "canary-address",
        variable: "CLEARWAY_CANARY_ADDRESS",
        value: "ADDRESS[,ADDRESS]",
        default: "198.18.179.1,2001:2::179",
        help: "Source address of the canary's probes, one for each family: no client may have it, and the \
               servers must route it as they route clients",
    },
    Setting {
        key: SettingKey::CanaryEvery,
        flag: "canary-every",
        variable: "CLEARWAY_CANARY_EVERY",
        value: "DURATION",
        default: "off",
        help: "Interval at which the return path is verified again although nothing has changed",
    },
    Setting {
        key: SettingKey::Intercept,
        flag: "intercept",
        variable: "CLEARWAY_INTERCEPT",
        value: "RULE[;RULE]",
        default: "nothing",
        help: "Connections to other hosts that an inline gateway sends to a `bind ... transparent`: \
               `DESTINATION[,...] port PORT[,...] [from INTERFACE] to PORT`, such as \
               `10.2.0.0/16,2001:db8:2::/48 port 80,8000-8099 from lan0 to 8080; any port 25 to 2525`",
    },
    Setting {
        key: SettingKey::InterceptFail,
        flag: "intercept-fail",
        variable: "CLEARWAY_INTERCEPT_FAIL",
        value: "MODE",
        default: "open",
        help: "What happens to these connections while no Clearway runs: `open` (they are forwarded to their \
               destination), `closed` (they are rejected until the next start, or until `clearway cleanup`)",
    },
];
