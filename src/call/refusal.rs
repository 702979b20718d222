//! Why requests are refused before they become a call.

use crate::twilio::ticket::TicketFault;

/// Why a request was refused before it became a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The Request-URI's host is no domain of ours.
    UnknownDomain,
    /// The address is on no allowlist of the domain, and no digest is wanted there.
    UnknownAddress,
    /// No certificate that names a trunk of the domain was shown by TLS.
    UnknownCertificate,
    /// Challenged: no credentials were given.
    NoCredentials,
    /// The credentials cannot be read, or do not fit the request.
    BadCredentials,
    /// Unknown user or wrong password: the two are not told apart.
    WrongPassword,
    /// The nonce is too old.
    StaleNonce,
    /// The nonce is not ours.
    ForgedNonce,
    /// The nonce-count was used before.
    Replayed,
    /// So many wrong passwords came before it that this one was not looked at.
    Locked,
    /// Address and user belong to different trunks.
    TrunkMismatch,
    /// One of Twilio's addresses, but none of the trunk's accounts.
    TwilioAccount,
    /// No ticket, where each call must show one.
    NoTicket,
    /// A ticket that is not good for this call.
    Ticket(TicketFault),
    /// Max-Forwards is used up (483).
    TooManyHops,
    /// A privacy that the caller cannot do without, and that we cannot give (500).
    Privacy,
    /// A REFER that points to nobody whom we would call (603).
    ReferTarget,
    /// What is to replace a call of ours: an INVITE (481), or what a REFER asks for (603).
    Replaces,
    /// A session interval that is too short (422).
    SessionInterval,
    /// Our own hop token came back (482).
    Loop,
    /// The same request reached us on two ways (482).
    Merged,
    /// A Require or Proxy-Require that we do not support (420).
    BadExtension,
    /// A Request-URI scheme that we do not support (416).
    BadScheme,
    /// A method that we do not take outside a dialog (405), or do not know (501).
    Method,
    /// A request within a dialog that we do not have (481).
    NoDialog,
    /// A CSeq that goes back (500).
    OldCSeq,
    /// The node is going down (503).
    Draining,
    /// Nothing could be kept of the call (503).
    Unkept,
    /// A table is full (503).
    Overload,
    /// There is too much to do (503).
    Shed,
    /// A fault of ours (500).
    Internal,
    /// The trunk has as many calls as it may.
    TrunkCalls,
    /// The trunk's calls come too fast.
    TrunkCps,
    /// Whoever counts the trunk's calls does not answer.
    LimitUnknown,
    /// The sender has left so many INVITEs open that it gets no other one (503).
    HalfOpen,
    /// The trunk's callers have (503).
    TrunkHalfOpen,
}

impl Refusal {
    /// The label of the metric and the word in the log.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownDomain => "unknown_domain",
            Self::UnknownAddress => "unknown_address",
            Self::UnknownCertificate => "unknown_certificate",
            Self::NoCredentials => "no_credentials",
            Self::BadCredentials => "bad_credentials",
            Self::WrongPassword => "wrong_password",
            Self::StaleNonce => "stale_nonce",
            Self::ForgedNonce => "forged_nonce",
            Self::Replayed => "replayed",
            Self::Locked => "locked",
            Self::TrunkMismatch => "trunk_mismatch",
            Self::TwilioAccount => "twilio_account",
            Self::NoTicket => "ticket_missing",
            Self::Ticket(fault) => fault.label(),
            Self::TooManyHops => "too_many_hops",
            Self::Privacy => "privacy",
            Self::ReferTarget => "refer_target",
            Self::Replaces => "replaces",
            Self::SessionInterval => "session_interval",
            Self::Loop => "loop",
            Self::Merged => "merged",
            Self::BadExtension => "bad_extension",
            Self::BadScheme => "bad_scheme",
            Self::Method => "method",
            Self::NoDialog => "no_dialog",
            Self::OldCSeq => "old_cseq",
            Self::Draining => "draining",
            Self::Unkept => "unkept",
            Self::Overload => "overload",
            Self::Shed => "shed",
            Self::Internal => "internal",
            Self::TrunkCalls => "trunk_calls",
            Self::TrunkCps => "trunk_cps",
            Self::LimitUnknown => "limit_unknown",
            Self::HalfOpen => "half_open",
            Self::TrunkHalfOpen => "trunk_half_open",
        }
    }
}
