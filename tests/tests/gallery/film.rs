//! Something large that a server has, and nginx, which serves it.

use super::homes::{Home, Program};

/// So many bytes, each of which says where it is.
pub(super) fn film(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Has nginx serve what is in the folder of a home's room, each at this many megabytes a second.
pub(super) fn serve(home: &Home, rate: usize) -> Program {
    let config = format!(
        "daemon off; master_process off; user root; pid nginx.pid; error_log stderr;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
            server {{ listen 8080; root .; limit_rate {rate}m; }}
        }}"
    );
    let config = home.write("nginx.conf", config);
    let folder = home.folder.to_str().unwrap();
    home.start("nginx", &["-e", "stderr", "-p", folder, "-c", &config])
}
