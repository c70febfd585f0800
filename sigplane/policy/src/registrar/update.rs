//! What a REGISTER makes of the bindings of an address of record (RFC 3261 section 10.3, steps 6 to 8).

use super::binding::Binding;

/// Bounds of registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how long, in seconds, where nobody says.
    pub default_expires: u32,
    /// The shortest, in seconds.
    pub min_expires: u32,
    /// The longest, in seconds; what is longer is shortened.
    pub max_expires: u32,
    /// The most contacts of an address of record.
    pub max_contacts: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_expires: 300,
            min_expires: 60,
            max_expires: 3_600,
            max_contacts: 10,
        }
    }
}

/// A REGISTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration<'a> {
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The number in CSeq.
    pub cseq: u32,
    /// Expires, in seconds.
    pub expires: Option<u32>,
    /// Contact.
    pub contacts: Contacts<'a>,
    /// Path, with commas between the elements.
    pub path: &'a [u8],
    /// How it came.
    pub flow: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
}

/// What a REGISTER says in Contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Contacts<'a> {
    /// Nothing: it asks which there are.
    #[default]
    Fetch,
    /// `*`
    All,
    /// These.
    These(Vec<Contact<'a>>),
}

/// A contact in a REGISTER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact<'a> {
    /// Its URI.
    pub uri: &'a [u8],
    /// `q`, in thousandths; 1,000 where nothing is said.
    pub q: u16,
    /// `expires`, in seconds.
    pub expires: Option<u32>,
    /// `+sip.instance`, without quotes; empty for none.
    pub instance: &'a [u8],
    /// `reg-id`; 0 for none.
    pub reg_id: u32,
    /// `methods`, a bit each; none for all.
    pub methods: Option<u32>,
}

/// Why a REGISTER changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `*` with other than `Expires: 0` (400).
    Star,
    /// An older request of the same Call-ID, which was overtaken (500).
    OutOfOrder,
    /// For a shorter time than we take, which is this many seconds (423).
    TooBrief(u32),
    /// More contacts than this (403).
    TooMany(usize),
}

/// The bindings after a REGISTER, those that are over left out; what was bound last is last. Nothing changes unless all of it can.
/// `same` says whether two contacts' URIs are the same (RFC 3261 section 19.1.4).
///
/// # Errors
/// Says why the REGISTER is refused.
pub fn update(
    now_ms: u64,
    bindings: &[Binding],
    registration: &Registration<'_>,
    settings: Settings,
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<Vec<Binding>, Refused> {
    let alive = bindings.iter().filter(|b| b.is_alive(now_ms));
    let mut bindings: Vec<Binding> = alive.cloned().collect();
    // The very same request again, since its answer was lost, is no older one.
    let is_old = |b: &Binding| {
        let repeated = registration.cseq == b.cseq && registration.flow == b.flow;
        b.call_id == registration.call_id && registration.cseq <= b.cseq && !repeated
    };
    let contacts = match &registration.contacts {
        Contacts::Fetch => return Ok(bindings),
        Contacts::All => {
            if registration.expires != Some(0) {
                return Err(Refused::Star);
            }
            return if bindings.iter().any(is_old) {
                Err(Refused::OutOfOrder)
            } else {
                Ok(Vec::new())
            };
        }
        Contacts::These(contacts) => contacts,
    };
    for contact in contacts {
        let stated = contact.expires.or(registration.expires);
        let seconds = stated.unwrap_or(settings.default_expires);
        if (1..settings.min_expires).contains(&seconds) {
            return Err(Refused::TooBrief(settings.min_expires));
        }
        let is_same = |b: &Binding| {
            if contact.reg_id > 0 && !contact.instance.is_empty() {
                // RFC 5626 section 6: whatever the URI is.
                b.reg_id == contact.reg_id && b.instance == contact.instance
            } else {
                same(&b.uri, contact.uri)
            }
        };
        if bindings.iter().any(|b| is_same(b) && is_old(b)) {
            return Err(Refused::OutOfOrder);
        }
        bindings.retain(|b| !is_same(b));
        if seconds == 0 {
            continue;
        }
        let seconds = seconds.min(settings.max_expires);
        bindings.push(Binding {
            uri: contact.uri.to_vec(),
            q: contact.q,
            until_s: now_ms / 1_000 + u64::from(seconds),
            call_id: registration.call_id.to_vec(),
            cseq: registration.cseq,
            instance: contact.instance.to_vec(),
            reg_id: contact.reg_id,
            methods: contact.methods,
            path: registration.path.to_vec(),
            flow: registration.flow.to_vec(),
            user_agent: registration.user_agent.to_vec(),
        });
    }
    if bindings.len() > settings.max_contacts {
        return Err(Refused::TooMany(settings.max_contacts));
    }
    Ok(bindings)
}
