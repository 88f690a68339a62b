use super::*;

#[test]
fn of_a_name_only_what_stands_before_our_service_is_an_alias() {
    let alias = "00112233445566778899aabbccddeeff";
    assert!(alias_of(&format!("{alias}.{SERVICE}")).is_some());
    for foreign in [
        SERVICE.to_owned(),
        format!("{alias}._http._tcp.local."),
        format!("{alias}.more.{SERVICE}"),
        String::new(),
    ] {
        assert_eq!(alias_of(&foreign), None, "{foreign}");
    }
}
