use std::fmt::Write as _;
use std::net::IpAddr;

use super::*;
use crate::call::policy::{Known, Overload, Require, Rules, Strangers, Terms, TrunkId};
use crate::routing::directory::Source as Sender;
use crate::routing::trunk::Refer;
use crate::sip::flow::ListenerId;
use crate::types::number::Number;

#[test]
fn the_smallest_configuration_has_every_default() {
    let settings = load_main(MINIMAL).expect("no fault");

    assert_eq!(
        settings.node,
        Node {
            name: "strowger".to_owned(),
            shards: 1,
            drain_limit: Duration::from_secs(600),
            gather: Duration::from_millis(2),
            gso: true,
        }
    );
    assert_eq!(settings.http.bind, None);
    assert!(settings.http.listeners.is_empty());
    assert_eq!(settings.telemetry.log, "info");
    assert_eq!(settings.telemetry.log_format, LogFormat::Text);
    assert_eq!(settings.telemetry.records, None);
    let policy = &settings.policy;
    assert_eq!(policy.generation, 3);
    assert!(policy.hop_secret.is_equal(&[7; 32]));
    assert_eq!(policy.product.as_deref(), Some("strowger"));
    assert_eq!(policy.strangers, Strangers::Refuse);
    assert_eq!(&*policy.listeners[0].advertise, "192.0.2.10:5060");
    let buyer = &policy.directory.campaigns[0].route.buyers()[0];
    assert_eq!(&*buyer.gateways[0].host, "203.0.113.20");
    assert_eq!(buyer.gateways[0].address.to_string(), "203.0.113.20:5060");
    assert_eq!(buyer.ring_timeout, Duration::from_secs(30));
    assert_eq!(buyer.response_timeout, Duration::from_secs(4));
    assert!(buyer.login.is_none());
}

#[test]
fn session_timers_are_on_unless_they_are_turned_off() {
    let with = |session: &str| {
        let text = MINIMAL.replace("[[listen]]", &format!("{session}[[listen]]"));
        load_main(&text).expect("no fault").policy.session
    };
    let terms = |expires, min| Some(Terms { expires, min });

    assert_eq!(with(""), terms(1800, 90));
    assert_eq!(
        with("[session]\nexpires = \"1h\"\nmin = \"2m\"\n"),
        terms(3600, 120)
    );
    assert_eq!(with("[session]\nexpires = \"0s\"\n"), None);
}

#[test]
fn what_a_buyer_and_a_trunk_may_do_within_a_call_is_told_by_name() {
    let text = MINIMAL
        .replace("domains = [", "refer = \"relay\"\ndomains = [")
        .replace(
            "sip:sales@203.0.113.20\"",
            "sip:sales@203.0.113.20\"\nrefer = \"relay\"\nreliable = \"never\"",
        );
    let ours = text.replace("relay", "terminate");
    for (text, refer, offers_reliable) in [
        (MINIMAL, Refer::Refuse, true),
        (&*text, Refer::Relay, false),
        (&*ours, Refer::Terminate, false),
    ] {
        let policy = load_main(text).expect("no fault").policy;
        let buyer = &policy.directory.campaigns[0].route.buyers()[0];

        assert_eq!(policy.trunks[0].refer, refer);
        assert_eq!(
            (buyer.refer, buyer.offers_reliable),
            (refer, offers_reliable)
        );
    }
}

#[test]
fn whom_a_trunk_lists_and_where_a_buyer_is_is_known() {
    // Also where the domain lets in by password only: its OPTIONS are answered.
    let text = MINIMAL
        .replace("require = \"ip\"", "require = \"digest\"")
        .replace(
            "allow = [",
            "users = [{ name = \"u\", password = \"p\" }]\nallow = [",
        );
    let policy = load_main(&text).expect("no fault").policy;

    let is_known = |text: &str| {
        let address: IpAddr = text.parse().unwrap();
        policy.known.longest_match(address).is_some()
    };

    assert!(is_known("198.51.100.7"), "the carrier");
    assert!(is_known("203.0.113.20"), "the buyer");
    assert!(!is_known("198.51.100.8"));
    assert!(!policy.is_silent_to("198.51.100.8".parse().unwrap()));
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let minimal = load_main(MINIMAL).expect("no fault");
    let documented = load_conf("strowger.toml").expect("no fault");

    assert_eq!(documented.node, minimal.node);
    let node = "[node]\ndata_dir = \"/var/lib/strowger/data\"\n[[listen]]";
    let kept = load_main(&MINIMAL.replace("[[listen]]", node)).expect("no fault");
    assert_eq!(minimal.storage, None);
    assert_eq!(documented.storage, kept.storage);
    assert_eq!(documented.telemetry.log, minimal.telemetry.log);
    assert_eq!(
        documented.telemetry.log_format,
        minimal.telemetry.log_format
    );
    let (documented, minimal) = (documented.policy, minimal.policy);
    assert_eq!(documented.timing, minimal.timing);
    assert_eq!(documented.limits, minimal.limits);
    assert_eq!(documented.hunt, minimal.hunt);
    assert_eq!(documented.guard, minimal.guard);
    assert_eq!(minimal.guard, Rules::default());
    assert_eq!(documented.overload, minimal.overload);
    assert_eq!(minimal.overload, Overload::default());
    assert_eq!(documented.strangers, minimal.strangers);
    assert_eq!(documented.product, minimal.product);
    let (described, plain) = (
        &documented.domains["sip.example.com"],
        &minimal.domains["sip.example.com"],
    );
    assert_eq!(described.realm, plain.realm);
    assert_eq!(described.algorithms, plain.algorithms);
    assert_eq!(described.digest_uri, plain.digest_uri);
    assert_eq!(
        documented.trunks[0].plan.country,
        minimal.trunks[0].plan.country
    );
    let (described, plain) = (
        &documented.directory.campaigns[0].route.buyers()[0],
        &minimal.directory.campaigns[0].route.buyers()[0],
    );
    assert_eq!(described.priority, plain.priority);
    assert_eq!(described.ring_timeout, plain.ring_timeout);
    assert_eq!(described.response_timeout, plain.response_timeout);
    assert_eq!(described.x_ph_profile, plain.x_ph_profile);
}

