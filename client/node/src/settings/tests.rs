mod streams;

use std::fs;

use clap::{Args as _, Command, FromArgMatches as _};

use super::*;
use crate::scratch::Scratch;

const ADJUDICATOR: &str = "rrkah-fqaaa-aaaaa-aaaaq-cai";

/// A data folder with this `node.yaml`.
struct World(Scratch);

impl World {
    fn new(yaml: &str) -> Self {
        let scratch = Scratch::new();
        fs::write(scratch.path().join(FILE), yaml).unwrap();
        Self(scratch)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(FILE)
    }

    fn flags(&self, flags: &[&str]) -> Flags {
        let data = self.0.path().to_str().unwrap();
        let all = [&["perund", "--data", data], flags].concat();
        let command = Flags::augment_args(Command::new("perund"));
        let matches = command.try_get_matches_from(all).unwrap();
        Flags::from_arg_matches(&matches).unwrap()
    }

    fn load(&self, flags: &[&str]) -> Result<Settings, Error> {
        Settings::load(&self.flags(flags))
    }

    fn refused(&self, flags: &[&str]) -> String {
        self.load(flags).unwrap_err().to_string()
    }
}

/// With an adjudicator.
fn loaded(yaml: &str, flags: &[&str]) -> Result<Settings, Error> {
    World::new(yaml).load(&[&["--adjudicator", ADJUDICATOR], flags].concat())
}

fn refused(yaml: &str, flags: &[&str]) -> String {
    loaded(yaml, flags).unwrap_err().to_string()
}

#[test]
fn defaults_need_an_adjudicator_only() {
    let scratch = Scratch::new();
    let data = scratch.path().to_str().unwrap();
    let flags = Flags::from_pairs(&[("data", data)]);
    let error = Settings::load(&flags).unwrap_err();
    let Error::InvalidConfig { name, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(name, "adjudicator");
    let settings = loaded("", &[]).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:50001".parse().unwrap());
    assert_eq!((settings.compat, settings.metrics), (None, None));
    assert_eq!(settings.response_timeout, Duration::from_secs(10));
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.origin("listen"), Some(&Origin::Default));
    assert_eq!(settings.origin("adjudicator"), Some(&Origin::Flag));
}

#[test]
fn a_flag_goes_before_the_file() {
    let world = World::new("response-timeout: 20s\npoll-interval: 5s\n");
    let flags = ["--adjudicator", ADJUDICATOR, "--response-timeout", "1m30s"];
    let settings = world.load(&flags).unwrap();
    assert_eq!(settings.response_timeout, Duration::from_secs(90));
    assert_eq!(settings.origin("response-timeout"), Some(&Origin::Flag));
    assert_eq!(settings.poll_interval, Duration::from_secs(5));
    let file = Origin::File(world.file());
    assert_eq!(settings.origin("poll-interval"), Some(&file));
    assert_eq!(settings.origin("max-view-age"), Some(&Origin::Default));
}

