//! SIPp as a carrier or a buyer: one process, one scenario out of `sipp/`.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::process::Process;
use crate::process::eventually;
use crate::process::is_bound_for;
use crate::process::show;
use crate::site::Transport;
use crate::stunnel;
use crate::trace;
use crate::trace::Message;

/// What is to be started.
pub(crate) struct Sipp {
    scenario: String,
    address: Ipv4Addr,
    remote: Option<Ipv4Addr>,
    transport: Transport,
    arguments: Vec<String>,
    blanks: Vec<(String, String)>,
    more_sdp: String,
    plays: Option<PathBuf>,
    media_port: Option<u16>,
    network: Option<u32>,
}

/// A SIPp that runs.
pub(crate) struct Running {
    name: String,
    process: Process,
    messages: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// A peer at `address` that waits for calls.
    pub(crate) fn buyer(scenario: &str, address: Ipv4Addr) -> Self {
        Self {
            scenario: scenario.to_owned(),
            address,
            remote: None,
            transport: Transport::Udp,
            arguments: Vec::new(),
            blanks: Vec::new(),
            more_sdp: "a=sendrecv".to_owned(),
            plays: None,
            media_port: None,
            network: None,
        }
        .calls(1)
    }

    /// A peer at `address` that calls by way of the edge at `edge`.
    pub(crate) fn carrier(scenario: &str, address: Ipv4Addr, edge: Ipv4Addr) -> Self {
        let mut sipp = Self::buyer(scenario, address);
        sipp.remote = Some(edge);
        sipp.key("caller", "+12125550142")
    }

    /// Speaks by this transport. For TLS it needs a [`stunnel::Stunnel`] at its address: it speaks TCP itself.
    pub(crate) fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        match transport {
            Transport::Udp => self,
            Transport::Tcp | Transport::Tls => self.arguments(&["-t", "t1"]),
        }
    }

    /// Sets a keyword of the scenario's messages: `[name]`.
    pub(crate) fn key(self, name: &str, value: &str) -> Self {
        self.arguments(&["-key", name, value])
    }

    /// Fills a blank that SIPp has no keyword for: `%name%`, such as the status of a `<recv>`.
    pub(crate) fn blank(mut self, name: &str, value: impl ToString) -> Self {
        self.blanks.push((format!("%{name}%"), value.to_string()));
        self
    }

    /// Adds arguments of the command line.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Makes the SDP of its messages longer by so many bytes and a few more.
    pub(crate) fn with_more_sdp(mut self, bytes: usize) -> Self {
        self.more_sdp = format!("a=sendrecv\n      a=x-more:{}", "x".repeat(bytes));
        self
    }

    /// Plays the RTP of a capture while it talks, from a second after its ACK: at once, the first packet could be faster than
    /// the edge's word to its media threads of where the buyer listens.
    pub(crate) fn plays(mut self, capture: &Path) -> Self {
        self.plays = Some(capture.to_owned());
        self
    }

    /// Says that it hears media at this port of its address, where somebody else listens.
    pub(crate) fn heard_at(mut self, port: u16) -> Self {
        self.media_port = Some(port);
        self
    }

    /// Runs in the network of the process of this id.
    pub(crate) fn within(mut self, process: u32) -> Self {
        self.network = Some(process);
        self
    }

    /// How many calls it makes or takes before it ends; 1 unless told.
    pub(crate) fn calls(self, count: usize) -> Self {
        self.arguments(&["-m", &count.to_string()])
    }

    /// How long it talks where the scenario says so; 300 ms unless told.
    pub(crate) fn talks(self, time: Duration) -> Self {
        self.arguments(&["-d", &time.as_millis().to_string()])
    }

    /// Takes SIPp's own treatment of repeated messages away: the scenario handles each one.
    pub(crate) fn literal(self) -> Self {
        self.arguments(&["-nr"])
    }

    /// Starts it, its files in `dir`; a buyer is ready when this returns.
    pub(crate) fn start(self, dir: &Path) -> Running {
        let name = format!("{}-{}", self.scenario, self.address);
        let file = dir.join(format!("{name}.xml"));
        fs::write(&file, self.text()).expect("scenario");
        let messages = dir.join(format!("{name}.messages"));
        let errors = dir.join(format!("{name}.errors"));

        let mut command = match self.network {
            None => Command::new("sipp"),
            Some(process) => {
                let mut command = Command::new("nsenter");
                command
                    .arg(format!("--net=/proc/{process}/ns/net"))
                    .arg("sipp");
                command
            }
        };
        if let Some(edge) = self.remote {
            command.arg(match self.transport {
                Transport::Udp | Transport::Tcp => format!("{edge}:5060"),
                Transport::Tls => format!("{}:{}", self.address, stunnel::ENTRY),
            });
        }
        let own = self.address.to_string();
        command.arg("-sf").arg(&file);
        command.args(["-i", &own, "-p", "5060", "-ci", &own, "-mi", &own]);
        command.args(["-nostdin", "-d", "300", "-timeout", "60", "-timeout_error"]);
        // Without this it has room for 64 KiB, and a short pause of it is many lost messages; the kernel grants what it may.
        command.args(["-buff_size", "1048576"]);
        command
            .arg("-trace_msg")
            .arg("-message_file")
            .arg(&messages);
        command.arg("-trace_err").arg("-error_file").arg(&errors);
        command.args(&self.arguments);

        let process = Process::start(&name, &mut command, dir, "sip-tester");
        let mut running = Running {
            name,
            process,
            messages,
            errors,
        };
        if self.remote.is_none() {
            running.wait_until_bound(self.address, self.transport);
        }
        running
    }

    fn text(&self) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/sipp");
        let file = folder.join(format!("{}.xml", self.scenario));
        let mut text = fs::read_to_string(&file).expect("scenario of this name");
        for (blank, value) in &self.blanks {
            assert!(text.contains(blank), "{blank} in {}", self.scenario);
            text = text.replace(blank, value);
        }
        if let Some(port) = self.media_port {
            text = text.replace("[media_port]", &port.to_string());
        }
        if let Some(capture) = &self.plays {
            let play = format!(
                "<pause milliseconds=\"1000\"/>\n  <nop><action><exec play_pcap_audio=\"{}\"/></action></nop>\n  <pause/>",
                capture.display()
            );
            assert!(text.contains("<pause/>"), "{} does not talk", self.scenario);
            text = text.replacen("<pause/>", &play, 1);
        }
        self.written_for_transport(&text.replace("a=sendrecv", &self.more_sdp))
    }

    /// The scenarios are written for UDP: Via and Contact say how this peer is reached.
    fn written_for_transport(&self, text: &str) -> String {
        let (via, port) = match self.transport {
            Transport::Udp => return text.to_owned(),
            Transport::Tcp => ("TCP", "[local_port]"),
            Transport::Tls => ("TLS", "5061"),
        };
        let contact = format!("[local_port];transport={}>", self.transport.name());
        text.replace("SIP/2.0/UDP", &format!("SIP/2.0/{via}"))
            .replace("[local_port]>", &contact)
            .replace("[local_port]", port)
    }
}