#[test]
fn what_the_guard_is_told_is_checked() {
    let text = format!("{MINIMAL}\n[guard]\nrefusals = -1\nban = \"2h\"\nsenders = 3\n");

    let faults = load_main(&text).err().expect("faults").to_string();

    for fault in [
        "guard.refusals: -1 is out of range",
        "guard.longest_ban: is shorter than ban",
        "guard.senders: 3 is out of range",
    ] {
        assert!(faults.contains(fault), "{fault}: {faults}");
    }
}

#[test]
fn every_key_is_documented_in_its_section() {
    let mut section = String::new();
    let mut documented = Vec::new();
    for line in STROWGER.lines() {
        // What would need a file to be there is commented out, without a space.
        let line = match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        };
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            documented.push(section.clone());
        } else if !line.starts_with('#') {
            for (key, _) in line.match_indices(" = ").map(|(at, _)| line.split_at(at)) {
                let key = key.rsplit(['{', ' ', ',']).next().unwrap_or_default();
                documented.push(format!("{section}.{key}"));
            }
        }
    }

    let mut missing = Vec::new();
    for shape in keys::ALL {
        for key in shape.keys {
            let place = match shape.name {
                "" => (*key).to_owned(),
                // A user's keys stand within braces, in the trunk's section.
                "trunk.users" | "trunk.users.ha1" => format!("trunk.{key}"),
                "secret" => continue,
                section => format!("{section}.{key}"),
            };
            if !documented.contains(&place) {
                missing.push(place);
            }
        }
    }

    assert_eq!(missing, Vec::<String>::new());
    for form in ["{ file = \"", "{ env = \""] {
        assert!(STROWGER.contains(form), "{form}");
    }
}

#[test]
fn every_configuration_that_we_ship_loads() {
    for name in ["strowger.toml", "minimal.toml", "demo.toml"] {
        if let Err(faults) = load_conf(name) {
            panic!("{faults}");
        }
    }
}

#[test]
fn domains_hold_what_their_trunks_bring() {
    let policy = load_conf("demo.toml").expect("no fault").policy;

    let by_address = &policy.domains["ip.demo.example"];
    let by_password = &policy.domains["digest.demo.example"];
    let loopback: IpAddr = "127.0.0.1".parse().expect("an address");
    assert_eq!(by_address.require, Require::Ip);
    assert_eq!(by_address.allow.longest_match(loopback), Some(TrunkId(0)));
    assert!(by_address.users.find(b"carrier").0.is_none());
    assert_eq!(by_password.require, Require::Digest);
    assert!(by_password.allow.is_empty());
    let user = by_password.users.find(b"carrier").1.expect("a user");
    assert_eq!((&*user.name, user.trunk), ("carrier", TrunkId(1)));
    assert_eq!(&*policy.trunks[1].id, "carrier-by-password");
}

#[test]
fn an_alias_is_the_domain_itself() {
    let text = MINIMAL.replace(
        "require = \"ip\"",
        "require = \"ip\"\naliases = [\"EDGE.example.com\", \"[2001:db8::1]\"]",
    );

    let policy = load_main(&text).expect("no fault").policy;

    let domain = &policy.domains["sip.example.com"];
    for alias in ["edge.example.com", "2001:db8::1"] {
        assert!(Arc::ptr_eq(&policy.domains[alias], domain), "{alias}");
    }
}

#[test]
fn buyers_go_by_priority_then_by_the_campaigns_order() {
    let text = MINIMAL.replace(
        "buyers = [\"sunny\"]",
        "buyers = [\"last\", \"sunny\", \"second\", \"zero\"]",
    ) + "[[buyer]]\nid = \"last\"\ncompany = \"acme\"\nuri = \"sip:203.0.113.21\"\npriority = 9\n"
        + "[[buyer]]\nid = \"second\"\ncompany = \"acme\"\nuri = \"sip:203.0.113.22\"\n"
        + "[[buyer]]\nid = \"zero\"\ncompany = \"acme\"\nuri = \"sip:203.0.113.23\"\npriority = -1\n";

    let policy = load_main(&text).expect("no fault").policy;

    let buyers = &policy.directory.campaigns[0].route.buyers();
    let ids: Vec<&str> = buyers.iter().map(|buyer| &*buyer.id).collect();
    assert_eq!(ids, ["zero", "sunny", "second", "last"]);
}

#[test]
fn a_campaign_that_is_switched_off_has_nobody() {
    let text = MINIMAL.replace(
        "buyers = [\"sunny\"]",
        "buyers = [\"sunny\"]\nenabled = false",
    );

    let policy = load_main(&text).expect("no fault").policy;

    assert!(policy.directory.campaigns[0].route.buyers().is_empty());
}

#[test]
fn secrets_come_from_files_and_from_the_environment() {
    let text = MINIMAL.replace(
        "key_secret = \"CHANGE-ME-at-least-16-bytes\"",
        "key_secret = { file = \"keys/acme\" }\n[node]\nsecret = { env = \"HOP\" }",
    );
    let mut source = Texts::of(MAIN, text).and("conf/keys/acme", "0123456789abcdef\n");
    source
        .env
        .insert("HOP".to_owned(), "fedcba9876543210".to_owned());

    let policy = load(Path::new(MAIN), &source, 1).expect("no fault").policy;

    assert!(
        policy.directory.companies[0]
            .key_secret
            .is_equal(b"0123456789abcdef")
    );
    assert!(policy.hop_secret.is_equal(b"fedcba9876543210"));
}

