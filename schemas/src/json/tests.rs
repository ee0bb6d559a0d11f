use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, PartialEq)]
struct Sample<'a> {
    text: Text<'a>,
    flag: Option<bool>,
    number: Option<f64>,
    whole: Option<i64>,
    nested: Option<Box<Sample<'a>>>,
}

impl<'a> Fields<'a> for Sample<'a> {
    fn set<V: Value<'a>>(&mut self, name: &str, value: V) -> Result<(), V::Error> {
        match name {
            "text" => self.text = value.text()?,
            "flag" => self.flag = value.scalar()?,
            "number" => self.number = value.scalar()?,
            "whole" => self.whole = value.scalar()?,
            "nested" => self.nested = value.object()?.map(Box::new),
            _ => value.skip()?,
        }
        Ok(())
    }
}

/// Documents as no serializer writes them: fields of any type, some more than once, strings that are none.
fn documents() -> impl Strategy<Value = String> {
    let names =
        prop::sample::select(vec!["text", "flag", "number", "whole", "nested", "other", "t\\u0065xt", "\\ud800"]);
    let leaves = prop::sample::select(vec![
        "null",
        "true",
        "1",
        "-0",
        "2.5",
        "1e999",
        "9223372036854775808",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\"{}\"",
        "[]",
        "{}",
        "[[1]]",
        "tru",
        "",
    ]);
    leaves.prop_map(str::to_owned).prop_recursive(3, 24, 5, move |values| {
        let fields = prop::collection::vec((names.clone(), values), 0..5);
        fields.prop_map(|fields| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", fields.join(","))
        })
    })
}

proptest! {
    #[test]
    fn what_one_pass_reads_is_what_is_there(text in documents()) {
        let raw: Option<Sample<'_>> = raw::document(&text).ok();
        if let Ok(strict) = strict::document::<Sample<'_>>(&text) {
            prop_assert_eq!(Some(strict), raw);
        }
    }
}

#[test]
fn one_pass_is_enough_for_what_is_as_it_should_be() {
    let text = r#" {"text":"a","more":[{"text":1}],"nested":{"flag":true,"number":1,"nested":null,"text":"\n"},"flag":null,"number":null,"whole":-7} "#;
    let nested = Sample { text: Some("\n".into()), flag: Some(true), number: Some(1.0), ..Sample::default() };
    let whole = Sample { text: Some("a".into()), whole: Some(-7), nested: Some(Box::new(nested)), ..Sample::default() };
    assert_eq!(strict::document(text).ok(), Some(whole));
}

#[test]
fn a_part_is_told_byte_for_byte() {
    assert_eq!(part(r#"{"a":{ "b":1 },"\u0061":[ 2 ] }"#, "a"), Some("[ 2 ]"));
    assert_eq!((part("{}", "a"), part("[]", "a"), part("{", "a")), (None, None, None));
}
