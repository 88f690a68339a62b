//! A folder at two homes: syncthing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use peerway_lab as lab;

use super::{
    film::film,
    homes::{BUDGET, Home, Homes, Program, need, until},
};

const FILES: usize = 300;
const LEN: usize = 16 << 20;
/// Units of the file system.
const BLOCK: u64 = 512;
/// Of its own, it finds others only where it is told, at a rate that leaves time to cut the path.
const CONFIG: &str = r#"
<configuration version="36">
  <device id="OWN" name="own"><address>dynamic</address></device>
  <device id="OTHER" name="other"><address>ADDRESS</address></device>
  <folder id="papers" path="FOLDER">
    <device id="OWN"/><device id="OTHER"/><order>alphabetic</order><maxConflicts>10</maxConflicts>
  </folder>
  <gui enabled="true"><address>127.0.0.1:8384</address><apikey>key</apikey></gui>
  <options>
    <listenAddress>tcp://LISTEN:22000</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <crashReportingEnabled>false</crashReportingEnabled>
    <urAccepted>-1</urAccepted>
    <reconnectionIntervalS>1</reconnectionIntervalS>
    <maxRecvKbps>4000</maxRecvKbps>
    <limitBandwidthInLan>true</limitBandwidthInLan>
  </options>
</configuration>"#;

#[test]
#[ignore = "needs syncthing and curl"]
fn two_syncthings_have_the_same_files_where_the_direct_path_is_cut_and_both_of_a_conflict() {
    need(&[("syncthing", "syncthing"), ("curl", "curl")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let [attic, laptop] = [&homes.attic, &homes.laptop].map(Side::new);
        for at in 0..FILES {
            attic.write(&format!("{at}"), format!("paper {at}"));
        }
        attic.write("film", film(LEN));
        let _attic = attic.start(&laptop, "dynamic");
        let exposed = homes.attic.expose(&["syncthing=22000"]);
        let forward = homes.laptop.forward(&exposed, "syncthing", "22000");
        let gate = format!("tcp://{}:22000", homes.laptop.room.gate());
        let program = laptop.start(&attic, &gate);

        let coming = laptop.folder.join(".syncthing.film.tmp");
        until("a quarter is there", || written(&coming) > LEN as u64 / 4);
        homes.cut();
        assert!(written(&coming) < LEN as u64, "too fast");
        forward.until_path("relay");
        until("both have the same", || {
            laptop.files().len() == FILES + 1 && laptop.files() == attic.files()
        });
        let connections = program.said().matches("Established secure").count();
        assert_eq!(connections, 1, "it went on");

        // The other way, and apart: both change the same.
        laptop.write("from the laptop", "new");
        laptop.asks("db/scan?folder=papers");
        until("it goes back", || attic.files() == laptop.files());
        laptop.asks("system/pause");
        // It says that it is paused, or what became of the socket: whichever is noticed first.
        program.until_said(" closed: ");
        for (side, text) in [(&attic, "of the attic"), (&laptop, "of the laptop")] {
            side.write("7", text);
            side.asks("db/scan?folder=papers");
        }
        laptop.asks("system/resume");
        until("both have both", || {
            let files = attic.files();
            let mut sevens = files
                .iter()
                .filter(|(name, _)| name.starts_with("7.sync-conflict-"));
            let other = sevens.next().map(|(_, text)| &**text);
            let all = [files.get("7").map(|text| &**text), other];
            let both = [Some(&b"of the attic"[..]), Some(b"of the laptop")];
            (all == both || all == [both[1], both[0]]) && laptop.files() == files
        });
        homes.assert_carried(LEN as u64);
    });
}

/// A home and its folder.
struct Side<'a> {
    home: &'a Home,
    folder: PathBuf,
    id: String,
}

impl<'a> Side<'a> {
    fn new(home: &'a Home) -> Self {
        let folder = home.folder.join("papers");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(folder.join(".stfolder")).unwrap();
        home.output("syncthing", &["generate", "--home=."]);
        let id = home.output("syncthing", &["--home=.", "--device-id"]);
        let id = id.trim().to_owned();
        Self { home, folder, id }
    }

    fn start(&self, other: &Self, address: &str) -> Program {
        let config = CONFIG
            .replace("OWN", &self.id)
            .replace("OTHER", &other.id)
            .replace("ADDRESS", address)
            .replace("LISTEN", &self.home.room.addr().to_string())
            .replace("FOLDER", self.folder.to_str().unwrap());
        self.home.write("config.xml", config);
        let line = ["serve", "--home=.", "--no-browser", "--no-restart"];
        let program = self.home.start("syncthing", &line);
        program.until_said("GUI and API listening");
        program
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    /// A command to the one that runs.
    fn asks(&self, what: &str) {
        let url = format!("http://127.0.0.1:8384/rest/{what}");
        let line = ["-sSf", "-X", "POST", "-H", "X-API-Key: key", &url];
        self.home.output("curl", &line);
    }

    /// By name, without those of syncthing's own.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.folder).unwrap().flatten();
        let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
        let files = named.filter(|(name, _)| !name.starts_with('.'));
        // One may have gone meanwhile.
        let read = files.filter_map(|(name, path)| fs::read(path).ok().map(|text| (name, text)));
        read.collect()
    }
}

/// Bytes of a file with holes.
fn written(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.blocks() * BLOCK)
}