#[test]
fn no_fault_shows_a_secret() {
    let text = MINIMAL
        .replace("\"CHANGE-ME-at-least-16-bytes\"", "\"canary\"")
        .replace("allow = [\"198.51.100.7/32\"]", "users = [{ name = \"a:b\", ha1 = { md5 = \"canary\" } }, { name = \"c\", password = \"canary\", ha1 = {} }]\nallow = []")
        .replace("uri = \"sip:sales@203.0.113.20\"", "uri = \"sip:sales@203.0.113.20\"\npassword = \"canary\"\n")
        + "[node]\nsecret = \"canary\"\n";

    let faults = load_main(&text).err().expect("faults");

    let shown = format!(
        "{faults}{faults:?}{}",
        serde_json::to_string(&faults).expect("JSON")
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(faults.iter().count() >= 6, "{faults}");
}

#[test]
fn a_list_of_numbers_is_read_like_the_tables() {
    let text = format!("{MINIMAL}[[numbers]]\nfile = \"n.csv\"\n");
    let list = "\u{feff}number,campaign,afid,sid\r\n+12125550102, solar ,bright-leads,radio\r\n\r\n# off\r\n+12125550103,solar,bright-leads\r\n+12125550104,solar,bright-leads,radio";
    let source = Texts::of(MAIN, text).and("conf/n.csv", list);

    let directory = load(Path::new(MAIN), &source, 1)
        .expect("no fault")
        .policy
        .directory;

    let sender = |number: &str| {
        let number = Number::from_e164(number.as_bytes()).expect("a number");
        directory.sources[directory.numbers[&number].source.0 as usize].clone()
    };
    let plain = Sender {
        afid: "bright-leads".into(),
        sid: None,
    };
    let radio = Sender {
        afid: "bright-leads".into(),
        sid: Some("radio".into()),
    };
    assert_eq!(directory.numbers.len(), 4);
    assert_eq!(directory.sources.len(), 2);
    assert_eq!(sender("+12125550101"), plain);
    assert_eq!(sender("+12125550102"), radio);
    assert_eq!(sender("+12125550103"), plain);
    assert_eq!(sender("+12125550104"), radio);
}

#[test]
fn a_shared_port_learns_no_address() {
    let text = MINIMAL.replace(
        "domains = [",
        "media = { ports = \"shared\", sources = \"learned\" }\ndomains = [",
    );
    let media = "[media]\nports = \"20000-20099\"\nshared_ports = \"19000-19007\"\n";
    let source = Texts::of(MAIN, format!("{media}{text}"));

    let faults = load(Path::new(MAIN), &source, 1).err().expect("a fault");

    let told = faults.to_string();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("trunk.media.ports: cannot be with sources = \"learned\""),
        "{told}"
    );
}

#[test]
fn interfaces_of_the_kernel_have_names_and_an_address() {
    for (keys, told) in [
        (
            "kernel = [\"eth0\", \"eth1\"]\nbind = [\"0.0.0.0\"]\nadvertise = [\"192.0.2.1\"]",
            "media.kernel: needs an address of IPv4 in `bind`, and not 0.0.0.0",
        ),
        ("kernel = [\"\"]", "media.kernel: `` cannot be taken"),
        ("kernel = [\"a/b\"]", "media.kernel: `a/b` cannot be taken"),
        (
            "kernel = [\"0123456789abcdef\"]",
            "media.kernel: `0123456789abcdef` cannot",
        ),
        (
            "kernel = [\"lo\", \"lo\"]",
            "media.kernel: `lo` cannot be taken",
        ),
        ("kernel = 1", "media.kernel: "),
    ] {
        let source = Texts::of(MAIN, format!("[media]\n{keys}\n{MINIMAL}"));

        let faults = load(Path::new(MAIN), &source, 1).err().expect("a fault");

        let text = faults.to_string();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(told), "{text}");
    }
    let right = format!("[media]\nkernel = [\"eth0\", \"lo\"]\n{MINIMAL}");
    let settings = load_main(&right).expect("no fault");
    let names: Vec<&str> = settings
        .policy
        .media
        .kernel
        .iter()
        .map(|name| &**name)
        .collect();
    assert_eq!(names, ["eth0", "lo"]);
}

#[test]
fn faults_of_a_list_have_its_lines() {
    let text = format!("{MINIMAL}[[numbers]]\nfile = \"n.csv\"\n");
    let list = "+12125550102,solar,bright-leads\n12125550103,solar,bright-leads\n+12125550104,solr,bright-leads\n\
                +12125550105,solar,dim-leads\n+12125550101,solar,bright-leads\n +12125550102,solar,bright-leads\n\
                +12125550106,solar\n+12125550107,solar,bright-leads,tv,,x\n+12125550108,solar,\"bright-leads\"\n";
    let source = Texts::of(MAIN, text).and("conf/n.csv", list);

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    assert_eq!(
        faults.to_string(),
        "conf/n.csv:2:1: numbers.number: `12125550103` is no number in E.164; write \"+12125550103\" if that is meant
conf/n.csv:3:14: numbers.campaign: there is no campaign `solr`; did you mean `solar`?
conf/n.csv:4:20: numbers.afid: there is no publisher `dim-leads`; describe it under [[publisher]]
conf/n.csv:5:1: numbers.number: +12125550101 is assigned already, at conf/strowger.toml:36; a number belongs to one campaign
conf/n.csv:6:2: numbers.number: +12125550102 is assigned already, at conf/n.csv:1; a number belongs to one campaign
conf/n.csv:7:1: numbers: has too few fields; write number,campaign,afid or number,campaign,afid,sid or number,campaign,afid,sid,tags, without quotes
conf/n.csv:8:1: numbers: has too many fields; write number,campaign,afid or number,campaign,afid,sid or number,campaign,afid,sid,tags, without quotes
conf/n.csv:9:1: numbers: has quotes; write number,campaign,afid or number,campaign,afid,sid or number,campaign,afid,sid,tags, without quotes"
    );
}

#[test]
fn a_list_of_another_kind_is_put_down_after_a_hundred_faults() {
    let text = format!("{MINIMAL}[[numbers]]\nfile = \"n.csv\"\n");
    let source = Texts::of(MAIN, text).and("conf/n.csv", "nonsense\n".repeat(100_000));

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    assert_eq!(faults.iter().count(), 101);
    let last = faults.iter().last().map(ToString::to_string);
    assert_eq!(
        last.as_deref(),
        Some(
            "conf/n.csv:101:1: numbers: has 100 faults so far; the rest of the file was not looked at"
        )
    );
}

