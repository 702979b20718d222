//! `[node]`, `[sip]`, `[telemetry]`, `[timers]`, `[limits]`, `[guard]`, `[overload]`, `[hunt]`, `[health]`,
//! `[session]`, `[connections]`: the process and its bounds.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::call::policy::{HealthTerms, HuntBudget, Limits, Overload, Rules, Strangers, Terms};
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::{Connections, LogFormat, Node, Telemetry};
use crate::transaction::timing::Timing;
use crate::types::secret::Secret;

/// What the sections above say.
pub(super) struct Read<'d> {
    pub(super) node: Node,
    /// Where what outlives the process is; `None`: nothing does.
    pub(super) data_dir: Option<Spot<&'d str>>,
    /// Patterns of the routing files' paths.
    pub(super) directory: Vec<Spot<&'d str>>,
    pub(super) secret: Secret,
    pub(super) product: Option<Box<str>>,
    pub(super) strangers: Strangers,
    pub(super) connections: Connections,
    pub(super) telemetry: Telemetry,
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) guard: Rules,
    pub(super) overload: Overload,
    pub(super) hunt: HuntBudget,
    pub(super) session: Option<Terms>,
    pub(super) health: HealthTerms,
}

/// Reads them.
pub(super) fn read<'d>(root: &Section<'d>, desk: &mut Desk<'_>) -> Read<'d> {
    let node = root.section("node", &keys::NODE, desk);
    let sip = root.section("sip", &keys::SIP, desk);
    let data_dir = node
        .and_then(|node| node.text("data_dir", desk))
        .filter(|path| !path.value.is_empty());
    Read {
        data_dir,
        node: Node {
            name: node
                .and_then(|node| name(&node, desk))
                .unwrap_or_else(|| "strowger".to_owned()),
            shards: node.map_or(1, |node| node.count("shards", 1, 1..=255, desk)),
            gather: node.map_or(GATHER, |node| {
                node.duration("gather", GATHER, Duration::ZERO..=millis(20), desk)
            }),
            gso: node.is_none_or(|node| node.flag("gso", true, desk)),
            drain_limit: node.map_or(DRAIN_LIMIT, |node| {
                node.duration("drain_limit", DRAIN_LIMIT, Duration::ZERO..=DAY, desk)
            }),
        },
        directory: node.map_or_else(Vec::new, |node| node.list("directory", desk)),
        secret: node
            .and_then(|node| secret(&node, desk))
            .unwrap_or_else(|| desk.fallback_secret()),
        product: sip.map_or_else(|| Some(PRODUCT.into()), |sip| product(&sip, desk)),
        strangers: sip
            .and_then(|sip| sip.choice("strangers", STRANGERS, desk))
            .map_or_else(Strangers::default, |found| found.value),
        connections: connections(root, desk),
        telemetry: telemetry(root, desk),
        timing: timing(root, desk),
        limits: limits(root, desk),
        guard: guard(root, desk),
        overload: overload(root, desk),
        hunt: hunt(root, desk),
        session: session(root, desk),
        health: health(root, desk),
    }
}

fn name(node: &Section<'_>, desk: &mut Desk<'_>) -> Option<String> {
    let text = node.text("name", desk)?;
    if !crate::config::value::is_id(text.value) {
        desk.fault(
            text.place,
            format!("`{}` is no name", text.value),
            "1 to 64 letters, digits, `.`, `_` or `-`",
        );
    }
    Some(text.value.to_owned())
}

fn secret(node: &Section<'_>, desk: &mut Desk<'_>) -> Option<Secret> {
    let secret = node.secret("secret", desk)?;
    if secret.value.expose().len() < 16 {
        desk.fault(
            secret.place,
            "is too short",
            "at least 16 bytes; `openssl rand -hex 32` writes a good one",
        );
    }
    Some(secret.value)
}

fn product(sip: &Section<'_>, desk: &mut Desk<'_>) -> Option<Box<str>> {
    let Some(text) = sip.text("product", desk) else {
        return Some(PRODUCT.into());
    };
    if !text
        .value
        .bytes()
        .all(|b| b == b' ' || b.is_ascii_graphic())
    {
        desk.fault(
            text.place,
            "holds what a header cannot carry",
            "printable ASCII; \"\" sends none",
        );
    }
    (!text.value.is_empty()).then(|| text.value.into())
}

