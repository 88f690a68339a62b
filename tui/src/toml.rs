//! TOML files that commands change and people edit: where something stands in them, and changes that leave all else as it was.

use std::ops::Range;

use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

/// Where a key stands.
pub(crate) fn span_of(table: &dyn TableLike, key: &str) -> Option<Range<usize>> {
    table.get_key_value(key)?.0.span()
}

/// The line in which something begins, counted from 1.
pub(crate) fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    let before = text.as_bytes().get(..start).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The tables `[group.…]`, which are written when there is one; none if something else is in their place.
pub(crate) fn tables<'a>(
    document: &'a mut DocumentMut,
    group: &str,
) -> Option<&'a mut dyn TableLike> {
    let mut all = Table::new();
    all.set_implicit(true);
    let tables = document.entry(group).or_insert(Item::Table(all));
    tables.as_table_like_mut()
}

/// Replaces a value, with its comment left beside it.
pub(crate) fn put(table: &mut dyn TableLike, key: &str, mut new: Value) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, Item::Value(new));
    }
}

/// Has the tables of a group be called as `renamed` says, if it does. They keep their order, and their comments.
pub(crate) fn rename(tables: &mut dyn TableLike, renamed: impl Fn(&str) -> Option<String>) {
    // Every key anew, as that is what their order comes from.
    let keys: Vec<Key> = tables
        .iter()
        .filter_map(|(key, _)| tables.key(key).cloned())
        .collect();
    for key in keys {
        let Some(item) = tables.remove(key.get()) else {
            continue;
        };
        let key = match renamed(key.get()) {
            Some(new) => Key::new(new)
                .with_leaf_decor(key.leaf_decor().clone())
                .with_dotted_decor(key.dotted_decor().clone()),
            None => key,
        };
        tables.entry_format(&key).or_insert(item);
    }
}

/// Removes `[group.key]` with its own comment; one above it that an empty line separates from it is not about it.
pub(crate) fn remove(document: &mut DocumentMut, group: &str, key: &str) {
    let removed = tables(document, group).and_then(|tables| tables.remove(key));
    let Some(Item::Table(removed)) = removed else {
        return;
    };
    let prefix = removed.decor().prefix().and_then(|prefix| prefix.as_str());
    let above = prefix.and_then(|prefix| Some(prefix.rsplit_once("\n\n")?.0));
    let Some(above) = above.filter(|above| !above.trim().is_empty()) else {
        return;
    };
    let above = format!("{}\n", above.trim_end());
    let position = removed.position();
    let next = tables(document, group).and_then(|tables| {
        let tables = tables
            .iter_mut()
            .filter_map(|(_, item)| item.as_table_mut());
        tables
            .filter(|table| table.position() > position)
            .min_by_key(|table| table.position())
    });
    if let Some(next) = next {
        let own = next.decor().prefix().and_then(|prefix| prefix.as_str());
        let prefix = format!("{above}{}", own.unwrap_or_default());
        next.decor_mut().set_prefix(prefix);
    } else {
        let rest = document.trailing().as_str().unwrap_or_default();
        let rest = format!("{above}{rest}");
        document.set_trailing(rest);
    }
}