#[test]
fn what_a_broken_file_might_have_held_is_not_missed() {
    let text = "[node]\ndirectory = [\"routing/*.toml\"]\n".to_owned()
        + &MINIMAL.replace("[\"sunny\"]", "[\"sunny\", \"other\"]");
    let source = Texts::of(MAIN, text).and("conf/routing/a.toml", "[[buyer]\nid = \"other\"\n");

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    let places: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}:{}", fault.file.display(), fault.line))
        .collect();
    assert_eq!(places, ["conf/routing/a.toml:1"], "{faults}");
}

#[test]
fn what_an_unread_file_might_have_held_is_not_missed() {
    let text = "[node]\ndirectory = [\"routing/*.toml\", \"b/*.toml\", \"c.toml\"]\n".to_owned()
        + &MINIMAL.replace("[\"sunny\"]", "[\"sunny\", \"other\"]")
        + "[[numbers]]\nfile = \"n.csv\"\n";
    let source = Texts::of(MAIN, text).and("conf/routing/a.md", "");

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    let right = "a path is relative to the directory of the main file";
    assert_eq!(
        faults.to_string(),
        format!(
            "conf/strowger.toml:2:14: node.directory: `routing/*.toml` matches no file; one `*` may stand in the file's name; {right}; 1 name that it may describe was not found
conf/strowger.toml:2:32: node.directory: conf/b cannot be listed: no such directory; {right}
conf/strowger.toml:2:44: node.directory: conf/c.toml cannot be read: no such file; {right}
conf/strowger.toml:42:8: numbers.file: conf/n.csv cannot be read: no such file; {right}"
        )
    );
}

#[test]
fn a_list_that_cannot_be_read_hides_no_name() {
    let text =
        MINIMAL.replace("[\"sunny\"]", "[\"sunny\", \"suny\"]") + "[[numbers]]\nfile = \"n.csv\"\n";

    let faults = load_main(&text).err().expect("faults");

    let keys: Vec<&str> = faults.iter().map(|fault| &*fault.key).collect();
    assert_eq!(keys, ["campaign.buyers", "numbers.file"], "{faults}");
}

#[test]
fn one_line_of_a_list_may_have_several_faults() {
    let text = MINIMAL.to_owned() + "[[numbers]]\nfile = \"n.csv\"\n";
    let list = "+12125550102,solr,bright-leads\n+12125550102,solar,dim-leads\n\
                +12125550101,wind,nobody\n";
    let source = Texts::of(MAIN, text).and("conf/n.csv", list);

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    assert_eq!(
        faults.to_string(),
        "conf/n.csv:1:14: numbers.campaign: there is no campaign `solr`; did you mean `solar`?
conf/n.csv:2:1: numbers.number: +12125550102 is assigned already, at conf/n.csv:1; a number belongs to one campaign
conf/n.csv:2:20: numbers.afid: there is no publisher `dim-leads`; describe it under [[publisher]]
conf/n.csv:3:1: numbers.number: +12125550101 is assigned already, at conf/strowger.toml:36; a number belongs to one campaign
conf/n.csv:3:14: numbers.campaign: there is no campaign `wind`; describe it under [[campaign]]
conf/n.csv:3:19: numbers.afid: there is no publisher `nobody`; describe it under [[publisher]]"
    );
}

#[test]
fn a_fault_is_one_line_whatever_it_quotes() {
    let text = MINIMAL.replace("198.51.100.7/32", "198.51.100.7\\n\\u001b[31m");

    let faults = load_main(&text).err().expect("faults");

    let shown = faults.to_string();
    assert!(
        shown.ends_with(
            "trunk.allow: `198.51.100.7\\n\\u{1b}[31m` is no prefix; for example \
             \"192.0.2.0/24\", \"192.0.2.7/32\" or \"2001:db8::/48\""
        ),
        "{shown}"
    );
}

#[test]
fn routing_files_are_read_in_the_order_of_their_names_and_hidden_ones_never() {
    let text = "[node]\ndirectory = [\"routing/*.toml\"]\n".to_owned() + MINIMAL;
    let publisher = |afid: &str| format!("[[publisher]]\nafid = \"{afid}\"\ncompany = \"acme\"\n");
    let source = Texts::of(MAIN, text)
        .and("conf/routing/b.toml", publisher("same"))
        .and("conf/routing/a.toml", publisher("same"))
        .and("conf/routing/.#a.toml", "no TOML")
        .and("conf/routing/notes.txt", "no TOML");

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    assert_eq!(
        faults.to_string(),
        "conf/routing/b.toml:2:8: publisher.afid: `same` is taken, at conf/routing/a.toml:2; each needs an id of its own"
    );
}

#[test]
fn without_its_main_file_there_is_one_fault() {
    let faults = load(Path::new("nowhere.toml"), &Texts::default(), 1)
        .err()
        .expect("a fault");

    assert_eq!(
        faults.to_string(),
        "nowhere.toml:1:1: cannot be read: no such file; name the main file with --config"
    );
}

#[test]
fn an_empty_file_lacks_what_a_node_cannot_do_without() {
    let faults = load_main("").err().expect("faults");

    let keys: Vec<&str> = faults.iter().map(|fault| &*fault.key).collect();
    assert_eq!(keys, ["listen", "domain", "trunk"]);
}

#[test]
fn what_a_listener_is_called_by_peers() {
    for (bind, advertise, shown) in [
        ("192.0.2.10:5080", "", "192.0.2.10:5080"),
        ("[2001:db8::10]:5060", "", "[2001:db8::10]:5060"),
        ("0.0.0.0:5080", "203.0.113.5", "203.0.113.5:5080"),
        ("0.0.0.0:5080", "203.0.113.5:5061", "203.0.113.5:5061"),
        ("[::]:5060", "2001:db8::5", "[2001:db8::5]:5060"),
        ("[::]:5060", "[2001:DB8::5]:5061", "[2001:db8::5]:5061"),
        ("192.0.2.10:5060", "SIP.example.com", "sip.example.com:5060"),
    ] {
        let mut listener = format!("bind = \"{bind}\"");
        if !advertise.is_empty() {
            let _ = write!(listener, "\nadvertise = \"{advertise}\"");
        }
        let text = MINIMAL
            .replace("bind = \"192.0.2.10:5060\"", &listener)
            .replace(
                "203.0.113.20\"",
                if bind.starts_with('[') {
                    "[2001:db8::20]\""
                } else {
                    "203.0.113.20\""
                },
            );

        let policy = load_main(&text)
            .unwrap_or_else(|faults| panic!("{faults}"))
            .policy;

        assert_eq!(&*policy.listeners[0].advertise, shown);
    }
}

