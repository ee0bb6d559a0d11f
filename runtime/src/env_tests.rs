use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;

use secrecy::ExposeSecret as _;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Env {
    Env::from_pairs(pairs.iter().copied())
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn from_file(content: &[u8]) -> Result<Option<String>, ConfigError> {
    let file = file(content);
    env(&[("X_FILE", file.path().to_str().unwrap())]).optional("X")
}

#[test]
fn blank_is_missing() {
    for blank in ["", " ", "\t\n"] {
        assert_eq!(env(&[("X", blank)]).optional("X"), Ok(None), "{blank:?}");
        assert_eq!(env(&[("X", blank)]).parse("X", 7), Ok(7), "{blank:?}");
        assert_eq!(env(&[("X_FILE", blank)]).optional("X"), Ok(None), "{blank:?}");
        let error = env(&[("X", blank)]).required("X").unwrap_err();
        assert_eq!(error.to_string(), "X: is missing or empty; set X or X_FILE");
    }
    assert_eq!(env(&[]).optional("X"), Ok(None));
}

#[test]
fn a_file_gives_the_value_without_its_trailing_newline() {
    assert_eq!(from_file(b"secret\n"), Ok(Some("secret".to_owned())));
    assert_eq!(from_file(b"secret\r\n"), Ok(Some("secret".to_owned())));
    assert_eq!(from_file(b"secret"), Ok(Some("secret".to_owned())));
    assert_eq!(from_file(b" two\nlines \n"), Ok(Some(" two\nlines ".to_owned())));
    assert_eq!(from_file(b"\n"), Ok(None));
    assert_eq!(from_file(b""), Ok(None));
}

#[test]
fn a_file_counts_when_the_variable_is_empty() {
    let file = file(b"from the file\n");
    let both = env(&[("X", ""), ("X_FILE", file.path().to_str().unwrap())]);
    assert_eq!(both.required("X"), Ok("from the file".to_owned()));
}

#[test]
fn errors_name_the_variable() {
    let not_utf8 = Env::from_pairs([("X", OsString::from_vec(vec![0xff]))]);
    let binary = file(&[0xff, 0xfe]);
    let table = [
        (env(&[("X", "1"), ("X_FILE", "/tmp/x")]), "X: is set, and so is X_FILE; set one of them"),
        (env(&[("X_FILE", "/nonexistent/x")]), "X_FILE: cannot read /nonexistent/x: entity not found"),
        (env(&[("X_FILE", "/")]), "X_FILE: cannot read /: is a directory"),
        (not_utf8, "X: is not valid UTF-8"),
    ];
    for (env, line) in table {
        assert_eq!(env.optional("X").unwrap_err().to_string(), line);
    }
    let error = env(&[("X_FILE", binary.path().to_str().unwrap())]).optional("X").unwrap_err();
    assert_eq!(error.variable(), "X_FILE");
}

#[test]
fn parsed_values() {
    assert_eq!(env(&[("X", "42")]).parse("X", 7), Ok(42));
    assert_eq!(env(&[("X", " 42 ")]).parse("X", 7), Ok(42));
    assert_eq!(env(&[("X", "false")]).parse("X", true), Ok(false));
    assert_eq!(env(&[]).parse_optional::<u32>("X"), Ok(None));
    for wrong in ["-1", "1.5", "1e3", "0x10", "many", "99999999999999999999"] {
        let error = env(&[("X", wrong)]).parse("X", 7_u32).unwrap_err();
        assert!(error.to_string().starts_with("X: "), "{error}");
    }
}

#[test]
fn durations_need_a_unit_and_a_length() {
    let default = Duration::from_secs(9);
    let duration = |text| env(&[("X", text)]).duration("X", default);
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("3m"), Ok(Duration::from_mins(3)));
    assert_eq!(duration(""), Ok(default));
    for wrong in ["5", "5 m", "m", "-5s", "1.5s", "5M", "0s", "0", "5m5s"] {
        assert_eq!(duration(wrong).unwrap_err().variable(), "X", "{wrong}");
    }
}

#[test]
fn lists_have_no_empty_part() {
    assert_eq!(env(&[("X", "a, b,c")]).list("X"), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
    assert_eq!(env(&[]).list("X"), Ok(Vec::new()));
    for wrong in [",", "a,", ",a", "a,,b", "a, ,b"] {
        assert_eq!(env(&[("X", wrong)]).list("X").unwrap_err().variable(), "X", "{wrong}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let env = env(&[("X", "hunter2,swordfish")]);
    let secrets = env.secrets("X").unwrap();
    assert_eq!(secrets[1].expose_secret(), "swordfish");
    let shown = format!("{env:?} {secrets:?} {:?}", env.secret("X").unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
}

#[test]
fn an_error_is_one_line() {
    assert_eq!(ConfigError::new("X", "got `a\nb\r`").to_string(), "X: got `a b `");
}
