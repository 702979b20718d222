//! One call with sound between two telephones, and what they heard of each other.

use std::f64::consts::TAU;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::baresip::Baresip;
use crate::baresip::PORT;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::rtpengine::Daemon;
use crate::site::BUYER_NAME;
use crate::site::BY_ADDRESS;
use crate::site::BY_DIGEST;
use crate::site::CARRIER_NAME;
use crate::site::NUMBER;
use crate::site::Site;
use crate::site::Transport;
use crate::site::USER;

/// One call between two telephones, each with a tone for a voice.
pub(crate) struct Talk {
    pub(crate) transport: Transport,
    pub(crate) domain: &'static str,
    pub(crate) hung_up_by: &'static str,
    pub(crate) codec: &'static str,
    /// The caller's and the buyer's, as baresip names them; "" is none.
    pub(crate) encryption: [&'static str; 2],
    /// What `media` of the trunk and the buyer says; `None`: it goes directly.
    pub(crate) media: Option<[&'static str; 2]>,
    /// The caller holds the call for a while.
    pub(crate) has_hold: bool,
    /// An rtpengine relays it.
    pub(crate) is_far: bool,
    /// Where the caller and the buyer are; `None`: at addresses of the site. Who sends media to loopback has one of two
    /// addresses, 127.0.0.1 and ::1, so this is for a network of the test's own.
    pub(crate) at: Option<[SocketAddr; 2]>,
    /// The relay hears both on ports that they share.
    pub(crate) is_shared: bool,
    /// About 2 % of it is lost on the way.
    pub(crate) is_lossy: bool,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            transport: Transport::Udp,
            domain: BY_ADDRESS,
            hung_up_by: "caller",
            codec: "PCMU/8000/1",
            encryption: ["", ""],
            media: None,
            has_hold: false,
            is_far: false,
            at: None,
            is_shared: false,
            is_lossy: false,
        }
    }
}

impl Talk {
    /// Has it happen, and gives its record.
    pub(crate) fn happens(&self) -> Value {
        let mut site = match self.media {
            Some([trunk, _]) => Site::new().relayed(trunk),
            None => Site::new(),
        };
        let next = site.next_buyer();
        let place = |at: usize, usual| self.at.map_or(SocketAddr::new(usual, PORT), |all| all[at]);
        let at_buyer = place(1, next.into());
        site.buyer_with("first", next, |buyer| {
            if self.at.is_some() {
                (buyer.address, buyer.port) = (at_buyer.ip(), Some(at_buyer.port()));
                buyer.uri = format!("sip:first@{at_buyer}");
            }
            buyer.transport = self.transport;
            buyer.media = self.media.map_or("", |[_, buyer]| buyer);
        });
        if at_buyer.is_ipv6() {
            site.more += "\n[[listen]]\ntransport = \"udp\"\nbind = \"[::1]:5060\"\n";
        }
        let daemon = self.is_far.then(|| {
            let place = site.next_buyer();
            let also: &[IpAddr] = if at_buyer.is_ipv6() {
                &[at_buyer.ip()]
            } else {
                &[]
            };
            Daemon::start_at(&site, place, also)
        });
        if let Some(daemon) = &daemon {
            site.lodge_at(daemon.address);
        }
        if let Some([SocketAddr::V4(carrier), _]) = self.at {
            site.list(*carrier.ip());
        }
        let edge = Edge::start(&site);

        let by = format!(";transport={}", self.transport.name());
        let [carriers, buyers] = self.encryption.map(|name| match name {
            "" => String::new(),
            name => format!(";mediaenc={name}"),
        });
        let codec = self.codec;
        let account = format!(
            "<sip:first@{at_buyer}{by}>;regint=0;answermode=auto;audio_codecs={codec}{buyers}"
        );
        let mut buyer = Baresip::start(&site, "buyer", at_buyer, 880, &account, BUYER_NAME);
        let (from, login) = if self.domain == BY_DIGEST {
            let login = format!(";auth_user={};auth_pass={}", USER.0, USER.1);
            (site.stranger(), login)
        } else {
            (site.carrier(), String::new())
        };
        let account = format!(
            "<sip:+12125550142@{domain}{by}>;regint=0;outbound=\"sip:{}:{}{by}\";audio_codecs={codec}{carriers}{login}",
            site.edge(),
            self.transport.port(),
            domain = self.domain,
        );
        let from = place(0, from.into());
        let mut carrier = Baresip::start(&site, "carrier", from, 440, &account, CARRIER_NAME);

        carrier.command("dial", &format!("sip:{NUMBER}@{}", self.domain));
        carrier.sees("CALL_ESTABLISHED");
        buyer.sees("CALL_ESTABLISHED");
        thread::sleep(Duration::from_secs(3));
        if self.has_hold {
            carrier.command("hold", "");
            thread::sleep(Duration::from_secs(1));
            carrier.command("resume", "");
            thread::sleep(Duration::from_secs(3));
        }
        if self.is_shared {
            edge.shows("strowger_media_shared_addresses", |heard| heard >= 2.0);
            edge.shows("strowger_media_ports{state=\"in_use\"}", |own| own == 0.0);
        }
        let ender = if self.hung_up_by == "caller" {
            &mut carrier
        } else {
            &mut buyer
        };
        ender.command("hangup", "");
        carrier.sees("CALL_CLOSED");
        buyer.sees("CALL_CLOSED");

        if self.has_hold {
            // The call, the hold and its end.
            let invites = "strowger_requests_total{method=\"INVITE\"}";
            edge.shows(invites, |invites| invites >= 3.0);
        }
        if self.is_far {
            // Offer, answer, and the end of both.
            let asked = "strowger_rtpengine_requests_total{result=\"ok\"}";
            edge.shows(asked, |asked| asked >= 3.0);
            edge.shows("strowger_rtpengines{state=\"up\"}", |up| up == 1.0);
            edge.shows("strowger_media_sessions", |sessions| sessions == 0.0);
        }
        let record = edge.record();
        is_completed(&record, "first", self.hung_up_by);
        if self.is_lossy {
            edge.shows("strowger_media_loss_ratio_count", |sides| sides == 2.0);
            let mean = edge.sum_of("strowger_media_loss_ratio_sum") / 2.0;
            assert!((0.01..0.035).contains(&mean), "{mean}");
        }
        assert_eq!(record["media"].is_null(), self.media.is_none());
        edge.holds_no_call();
        let (at_carrier, at_buyer) = (carrier.heard(), buyer.heard());
        let share = share_of(880.0, &at_carrier);
        assert!(
            share > 0.8,
            "the carrier heard the buyer's tone as {share:.2} of all"
        );
        let share = share_of(440.0, &at_buyer);
        assert!(
            share > 0.8,
            "the buyer heard the carrier's tone as {share:.2} of all"
        );
        record
    }
}

