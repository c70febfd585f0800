//! The files that make a FreeSWITCH a member of the pool: its SIP profile, the list of our addresses, a dialplan, and where it
//! asks for users and posts CDRs. Each is to be put below FreeSWITCH's configuration directory, where its path says.

mod dialplan;
mod modules;
mod profile;

use std::net::{IpAddr, SocketAddr};

use tandem_policy::parse_destination;

use crate::xml::is_plain;

/// What the files say.
#[derive(Clone, Default)]
pub struct Settings {
    /// Our SIP addresses on the members' side. The first is where calls go, the others when it does not answer.
    pub sip: Vec<SocketAddr>,
    /// Our media addresses there.
    pub media: Vec<IpAddr>,
    /// Contexts of calls from us, the first that fits.
    pub routes: Vec<Route>,
    /// The context of the others.
    pub context: String,
    /// Whether registrations come through us to the members.
    pub is_registrar: bool,
    /// Our HTTP services, if members are to use them.
    pub services: Option<Services>,
    /// The password of the members' event sockets and its port, if we use them.
    pub event_socket: Option<(u16, String)>,
}

/// Where calls from us go in the dialplan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// `X-Dest-Type`; none for any.
    pub dest_type: Option<String>,
    /// A regular expression on the called number; none for any.
    pub number: Option<String>,
    /// The context.
    pub context: String,
}

/// Our HTTP services.
#[derive(Clone, Default)]
pub struct Services {
    /// Where they are, without a slash behind: `http://10.0.0.1:8080`.
    pub url: String,
    /// The user that members are.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// A member of the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// What its directory is called.
    pub name: String,
    /// Its address; none if it has a name alone: FreeSWITCH then takes its own first one.
    pub address: Option<IpAddr>,
    /// Its SIP port.
    pub port: u16,
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Below FreeSWITCH's configuration directory.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
    /// Whether a password is.
    pub is_secret: bool,
}

impl Member {
    /// That of a dispatcher's destination; none when it is not one.
    #[must_use]
    pub fn of(destination: &str) -> Option<Self> {
        let (host, port) = destination_parts(destination)?;
        let address = host.trim_matches(['[', ']']).parse().ok();
        let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let name: String = host
            .trim_matches(['[', ']'])
            .chars()
            .map(|c| if is_safe(c) { c } else { '_' })
            .collect();
        let port = port.unwrap_or(5060);
        let name = match port {
            5060 => name,
            port => format!("{name}_{port}"),
        };
        // No name that leads out of the directory.
        (!name.starts_with('.')).then_some(Self {
            name,
            address,
            port,
        })
    }
}

/// Host and port of a SIP URI that a dispatcher takes.
fn destination_parts(destination: &str) -> Option<(String, Option<u16>)> {
    parse_destination(destination).ok()?;
    let rest = destination.split_once(':')?.1;
    let rest = rest.split([';', '?']).next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (host, port) = match rest.rfind(']') {
        Some(end) => rest.split_at_checked(end + 1)?,
        None => rest.split_at_checked(rest.find(':').unwrap_or(rest.len()))?,
    };
    Some((host.to_owned(), port.trim_start_matches(':').parse().ok()))
}

/// How FreeSWITCH calls a user of a domain that our registrar has: through us, in whatever way the user is reached.
#[must_use]
pub fn dial_string(sip: Option<&SocketAddr>) -> String {
    let Some(sip) = sip else {
        return USERS_OF_ITS_OWN.to_owned();
    };
    format!(
        "{{sip_invite_domain=${{dialed_domain}}}}sofia/tandem/${{dialed_user}}@${{dialed_domain}};fs_path=sip:{sip}"
    )
}

/// How it calls a user that is registered with itself.
pub const USERS_OF_ITS_OWN: &str = "{sip_invite_domain=${dialed_domain},presence_id=${dialed_user}@${dialed_domain}}\
    ${sofia_contact(*/${dialed_user}@${dialed_domain})}";

/// The files of a member.
#[must_use]
pub fn files(settings: &Settings, member: &Member) -> Vec<File> {
    let mut files = vec![
        File {
            path: "sip_profiles/tandem.xml",
            text: profile::profile(settings, member),
            is_secret: false,
        },
        File {
            path: "autoload_configs/tandem_acl.xml",
            text: profile::acl(settings),
            is_secret: false,
        },
        File {
            path: "dialplan/tandem.xml",
            text: dialplan::dialplan(settings),
            is_secret: false,
        },
    ];
    if let Some(services) = &settings.services {
        files.push(File {
            path: "autoload_configs/xml_curl.conf.xml",
            text: modules::xml_curl(services),
            is_secret: true,
        });
        files.push(File {
            path: "autoload_configs/xml_cdr.conf.xml",
            text: modules::xml_cdr(services),
            is_secret: true,
        });
    }
    if let Some((port, password)) = &settings.event_socket {
        files.push(File {
            path: "autoload_configs/event_socket.conf.xml",
            text: modules::event_socket(member, *port, password),
            is_secret: true,
        });
    }
    files
}

/// Whether a text can stand in the files.
#[must_use]
pub fn can_be_written(text: &str) -> bool {
    is_plain(text)
}

#[cfg(test)]
mod tests;
