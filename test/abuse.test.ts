import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket as Stream } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { parseAddress } from "../src/io/address.js";
import type { GossipNode } from "../src/node.js";
import { Random } from "../src/random.js";
import { TestCluster, until } from "./support/cluster.js";
import { addon } from "./support/hub.js";
import { helloOf } from "./support/stream_peer.js";

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

describe("datagrams of a genuine member", () => {
  /** What a node sends to a member that is gone, by who sits at that address now: pings, accusations, gossip. */
  async function eavesdrop(count: number): Promise<{ node: GossipNode; peer: GossipNode; seen: Uint8Array[] }> {
    // Refusals would end it before its port is held again.
    const formed = await cluster.form(3, { refusedConfirmations: 0 });
    const [node, peer, ghost] = formed as [GossipNode, GossipNode, GossipNode];
    const port = portOf(ghost);
    await ghost.close();
    const socket = createSocket("udp4");
    sockets.push(socket);
    socket.bind(port, "127.0.0.1");
    await once(socket, "listening");
    const seen: Uint8Array[] = [];
    socket.on("message", (datagram, { port: from }) => {
      if (from === portOf(node)) seen.push(new Uint8Array(datagram));
    });
    await until(() => seen.length >= count, `${count} datagrams to the ghost`);
    await until(() => [node, peer].every((one) => one.member("n2")?.state === "dead"), "the verdict on the ghost");
    return { node, peer, seen: seen.slice(0, count) };
  }

  it("are dropped as its own when they come back to it", async () => {
    const { node, seen } = await eavesdrop(3);
    const socket = await attacker();
    const { dropOwn } = node.stats.counters;
    await sendBad(socket, node, [...seen, ...seen]);
    expect(node.stats.counters.dropOwn - dropOwn).toBe(2 * seen.length);
    await expectSound(node);
  });

  it("replayed to another member do nothing the second time, and change nobody's state", async () => {
    const { peer, seen } = await eavesdrop(3);
    const socket = await attacker();
    let answers = 0;
    socket.on("message", () => answers++);
    const { dropReplay } = peer.stats.counters;
    for (const datagram of [...seen, ...seen, ...seen, ...seen]) socket.send(datagram, portOf(peer), "127.0.0.1");
    const replays = (): number => peer.stats.counters.dropReplay - dropReplay;
    await until(() => replays() >= 3 * seen.length, "the drop of all but the first copies");
    expect([peer.member("n0")?.state, peer.member("n2")?.state, answers]).toEqual(["alive", "dead", 0]);
    await expectSound(peer);
  });

  it("with one field of the header changed are dropped for that reason", async () => {
    const { peer, seen } = await eavesdrop(1);
    const socket = await attacker();
    const [genuine] = seen as [Uint8Array];
    const changed = (at: number, value: number): Uint8Array => {
      const copy = genuine.slice();
      copy[at] = value === copy[at] ? value ^ 0xff : value;
      return copy;
    };
    const cases = [
      ["dropMagic", changed(0, 0)],
      ["dropVersion", changed(1, 2)],
      ["dropFlags", changed(2, 3)],
      ["dropCluster", changed(5, 0)],
      ["dropUnknownKey", changed(9, 0)],
      ["dropUnsealable", changed(15, 0)],
      ["dropUnsealable", changed(genuine.length - 1, 0)],
      ["dropTruncated", genuine.slice(0, 23)],
      ["dropTruncated", new Uint8Array(0)],
    ] as const;
    for (const [reason, datagram] of cases) {
      const before = peer.stats.counters[reason];
      await sendBad(socket, peer, [datagram]);
      expect(peer.stats.counters[reason] - before, reason).toBe(1);
    }
    await expectSound(peer);
  });
});

describe("a cluster in the clear", () => {
  it("drops what is damaged, and survives 20,000 damaged datagrams", async () => {
    const [node, peer] = (await cluster.form(2, { keys: [] })) as [GossipNode, GossipNode];
    const socket = await attacker();
    const genuine = await captured(peer, 4);
    const random = new Random(7);
    const damaged = Array.from({ length: 20_000 }, (_, i) => {
      const copy = (genuine[i % genuine.length] as Uint8Array).slice();
      for (let flips = 1 + random.below(3); flips > 0; flips--) {
        const at = random.below(copy.length);
        copy[at] = (copy[at] as number) ^ (1 << random.below(8));
      }
      return copy;
    }).filter((copy, i) => Buffer.compare(copy, genuine[i % genuine.length] as Uint8Array) !== 0);
    const got: number[] = [];
    node.on("message", ({ payload }) => got.push(payload.length));
    expect(await sendBad(socket, node, damaged)).toBe(damaged.length);
    expect([got, node.members.length]).toEqual([[], 2]);
  });
});

