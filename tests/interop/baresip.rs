//! baresip as caller and as buyer: a telephone with a tone for a voice, which records what it hears.
//!
//! It is steered over its `ctrl_tcp` module: netstrings of JSON.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::process::Process;
use crate::process::eventually;
use crate::site::Site;

/// One telephone.
pub(crate) struct Baresip {
    name: String,
    process: Process,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<Value>,
    recordings: PathBuf,
}

/// The port of SIP over UDP and TCP, as a rule, that of TLS being the next; media and control have theirs on the same address.
pub(crate) const PORT: u16 = 5060;

/// How far the port of control is from that of SIP.
const CONTROL: u16 = 200;

impl Baresip {
    /// Starts one at `address` whose voice is a tone of `hertz`; `account` is baresip's line for its account. For TLS it has
    /// a certificate for `identity`.
    pub(crate) fn start(
        site: &Site,
        name: &str,
        address: SocketAddr,
        hertz: u32,
        account: &str,
        identity: &str,
    ) -> Self {
        let folder = site.folder();
        let home = folder.join(name);
        let recordings = home.join("heard");
        fs::create_dir_all(&recordings).expect("folder");
        let mut config = configuration(name, address, hertz, &recordings);
        config.push_str(&tls_configuration(site, &home, identity));
        fs::write(home.join("config"), config).expect("configuration");
        fs::write(home.join("accounts"), format!("{account}\n")).expect("account");
        fs::write(home.join("contacts"), "").expect("contacts");

        let mut command = Command::new("baresip");
        command.arg("-f").arg(&home);
        let mut process = Process::start(name, &mut command, folder, "baresip-core");

        let mut control = None;
        eventually(Duration::from_secs(10), || {
            control = TcpStream::connect(control_at(address)).ok();
            control.is_some() || !process.is_running()
        });
        let Some(control) = control else {
            panic!("{name} does not listen:\n{}", process.said());
        };
        control
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a limit");
        Self {
            name: name.to_owned(),
            process,
            control,
            unread: Vec::new(),
            events: Vec::new(),
            recordings,
        }
    }

    /// Gives it a command of its menu, such as `dial` or `hangup`.
    pub(crate) fn command(&mut self, command: &str, parameters: &str) {
        let text = json!({ "command": command, "params": parameters }).to_string();
        let netstring = format!("{}:{text},", text.len());
        let sent = self.control.write_all(netstring.as_bytes());
        assert!(sent.is_ok(), "{} takes no commands", self.name);
    }

    /// Waits for an event of this type.
    ///
    /// # Panics
    /// If it does not come within ten seconds.
    pub(crate) fn sees(&mut self, event: &str) {
        let came = eventually(Duration::from_secs(10), || {
            self.read_events();
            self.events.iter().any(|own| own["type"] == event)
        });
        assert!(
            came,
            "{}: no {event}; it saw {:?} and said:\n{}",
            self.name,
            self.events,
            self.process.said()
        );
    }

    /// Ends it and gives the recording of what it heard.
    pub(crate) fn heard(mut self) -> Vec<u8> {
        self.command("quit", "");
        self.process.wait(Duration::from_secs(10));
        let files = fs::read_dir(&self.recordings).expect("folder");
        let mut heard: Vec<_> = files
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        heard.sort();
        let file = heard.first();
        let file = file.unwrap_or_else(|| panic!("{} recorded nothing", self.name));
        fs::read(file).expect("recording")
    }

    fn read_events(&mut self) {
        let mut buffer = [0; 16384];
        if let Ok(length) = self.control.read(&mut buffer) {
            self.unread.extend_from_slice(&buffer[..length]);
        }
        while let Some((event, used)) = netstring(&self.unread) {
            self.events
                .push(serde_json::from_slice(event).unwrap_or_default());
            self.unread.drain(..used);
        }
    }
}

/// The first whole netstring and how many bytes it takes.
fn netstring(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let start = colon + 1;
    let text = bytes.get(start..start + length)?;
    bytes.get(start + length)?;
    Some((text, start + length + 1))
}

/// baresip wants certificate and key in one file.
fn tls_configuration(site: &Site, home: &Path, identity: &str) -> String {
    let identity = site.identity(identity);
    let both = [identity.certificate, identity.key].map(|file| fs::read(file).expect("file"));
    let file = home.join("identity.pem");
    fs::write(&file, both.concat()).expect("file");
    format!(
        "sip_certificate {}\nsip_cafile {}\n",
        file.display(),
        site.authority().display()
    )
}

/// baresip 1.0 wants 48,000 Hz and two channels of `ausine`, and has no player that is just a sink but `aubridge`.
fn configuration(name: &str, address: SocketAddr, hertz: u32, recordings: &Path) -> String {
    let recordings = recordings.display();
    let control = control_at(address);
    let ip = address.ip();
    format!(
        "sip_listen {address}
net_interface {ip}
audio_source ausine,{hertz}
audio_player aubridge,{name}
ausrc_srate 48000
ausrc_channels 2
auplay_channels 1
audio_txmode thread
rtp_ports 20000-20100
jitter_buffer_delay 2-10
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
module srtp.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {control}
snd_path {recordings}
"
    )
}

fn control_at(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + CONTROL)
}
