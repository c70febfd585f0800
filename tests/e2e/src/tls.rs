//! Certificates for a laboratory, made by `openssl`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::namespace::run;
use crate::{Failure, Result};

/// An authority that lives in a folder.
pub struct Authority {
    folder: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file, as baresip wants it.
    pub both: PathBuf,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// With what `openssl` said.
    pub fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Failure::while_("making a folder"))?;
        openssl(
            folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab -keyout ca.key -out ca.pem",
        )?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for a name and an address.
    ///
    /// # Errors
    /// With what `openssl` said.
    pub fn certify(&self, name: &str, address: IpAddr) -> Result<Certificate> {
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        std::fs::write(
            path("ext"),
            format!(
                "subjectAltName=DNS:{name},IP:{address}\nextendedKeyUsage=serverAuth,clientAuth\n"
            ),
        )
        .map_err(Failure::while_("writing an extension"))?;
        openssl(
            &self.folder,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ),
        )?;
        openssl(
            &self.folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
            ),
        )?;
        let read = |end: &str| {
            std::fs::read_to_string(path(end)).map_err(Failure::while_("reading a certificate"))
        };
        std::fs::write(path("both"), format!("{}{}", read("pem")?, read("key")?))
            .map_err(Failure::while_("writing a certificate"))?;
        Ok(Certificate {
            chain: path("pem"),
            key: path("key"),
            both: path("both"),
        })
    }
}

impl Certificate {
    /// The SHA-256 of its public key (SubjectPublicKeyInfo) in base64, by which a browser can be told to trust it.
    ///
    /// # Errors
    /// With what `openssl` said.
    pub fn key_digest(&self) -> Result<String> {
        let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der \
             | openssl dgst -sha256 -binary | openssl base64";
        let mut command = Command::new("sh");
        let text = run(command.args(["-c", script]).arg(&self.chain))?;
        Ok(text.trim().to_owned())
    }
}

fn openssl(folder: &Path, line: &str) -> Result<String> {
    let mut command = Command::new("openssl");
    run(command.current_dir(folder).args(line.split(' ')))
}
