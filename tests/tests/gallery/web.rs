//! A web server and a browser: nginx and curl.

use std::{fs, path::Path};

use peerway_lab as lab;

use super::homes::{BUDGET, Homes, need, until};

const LEN: usize = 24 << 20;
/// What the browser gets of a second, so that the path is cut in the midst.
const RATE: &str = "6M";
const NGINX: &str = "
daemon off; master_process off; user root; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    server { listen 8080; root .; }
}";

#[test]
#[ignore = "needs nginx-light and curl"]
fn a_download_from_nginx_goes_on_where_the_direct_path_is_cut_and_ranges_are_served_after() {
    need(&[("nginx", "nginx-light"), ("curl", "curl")]);
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let film: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        attic.write("film", &film);
        let config = attic.write("nginx.conf", NGINX);
        let folder = attic.folder.to_str().unwrap();
        let _nginx = attic.start("nginx", &["-e", "stderr", "-p", folder, "-c", &config]);
        let exposed = attic.expose(&["web=8080"]);
        let forward = laptop.forward(&exposed, "web", "8080");

        let url = format!("http://{}:8080/film", laptop.room.gate());
        let download = ["-sSf", "--limit-rate", RATE, "-o", "film", &url];
        let curl = laptop.start("curl", &download);
        let film_there = laptop.folder.join("film");
        until("a third is there", || size(&film_there) > LEN / 3);
        homes.cut();
        assert!(size(&film_there) < LEN, "too fast");
        forward.until_path("relay");
        curl.finish();
        assert!(fs::read(&film_there).unwrap() == film);

        let range = ["-sSf", "-D", "head", "-r", "1000-4095", "-o", "part", &url];
        laptop.output("curl", &range);
        assert!(fs::read(laptop.folder.join("part")).unwrap() == film[1000..4096]);
        let head = fs::read_to_string(laptop.folder.join("head")).unwrap();
        assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
        homes.assert_carried(LEN as u64);
    });
}

fn size(path: &Path) -> usize {
    fs::metadata(path).map_or(0, |file| file.len() as usize)
}
