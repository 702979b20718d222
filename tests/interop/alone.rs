//! Tests that run in a network of their own, where nobody else is and anything may be done to it.

use std::env;
use std::process::Command;

use crate::process::show;

/// Set in a process that has a network of its own.
const ALONE: &str = "STROWGER_TEST_ALONE";

/// Whether this process has a network of its own. If not, the test has run in one that has, after the shell has done `prepare`
/// there, and passed.
pub(crate) fn is_alone(test: &str, prepare: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }

    // Who is not root may have a network of its own as root of a user namespace.
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let may = |way: &&&[&str]| {
        let tried = Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.iter().find(may) else {
        panic!(
            "`unshare --net` does not work: a network of its own needs root, or user namespaces"
        );
    };
    let script = format!("ip link set lo up && {prepare} && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(*way)
        .args(["sh", "-c", &script])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    show(&format!(
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    ));
    let is_well = output.status.success() && said.contains("1 passed");
    assert!(is_well, "in a network of its own: {}", output.status);
    false
}