#[test]
fn what_a_trunk_calls_each_listener() {
    let listeners = "bind = \"192.0.2.10:5060\"\n\n[[listen]]\ntransport = \"tcp\"\nbind = \"0.0.0.0:5070\"\n\
                     advertise = \"192.0.2.11:5071\"\n\n[[listen]]\nbind = \"[2001:db8::10]:5080\"";
    for (advertise, shown) in [
        ("", [None, None, None]),
        (
            "\"203.0.113.7\"",
            [Some("203.0.113.7:5060"), Some("203.0.113.7:5071"), None],
        ),
        (
            "\"203.0.113.7:5061/tcp\", \"[2001:db8::7]\"",
            [None, Some("203.0.113.7:5061"), Some("[2001:db8::7]:5080")],
        ),
        (
            "\"203.0.113.7:5061/tcp\", \"Edge.example.com\"",
            [
                Some("edge.example.com:5060"),
                Some("203.0.113.7:5061"),
                Some("edge.example.com:5080"),
            ],
        ),
    ] {
        let text = MINIMAL
            .replace("bind = \"192.0.2.10:5060\"", listeners)
            .replace("\nallow", &format!("\nadvertise = [{advertise}]\nallow"));

        let settings = load_main(&text).unwrap_or_else(|faults| panic!("{faults}"));

        let own = &settings.policy.trunks[0].advertise;
        let found = [0, 1, 2].map(|place| own.at(ListenerId(place)));
        assert_eq!(found, shown, "{advertise}");
    }
}

#[test]
fn a_buyer_by_name_without_an_address_is_looked_up() {
    let text = MINIMAL.replace("203.0.113.20", "PBX.example.com:5080");

    let policy = load_main(&text)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .policy;

    let names: Vec<&str> = policy.names().map(|wanted| wanted.name()).collect();
    assert_eq!(names, ["pbx.example.com"]);
    let gateway = &policy.directory.campaigns[0].route.buyers()[0].gateways[0];
    assert_eq!(&*gateway.name, "pbx.example.com:5080");
    assert_eq!(gateway.tls_name.as_deref(), Some("pbx.example.com"));
    assert_eq!(policy.flow_to(gateway), None);
    assert_eq!(
        &*policy.directory.campaigns[0].route.buyers()[0].gateways[0].host,
        "pbx.example.com"
    );
}

#[test]
fn where_a_buyers_invite_goes() {
    for (uri, address, host, goes) in [
        (
            "sip:s@203.0.113.20",
            "",
            "203.0.113.20",
            "203.0.113.20:5060",
        ),
        (
            "sip:s@203.0.113.20:5080;user=phone",
            "",
            "203.0.113.20",
            "203.0.113.20:5080",
        ),
        (
            "sip:s@PBX.example.com",
            "203.0.113.21:5070",
            "pbx.example.com",
            "203.0.113.21:5070",
        ),
        (
            "sip:s@pbx.example.com:5080",
            "203.0.113.21",
            "pbx.example.com",
            "203.0.113.21:5080",
        ),
        (
            "sip:s@203.0.113.20;transport=udp",
            "203.0.113.21",
            "203.0.113.20",
            "203.0.113.21:5060",
        ),
    ] {
        let mut buyer = format!("uri = \"{uri}\"");
        if !address.is_empty() {
            let _ = write!(buyer, "\naddress = \"{address}\"");
        }
        let text = MINIMAL.replace("uri = \"sip:sales@203.0.113.20\"", &buyer);

        let policy = load_main(&text)
            .unwrap_or_else(|faults| panic!("{faults}"))
            .policy;

        let gateway = &policy.directory.campaigns[0].route.buyers()[0].gateways[0];
        assert_eq!((&*gateway.uri, &*gateway.host), (uri, host));
        assert_eq!(gateway.address.to_string(), goes);
    }
}

#[test]
fn gateways_are_in_order_of_priority_and_keep_their_own_uri() {
    let gateways = "[[buyer.gateway]]\nuri = \"sip:s@b.example.com\"\naddress = \"203.0.113.22\"\npriority = 2\nweight = 7\n\
                    [[buyer.gateway]]\nuri = \"sip:s@203.0.113.21:5070\"\n";
    let text = MINIMAL.replace("uri = \"sip:sales@203.0.113.20\"\n", gateways);

    let policy = load_main(&text)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .policy;

    let found: Vec<_> = policy.directory.campaigns[0].route.buyers()[0]
        .gateways
        .iter()
        .map(|one| (&*one.name, &*one.uri, one.priority, one.weight))
        .collect();
    assert_eq!(
        found,
        [
            ("203.0.113.21:5070", "sip:s@203.0.113.21:5070", 1, 1),
            ("203.0.113.22:5060", "sip:s@b.example.com", 2, 7),
        ]
    );
    for gateway in ["203.0.113.21", "203.0.113.22"] {
        let address = gateway.parse().expect("an address");
        assert_eq!(
            policy.known.longest_match(address),
            Some(Known::Buyer),
            "{gateway}"
        );
    }
}

#[test]
fn each_slip_has_one_fault() {
    for (right, wrong, fault) in SLIPS {
        let text = MINIMAL.replace(right, wrong);
        assert_ne!(text, MINIMAL, "{right}");

        let faults = load_main(&text).err().expect(wrong);

        let shown: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.key, fault.what))
            .collect();
        assert_eq!(shown, [*fault], "{wrong}");
    }
}