impl Running {
    /// Waits for its end and asserts that every call went as the scenario says.
    pub(crate) fn passes(&mut self) {
        self.ends_with(0);
    }

    /// Waits for its end and asserts the exit code: 0 all calls well, 1 some call not.
    pub(crate) fn ends_with(&mut self, code: i32) {
        let got = self.process.wait(Duration::from_secs(70));
        assert_eq!(got, code, "exit code of {}", self.name);
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends it where it is: for a peer that still waits, because nobody calls it.
    pub(crate) fn stop(&mut self) {
        self.process.kill();
    }

    /// All messages so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        trace::read(&fs::read(&self.messages).unwrap_or_default())
    }

    /// The messages received that begin with `start`.
    pub(crate) fn received(&self, start: &str) -> Vec<Message> {
        let all = self.messages().into_iter();
        all.filter(|message| message.received && message.start().starts_with(start))
            .collect()
    }

    /// The one message received that begins with `start`, however often it was sent: UDP repeats what is not answered in time.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub(crate) fn received_one(&self, start: &str) -> Message {
        let mut received = once_each(self.received(start));
        assert_eq!(
            received.len(),
            1,
            "{start} at {}:\n{}",
            self.name,
            self.flow()
        );
        received.remove(0)
    }

    /// The messages sent that begin with `start`.
    pub(crate) fn sent(&self, start: &str) -> Vec<Message> {
        let all = self.messages().into_iter();
        all.filter(|message| !message.received && message.start().starts_with(start))
            .collect()
    }

    /// The first lines of the messages, for a reader: of many calls, of the first few.
    pub(crate) fn flow(&self) -> String {
        const SHOWN: usize = 100;
        let line = |message: &Message| {
            let arrow = if message.received { "<--" } else { "-->" };
            format!("  {arrow} {}", message.start())
        };
        let messages = self.messages();
        let mut lines: Vec<_> = messages.iter().take(SHOWN).map(line).collect();
        if messages.len() > SHOWN {
            lines.push(format!("  and {} more", messages.len() - SHOWN));
        }
        lines.join("\n")
    }

    fn wait_until_bound(&mut self, address: Ipv4Addr, transport: Transport) {
        let id = self.process.id().to_string();
        let is_bound = eventually(Duration::from_secs(10), || match transport {
            Transport::Udp => is_bound_for(&id, "udp", address, 5060),
            Transport::Tcp | Transport::Tls => is_bound_for(&id, "tcp", address, 5060),
        });
        assert!(
            is_bound && self.process.is_running(),
            "{} does not listen:\n{}",
            self.name,
            self.process.said()
        );
    }
}

/// Without the messages that are repetitions of an earlier one.
fn once_each(messages: Vec<Message>) -> Vec<Message> {
    let mut texts = HashSet::new();
    let all = messages.into_iter();
    all.filter(|message| texts.insert(message.text.clone()))
        .collect()
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            let errors = fs::read_to_string(&self.errors).unwrap_or_default();
            show(&format!("--- {}:\n{errors}\n{}", self.name, self.flow()));
        }
    }
}

#[test]
fn a_repetition_is_no_second_message() {
    let message = |text: &str| Message {
        received: true,
        text: text.to_owned(),
    };
    let (one, other) = (message("INVITE\r\nCSeq: 1"), message("INVITE\r\nCSeq: 2"));

    let kept = once_each(vec![one.clone(), other.clone(), one.clone()]);

    let texts: Vec<_> = kept.iter().map(|message| &message.text).collect();
    assert_eq!(texts, [&one.text, &other.text]);
}
