//! Parameters of a digest header: `name=token` and `name="text"`.

use std::borrow::Cow;

use crate::auth::digest::DigestFault;
use crate::sip::header::AuthParams;

/// Value of a parameter: what stands between the quotes, or a token.
#[derive(Clone, Copy)]
pub struct ParamText<'a> {
    raw: &'a [u8],
    /// Whether `\` takes away the meaning of the byte after it.
    quoted: bool,
}

impl<'a> ParamText<'a> {
    /// Text of ours, which means itself.
    pub(in crate::auth) fn plain(raw: &'a [u8]) -> Self {
        Self { raw, quoted: false }
    }

    /// The bytes as they stand there, escapes included.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The bytes that are meant; a copy only if there are escapes.
    #[must_use]
    pub fn unescaped(&self) -> Cow<'a, [u8]> {
        if self.has_escapes() {
            Cow::Owned(self.pieces().flatten().copied().collect())
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// Whether `text` is meant.
    #[must_use]
    pub fn is(&self, text: &[u8]) -> bool {
        let rest = self
            .pieces()
            .try_fold(text, |rest, piece| rest.strip_prefix(piece));
        rest.is_some_and(<[u8]>::is_empty)
    }

    fn has_escapes(&self) -> bool {
        self.quoted && memchr::memchr(b'\\', self.raw).is_some()
    }

    /// The bytes that are meant, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = Some(self.raw);
        let mut literal = 0;
        let quoted = self.quoted;
        std::iter::from_fn(move || {
            let text = rest?;
            let after = text.get(literal..).filter(|_| quoted).unwrap_or(&[]);
            match memchr::memchr(b'\\', after) {
                Some(at) => {
                    let (piece, tail) = text.split_at_checked(literal + at)?;
                    rest = tail.get(1..);
                    // The byte after a backslash means itself, even if it is one.
                    literal = 1;
                    Some(piece)
                }
                None => {
                    rest = None;
                    Some(text)
                }
            }
        })
    }
}

/// Writes `text` as a quoted-string: what came in one goes out as it stood there.
pub(in crate::auth) fn write_quoted(text: ParamText<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.quoted {
        out.extend_from_slice(text.raw);
    } else {
        for byte in text.raw {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    }
    out.push(b'"');
}

/// Finds the parameters `names`, each of which may be there once; others do not matter.
pub(super) fn gather<'a, const N: usize>(
    value: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<ParamText<'a>>; N], DigestFault> {
    let scheme = value
        .trim_ascii_start()
        .split(u8::is_ascii_whitespace)
        .next();
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Digest")) {
        return Err(DigestFault::NotDigest);
    }
    let params = AuthParams::parse(value).map_err(|_| DigestFault::Malformed)?;
    let mut found = [None; N];
    for (name, raw, quoted) in params.iter() {
        let wanted = names
            .iter()
            .zip(&mut found)
            .find(|(wanted, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        let Some((name, place)) = wanted else {
            continue;
        };
        if place.replace(ParamText { raw, quoted }).is_some() {
            return Err(DigestFault::Repeated(name));
        }
    }
    Ok(found)
}
