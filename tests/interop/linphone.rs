//! linphonec as a caller: a second telephone, with a SIP stack, a TCP and a digest of its own.
//!
//! It is typed to as by a person. The machine needs no sound card: it is told to use files.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::calls::is_completed;
use crate::edge::Edge;
use crate::process::Process;
use crate::process::eventually;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::BY_ADDRESS;
use crate::site::BY_EITHER_DIGEST;
use crate::site::NUMBER;
use crate::site::REALM;
use crate::site::Site;
use crate::site::Transport;
use crate::site::USER;

#[test]
fn linphone_calls_over_udp_and_hangs_up() {
    let (site, edge) = place();
    let mut buyer = buyer(&site, "buyer_answers");

    let mut caller = Linphone::start(&site, Transport::Udp, BY_ADDRESS);
    caller.calls(BY_ADDRESS);
    caller.says("ringing.");
    caller.says("Media streams established");
    caller.types("terminate");
    caller.says("ended (No error).");

    buyer.passes();
    is_completed(&edge.record(), "first", "caller");
    edge.holds_no_call();
    caller.quits();
}

/// Its TCP connections do not come from its own address, so it has to log in; two algorithms are offered.
#[test]
fn linphone_calls_over_tcp_by_digest_and_the_buyer_hangs_up() {
    let (site, edge) = place();
    let mut buyer = buyer(&site, "buyer_hangs_up");

    let mut caller = Linphone::start(&site, Transport::Tcp, BY_EITHER_DIGEST);
    caller.calls(BY_EITHER_DIGEST);
    caller.says("Media streams established");
    caller.says("ended (No error).");

    buyer.passes();
    let record = edge.record();
    is_completed(&record, "first", "buyer");
    assert_eq!(record["user"], USER.0);
    // Only to the buyer: the BYE goes along the caller's own.
    let opened = "strowger_connections_opened_total{by=\"us\"}";
    edge.shows(opened, |opened| opened == 1.0);
    edge.holds_no_call();
    caller.quits();
}

/// Its offers are so long that they may not go by UDP, so its buyers are called by TCP.
fn place() -> (Site, Edge) {
    let mut site = Site::new();
    let buyer = site.next_buyer();
    site.buyer_with("first", buyer, |buyer| buyer.transport = Transport::Tcp);
    let edge = Edge::start(&site);
    (site, edge)
}

fn buyer(site: &Site, scenario: &str) -> Running {
    let buyer = Sipp::buyer(scenario, site.first_buyer()).over(Transport::Tcp);
    buyer.start(site.folder())
}

/// A linphonec that runs.
struct Linphone {
    process: Process,
}

impl Linphone {
    /// Starts one at the carrier's address that calls by way of the edge.
    fn start(site: &Site, transport: Transport, domain: &str) -> Self {
        let home = site.folder().join("linphone");
        for folder in [".local/share/linphone", ".config/linphone"] {
            fs::create_dir_all(home.join(folder)).expect("folder");
        }
        let file = home.join("linphonerc");
        fs::write(&file, configuration(site, transport, domain)).expect("configuration");

        let mut command = Command::new("linphonec");
        command.env("HOME", &home).arg("-c").arg(&file);
        let process =
            Process::start_at_terminal("linphone", &mut command, site.folder(), "linphone-cli");
        let mut linphone = Self { process };
        linphone.types("soundcard use files");
        linphone.says("Using wav files instead of soundcard.");
        linphone
    }

    fn types(&mut self, line: &str) {
        self.process.types(line);
    }

    fn calls(&mut self, domain: &str) {
        self.types(&format!("call sip:{NUMBER}@{domain}"));
    }

    /// Waits until it has said this.
    fn says(&self, words: &str) {
        let said = eventually(Duration::from_secs(10), || {
            self.process.said().contains(words)
        });
        assert!(said, "no `{words}` of:\n{}", self.process.said());
    }

    fn quits(&mut self) {
        self.types("quit");
        self.process.wait(Duration::from_secs(10));
    }
}

/// Its user name is that of the number it calls from; the digest's own name is the `userid`.
fn configuration(site: &Site, transport: Transport, domain: &str) -> String {
    let (own, edge) = (site.carrier(), site.edge());
    let (user, password) = USER;
    let proxy = format!("<sip:{edge};transport={}>", transport.name());
    format!(
        "[sip]
bind_address={own}
sip_port=5060
sip_tcp_port=5060
sip_tls_port=0
ipv6_migration_done=1
use_ipv6=0
guess_hostname=0
contact=sip:+12125550142@{own}
default_proxy=0
auto_net_state_mon=0

[proxy_0]
reg_proxy={proxy}
reg_route={proxy}
reg_identity=sip:+12125550142@{domain}
reg_sendregister=0
publish=0

[auth_info_0]
username=+12125550142
userid={user}
passwd={password}
realm={REALM}

[rtp]
audio_rtp_port=-1
"
    )
}
