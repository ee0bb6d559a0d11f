//! Listeners of the broker that want TLS, and a password too.

use std::fs;
use std::path::Path;

use crate::ports::free_port;
use crate::tls::Identity;

/// The one who may do everything.
const SUPERUSER: &str = "admin";

/// What secured listeners show and want.
#[derive(Clone, Debug)]
pub struct Secured {
    /// The broker's certificate.
    pub identity: Identity,
    /// Users with a SCRAM-SHA-512 password each. `admin` may do everything, others what they are allowed to.
    pub users: Vec<(&'static str, &'static str)>,
}

impl Secured {
    /// What the broker has to know. Clients without a user, on the other listeners, may do everything.
    pub(super) fn properties(&self, dir: &Path) -> String {
        let keystore = dir.join("server.pem");
        let Identity { certificate, key } = &self.identity;
        fs::write(&keystore, format!("{key}{certificate}")).expect("the broker's folder is writable");
        format!(
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,\
             SSL:SSL,SASL_SSL:SASL_SSL\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:{SUPERUSER}\n",
            keystore.display()
        )
    }

    /// For the tool that formats the broker's folder.
    pub(super) fn users(&self) -> Vec<String> {
        let user = |(name, password): &(&str, &str)| {
            ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={name},password={password}]")]
        };
        self.users.iter().flat_map(user).collect()
    }
}

/// Where the secured listeners are.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    ssl: u16,
    sasl: u16,
}

impl Listeners {
    pub(super) fn choose() -> Self {
        Self { ssl: free_port(), sasl: free_port() }
    }

    pub(super) fn as_list(self) -> String {
        format!(",SSL://127.0.0.1:{},SASL_SSL://127.0.0.1:{}", self.ssl, self.sasl)
    }

    /// The port for `ssl`.
    pub fn ssl(&self) -> u16 {
        self.ssl
    }

    /// The port for `sasl_ssl`.
    pub fn sasl(&self) -> u16 {
        self.sasl
    }
}
