//! Twilio's names for things: two letters that say what it is, and 128 bits in lower-case hexadecimal.

use std::fmt;

use crate::types::hex::{read_hex, write_hex};

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// The two letters that it begins with.
            pub const KIND: &'static str = $kind;

            /// Reads the whole text; `None` if it is another kind of name, or none.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($kind)?;
                read_hex(digits.as_bytes()).map(|bytes| Self(u128::from_be_bytes(bytes)))
            }

            /// Its bits.
            #[must_use]
            pub fn bits(self) -> u128 {
                self.0
            }

            /// The name with these bits.
            #[must_use]
            pub fn from_bits(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 32];
                write_hex(self.0.to_be_bytes(), &mut digits);
                f.write_str($kind)?;
                f.write_str(str::from_utf8(&digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

sid!(
    /// An account: who pays.
    AccountSid,
    "AC"
);
sid!(
    /// One leg of a call.
    CallSid,
    "CA"
);
sid!(
    /// A TwiML application: a set of URLs that calls can be sent to.
    ApplicationSid,
    "AP"
);
sid!(
    /// A number that an account owns.
    NumberSid,
    "PN"
);
sid!(
    /// An API key.
    KeySid,
    "SK"
);
sid!(
    /// A recording.
    RecordingSid,
    "RE"
);
sid!(
    /// A transcription of a recording.
    TranscriptionSid,
    "TR"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_kind_and_32_digits() {
        let text = "CA1234567890abcdef1234567890abcdef";
        let call = CallSid::parse(text).expect("a call");

        assert_eq!(call.to_string(), text);
        assert_eq!(CallSid::from_bits(call.bits()), call);
        assert_eq!(
            AccountSid::parse("AC00000000000000000000000000000001").map(AccountSid::bits),
            Some(1)
        );
    }

    #[test]
    fn all_else_is_refused() {
        for bad in [
            "",
            "CA",
            "AC1234567890abcdef1234567890abcdef",
            "ca1234567890abcdef1234567890abcdef",
            "CA1234567890ABCDEF1234567890ABCDEF",
            "CA1234567890abcdef1234567890abcde",
            "CA1234567890abcdef1234567890abcdef0",
            "CA1234567890abcdef1234567890abcdeg",
            " CA1234567890abcdef1234567890abcdef",
            "CA1234567890abcdef1234567890abcde\n",
        ] {
            assert_eq!(CallSid::parse(bad), None, "{bad:?}");
        }
    }
}
