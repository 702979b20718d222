//! Kamailio as a proxy on either side of the edge: it takes calls from one side, hands them to the other, and stays
//! on their way by Record-Route (`proxy.cfg`). Or as a buyer who tells what it sees (`witness.cfg`).

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::process::eventually;
use crate::process::is_bound;
use crate::site::Site;

/// A Kamailio that runs.
pub(crate) struct Kamailio {
    process: Process,
}

impl Kamailio {
    /// Starts one at `address`, with a certificate for `identity`, that sends every new call to `next`, a URI.
    pub(crate) fn start(site: &Site, address: Ipv4Addr, identity: &str, next: &str) -> Self {
        let name = format!("kamailio-{address}");
        let folder = site.folder().join(&name);
        fs::create_dir_all(&folder).expect("folder");
        let tls = folder.join("tls.cfg");
        fs::write(&tls, tls_configuration(site, identity)).expect("configuration");
        let text = configuration("proxy.cfg", address)
            .replace("%tls%", &tls.to_string_lossy())
            .replace("%next%", next);
        Self::run(site, &name, &text, || {
            is_bound("udp", address, 5060) && is_bound("tcp", address, 5061)
        })
    }

    /// Starts one at `address` that takes no call, and tells of each INVITE which headers look like ours to it.
    pub(crate) fn witness(site: &Site, address: Ipv4Addr) -> Self {
        let name = format!("kamailio-{address}");
        fs::create_dir_all(site.folder().join(&name)).expect("folder");
        let text = configuration("witness.cfg", address);
        Self::run(site, &name, &text, || is_bound("udp", address, 5060))
    }

    /// All that it has said.
    pub(crate) fn told(&self) -> String {
        self.process.told()
    }

    /// Runs one by the configuration `text`, until it is ready.
    fn run(site: &Site, name: &str, text: &str, is_listening: impl Fn() -> bool) -> Self {
        let folder = site.folder().join(name);
        let file = folder.join("kamailio.cfg");
        fs::write(&file, text).expect("configuration");

        let mut command = Command::new("kamailio");
        // In the foreground, with a group of its own for its children, and with little memory.
        command.args(["-DD", "-E", "-m", "32", "-M", "8", "-f"]);
        command.arg(&file).arg("-Y").arg(&folder);
        let package = "kamailio kamailio-tls-modules";
        let mut process = Process::start(name, &mut command, site.folder(), package);
        let is_ready = eventually(Duration::from_secs(10), || {
            !process.is_running() || is_listening()
        });
        assert!(
            is_ready && process.is_running(),
            "{name} does not listen:\n{}",
            process.said()
        );
        Self { process }
    }
}

impl Drop for Kamailio {
    /// It ends its children itself, when it is asked to.
    fn drop(&mut self) {
        self.process.terminate();
        eventually(Duration::from_secs(5), || !self.process.is_running());
    }
}

fn configuration(file: &str, address: Ipv4Addr) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    fs::read_to_string(folder.join(file))
        .expect("a configuration of ours")
        .replace("%own%", &address.to_string())
}

/// It shows its certificate to everybody, and believes nobody without one.
fn tls_configuration(site: &Site, identity: &str) -> String {
    let identity = site.identity(identity);
    let common = format!(
        "method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
private_key = {}
certificate = {}
ca_list = {}
",
        identity.key.display(),
        identity.certificate.display(),
        site.authority().display()
    );
    format!("[server:default]\n{common}\n[client:default]\n{common}")
}
