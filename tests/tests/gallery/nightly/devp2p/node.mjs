// A node of Ethereum without a chain: discovery over UDP, RLPx over TCP, and after the greetings a block's number ten times a second.
import { DPT, ETH, EthMessageCodes, RLPx } from "@ethereumjs/devp2p"
import { Common, Mainnet } from "@ethereumjs/common"

// The key's first byte; where it listens; where the other finds it, and where it finds the other; that one's id if this one is to dial it.
const [key, own, told, other, id] = process.argv.slice(2)
const PORT = 30303
const hex = bytes => Buffer.from(bytes).toString("hex")
const bytes = text => Uint8Array.from(Buffer.from(text, "hex"))
const secret = new Uint8Array(32).fill(Number(key))
const genesis = bytes("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")

const dpt = new DPT(secret, {
  endpoint: { address: told, udpPort: PORT, tcpPort: PORT },
  shouldFindNeighbours: false,
})
const rlpx = new RLPx(secret, {
  capabilities: [ETH.eth68],
  common: new Common({ chain: Mainnet }),
  listenPort: PORT,
  // Who is found is dialled: by one of the two, so that they do not meet on the way.
  dpt: id ? dpt : undefined,
})

for (const [what, events] of [["discovery", dpt.events], ["rlpx", rlpx.events]])
  events.on("error", error => console.log(what, error.message))
dpt.events.on("peer:new", peer => console.log("found", hex(peer.id), peer.address))
rlpx.events.on("peer:error", (_, error) => console.log("peer", error.message))
rlpx.events.on("peer:removed", (_, reason) => console.log("gone", reason))
rlpx.events.on("peer:added", peer => {
  const capabilities = peer.getHelloMessage().capabilities.map(it => it.name + it.version)
  console.log("hello", hex(peer.getId()), ...capabilities)
  const eth = peer.getProtocols()[0]
  eth.events.on("status", status => {
    console.log("status", hex(status.genesisHash))
    tell(eth, peer)
  })
  eth.events.on("message", (code, blocks) => {
    if (code === EthMessageCodes.NEW_BLOCK_HASHES)
      console.log("block", parseInt(hex(blocks[0][1]), 16))
  })
  eth.sendStatus({ td: Uint8Array.of(1), bestHash: genesis, genesisHash: genesis })
})

function tell(eth, peer) {
  let at = 0
  const timer = setInterval(() => {
    at += 1
    eth.sendMessage(EthMessageCodes.NEW_BLOCK_HASHES, [[genesis, Uint8Array.of(at >> 8, at & 255)]])
  }, 100)
  peer.events.once("close", () => clearInterval(timer))
}

dpt.events.once("listening", () => {
  console.log("id", hex(rlpx.id))
  if (id)
    dpt.bootstrap({ id: bytes(id), address: other, udpPort: PORT, tcpPort: PORT })
})
rlpx.listen(PORT, own)
dpt.bind(PORT, own)
