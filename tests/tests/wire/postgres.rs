//! TLS to PostgreSQL, as `sslmode` and `sslrootcert` ask for it.

use tests::postgres::{Durability, Postgres};
use tests::sandbox::{Env, NO_STRIPE};
use tests::shared::shared;
use tests::tls::Authority;
use tests::{Binary, Sandbox, Service, eventually, run_calctl, rundir};

use crate::{PATIENCE, blocking};

/// Whether `calctl db migrate` gets through with this address, and what it says.
async fn migrate(url: &str) -> (bool, String) {
    let env = Env::from([("DATABASE_URL".to_owned(), url.to_owned())]);
    let output = run_calctl(&["db", "migrate"], &env).await;
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

struct Server {
    postgres: Postgres,
    /// The right authority's file, and another's.
    root: String,
    other: String,
}

impl Server {
    /// One whose certificate is for `db.example` and that lets nobody in without TLS.
    async fn start() -> Self {
        let dir = rundir::fresh("authorities");
        let authority = Authority::new();
        let path = |authority: &Authority, name: &str| authority.write(&dir, name).display().to_string();
        let (root, other) = (path(&authority, "ca.pem"), path(&Authority::new(), "other.pem"));
        let identity = authority.identity(&["db.example"]);
        let start = move || Postgres::start_with(&rundir::fresh("postgres-tls"), Durability::Fast, Some(&identity));
        let postgres = blocking(start).await;
        postgres.admit("hostssl all all 127.0.0.1/32 scram-sha-256\n");
        Self { postgres, root, other }
    }

    /// Its address by the name that is in the certificate.
    fn named(&self, parameters: &str) -> String {
        let url = self.postgres.url("postgres").replace("@127.0.0.1:", "@db.example:");
        format!("{url}?hostaddr=127.0.0.1&{parameters}")
    }
}

#[tokio::test]
async fn certificates_are_checked_as_sslmode_says() {
    let server = Server::start().await;
    let Server { postgres, root, other } = &server;
    let plain = postgres.url("postgres");
    for url in [
        server.named(&format!("sslmode=verify-full&sslrootcert={root}")),
        server.named(&format!("sslmode=verify-ca&sslrootcert={root}")),
        format!("{plain}?sslmode=verify-ca&sslrootcert={root}"),
        format!("{plain}?sslmode=require&sslrootcert={root}"),
        format!("{plain}?sslmode=require"),
        plain.clone(),
    ] {
        let (passed, said) = migrate(&url).await;
        assert!(passed, "{url}: {said}");
    }
    let env =
        Env::from([("DATABASE_URL".to_owned(), server.named(&format!("sslmode=verify-full&sslrootcert={root}")))]);
    let output = run_calctl(&["doctor"], &env).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("over TLS"), "{output:?}");
    for (url, clue, remedy) in [
        (server.named(&format!("sslmode=verify-full&sslrootcert={other}")), "UnknownIssuer", "sslrootcert has to name"),
        (server.named(&format!("sslmode=verify-ca&sslrootcert={other}")), "UnknownIssuer", "sslrootcert has to name"),
        (format!("{plain}?sslmode=require&sslrootcert={other}"), "UnknownIssuer", "sslrootcert has to name"),
        (format!("{plain}?sslmode=verify-full&sslrootcert={root}"), "not valid for name", "connect by a name"),
        (server.named("sslmode=disable"), "SQLSTATE 28000", "sslmode"),
        (server.named("sslmode=verify-full&sslrootcert=/nowhere.pem"), "cannot read /nowhere.pem", "DATABASE_URL"),
        (server.named("sslmode=verify_full"), "sslmode must be", "DATABASE_URL"),
    ] {
        let (passed, said) = migrate(&url).await;
        assert!(!passed, "{url}");
        assert!(said.contains(clue) && said.contains(remedy), "{url}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    let (user, _) = plain.rsplit_once('@').unwrap();
    let wrong =
        server.named(&format!("sslmode=verify-full&sslrootcert={root}")).replace(user, "postgres://postgres:no");
    let (passed, said) = migrate(&wrong).await;
    assert!(!passed && said.contains("28P01 wrong user or password"), "{said}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_asked_for() {
    let url = &blocking(shared).await.database_url;
    let (passed, said) = migrate(&format!("{url}?sslmode=require")).await;
    assert!(!passed && said.contains("server does not support TLS; see sslmode"), "{said}");
}

/// A certificate is not configuration: it can be mended at the server.
#[tokio::test]
async fn the_processor_waits_for_a_certificate_that_it_can_trust() {
    let server = Server::start().await;
    let sandbox = Sandbox::new("untrusted").await;
    let mut env = sandbox.env(NO_STRIPE);
    env.insert("DATABASE_URL".to_owned(), server.named(&format!("sslmode=verify-full&sslrootcert={}", server.other)));
    let processor = Service::spawn(Binary::Processor, &env);
    let line = "PostgreSQL is not reachable";
    eventually(PATIENCE, "the warning", async || processor.stderr().contains(line).then_some(())).await;
    let said = processor.stderr();
    assert!(said.contains("UnknownIssuer; sslrootcert has to name"), "{said}");
    let (status, body) = processor.ready().await.expect("the admin server answers");
    assert_eq!((status, body["checks"]["postgres"]["status"].as_str()), (503, Some("down")), "{body}");
}