/// In a process of its own: the environment is the whole process's.
#[test]
fn the_environment_goes_between_flags_and_file() {
    const CHILD: &str = "PERUN_TEST_OF_THE_ENVIRONMENT";
    if std::env::var_os(CHILD).is_some() {
        let world = World::new("listen: 127.0.0.1:1\nmetrics: 127.0.0.1:2\n");
        let flags = ["--adjudicator", ADJUDICATOR, "--compat=127.0.0.1:30"];
        let settings = world.load(&flags).unwrap();
        assert_eq!(settings.listen.port(), 10);
        let origin = Origin::Environment("PERUND_LISTEN");
        assert_eq!(settings.origin("listen"), Some(&origin));
        assert_eq!(settings.compat.unwrap().port(), 30);
        assert_eq!(settings.metrics.unwrap().port(), 2);
        assert_eq!(settings.open, ["alice", "bob"]);
        assert!(settings.fetch_root_key);
        assert!(settings.show(true).contains("# PERUND_LISTEN"));
        return;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env(CHILD, "1")
        .env("PERUND_LISTEN", "127.0.0.1:10")
        .env("PERUND_COMPAT", "127.0.0.1:20")
        .env("PERUND_OPEN", "alice,bob")
        .env("PERUND_FETCH_ROOT_KEY", "true")
        .env("PERUND_CHAIN_URL", "http://127.0.0.1:4943")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_file_of_perun_node_is_read() {
    let yaml = format!(
        "loglevel: debug\nlogfile: \"\"\nchainurl: http://127.0.0.1:4943\n\
         adjudicator: {ADJUDICATOR}\nchainconntimeout: 11s\nonchaintxtimeout: 1m0s\n\
         responsetimeout: 12s\n"
    );
    let settings = World::new(&yaml).load(&[]).unwrap();
    assert_eq!(settings.log.level, "debug");
    assert_eq!(settings.log.file, None);
    assert_eq!(settings.chain_url, "http://127.0.0.1:4943");
    assert_eq!(settings.adjudicator.to_text(), ADJUDICATOR);
    assert_eq!(settings.chain_conn_timeout, Duration::from_secs(11));
    assert_eq!(settings.on_chain_tx_timeout, Duration::from_secs(60));
    assert_eq!(settings.response_timeout, Duration::from_secs(12));
    for key in ["chainid: 1337", "assetETH: 0x00", "asseterc20s: {}"] {
        let error = refused(key, &[]);
        assert!(error.contains("Ethereum"), "{error}");
    }
}

#[test]
fn an_unknown_name_is_an_error_that_names_the_nearest() {
    for (wrong, right) in [
        ("lisen", "\"listen\""),
        ("responsetimout", "\"response-timeout\""),
        ("chain_urls", "\"chain-url\""),
        ("Session-Folder", "\"session-folders\""),
    ] {
        let error = refused(&format!("{wrong}: 1"), &[]);
        assert!(error.contains(wrong) && error.contains(right), "{error}");
    }
    let error = refused("zzzz: 1", &[]);
    assert!(error.contains("no setting") && !error.contains("did you mean"));
}

#[test]
fn values_are_read_as_they_are_written() {
    let hash = format!("1e{}", "0".repeat(62));
    let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let yaml = format!(
        "module_hash: {hash}\nledgers:\n  - {ADJUDICATOR}\nopen: alice, bob\n\
         FetchRootKey: true\nchain-url: http://localhost:1\ncompat: 127.0.0.1:7\n\
         devices: '[::1]:9'\ndevice-keys: [{key}]\ndevice-funds: [ICP=0.5]\n\
         session-folders: [users, /srv/users]\ncalls-per-second: 7\ntls-names:\n"
    );
    let world = World::new(&yaml);
    let settings = world.load(&["--adjudicator", ADJUDICATOR]).unwrap();
    assert_eq!(settings.module_hash.unwrap()[0], 0x1e);
    assert_eq!(settings.ledgers[0].to_text(), ADJUDICATOR);
    assert_eq!(settings.open, ["alice", "bob"]);
    assert!(settings.fetch_root_key);
    assert_eq!(settings.compat.unwrap().port(), 7);
    assert_eq!(settings.devices.listen.unwrap().port(), 9);
    assert_eq!(settings.devices.keys.len(), 1);
    assert_eq!(settings.devices.funds, [("ICP".into(), "0.5".into())]);
    let folders = [world.0.path().join("users"), "/srv/users".into()];
    assert_eq!(settings.session_folders, folders);
    assert_eq!(settings.limits.calls_per_s, 7);
    assert!(settings.tls_names.is_empty());
}

#[test]
fn values_that_are_none_are_named_with_their_origin() {
    for (flag, value, reason) in [
        ("listen", "50001", "127.0.0.1:50001"),
        ("metrics", "localhost", "or off"),
        ("chain-url", "ws://127.0.0.1:8545", "http or https"),
        ("adjudicator", "0x5992", "rrkah"),
        ("module-hash", "abc", "64 hex digits"),
        ("fetch-root-key", "maybe", "true or false"),
        ("response-timeout", "10", "10s"),
        ("response-timeout", "0s", "more than nothing"),
        ("response-timeout", "-5s", "more than nothing"),
        ("response-timeout", "25h", "a day at most"),
        ("log-level", "a=b=c", "trace"),
        ("log-format", "xml", "text or json"),
        ("device-keys", "05", "66 hex digits"),
        ("device-funds", "0.5", "ICP=0.5"),
        ("calls-per-second", "0", "from 1"),
        ("max-watches", "-1", "from 1"),
    ] {
        let adjudicator = format!("adjudicator: {ADJUDICATOR}");
        let error = World::new(&adjudicator).refused(&[&format!("--{flag}={value}")]);
        assert!(error.contains(reason), "{flag} {value}: {error}");
        assert!(
            error.contains(flag) && error.contains("the command line"),
            "{error}"
        );
    }
    let world = World::new("response-timeout: soon\n");
    let error = world.refused(&["--adjudicator", ADJUDICATOR]);
    assert!(error.contains(world.file().to_str().unwrap()), "{error}");
}

#[test]
fn settings_that_make_no_sense_together_are_refused() {
    for (yaml, reason) in [
        ("compat: 0.0.0.0:50002", "neither TLS nor tokens"),
        ("compat: 192.0.2.1:50002", "neither TLS nor tokens"),
        ("compat: 127.0.0.1:50001", "this is where listen is"),
        ("metrics: 127.0.0.1:50001", "this is where listen is"),
        (
            "fetch-root-key: true",
            "root key of the Internet Computer is known",
        ),
        (
            "fetch-root-key: true\nchain-url: https://x.icp0.io/",
            "is known",
        ),
        ("poll-interval: 2m", "longer than poll-interval"),
        ("device-funds: ICP=1", "device-keys"),
    ] {
        let error = refused(yaml, &[]);
        assert!(error.contains(reason), "{yaml}: {error}");
    }
    for yaml in [
        "listen: 0.0.0.0:50001",
        "compat: '[::1]:50002'",
        "listen: 127.0.0.1:0\nmetrics: 127.0.0.1:0",
        "fetch-root-key: true\nchain-url: http://replica.icp-api.io.example:1",
    ] {
        loaded(yaml, &[]).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    }
}

#[test]
fn what_is_no_configuration_is_named() {
    for yaml in [
        "listen",
        "- listen",
        "listen: [1, 2]",
        "listen: {a: b}",
        "open: {a: b}",
        "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2",
        "chainurl: http://a\nchain-url: http://b",
        "data: /srv",
        "\u{1}",
        "a: &a [*a, *a]",
        &" ".repeat(2_000_000),
    ] {
        let error = refused(yaml, &[]);
        let beginning = &yaml[..yaml.len().min(40)];
        assert!(error.contains(FILE), "{beginning}: {error}");
    }
    for yaml in ["", "---\n", "# nothing\n\n"] {
        loaded(yaml, &[]).unwrap();
    }
    // One that is named has to be there.
    let error = refused("", &["--config", "/no/such/node.yaml"]);
    assert!(error.contains("/no/such/node.yaml"), "{error}");
}

#[test]
fn flags_without_a_value_mean_the_usual() {
    let flags = [
        "--compat",
        "--fetch-root-key",
        "--chain-url=http://[::1]:4943",
    ];
    let settings = loaded("", &flags).unwrap();
    assert_eq!(settings.compat, Some("127.0.0.1:50002".parse().unwrap()));
    assert!(settings.fetch_root_key);
    let off = loaded("compat: 127.0.0.1:7", &["--compat=off"]).unwrap();
    assert_eq!(off.compat, None);
}

#[test]
fn what_is_shown_is_what_was_set() {
    let yaml = "open: [alice, \"b: b\"]\nlog-level: info,perun_node=debug\nmetrics: '[::]:9090'\n";
    let world = World::new(yaml);
    let settings = world.load(&["--adjudicator", ADJUDICATOR]).unwrap();
    let shown = settings.show(true);
    for line in [
        "chain-url: https://icp-api.io            # default".to_owned(),
        format!("adjudicator: {ADJUDICATOR} # the command line"),
        format!("open: [alice, \"b: b\"]  # {}", world.file().display()),
        format!("# data: {}", world.0.path().display()),
    ] {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeeze(&shown).contains(&squeeze(&line)), "{line}\n{shown}");
    }
    // What is shown is a file that says the same.
    for origin in [false, true] {
        let again = World::new(&settings.show(origin)).load(&[]).unwrap();
        let rows = |settings: &Settings| {
            let shown = settings.show(false);
            shown.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rows(&again), rows(&settings));
    }
    let json = settings.to_json(true);
    assert_eq!(json["chain-url"]["value"], "https://icp-api.io");
    assert_eq!(json["chain-url"]["origin"], "default");
    let json = settings.to_json(false);
    assert_eq!(json["open"], serde_json::json!(["alice", "b: b"]));
    assert_eq!(json["module-hash"], serde_json::Value::Null);
}

#[test]
fn a_sample_is_written_once_and_says_what_holds_anyway() {
    let scratch = Scratch::new();
    let data = scratch.path().join("data");
    let data = data.to_str().unwrap();
    let flags = Flags::from_pairs(&[("data", data), ("adjudicator", ADJUDICATOR)]);
    let path = Settings::generate(&flags).unwrap();
    let sample = fs::read_to_string(&path).unwrap();
    assert!(sample.contains(&format!("\nadjudicator: {ADJUDICATOR}\n")));
    assert!(sample.contains("\n#response-timeout: 10s\n"));
    let settings = Settings::load(&Flags::from_pairs(&[("data", data)])).unwrap();
    assert_eq!(
        settings.origin("adjudicator"),
        Some(&Origin::File(path.clone()))
    );
    // Whatever is commented out is what would hold without.
    let all = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(line) if !line.starts_with(' ') => line,
        _ => line,
    });
    fs::write(&path, all.collect::<Vec<_>>().join("\n")).unwrap();
    let spelled_out = Settings::load(&Flags::from_pairs(&[("data", data)])).unwrap();
    assert_eq!(spelled_out.show(false), settings.show(false));

    let again = Settings::generate(&flags).unwrap_err().to_string();
    assert!(again.contains("not overwritten"), "{again}");
}

#[test]
fn a_local_network_is_polled_often_on_free_ports() {
    let adjudicator = Principal::from_text(ADJUDICATOR).unwrap();
    let settings = Settings::for_local(Path::new("/data"), "http://127.0.0.1:9", adjudicator);
    settings.check().unwrap();
    assert_eq!(settings.listen.port(), 0);
    assert!(settings.fetch_root_key);
}

#[test]
fn the_table_says_each_name_once() {
    let mut names: Vec<_> = keys::KEYS.iter().map(|key| keys::plain(key.name)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), keys::KEYS.len());
    for key in keys::KEYS {
        let env = key.name.to_uppercase().replace('-', "_");
        assert_eq!(key.env, format!("PERUND_{env}"));
    }
    Flags::augment_args(Command::new("perund")).debug_assert();
}

#[cfg(unix)]
#[test]
fn the_data_folder_is_named_without_links() {
    let scratch = Scratch::new();
    let real = scratch.path().canonicalize().unwrap().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let data = |path: &Path| Flags::from_pairs(&[("data", path.to_str().unwrap())]).data();
    assert_eq!(data(&link).unwrap().as_os_str(), real.as_os_str());
    assert_eq!(data(&link.join("a/b")).unwrap(), real.join("a/b"));
}