/// What to replace in the smallest configuration, by what, and the fault that this is.
const SLIPS: &[(&str, &str, &str)] = &[
    (
        "bind = \"192.0.2.10:5060\"",
        "bind = \"192.0.2.10\"",
        "listen.bind: `192.0.2.10` is no address with a port",
    ),
    (
        "bind = \"192.0.2.10:5060\"",
        "bind = \"0.0.0.0:5060\"\nadvertise = \"0.0.0.0\"",
        "listen.advertise: peers cannot reach 0.0.0.0",
    ),
    (
        "bind = \"192.0.2.10:5060\"",
        "bind = \"0.0.0.0:5060\"\nadvertise = \"2001:db8::1\"",
        "listen.advertise: 2001:db8::1 and 0.0.0.0 are of different families",
    ),
    (
        "id = \"carrier\"",
        "id = \"carrier\"\nadvertise = [\"203.0.113.7/sctp\"]",
        "trunk.advertise: `203.0.113.7/sctp` is no address to be reached at",
    ),
    (
        "id = \"carrier\"",
        "id = \"carrier\"\nadvertise = [\"0.0.0.0\"]",
        "trunk.advertise: `0.0.0.0` is no address to be reached at",
    ),
    (
        "id = \"carrier\"",
        "id = \"carrier\"\nadvertise = [\"203.0.113.7/tcp\"]",
        "trunk.advertise: `203.0.113.7/tcp` stands for no listener",
    ),
    (
        "id = \"carrier\"",
        "id = \"carrier\"\nadvertise = [\"203.0.113.7\", \"203.0.113.8\"]",
        "trunk.advertise: `203.0.113.8` stands for no listener",
    ),
    (
        "name = \"sip.example.com\"",
        "name = \"sip.example.com\"\nrealm = \"a\\tb\"",
        "domain.realm: is empty, or holds control characters",
    ),
    ("require = \"ip\"", "", "domain.require: is missing"),
    (
        "require = \"ip\"",
        "require = \"ip+digest\"",
        "trunk.domains: domain `sip.example.com` never lets this trunk in",
    ),
    (
        "domains = [\"sip.example.com\"]",
        "domains = [\"sip.example.com\", \"SIP.example.com\"]",
        "trunk.domains: `SIP.example.com` is named twice",
    ),
    (
        "allow = [\"198.51.100.7/32\"]",
        "allow = \"198.51.100.7/32\"",
        "trunk.allow: is a text",
    ),
    (
        "allow = [\"198.51.100.7/32\"]",
        "allow = [\"198.51.100.7/32\", \"198.51.100.7/32\"]",
        "trunk.allow: 198.51.100.7/32 is trunk `carrier`'s in domain `sip.example.com` already",
    ),
    (
        "allow = [\"198.51.100.7/32\"]",
        "allow = [\"198.51.100.7/32\"]\nanswers = { no_answer = 407 }",
        "trunk.answers: 407 asks for credentials",
    ),
    (
        "allow = [\"198.51.100.7/32\"]",
        "allow = [\"198.51.100.7/32\"]\ntech_prefix = \"9 9\"",
        "trunk.tech_prefix: `9 9` is no prefix",
    ),
    (
        "require = \"ip\"\n\n[[trunk]]\n",
        "require = \"ip|digest\"\n\n[[trunk]]\nusers = [{ name = \"u\", ha1 = { md5 = \"f37bef1e3e4d5d585b78baf53d85879c\", sha256 = \"\" } }]\n",
        "trunk.users.ha1.sha256: is empty",
    ),
    (
        "id = \"acme\"",
        "id = \"a c m e\"\nkey_secret = \"0123456789abcdef\"\n[[company]]\nid = \"acme\"",
        "company.id: `a c m e` is no id",
    ),
    (
        "CHANGE-ME-at-least-16-bytes",
        "too short",
        "company.key_secret: is too short",
    ),
    (
        "\"CHANGE-ME-at-least-16-bytes\"",
        "{ file = \"a\", env = \"b\" }",
        "company.key_secret: needs one of `file` and `env`",
    ),
    (
        "\"CHANGE-ME-at-least-16-bytes\"",
        "{ file = \"absent\" }",
        "company.key_secret: conf/absent cannot be read: no such file",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales@192.0.2.10",
        "buyer.uri: 192.0.2.10:5060 is an address of this node: calls would go in circles",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "",
        "buyer.uri: is missing",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "gateway = []\n",
        "buyer.gateway: is empty",
    ),
    (
        "sip:sales@203.0.113.20\"\n",
        "sip:sales@203.0.113.20\"\n[[buyer.gateway]]\nuri = \"sip:sales@203.0.113.21\"\n",
        "buyer.uri: stands beside [[buyer.gateway]]",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "[[buyer.gateway]]\nuri = \"sip:a@203.0.113.21\"\n[[buyer.gateway]]\nuri = \"sip:b@203.0.113.21\"\n",
        "buyer.gateway: 203.0.113.21:5060 is another gateway of this buyer already",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "[[buyer.gateway]]\nuri = \"sip:a@203.0.113.21\"\nweight = 0\n",
        "buyer.gateway.weight: 0 is out of range",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "[[buyer.gateway]]\nuri = \"sip:a@203.0.113.21\"\ntransport = \"sctp\"\n",
        "buyer.gateway.transport: `sctp` is not known",
    ),
    (
        "uri = \"sip:sales@203.0.113.20\"\n",
        "username = \"u\"\npassword = \"p\"\n[[buyer.gateway]]\nuri = \"sip:a@203.0.113.21\"\n\
         [[buyer.gateway]]\nuri = \"sip:a@203.0.113.22\"\n",
        "buyer.realm: is missing",
    ),
    (
        "[[listen]]",
        "[health]\ncooldown = \"10m\"\n[[listen]]",
        "health.cooldown_limit: is shorter than `cooldown`",
    ),
    (
        "[[listen]]",
        "[health]\nprobe_dead = [408, 200]\n[[listen]]",
        "health.probe_dead: 200 is out of range",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nprobe = \"1s\"",
        "buyer.probe: 1s is out of range",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nmax_calls = 0",
        "buyer.max_calls: 0 is out of range",
    ),
    (
        "allow = [",
        "max_cps = \"many\"\nallow = [",
        "trunk.max_cps: is a text",
    ),
    (
        "allow = [",
        "half_open = 0\nallow = [",
        "trunk.half_open: 0 is out of range",
    ),
    (
        "[[listen]]",
        "[guard]\nhalf_open = -1\n[[listen]]",
        "guard.half_open: -1 is out of range",
    ),
    (
        "[[listen]]",
        "[health]\nfailures = 0\n[[listen]]",
        "health.failures: 0 is out of range",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales@0.0.0.0",
        "buyer.uri: nobody can be called at 0.0.0.0:5060",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales:word@203.0.113.20",
        "buyer.uri: holds a password, which anybody on the way could read",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales@203.0.113.20;transport=sctp",
        "buyer.uri: asks for a transport that there is not",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales@203.0.113.20;transport=tcp",
        "buyer.uri: no listener reaches 203.0.113.20:5060",
    ),
    (
        "sip:sales@203.0.113.20",
        "sips:sales@203.0.113.20",
        "buyer.uri: no listener reaches 203.0.113.20:5061",
    ),
    (
        "sip:sales@203.0.113.20",
        "sip:sales@203.0.113.20?Subject=x",
        "buyer.uri: has headers after `?`, which a Request-URI cannot have",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nrealm = \"r\"",
        "buyer.username: is missing",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nring_timeout = 30",
        "buyer.ring_timeout: is a number",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nheaders.set = { x-a = \"1\", X-A = \"2\" }",
        "buyer.headers.set: `x-a` is set twice",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nheaders.pass_to = [\"privacy\"]",
        "buyer.headers.pass_to: `privacy` says who calls, so no list lets it pass",
    ),
    (
        "sip:sales@203.0.113.20",
        "sips:sales@pbx.example.com",
        "buyer.uri: no listener can send to pbx.example.com/tls",
    ),
    (
        "[[listen]]",
        "[store]\nkeep = \"1h\"\n[[listen]]",
        "store: there is nowhere to store anything",
    ),
    (
        "[[listen]]",
        "[node]\ndata_dir = \"d\"\n[store]\nbacklog = \"1KiB\"\n[[listen]]",
        "store.backlog: `1KiB` is no size, or too small",
    ),
    (
        "[[listen]]",
        "[node]\ndata_dir = \"d\"\n[store]\ngather = \"2s\"\n[[listen]]",
        "store.gather: 2s is out of range",
    ),
    (
        "[[listen]]",
        "[dns]\nservers = [\"localhost\"]\n[[listen]]",
        "dns.servers: `localhost` is no address",
    ),
    (
        "[[listen]]",
        "[dns]\ntimeout = \"3s\"\n[[listen]]",
        "dns.timeout: 3s is out of range",
    ),
    (
        "allow = [",
        "headers.pass_from = [\"X*\"]\nallow = [",
        "trunk.headers.pass_from: `X*` stands for too much",
    ),
    (
        "allow = [",
        "headers.remove = [\"X-PH-*\"]\nallow = [",
        "trunk.headers.remove: `X-PH-` is the edge's own",
    ),
    (
        "allow = [",
        "headers.set = { X-A = \"1\" }\nallow = [",
        "trunk.headers.set: unknown key",
    ),
    (
        "allow = [",
        "identity = \"trust\"\nallow = [",
        "trunk.identity: `trust` is not known",
    ),
    (
        "allow = [",
        "caller_ids = [\"12125550100\"]\nallow = [",
        "trunk.caller_ids: `12125550100` names no numbers",
    ),
    (
        "allow = [",
        "twilio_accounts = [\"AC12\"]\nallow = [",
        "trunk.twilio_accounts: `AC12` is no account SID",
    ),
    (
        "allow = [",
        "allow = [\"office\", ",
        "trunk.allow: there is no network `office`",
    ),
    (
        "[[trunk]]",
        "[[network]]\nname = \"office\"\n[[trunk]]",
        "network.prefixes: is missing",
    ),
    (
        "allow = [",
        "allow = [\"twilio\"]\n[[network]]\nname = \"twilio\"\nprefixes = [\"192.0.2.0/24\", ",
        "trunk.allow: lets all customers of Twilio's in, for they share these addresses",
    ),
    (
        "id = \"acme\"\nkey_secret",
        "id = \"other\"\nkey_secret = \"0123456789abcdef\"\n[[publisher]]\nafid = \"theirs\"\ncompany = \"other\"\n\
         [[number]]\nnumber = \"+12125550109\"\ncampaign = \"solar\"\nafid = \"theirs\"\n[[company]]\nid = \"acme\"\nkey_secret",
        "number.afid: publisher `theirs` is another company's than campaign `solar`",
    ),
    (
        "id = \"acme\"\nkey_secret",
        "id = \"other\"\nkey_secret = \"0123456789abcdef\"\n[[campaign]]\nid = \"theirs\"\ncompany = \"other\"\n\
         buyers = [\"sunny\"]\n[[company]]\nid = \"acme\"\nkey_secret",
        "campaign.buyers: buyer `sunny` is another company's",
    ),
    (
        "[[listen]]",
        "[session]\nexpires = \"2m\"\nmin = \"3m\"\n[[listen]]",
        "session.expires: is shorter than min",
    ),
    (
        "[[listen]]",
        "[session]\nmin = \"60s\"\n[[listen]]",
        "session.min: 1m is out of range",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nrefer = \"follow\"",
        "buyer.refer: `follow` is not known",
    ),
    (
        "domains = [",
        "refer = \"yes\"\ndomains = [",
        "trunk.refer: `yes` is not known",
    ),
    (
        "domains = [",
        "media = { plane = \"relay\" }\ndomains = [",
        "trunk.media.plane: has no relay",
    ),
    (
        "domains = [",
        "media = { ports = \"shared\" }\ndomains = [",
        "trunk.media.ports: has no shared ports",
    ),
    (
        "domains = [",
        "media = { ports = \"both\" }\ndomains = [",
        "trunk.media.ports: `both` is not known",
    ),
    (
        "[[listen]]",
        "[media]\nports = \"20000-20099\"\nshared_ports = \"20098-20101\"\n[[listen]]",
        "media.shared_ports: some of them are among `ports`, 20000-20099",
    ),
    (
        "[[listen]]",
        "[media]\nshared_ports = \"19001-19002\"\n[[listen]]",
        "media.shared_ports: 0 pairs of ports cannot be shared out",
    ),
    (
        "[[listen]]",
        "[media]\nshared_ports = \"19000\"\n[[listen]]",
        "media.shared_ports: `19000` is no range of ports",
    ),
    (
        "domains = [",
        "media = { plane = \"kamailio\" }\ndomains = [",
        "trunk.media.plane: `kamailio` is not known",
    ),
    (
        "domains = [",
        "media = { plane = \"rtpengine\" }\ndomains = [",
        "trunk.media.plane: has no rtpengine",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\n[[listen]]",
        "media.rtpengine: is missing",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"direct\"\n[[listen]]",
        "media.plane: `direct` is not known",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\nsilence = \"10s\"\n[[media.rtpengine]]\naddress = \"192.0.2.20:2223\"\n\
         [[listen]]",
        "media.silence: is about our own relay, and plane = \"rtpengine\" opens none",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\naddress = \"192.0.2.20\"\n[[listen]]",
        "media.rtpengine.address: `192.0.2.20` is no address with a port",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\nweight = 2\n[[listen]]",
        "media.rtpengine.address: is missing",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\naddress = \"192.0.2.20:2223\"\nweight = 0\n[[listen]]",
        "media.rtpengine.weight: 0 is out of range",
    ),
    (
        "[[listen]]",
        "[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\naddress = \"192.0.2.20:2223\"\n\
         [[media.rtpengine]]\naddress = \"192.0.2.20:2223\"\n[[listen]]",
        "media.rtpengine.address: 192.0.2.20:2223 stands here twice",
    ),
    (
        "[[listen]]",
        "[media]\nrtpengine_timeout = \"1m\"\n[[listen]]",
        "media.rtpengine_timeout: 1m is out of range",
    ),
    (
        "domains = [",
        "media = { networks = [\"192.0.2.0/24\"] }\ndomains = [",
        "trunk.media.sources: is missing",
    ),
    (
        "domains = [",
        "media = { codecs = [\"PCMU/8000\"] }\ndomains = [",
        "trunk.media.codecs: `PCMU/8000` is no codec's name",
    ),
    (
        "domains = [",
        "media = { codecs = [] }\ndomains = [",
        "trunk.media.codecs: is empty",
    ),
    (
        "domains = [",
        "media = { srtp = \"dtls\" }\ndomains = [",
        "trunk.media.srtp: `dtls` is not known",
    ),
    (
        "[[listen]]",
        "[media]\nports = \"100-200\"\n[[listen]]",
        "media.ports: `100-200` is no range of ports",
    ),
    (
        "[[listen]]",
        "[media]\nports = \"20000-20009\"\n[[listen]]",
        "media.ports: 5 pairs of ports are too few",
    ),
    (
        "[[listen]]",
        "[media]\nbind = [\"0.0.0.0\", \"192.0.2.1\"]\n[[listen]]",
        "media.bind: 192.0.2.1 is a second address of its family",
    ),
    (
        "[[listen]]",
        "[media]\nadvertise = [\"0.0.0.0\"]\n[[listen]]",
        "media.advertise: peers cannot reach 0.0.0.0",
    ),
    (
        "[[listen]]",
        "[media]\nbind = [\"::\"]\n[[listen]]",
        "media.advertise: is missing",
    ),
    (
        "[[listen]]",
        "[media]\nbind = [\"here\"]\n[[listen]]",
        "media.bind: `here` is no address",
    ),
    (
        "sip:sales@203.0.113.20\"",
        "sip:sales@203.0.113.20\"\nreliable = \"required\"",
        "buyer.reliable: `required` is not known",
    ),
    (
        "\"+12125550101\"",
        "\"+012125550101\"",
        "number.number: `+012125550101` is no number in E.164",
    ),
];

#[test]
fn numbers_load_by_the_hundred_thousand() {
    let text = format!("{MINIMAL}[[numbers]]\nfile = \"n.csv\"\n");
    let mut list = String::new();
    for number in 0..100_000 {
        let _ = writeln!(
            list,
            "+1213{number:07},solar,bright-leads,source-{}",
            number % 1000
        );
    }
    let source = Texts::of(MAIN, text).and("conf/n.csv", list);

    let settings = load(Path::new(MAIN), &source, 1).unwrap_or_else(|faults| panic!("{faults}"));

    let directory = &settings.policy.directory;
    assert_eq!(directory.numbers.len(), 100_001);
    // Sources are shared: a number costs its place in the table and no text.
    assert_eq!(directory.sources.len(), 1001);
}

fn load_main(text: &str) -> Result<Settings, Faults> {
    let mut source = Texts::of(MAIN, text);
    source.fallback_secret = [7; 32];
    load(Path::new(MAIN), &source, 3)
}

fn load_conf(name: &str) -> Result<Settings, Faults> {
    let source = Texts::of("conf/strowger.toml", STROWGER)
        .and("conf/minimal.toml", MINIMAL)
        .and("conf/demo.toml", include_str!("../../conf/demo.toml"))
        .and(
            "conf/twilio-cidrs.toml",
            include_str!("../../conf/twilio-cidrs.toml"),
        )
        .and(
            "conf/routing/wind.toml",
            include_str!("../../conf/routing/wind.toml"),
        )
        .and(
            "conf/routing/numbers.csv",
            include_str!("../../conf/routing/numbers.csv"),
        );
    load(&Path::new("conf").join(name), &source, 1)
}

const MAIN: &str = "conf/strowger.toml";
const STROWGER: &str = include_str!("../../conf/strowger.toml");
const MINIMAL: &str = include_str!("../../conf/minimal.toml");
