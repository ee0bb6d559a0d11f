//! `expand[]`: an id in an answer replaced by the object it names.

use serde_json::Value;

use super::error::Refusal;
use super::objects;
use super::store::Store;

pub(super) fn expand(store: &Store, answer: &mut Value, path: &str) -> Result<(), Refusal> {
    let parts: Vec<&str> = path.split('.').collect();
    walk(store, answer, &parts).ok_or_else(|| {
        Refusal::invalid(format!("This property cannot be expanded ({path})."))
            .param("expand")
            .code("property_unexpandable")
    })
}

fn walk(store: &Store, value: &mut Value, parts: &[&str]) -> Option<()> {
    let Some((part, rest)) = parts.split_first() else { return Some(()) };
    match value.get_mut(part)? {
        Value::Null => Some(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(store, item, rest)),
        Value::String(id) => {
            let mut object = find(store, id)?;
            walk(store, &mut object, rest)?;
            value[*part] = object;
            Some(())
        }
        object @ Value::Object(_) => walk(store, object, rest),
        Value::Bool(_) | Value::Number(_) => None,
    }
}

fn find(store: &Store, id: &str) -> Option<Value> {
    if let Some(intent) = store.intents.get(id) {
        return Some(objects::intent(intent));
    }
    let intent = store.intents.rows().iter().find(|intent| intent.charge == id)?;
    Some(store.charge(intent))
}
