//! Whose packets come from where.

use super::{super::tables::Tables, *};

fn link(handle: u32) -> Arc<Link> {
    Arc::new(Link::new(LinkHandle(handle)))
}

#[test]
fn a_source_is_whose_it_became_last_but_a_relay_stays_where_it_is() {
    let (source, [one, two, relay]) = (([192, 0, 2, 1], 4433).into(), [1, 2, 3].map(link));
    let mut tables = Tables::default();
    let holder = |tables: &Tables| tables.sources.get(&source).map(|held| held.link.handle().0);
    tables.admit(source, &one);
    tables.admit(source, &two);
    assert_eq!(holder(&tables), Some(2));
    tables.expel(source, one.handle());
    assert_eq!(
        holder(&tables),
        Some(2),
        "it is not the first link's to give up"
    );
    tables.admit_relay(source, &relay);
    tables.admit(source, &one);
    assert_eq!(holder(&tables), Some(3));
    tables.expel(source, relay.handle());
    assert_eq!(holder(&tables), None);
}
