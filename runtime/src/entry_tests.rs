use super::*;

fn given(arguments_given: &[&str]) -> Arguments {
    arguments(arguments_given.iter().map(OsString::from), "ingest", "1.2.3")
}

#[test]
fn help_version_and_healthcheck_are_the_only_arguments() {
    assert_eq!(given(&[]), Arguments::None);
    assert_eq!(given(&["--healthcheck"]), Arguments::Healthcheck);
    assert_eq!(given(&["--version"]), Arguments::Print("ingest 1.2.3\n".to_owned()));
    assert!(matches!(given(&["--help"]), Arguments::Print(text) if text.contains("Usage: ingest ")));
    for wrong in
        [&["--port"][..], &["serve"], &["--help", "--version"], &["--healthcheck", "now"], &["--", "--help"], &[""]]
    {
        assert!(matches!(given(wrong), Arguments::Wrong(line) if !line.contains('\n')), "{wrong:?}");
    }
}

#[test]
fn configuration_errors_are_found_under_context() {
    let error = anyhow::Error::new(ConfigError::new("X", "is wrong"));
    assert_eq!(failed("test", &error), EXIT_CONFIG);
    assert_eq!(failed("test", &error.context("reading the configuration")), EXIT_CONFIG);
    assert_eq!(failed("test", &anyhow::anyhow!("no disk")), EXIT_FAILED);
}

#[test]
fn a_cause_is_told_once() {
    let error = anyhow::anyhow!("no route").context("cannot connect (no route)").context("cannot start");
    assert_eq!(in_one_line(&error), "cannot start: cannot connect (no route)");
    assert_eq!(in_one_line(&anyhow::anyhow!("no route").context("cannot start")), "cannot start: no route");
}

async fn supervised<F, Run>(run: F) -> u8
where
    F: FnOnce(Env, Shutdown) -> Run,
    Run: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    supervise(("test", "0"), Env::from_pairs([("RUST_LOG", "off")]), run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_service_ends_is_its_exit_code() {
    assert_eq!(supervised(|_, _| async { Ok(()) }).await, 0);
    assert_eq!(supervised(|_, _| async { Err(anyhow::anyhow!("broken")) }).await, EXIT_FAILED);
    assert_eq!(supervised(|env, _| async move { env.required("X").map(drop).map_err(Into::into) }).await, EXIT_CONFIG);
    let panicking = supervised(|_, _| async { Err(anyhow::anyhow!("{}", [0][std::env::args().count() + 1])) });
    assert_eq!(panicking.await, EXIT_FAILED);
    let env = Env::from_pairs([("LOG_FORMAT", "xml")]);
    assert_eq!(supervise(("test", "0"), env, |_, _| async { Ok(()) }).await, EXIT_CONFIG);
}
