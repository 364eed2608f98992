import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket as Stream } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { parseAddress } from "../src/io/address.js";
import type { GossipNode } from "../src/node.js";
import { Random } from "../src/random.js";
import { TestCluster, until } from "./support/cluster.js";

const cluster = new TestCluster();
const sockets: Socket[] = [];
const streams: Stream[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  for (const stream of streams.splice(0)) stream.destroy();
  await cluster.close();
});

async function attacker(): Promise<Socket> {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

const portOf = (node: GossipNode): number => parseAddress(node.self.address, { defaultPort: 0 }).port;

function dropsOf(node: GossipNode): number {
  const { counters } = node.stats;
  return Object.entries(counters).reduce((sum, [name, value]) => (name.startsWith("drop") ? sum + value : sum), 0);
}

/** Sends datagrams that will all be dropped, no faster than the node takes them. Returns how many it counted. */
async function sendBad(socket: Socket, node: GossipNode, datagrams: readonly Uint8Array[]): Promise<number> {
  const before = dropsOf(node);
  for (let i = 0; i < datagrams.length; i += 100) {
    const slice = datagrams.slice(i, i + 100);
    for (const datagram of slice) socket.send(datagram, portOf(node), "127.0.0.1");
    await until(() => dropsOf(node) - before >= i + slice.length, `the drop of datagram ${i + slice.length}`);
  }
  return dropsOf(node) - before;
}

/** Sealed datagrams of a member, as somebody on the path would see them. */
async function captured(node: GossipNode, count: number): Promise<Uint8Array[]> {
  const tap = await attacker();
  const seen: Uint8Array[] = [];
  tap.on("message", (datagram) => seen.push(new Uint8Array(datagram)));
  for (let i = 0; i < count; i++) await node.send(`127.0.0.1:${tap.address().port}`, new Uint8Array(50 + i));
  await until(() => seen.length === count, "the capture");
  return seen;
}

/** The node is still a good member: a newcomer joins, is known, and gets through to it. */
async function expectSound(node: GossipNode): Promise<void> {
  const newcomer = await cluster.open("newcomer");
  await newcomer.join([node.self.address]);
  const got: string[] = [];
  node.on("message", ({ from }) => got.push(from));
  await newcomer.send(node.self, new Uint8Array(10));
  await newcomer.send(node.self, new Uint8Array(100_000), { reliable: true });
  await until(() => got.length === 2, "both messages");
  expect(node.member("newcomer")?.state).toBe("alive");
  expect(node.members.every(({ state }) => state === "alive")).toBe(true);
}

describe("datagrams from strangers", () => {
  it("of random bytes are all dropped and counted", async () => {
    const [node] = (await cluster.form(2)) as [GossipNode];
    const socket = await attacker();
    const random = new Random(1);
    const noise = Array.from({ length: 20_000 }, (_, i) => {
      const datagram = Uint8Array.from({ length: random.below(300) }, () => random.below(256));
      if (i % 2 === 0) datagram.set([0x74, 1, i % 8].slice(0, datagram.length)); // looks like ours at first
      return datagram;
    });
    const heap = process.memoryUsage().heapUsed;
    expect(await sendBad(socket, node, noise)).toBe(noise.length);
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(64 * 2 ** 20);
    await expectSound(node);
  });

  it("that were truncated, bit-flipped, or recorded for another time are all dropped and counted", async () => {
    const [node, peer] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const socket = await attacker();
    const genuine = await captured(peer, 5);
    const random = new Random(2);
    const mangled = Array.from({ length: 5000 }, (_, i) => {
      const original = genuine[i % genuine.length] as Uint8Array;
      if (i % 2 === 0) return original.slice(0, random.below(original.length));
      const copy = original.slice();
      const at = random.below(copy.length);
      copy[at] = (copy[at] as number) ^ (1 << random.below(8));
      return copy;
    });
    const got: number[] = [];
    node.on("message", ({ payload }) => got.push(payload.length));
    expect(await sendBad(socket, node, mangled)).toBe(mangled.length);
    expect(got).toEqual([]);

    // The genuine ones count once, although they were meant for somebody else; never again.
    for (const datagram of genuine) socket.send(datagram, portOf(node), "127.0.0.1");
    await until(() => got.length === genuine.length, "the first copies");
    expect(await sendBad(socket, node, [...genuine, ...genuine])).toBe(2 * genuine.length);
    expect(node.stats.counters.dropReplay).toBe(2 * genuine.length);
    expect(got).toEqual([50, 51, 52, 53, 54]);
    await expectSound(node);
  });

  it("get no answer", async () => {
    const [node, peer] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const socket = await attacker();
    let answers = 0;
    socket.on("message", () => answers++);
    const genuine = await captured(peer, 2);
    for (const datagram of genuine) socket.send(datagram, portOf(node), "127.0.0.1");
    await sendBad(socket, node, [...genuine, new Uint8Array(24), new Uint8Array(1000)]);
    await expectSound(node);
    expect(answers).toBe(0);
  });
});

describe("streams from strangers", () => {
  async function dial(node: GossipNode, bytes: Uint8Array): Promise<Stream> {
    const stream = connect(portOf(node), "127.0.0.1");
    streams.push(stream);
    stream.on("error", () => {});
    await once(stream, "connect");
    stream.write(bytes);
    return stream;
  }

  it("of garbage are closed and counted", async () => {
    const [node] = (await cluster.form(2)) as [GossipNode];
    const random = new Random(3);
    for (let i = 0; i < 100; i++) {
      await dial(
        node,
        Uint8Array.from({ length: 1 + random.below(200) }, () => random.below(256)),
      );
    }
    const rejected = (): number => {
      const { rejectedHello, rejectedCluster, rejectedSeal, rejectedOversized, timedOut } = node.stats.streams;
      return rejectedHello + rejectedCluster + rejectedSeal + rejectedOversized + timedOut;
    };
    await until(() => rejected() >= 100, "a count for each");
    await expectSound(node);
  });

  it("that announce too much, or stall, are closed, and those beyond the limit not served", async () => {
    const node = await cluster.open("node", { maxStreams: 10, streamTimeoutMs: 1000 });
    const rss = process.memoryUsage().rss;
    for (let i = 0; i < 30; i++) await dial(node, new Uint8Array(3)); // half a hello, then silence
    await until(() => node.stats.streams.rejectedLimit >= 20, "the limit");
    await until(() => node.stats.streams.timedOut + node.stats.streams.rejectedHello >= 10, "the deadline");
    expect(process.memoryUsage().rss - rss).toBeLessThan(128 * 2 ** 20);
    await expectSound(node);
  });
});
