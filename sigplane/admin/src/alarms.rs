//! Alarms that do not come from the dataplane.

use std::io;

use crate::Alarm;

/// The file below the run directory in which the appliance's updates tell of their alarms: a JSON list of [`Alarm`]. It is not there
/// where there are no slots.
pub const UPDATE_ALARMS: &str = "update-alarms.json";

/// The alarms in that file. One that cannot be read is an alarm by itself.
#[must_use]
pub fn update_alarms(read: io::Result<Vec<u8>>, now_ms: u64) -> Vec<Alarm> {
    let alarms = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
    };
    alarms.unwrap_or_else(|why| {
        vec![Alarm {
            kind: "alarms_unreadable".into(),
            subject: UPDATE_ALARMS.into(),
            text: format!(
                "whether updates have alarms is not known ({why}): `tandemctl update status`"
            ),
            since_ms: now_ms,
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_told_of() {
        assert_eq!(update_alarms(Err(io::ErrorKind::NotFound.into()), 1), []);
        assert_eq!(update_alarms(Ok(b"[]".to_vec()), 1), []);
        for bad in [
            Err(io::ErrorKind::PermissionDenied.into()),
            Ok(b"[{}]".to_vec()),
            Ok(Vec::new()),
        ] {
            assert_eq!(update_alarms(bad, 7)[0].since_ms, 7);
        }
        let one = r#"[{"kind":"slot_failed","subject":"system","text":"why","since_ms":5}]"#;
        assert_eq!(update_alarms(Ok(one.into()), 1)[0].kind, "slot_failed");
    }
}
