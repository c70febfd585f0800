//! Certificates, made by the openssl command.

use std::path::PathBuf;
use std::process::Command;

use tandem_net::{TlsCertificate, TlsClient, TlsFiles};
use tempfile::TempDir;

/// An authority and what it signs, in a folder of its own.
pub(crate) struct Pki {
    folder: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        pki.authority("ca");
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An authority: `NAME.pem` and `NAME.key`.
    pub(crate) fn authority(&self, name: &str) {
        let subject = format!("/CN=Authority {name}");
        self.openssl(
            name,
            &[
                "-subj",
                &subject,
                "-addext",
                "basicConstraints=critical,CA:TRUE",
            ],
        );
    }

    /// A certificate of an authority; `alternatives` as openssl writes them, such as `DNS:a.example`; `purpose` as in
    /// extendedKeyUsage.
    pub(crate) fn sign(&self, authority: &str, name: &str, alternatives: &str, purpose: &str) {
        let (ca, key) = (format!("{authority}.pem"), format!("{authority}.key"));
        let subject = format!("/CN={name}");
        let alternatives = format!("subjectAltName={alternatives}");
        let purpose = format!("extendedKeyUsage={purpose}");
        let mut arguments = vec!["-CA", &ca, "-CAkey", &key, "-subj", &subject];
        arguments.extend([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            &purpose,
        ]);
        if !alternatives.ends_with('=') {
            arguments.extend(["-addext", &alternatives]);
        }
        self.openssl(name, &arguments);
    }

    pub(crate) fn certificate(&self, name: &str) -> TlsCertificate {
        TlsCertificate {
            names: Vec::new(),
            chain: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// Server certificates of these names, with `NAME.example` and 127.0.0.1 in them; as a client the authority is
    /// trusted.
    pub(crate) fn files(&self, names: &[&str]) -> TlsFiles {
        for name in names {
            let alternatives = format!("DNS:{name}.example,IP:127.0.0.1");
            self.sign("ca", name, &alternatives, "serverAuth");
        }
        TlsFiles {
            certificates: names.iter().map(|n| self.certificate(n)).collect(),
            client: TlsClient {
                ca: vec![self.path("ca.pem")],
                ..TlsClient::default()
            },
            ..TlsFiles::default()
        }
    }

    fn openssl(&self, name: &str, arguments: &[&str]) {
        let fixed =
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -batch";
        let output = Command::new("openssl")
            .current_dir(self.folder.path())
            .args(fixed.split(' '))
            .args([
                "-out",
                &format!("{name}.pem"),
                "-keyout",
                &format!("{name}.key"),
            ])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
