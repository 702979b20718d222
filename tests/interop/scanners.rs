//! sipvicious: what those use who look for somebody else's telephones. It finds nothing, and is banned if it goes on.
//!
//! It binds to all addresses, so it comes from 127.0.0.1, which nobody has listed.

use std::process::Command;
use std::time::Duration;

use crate::edge::Edge;
use crate::process::Process;
use crate::site::BY_DIGEST;
use crate::site::Site;
use crate::site::USER;

/// So many datagrams of a scanner's may be read before it is banned.
const MOST_READ: f64 = 30.0;

#[test]
fn svmap_finds_no_device_where_strangers_hear_nothing() {
    let mut site = Site::new().silent();
    site.buyer("first");
    let edge = Edge::start(&site);

    let said = scan(&site, "svmap", &["-P", "5071"]);

    assert!(said.contains("found nothing"), "{said}");
    edge.shows("strowger_datagrams_received_total", |read| read == 1.0);
}

#[test]
fn svwar_finds_no_user_and_is_banned() {
    // At the answers to REGISTER and INVITE, which are the same for all, it gives up itself.
    for (method, is_banned) in [("REGISTER", false), ("INVITE", false), ("OPTIONS", true)] {
        let mut site = Site::new();
        site.buyer("first");
        let edge = Edge::start(&site);

        let options = ["--force", "-m", method, "-e", "100-400"];
        let more = ["--domain", BY_DIGEST, "-P", "5072"];
        let said = scan(&site, "svwar", &[options.as_slice(), &more].concat());

        assert!(said.contains("found nothing"), "{method}: {said}");
        edge.shows("strowger_bans_total", |bans| (bans > 0.0) == is_banned);
        assert_few_are_read(&edge, method);
    }
}

#[test]
fn svcrack_finds_no_password_for_nobody_challenges_it() {
    let mut site = Site::new();
    site.buyer("first");
    let edge = Edge::start(&site);
    let (user, _) = USER;

    let said = scan(
        &site,
        "svcrack",
        &[
            "-m", "INVITE", "-u", user, "-r", "100-400", "--domain", BY_DIGEST, "-P", "5073",
        ],
    );

    assert!(!said.contains("| Password"), "{said}");
    // Its INVITE is shorter than a challenge would be, so a stranger gets none.
    let unproven = "strowger_refused_total{why=\"no_credentials\"}";
    edge.shows(unproven, |refused| refused >= 1.0);
    assert_few_are_read(&edge, "svcrack");
    let guesses = edge.sum_of("strowger_refused_total{why=\"wrong_password\"}");
    assert_eq!(guesses, 0.0);
}

fn assert_few_are_read(edge: &Edge, what: &str) {
    let read =
        edge.sum_of("strowger_datagrams_received_total") - edge.sum_of("strowger_unread_total{");
    assert!(read <= MOST_READ, "{what}: {read} were read");
}

/// Runs one of the tools to its end, or for a while: what it said.
fn scan(site: &Site, tool: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command
        .arg("12")
        .arg(tool)
        .args(arguments)
        .arg(site.edge().to_string())
        .env("HOME", site.folder());
    let mut process = Process::start(tool, &mut command, site.folder(), "sipvicious");
    process.wait(Duration::from_secs(20));
    process.said()
}
