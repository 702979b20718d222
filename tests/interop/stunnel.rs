//! stunnel before a SIPp: Debian's SIPp is built without TLS, so it speaks TCP to a stunnel at its own address.
//!
//! ```text
//!   carrier at .2                                the edge          buyer at .8
//!   SIPp --TCP--> stunnel :15061 ----- TLS -----> :5061 ---- TLS ---> :5061 stunnel --TCP--> :5060 SIPp
//! ```
//!
//! Both sides verify: the edge shows its certificate to carriers and to buyers, and each of them has one of the
//! site's authority. Nothing listens at the carrier's 5061, so what the edge has for it must go back along the
//! connection by which the call came.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::process::eventually;
use crate::process::is_bound;
use crate::site::BUYER_NAME;
use crate::site::CARRIER_NAME;
use crate::site::EDGE_NAME;
use crate::site::Site;

/// The port at which a carrier's stunnel takes what SIPp says.
pub(crate) const ENTRY: u16 = 15061;

/// One stunnel; it ends when this is dropped.
pub(crate) struct Stunnel {
    _process: Process,
}

impl Stunnel {
    /// Takes TLS for the buyer at `address`.
    pub(crate) fn buyer(site: &Site, address: Ipv4Addr) -> Self {
        let service = format!("accept = {address}:5061\nconnect = {address}:5060\n");
        Self::start(site, address, 5061, BUYER_NAME, &service)
    }

    /// Speaks TLS to the edge for the carrier at `address`.
    pub(crate) fn carrier(site: &Site, address: Ipv4Addr) -> Self {
        let edge = site.edge();
        let service = format!(
            "client = yes\naccept = {address}:{ENTRY}\nconnect = {edge}:5061\nlocal = {address}\n\
             checkHost = {EDGE_NAME}\n"
        );
        Self::start(site, address, ENTRY, CARRIER_NAME, &service)
    }

    fn start(site: &Site, address: Ipv4Addr, port: u16, identity: &str, service: &str) -> Self {
        let name = format!("stunnel-{address}");
        let identity = site.identity(identity);
        let mut text = "foreground = yes\nsyslog = no\ndebug = 5\npid =\n[sip]\n".to_owned();
        text.push_str(service);
        write!(
            text,
            "cert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\n",
            identity.certificate.display(),
            identity.key.display(),
            site.authority().display()
        )
        .expect("text");
        let file = site.folder().join(format!("{name}.conf"));
        fs::write(&file, text).expect("configuration");

        let mut command = Command::new("stunnel4");
        command.arg(&file);
        let mut process = Process::start(&name, &mut command, site.folder(), "stunnel4");
        let is_ready = eventually(Duration::from_secs(10), || is_bound("tcp", address, port));
        assert!(
            is_ready && process.is_running(),
            "{name} does not listen:\n{}",
            process.said()
        );
        Self { _process: process }
    }
}