/// How much of the energy in the middle half of a WAV recording is at one frequency: 0 to 1. It is the median of tenths of a
/// second: a frame that came late moves the phase of all that follows, and so would be the end of a tone measured as a whole.
fn share_of(hertz: f64, wav: &[u8]) -> f64 {
    let (rate, samples) = read_wav(wav);
    assert!(
        samples.len() as f64 > rate,
        "less than a second was recorded: {} samples",
        samples.len()
    );
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let tenths = middle.chunks_exact((rate / 10.0) as usize);
    let mut shares: Vec<f64> = tenths.map(|tenth| share_in(hertz / rate, tenth)).collect();
    shares.sort_by(f64::total_cmp);
    shares[shares.len() / 2]
}

/// How much of the energy of samples is at one frequency, in cycles per sample (Goertzel): 0 to 1.
fn share_in(frequency: f64, samples: &[f64]) -> f64 {
    let step = 2.0 * (TAU * frequency).cos();
    let (mut last, mut before, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples {
        let next = sample + step * last - before;
        before = last;
        last = next;
        energy += sample * sample;
    }
    let power = last * last + before * before - step * last * before;
    2.0 * power / (energy.max(1.0) * samples.len() as f64)
}

/// Rate and samples of the first channel of 16-bit PCM.
fn read_wav(wav: &[u8]) -> (f64, Vec<f64>) {
    let word = |at: usize| u16::from_le_bytes([wav[at], wav[at + 1]]);
    let long = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
    let (mut at, mut rate, mut channels) = (12, 8000.0, 1);
    while wav.len() >= at + 8 {
        let (id, length) = (&wav[at..at + 4], long(at + 4) as usize);
        let start = at + 8;
        if id == b"fmt " {
            channels = usize::from(word(start + 2));
            rate = f64::from(long(start + 4));
        } else if id == b"data" {
            let data = &wav[start..wav.len().min(start + length)];
            let frames = data.chunks_exact(2 * channels);
            let sample = |frame: &[u8]| f64::from(i16::from_le_bytes([frame[0], frame[1]]));
            return (rate, frames.map(sample).collect());
        }
        at = start + length + length % 2;
    }
    (rate, Vec::new())
}

#[test]
fn a_tone_is_told_from_another() {
    let mut wav =
        b"RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
    wav.extend(32000_u32.to_le_bytes());
    let head = wav.len();
    for place in 0..16000 {
        let value = 8000.0 * (TAU * 440.0 * f64::from(place) / 8000.0).sin();
        wav.extend((value as i16).to_le_bytes());
    }

    assert!(share_of(440.0, &wav) > 0.99);
    assert!(share_of(880.0, &wav) < 0.01);

    // A frame of 20 ms is late: silence for so long, and then the tone goes on where it was.
    let slip = head + 2 * 8000;
    wav.splice(slip..slip, [0; 320]);
    wav.truncate(head + 32000);
    assert!(share_of(440.0, &wav) > 0.99);
    assert!(share_of(880.0, &wav) < 0.01);
}