fn telemetry(root: &Section<'_>, desk: &mut Desk<'_>) -> Telemetry {
    let section = root.section("telemetry", &keys::TELEMETRY, desk);
    let log = section.and_then(|section| section.text("log", desk));
    if let Some(log) = log
        && let Err(error) = EnvFilter::builder().parse(log.value)
    {
        desk.fault(
            log.place,
            format!("`{}` is no filter: {error}", log.value),
            "for example \"info\" or \"info,strowger::call=debug\"",
        );
    }
    Telemetry {
        log: log.map_or("info", |log| log.value).to_owned(),
        log_format: section
            .and_then(|section| section.choice("log_format", LOG_FORMATS, desk))
            .map_or_else(LogFormat::default, |found| found.value),
        records: section
            .and_then(|section| section.text("records", desk))
            .filter(|path| !path.value.is_empty())
            .map(|path| desk.resolve(path.value)),
        captures: section
            .and_then(|section| section.text("captures", desk))
            .filter(|path| !path.value.is_empty())
            .map(|path| desk.resolve(path.value)),
    }
}

fn timing(root: &Section<'_>, desk: &mut Desk<'_>) -> Timing {
    let default = Timing::default();
    let Some(section) = root.section("timers", &keys::TIMERS, desk) else {
        return default;
    };
    let timing = Timing {
        t1: section.duration("t1", default.t1, millis(50)..=millis(5_000), desk),
        t2: section.duration("t2", default.t2, millis(500)..=millis(32_000), desk),
        t4: section.duration("t4", default.t4, millis(500)..=millis(32_000), desk),
    };
    if timing.t2 < timing.t1 {
        desk.fault(
            section.place_of("t2"),
            "is shorter than t1",
            "t2 is the longest pause between two retransmissions, t1 the first one",
        );
    }
    timing
}

fn limits(root: &Section<'_>, desk: &mut Desk<'_>) -> Limits {
    let section = root.section("limits", &keys::LIMITS, desk);
    let mut count = |key, default| {
        section.map_or(default, |section| {
            section.count(key, default, 1..=MOST_ENTRIES, desk)
        })
    };
    Limits {
        calls: count("calls", 50_000),
        transactions: count("transactions", 500_000),
        nonces: count("nonces", 100_000),
        call_time: section.map_or(CALL_TIME, |section| {
            section.duration("call_time", CALL_TIME, millis(1_000)..=DAY, desk)
        }),
    }
}

fn connections(root: &Section<'_>, desk: &mut Desk<'_>) -> Connections {
    let section = root.section("connections", &keys::CONNECTIONS, desk);
    let mut count = |key, default, range| {
        section.map_or(default, |section| section.count(key, default, range, desk))
    };
    let most = count("most", 4096, 8..=1_000_000);
    let per_stranger = count("per_stranger", 64, 1..=1_000_000);
    let mut time = |key, default| {
        section.map_or(default, |section| {
            section.duration(key, default, millis(1_000)..=DAY, desk)
        })
    };
    Connections {
        most,
        per_stranger,
        idle: time("idle", millis(120_000)),
        idle_known: time("idle_known", millis(3_600_000)),
        connect: time("connect", millis(3_000)),
    }
}

fn guard(root: &Section<'_>, desk: &mut Desk<'_>) -> Rules {
    let default = Rules::default();
    let Some(section) = root.section("guard", &keys::GUARD, desk) else {
        return default;
    };
    let mut count = |key, default, most| {
        let value = section.integer(key, i64::from(default), 0..=most, desk);
        u32::try_from(value).unwrap_or(default)
    };
    let refusals = count("refusals", default.refusals, 1_000_000);
    let rate = count("rate", default.rate, 1_000_000);
    let burst = count("burst", default.burst, 1_000_000);
    let strangers = count("strangers", default.strangers, 1_000_000);
    let guesses = count("guesses", default.guesses, 1_000_000);
    let half_open = count("half_open", default.half_open, 1_000_000);
    let second = millis(1_000);
    let rules = Rules {
        refusals,
        window: section.duration("window", default.window, second..=DAY, desk),
        ban: section.duration("ban", default.ban, second..=DAY, desk),
        longest_ban: section.duration("longest_ban", default.longest_ban, second..=DAY, desk),
        rate,
        burst,
        strangers,
        senders: section.count("senders", default.senders, 64..=MOST_SENDERS, desk),
        guesses,
        lock: section.duration("lock", default.lock, second..=DAY, desk),
        half_open,
    };
    if rules.longest_ban < rules.ban {
        desk.fault(
            section.place_of("longest_ban"),
            "is shorter than ban",
            "each further ban is twice as long, up to longest_ban",
        );
    }
    rules
}

