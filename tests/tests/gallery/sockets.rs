//! A server of WebSockets and its client: Debian's python3-websockets.

use peerway_lab as lab;

use super::{
    homes::{BUDGET, Homes, need, until},
    python::{PYTHON, need_module},
};

const PORT: &str = "8765";
/// Ten a second.
const COUNT: usize = 40;
/// Says back what it is told.
const SERVER: &str = r#"
import asyncio, sys, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, sys.argv[1], int(sys.argv[2]), max_size=None):
        print("serving", flush=True)
        await asyncio.Future()
asyncio.run(main())
"#;
/// Compares what comes back: text, a binary message of 2 MiB last, and pings between.
const CLIENT: &str = r#"
import asyncio, os, sys, websockets
async def main():
    url, count = sys.argv[1], int(sys.argv[2])
    async with websockets.connect(url, max_size=None) as socket:
        for at in range(count):
            await socket.send("message %d" % at)
            assert await socket.recv() == "message %d" % at
            await (await socket.ping())
            print("echoed", at, flush=True)
            await asyncio.sleep(0.1)
        large = os.urandom(1 << 21)
        await socket.send(large)
        assert await socket.recv() == large
    print("closed", socket.close_code, flush=True)
asyncio.run(main())
"#;

#[test]
#[ignore = "needs python3-websockets"]
fn a_websocket_stays_open_where_the_direct_path_is_cut_and_closes_cleanly() {
    need(&[("python3", "python3")]);
    need_module("websockets", "python3-websockets");
    lab::test(BUDGET, |lab| {
        let homes = Homes::new(lab);
        let (attic, laptop) = (&homes.attic, &homes.laptop);
        let own = attic.room.addr().to_string();
        let server = attic.start(PYTHON, &["-c", SERVER, &own, PORT]);
        server.until_said("serving");
        let exposed = attic.expose(&[&format!("echo={PORT}")]);
        let forward = laptop.forward(&exposed, "echo", PORT);

        let url = format!("ws://{}:{PORT}", laptop.room.gate());
        let client = laptop.start(PYTHON, &["-c", CLIENT, &url, &COUNT.to_string()]);
        let third = format!("echoed {}\n", COUNT / 3);
        until("a third came back", || client.said().contains(&third));
        homes.cut();
        forward.until_path("relay");
        assert!(client.finish().ends_with("closed 1000\n"));
        homes.assert_carried(4 << 20);
    });
}
