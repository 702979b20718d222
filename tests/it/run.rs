//! `tests/run` itself, with a `cargo` of our own: what it says, and whether it fails when it must.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const WELL: &str = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured";

#[test]
fn all_that_ran_is_added_up() {
    let (code, end) = run(&format!("echo '{WELL}'; echo '{WELL}'"));

    assert_eq!(
        (code, &*end),
        (Some(0), "== 6 tests ran, 0 failed, 2 ignored")
    );
}

#[test]
fn one_failure_of_many_is_a_failure() {
    let bad = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured";

    let (code, end) = run(&format!("echo '{bad}'; echo '{WELL}'; exit 101"));

    assert_eq!(
        (code, &*end),
        (Some(1), "== 7 tests ran, 1 failed, 1 ignored")
    );
}

#[test]
fn tests_that_never_ran_are_a_failure() {
    let unbuilt = run("echo 'error: could not compile'; exit 101");
    let none = run("exit 0");

    for (code, end) in [unbuilt, none] {
        assert_eq!(
            (code, &*end),
            (Some(1), "== 0 tests ran, 0 failed, 0 ignored")
        );
    }
}

#[test]
fn a_process_that_is_left_behind_is_a_failure_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let id = folder.path().join("id");

    let (code, _) = run(&format!(
        "sleep 600 & echo $! > {}; echo '{WELL}'",
        id.display()
    ));

    assert_eq!(code, Some(1));
    let id = fs::read_to_string(id).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    // Whoever inherits it may not have noticed yet.
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn tests_that_hang_are_given_up() {
    let (code, _) = run_for("1", &format!("echo '{WELL}'; sleep 600"));

    assert_eq!(code, Some(1));
}

/// Runs it with a `cargo` whose `test` does what `script` says; the exit code and the last line.
fn run(script: &str) -> (Option<i32>, String) {
    run_for("60", script)
}

/// As [`run`], with a limit in seconds.
fn run_for(limit: &str, script: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is to be installed by the way.
    for peer in ["sipp", "baresip", "cc"] {
        write(&folder.path().join(peer), "");
    }
    write(
        &folder.path().join("cargo"),
        &format!("[ \"$1\" = test ] || exit 0\n{script}"),
    );
    let system = env::var("PATH").unwrap();
    let path = format!("{}:{system}", folder.path().display());
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run"))
        .env("PATH", path)
        .env("TEST_LIMIT", limit)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let end = said.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), end)
}

fn write(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/bash\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
