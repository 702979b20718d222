//! Secrets, which may stand in the configuration, in a file or in the environment.

use toml::de::DeValue;

use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::types::secret::Secret;

impl<'d> Section<'d> {
    /// A secret: `"literal"`, `{ file = "path" }` or `{ env = "NAME" }`. No fault shows it.
    pub(in crate::config) fn secret(
        &self,
        key: &'static str,
        desk: &mut Desk<'_>,
    ) -> Option<Spot<Secret>> {
        let found = self.value(key)?;
        desk.note_secret(found.place);
        let secret = match found.value {
            DeValue::String(text) => Some(Secret::new(text.as_bytes())),
            DeValue::Table(table) => {
                let section = Self::new(table, found.place, &keys::SECRET, desk);
                let named = |spot: Spot<&'d str>| Spot {
                    place: spot.place.of(key),
                    ..spot
                };
                match (section.value("file"), section.value("env")) {
                    (Some(_), None) => {
                        let path = section.need("file", "secret.txt", desk).map(named)?;
                        desk.secret_from_file(path)
                    }
                    (None, Some(_)) => {
                        let name = section.need("env", "SECRET", desk).map(named)?;
                        desk.secret_from_env(name)
                    }
                    (Some(_), Some(_)) | (None, None) => {
                        desk.fault(found.place, "needs one of `file` and `env`", SECRET_FORMS);
                        None
                    }
                }
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                desk.fault(found.place, "is no secret", SECRET_FORMS);
                None
            }
        }?;
        if secret.expose().is_empty() {
            desk.fault(found.place, "is empty", SECRET_FORMS);
            return None;
        }
        Some(Spot {
            value: secret,
            place: found.place,
        })
    }
}

const SECRET_FORMS: &str = "write \"the secret\", { file = \"path\" } or { env = \"NAME\" }";