async function dial(node: GossipNode, bytes: Uint8Array): Promise<Stream> {
  const stream = connect(portOf(node), "127.0.0.1");
  streams.push(stream);
  stream.on("error", () => {});
  await once(stream, "connect");
  stream.write(bytes);
  return stream;
}

describe("streams from strangers that know the cluster's name", () => {
  const hello = helloOf(addon.clusterTag("default"), new Uint8Array(20).fill(5));
  const length = (bytes: number): Buffer => {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(bytes);
    return prefix;
  };

  it("with an impossible length are closed before anything is read", async () => {
    const [node] = (await cluster.form(2)) as [GossipNode];
    const before = node.stats.streams;
    const attempts = [0, 0xffffffff, 0x7fffffff, 1 << 20].map(length);
    for (const prefix of attempts) {
      const stream = await dial(node, Buffer.concat([hello, prefix]));
      stream.resume();
      await until(() => stream.closed, "the end of the stream");
    }
    const { rejectedOversized, rejectedMalformed } = node.stats.streams;
    expect([rejectedOversized, rejectedMalformed]).toEqual([
      before.rejectedOversized + 3,
      before.rejectedMalformed + 1,
    ]);
    await expectSound(node);
  });

  it("with a chunk that no key sealed learn nothing but the end", async () => {
    const [node] = (await cluster.form(2)) as [GossipNode];
    const { rejectedSeal } = node.stats.streams;
    const random = new Random(11);
    for (const bytes of [1, 24, 40, 1000, 65_536]) {
      const chunk = Uint8Array.from({ length: bytes }, () => random.below(256));
      chunk.set([0x74, 1, 1].slice(0, bytes));
      const stream = await dial(node, Buffer.concat([hello, length(bytes), chunk]));
      let received = 0;
      stream.on("data", (data) => {
        received += data.length;
      });
      await until(() => stream.closed, "the end of the stream");
      expect(received).toBe(hello.length);
    }
    expect(node.stats.streams.rejectedSeal).toBe(rejectedSeal + 5);
    await expectSound(node);
  });

  it("that come drop by drop are cut off at the deadline, not after the last drop", async () => {
    const node = await cluster.open("node", { streamTimeoutMs: 2_000 });
    const began = performance.now();
    const stream = await dial(node, Buffer.concat([hello, length(60_000)]));
    stream.resume();
    const drip = (): boolean => {
      if (!stream.destroyed) stream.write(new Uint8Array(1));
      return stream.closed;
    };
    await until(drip, "the cut");
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(node.stats.streams.timedOut).toBe(1);
    await expectSound(node);
  });

  it("that fill every place keep joiners waiting only until the deadline, and members not at all", async () => {
    const [node, peer] = (await cluster.form(2, { maxStreams: 8, streamTimeoutMs: 800 })) as [GossipNode, GossipNode];
    const rss = process.memoryUsage().rss;
    const big = new Uint8Array(60_000);
    for (let i = 0; i < 8; i++) await dial(node, Buffer.concat([hello, length(65_000), big]));
    const accepted = (): number => node.stats.streams.accepted;
    await until(() => accepted() >= 8, "the full house");
    const failures: string[] = [];
    for (const one of [node, peer]) one.on("fail", ({ name }) => failures.push(name));
    // The first may reach their deadline while these are dialed, and some of these take their places.
    while (node.stats.streams.rejectedLimit < 50) await dial(node, hello);
    const got: string[] = [];
    peer.on("message", ({ from }) => got.push(from));
    node.broadcast(new Uint8Array(3));
    await until(() => got.length === 1, "a broadcast meanwhile");
    await expectSound(node);
    expect(failures).toEqual([]);
    expect(process.memoryUsage().rss - rss).toBeLessThan(64 * 2 ** 20);
  });
});

describe("streams from strangers", () => {
  it("of garbage are closed and counted", async () => {
    const [node] = (await cluster.form(2, { streamTimeoutMs: 1000 })) as [GossipNode];
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
    while (node.stats.streams.rejectedLimit < 20) await dial(node, new Uint8Array(3)); // half a hello, then silence
    await until(() => node.stats.streams.timedOut + node.stats.streams.rejectedHello >= 10, "the deadline");
    expect(process.memoryUsage().rss - rss).toBeLessThan(128 * 2 ** 20);
    await expectSound(node);
  });
});
