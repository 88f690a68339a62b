use std::{fs, path::PathBuf};

use super::TARGETS;

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

#[test]
fn every_file_of_every_corpus_passes_its_harness() {
    for (name, harness) in TARGETS {
        let folder = corpora().join(name);
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| harness(&data)).is_err() {
                panic!("{} breaks a promise", path.display());
            }
            files += 1;
        }
        assert!(files > 0, "{} is empty", folder.display());
    }
}