fn overload(root: &Section<'_>, desk: &mut Desk<'_>) -> Overload {
    let default = Overload::default();
    let Some(section) = root.section("overload", &keys::OVERLOAD, desk) else {
        return default;
    };
    let most = millis(10_000);
    Overload {
        target: section.duration("target", default.target, Duration::ZERO..=most, desk),
        stale: section.duration("stale", default.stale, Duration::ZERO..=most, desk),
    }
}

fn hunt(root: &Section<'_>, desk: &mut Desk<'_>) -> HuntBudget {
    let section = root.section("hunt", &keys::HUNT, desk);
    HuntBudget {
        attempts: section.map_or(10, |section| section.count("attempts", 10, 1..=100, desk)),
        at_once: section.map_or(10, |section| section.count("at_once", 10, 1..=32, desk)),
        time: section.map_or(HUNT_TIME, |section| {
            section.duration("time", HUNT_TIME, millis(1_000)..=millis(3_600_000), desk)
        }),
        pdd: section.map_or(PDD, |section| {
            section.duration("pdd", PDD, millis(100)..=millis(60_000), desk)
        }),
    }
}

/// Session timers; `None`: none.
fn session(root: &Section<'_>, desk: &mut Desk<'_>) -> Option<Terms> {
    let section = root.section("session", &keys::SESSION, desk);
    let (expires, min) = section.map_or((SESSION, LEAST_SESSION), |section| {
        let expires = section.duration("expires", SESSION, Duration::ZERO..=DAY, desk);
        let min = section.duration("min", LEAST_SESSION, LEAST_SESSION..=DAY, desk);
        if !expires.is_zero() && expires < min {
            desk.fault(
                section.place_of("expires"),
                "is shorter than min",
                "at least `min`, which is 90s at the least (RFC 4028); \"0s\" turns session timers off",
            );
        }
        (expires, min)
    });
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    (!expires.is_zero()).then(|| Terms {
        expires: seconds(expires),
        min: seconds(min),
    })
}

fn health(root: &Section<'_>, desk: &mut Desk<'_>) -> HealthTerms {
    let default = HealthTerms::default();
    let Some(section) = root.section("health", &keys::HEALTH, desk) else {
        return default;
    };
    let pauses = millis(1_000)..=millis(3_600_000);
    let mut count = |key, default: u32| {
        let read = section.count(key, default as usize, 1..=1_000_000, desk);
        u32::try_from(read).unwrap_or(default)
    };
    let failures = count("failures", default.failures);
    let probe_failures = count("probe_failures", default.probe_failures);
    let probe_recoveries = count("probe_recoveries", default.probe_recoveries);
    let dead = section.integers("probe_dead", 300..=699, desk);
    let terms = HealthTerms {
        failures,
        probe_failures,
        probe_recoveries,
        probe_dead: dead.map_or(default.probe_dead, |dead| {
            let statuses = dead.into_iter().map(u16::try_from);
            statuses.filter_map(Result::ok).collect()
        }),
        cooldown: section.duration("cooldown", default.cooldown, pauses.clone(), desk),
        cooldown_limit: section.duration("cooldown_limit", default.cooldown_limit, pauses, desk),
    };
    if terms.cooldown_limit < terms.cooldown {
        desk.fault(
            section.place_of("cooldown_limit"),
            "is shorter than `cooldown`",
            "it is what the cooldown may grow to",
        );
    }
    terms
}

const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Value of Server and User-Agent by default: no version, which would help nobody but an attacker.
const PRODUCT: &str = "strowger";
const GATHER: Duration = millis(2);
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
const CALL_TIME: Duration = Duration::from_secs(4 * 3600);
const HUNT_TIME: Duration = Duration::from_secs(120);
/// What most ask for.
const SESSION: Duration = Duration::from_secs(1_800);
/// What everybody must take (RFC 4028 §4).
const LEAST_SESSION: Duration = Duration::from_secs(90);
const PDD: Duration = Duration::from_secs(3);
/// At 72 bytes each.
const MOST_SENDERS: i64 = 10_000_000;
/// Slots are numbered by 32 bits; no table of this size fits a machine anyway.
const MOST_ENTRIES: i64 = 100_000_000;

const STRANGERS: &[(&str, Strangers)] =
    &[("refuse", Strangers::Refuse), ("silent", Strangers::Silent)];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
