//! A process that is killed while routing data are written: what was acknowledged is there, and nothing is half there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use serde_json::json;
use strowger::config;
use strowger::edge::Disk;

use super::client::{Client, WRITER, file, open, reply};
use super::process::Process;
use super::site::Site;

#[test]
fn what_was_left_half_written_is_never_read_and_goes_at_the_next_start() {
    let site = Site::new(1);
    open(&site, "");
    let folder = file(&site, "publisher");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(".new.toml.tmp"), "[[publisher]]\nafid = \"ne").unwrap();

    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);

    assert!(!folder.join(".new.toml.tmp").exists());
    assert_eq!(client.get("/v1/directory/publisher/new").status, 404);
    let made = client.put(
        "/v1/directory/publisher/new",
        ("If-None-Match", "*"),
        &json!({ "company": "acme" }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
}

#[test]
fn a_kill_at_any_time_loses_nothing_that_was_acknowledged() {
    let site = Site::new(1);
    open(&site, "");
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..6_u64 {
        let mut process = Process::start(&site);
        let client = Client::of(&process, WRITER);
        // Everything acknowledged so far is there, or a change after it whose answer was lost.
        for (afid, least) in &mut said {
            let there = client.get(&format!("/v1/directory/publisher/{afid}"));
            assert_eq!(there.status, 200, "{afid}");
            let serial: u64 = there.json()["name"].as_str().unwrap().parse().unwrap();
            assert!(
                (*least..=*least + 1).contains(&serial),
                "{afid}: {serial}, not {least}"
            );
            *least = serial;
        }
        let known = said.clone();
        let writer = thread::spawn(move || {
            let mut said = known;
            for turn in 0.. {
                let afid = format!("p{}", turn % 3);
                let serial = said.get(&afid).map_or(0, |serial| serial + 1);
                let condition = match said.get(&afid) {
                    Some(_) => ("If-Match", "*"),
                    None => ("If-None-Match", "*"),
                };
                let body = json!({ "company": "acme", "name": serial.to_string() }).to_string();
                let path = format!("/v1/directory/publisher/{afid}");
                let request = client.request("PUT", &path, &[condition], body.as_bytes());
                let Ok(mut stream) = std::net::TcpStream::connect(client.address) else {
                    return said;
                };
                if stream.write_all(&request).is_err() {
                    return said;
                }
                let answer = reply(&mut stream);
                match answer.status {
                    200 | 201 => said.insert(afid, serial),
                    // It was created before the kill, and only the answer to that was lost.
                    412 if !said.contains_key(&afid) => said.insert(afid, serial),
                    0 => return said,
                    _ => panic!("{}", answer.body),
                };
            }
            said
        });
        thread::sleep(Duration::from_millis(120 + 37 * round));
        process.signal(libc::SIGKILL);
        process.exit_code();
        said = writer.join().unwrap();
    }

    assert!(said.values().sum::<u64>() > 3, "{said:?}");
    let loaded = config::load(&site.config, &Disk::new().unwrap(), 1);
    assert!(loaded.is_ok());
}
