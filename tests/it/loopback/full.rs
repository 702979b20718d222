//! A disk that is full: no call is let in, those under way go on, and all is as before once there is room.

use std::fs;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::kept::count;
use super::site::{Buyer, Carrier, Site, http_get};
use crate::store::{data_of_the_child, fill, run_on_a_small_disk};

const TEST: &str = "loopback::full::a_full_disk_lets_no_call_in_and_cuts_none_off";

#[test]
fn a_full_disk_lets_no_call_in_and_cuts_none_off() {
    if let Some(disk) = data_of_the_child() {
        return run(&disk);
    }
    let folder = tempfile::tempdir().unwrap();
    run_on_a_small_disk(TEST, folder.path());
}

/// On the small disk.
fn run(disk: &Path) {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let text = fs::read_to_string(&site.config).unwrap();
    let node = format!("[node]\ndata_dir = \"{}\"\n", disk.join("data").display());
    fs::write(&site.config, text.replace("[node]\n", &node)).unwrap();
    let edge = site.start();
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    let ballast = disk.join("ballast");
    fill(&ballast);

    // Sooner or later one does not fit any more: it is refused, as are all after it.
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(attempt(edge.addresses()[0]));
    }
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert!(refused > 20, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&503));
    let refusals = count(&edge, "strowger_refused_total{why=\"unkept\"}");
    assert!(refusals.is_some_and(|count| count > 0), "{refusals:?}");
    let http = edge.http_address().unwrap();
    let readiness = http_get(http, "/readyz");
    assert_eq!(readiness, (503, "calls cannot be kept\n".to_owned()));
    carrier.hang_up();

    fs::remove_file(&ballast).unwrap();
    let mut tries = 0;
    while attempt(edge.addresses()[0]) == 503 {
        tries += 1;
        assert!(tries < 100, "it is open again");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(http_get(http, "/readyz"), (200, "ready\n".to_owned()));
    edge.stop();
    let outcomes = site
        .records()
        .into_iter()
        .map(|record| record["outcome"].clone());
    assert!(outcomes.filter(|outcome| outcome == "completed").count() > 1);
    io::stderr().write_all(b"all is well\n").unwrap();
}

/// Calls, and hangs up if somebody answers: the status.
fn attempt(edge: SocketAddr) -> u16 {
    let mut carrier = Carrier::new(edge);
    let invite = carrier.invite("+12125550101");
    let status = carrier.try_by(&invite)[8..11].parse().unwrap();
    if status == 200 {
        carrier.hang_up();
    }
    status
}
