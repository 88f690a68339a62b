//! Each demonstration shows what it is about; the time that it takes is the command's to judge.

use super::{super::documented::assert_keys, *};

/// A busy computer is no reason to fail.
const SLACK: u32 = 9;

async fn shows(system: System) {
    if let Err(error) = play(system, Form::Text, SLACK).await {
        panic!("{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_leaves_before_all_have_it_is_not_missed() {
    shows(System::Bittorrent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thirds_make_eleven_wholes() {
    shows(System::Edonkey).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_song_of_two_names_is_found_once_and_fetched_from_both() {
    shows(System::Napster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_member_has_is_found_without_a_directory() {
    shows(System::Gnutella).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn articles_reach_who_was_away_in_the_order_of_all() {
    shows(System::Usenet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_outlives_its_publisher() {
    shows(System::Ipfs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watch_what_one_sends_a_few_times() {
    shows(System::Cdn).await;
}

#[tokio::test]
async fn a_claim_that_does_not_hold_fails_the_demonstration() {
    let stage = Stage::new(Form::Json, SLACK).unwrap();
    stage.judge("what is so", true).unwrap();
    stage.end("one").unwrap();
    stage.judge("what is not so", false).unwrap();
    let ended = stage.end("one");
    assert!(
        matches!(
            ended,
            Err(GalleryError::NotShown {
                failed: 1,
                claims: 2
            })
        ),
        "{ended:?}"
    );
    let nothing = Stage::new(Form::Json, SLACK).unwrap().end("none");
    assert!(nothing.is_err(), "what claims nothing shows nothing");
}

#[tokio::test(start_paused = true)]
async fn a_demonstration_that_takes_too_long_fails() {
    let played = play(System::Bittorrent, Form::Json, 0).await;
    assert!(matches!(played, Err(GalleryError::TooLong)), "{played:?}");
}

#[test]
fn the_rows_keep_their_keys_and_are_called_as_they_are_asked_for() {
    for system in System::value_variants() {
        let row = system.row();
        assert_keys("gallery", &row);
        let name = system.to_possible_value();
        assert_eq!(name.unwrap().get_name(), row.name);
    }
}
