import { describe, expect, it } from "vitest";
import type { Message } from "../src/delegates.js";
import type { GossipNode } from "../src/node.js";
import {
  bytes,
  closeAfterEach,
  errorOf,
  letters,
  newCluster,
  newNode,
  sharedKey,
  text,
  until,
  Watch,
  within,
} from "./support/nodes.js";
import { closedPort } from "./support/stream_nodes.js";

closeAfterEach();

/** Broadcasts reach everybody with a probability that grows with the transmit budget; so large that it is certain. */
const thorough = { retransmitMult: 20, messageShare: 0.75, gossipIntervalMs: 10 } as const;

async function pair(options: Parameters<typeof newCluster>[1] = {}): Promise<[GossipNode, GossipNode, Watch]> {
  const [a, b] = (await newCluster(["a", "b"], options)) as [GossipNode, GossipNode];
  return [a, b, new Watch(b)];
}

const texts = (messages: readonly Message[]): string[] => messages.map(({ payload }) => text(payload)).sort();

function filled(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 255);
}

describe("a broadcast", () => {
  it("reaches all others exactly once, hundreds of them from every node", async () => {
    const nodes = await newCluster(letters(10), thorough);
    const counts = nodes.map(() => new Map<string, number>());
    for (const [i, node] of nodes.entries()) {
      const count = counts[i] as Map<string, number>;
      node.on("message", ({ from, payload, direct, reliable }) => {
        const key = `${from} ${text(payload)} ${direct} ${reliable}`;
        count.set(key, (count.get(key) ?? 0) + 1);
      });
    }
    const each = 60;
    for (const node of nodes) for (let i = 0; i < each; i++) node.broadcast(bytes(`message ${i}`));
    await until(() => counts.every(({ size }) => size === 9 * each), "all broadcasts everywhere", 60_000);
    await until(() => nodes.every(({ stats }) => stats.messageDepth === 0), "an end of the gossip", 60_000);
    for (const [i, count] of counts.entries()) {
      const expected = nodes.flatMap((_, from) => {
        return from === i ? [] : Array.from({ length: each }, (_, n) => `n${from} message ${n} false false`);
      });
      expect([...count.keys()].sort()).toEqual(expected.sort());
      expect(new Set(count.values())).toEqual(new Set([1]));
    }
    expect(nodes.every(({ stats }) => stats.duplicates > 0)).toBe(true);
  });

  it("of which thousands are sent at once reaches the other in full", async () => {
    const [a, , watch] = await pair({ ...thorough, retransmitMult: 1 });
    const count = 4_000;
    for (let i = 0; i < count; i++) a.broadcast(bytes(`${i}`));
    // Who runs late gossips up to five times less often.
    await until(() => a.stats.messageDepth === 0, "an empty queue", 50_000);
    await until(() => new Set(texts(watch.of("message"))).size === count, `${count} messages`);
    expect(watch.of("message")).toHaveLength(count);
  });

  it("does not come back to its sender, nor does its sender hear itself when alone", async () => {
    const [a, b, watch] = await pair(thorough);
    const own = new Watch(a);
    a.broadcast(bytes("out"));
    await until(() => watch.of("message").length === 1, "the broadcast");
    await until(() => a.stats.messageDepth + b.stats.messageDepth === 0, "an end of the gossip");
    expect(own.of("message")).toEqual([]);
  });

  it("carries as much as promised and not a byte more", async () => {
    const [a, b, watch] = await pair();
    const most = filled(a.maxBroadcastBytes, 1);
    a.broadcast(most);
    await until(() => watch.of("message").length === 1, "the largest broadcast");
    expect(Buffer.compare(watch.of("message")[0]?.payload as Uint8Array, most)).toBe(0);
    await until(() => a.stats.messageDepth === 0, "an empty queue");
    const error = await errorOf(() => a.broadcast(new Uint8Array(most.length + 1)));
    expect(error.code).toBe("TATTLER_DATAGRAM_TOO_LARGE");
    expect(error.message).toContain(`${most.length + 1} bytes`);
    expect(error.message).toContain(`the ${most.length} bytes`);
    expect([a.stats.messageDepth, b.memberCount]).toEqual([0, 2]);
  });

  it("may be empty", async () => {
    const [a, , watch] = await pair();
    a.broadcast(new Uint8Array(0));
    await until(() => watch.of("message").length === 1, "the empty broadcast");
    expect(watch.of("message")[0]).toEqual({ from: "a", payload: new Uint8Array(0), direct: false, reliable: false });
  });

  it("keeps the bytes it was given although the caller reuses them", async () => {
    const [a, , watch] = await pair();
    const payload = bytes("original");
    a.broadcast(payload);
    payload.fill(0);
    await until(() => watch.of("message").length === 1, "the broadcast");
    expect(texts(watch.of("message"))).toEqual(["original"]);
  });

  it("may be as large as a datagram gets, when datagramBytes says so", async () => {
    const [a, , watch] = await pair({ datagramBytes: 65_507 });
    const most = filled(a.maxBroadcastBytes, 2);
    expect(most.length).toBeGreaterThan(65_000);
    a.broadcast(most);
    await until(() => watch.of("message").length === 1, "the largest broadcast");
    expect(Buffer.compare(watch.of("message")[0]?.payload as Uint8Array, most)).toBe(0);
  });

  it("that a member cannot pass on, because its datagrams are smaller, is delivered and clogs nothing", async () => {
    const [a, b, watch] = await pair({ datagramBytes: 9_000 });
    const small = await newNode("small", { datagramBytes: 600, metaMaxBytes: 100 });
    await small.join([a.self.address]);
    await until(() => b.memberCount === 3, "three members");
    const smallWatch = new Watch(small);
    a.broadcast(filled(8_000, 1));
    await until(() => smallWatch.of("message").length + watch.of("message").length === 2, "the broadcast");
    small.broadcast(bytes("after"));
    await until(() => watch.of("message").length === 2, "another broadcast of the small one");
    await until(() => small.stats.messageDepth === 0, "an empty queue");
  });

  it("is delivered again after a restart of its origin, whose numbers begin anew", async () => {
    const [a, b, watch] = await pair();
    b.broadcast(bytes("before"));
    const aWatch = new Watch(a);
    await until(() => aWatch.of("message").length === 1, "the first");
    const { address } = b.self;
    await b.close();
    const again = await newNode("b", { bind: address });
    await again.join([a.self.address]);
    again.broadcast(bytes("after"));
    await until(() => aWatch.of("message").length === 2, "the second");
    expect(texts(aWatch.of("message"))).toEqual(["after", "before"]);
    expect(watch.of("message")).toEqual([]);
  });

  it("that is more than the queue holds drops the most sent and is counted", async () => {
    const a = await newNode("a", { queueRecords: 64 });
    for (let i = 0; i < 200; i++) a.broadcast(filled(10, i));
    expect(a.stats.messageDepth).toBeLessThanOrEqual(64);
    expect(a.stats.counters.recordsPruned).toBeGreaterThanOrEqual(136);
  });

  it("refuses what is no payload", async () => {
    const a = await newNode("a");
    expect((await errorOf(() => a.broadcast("text" as never))).code).toBe("TATTLER_ARGUMENT_INVALID");
    expect((await errorOf(() => a.send("a", [1] as never))).code).toBe("TATTLER_ARGUMENT_INVALID");
  });
});

describe("bytes that are a part of a larger buffer", () => {
  it("are taken alone, in keys, metadata and payloads", async () => {
    const pool = Buffer.alloc(4096, "pool");
    let used = 1001;
    const part = (content: string): Buffer => {
      const at = used;
      used += pool.write(content, at) + 3;
      return pool.subarray(at, at + content.length);
    };
    const key = "a key of thirty-two bytes, pooled";
    const creating = newNode("a", { keys: [part(key.slice(0, 32))], meta: part("meta") });
    pool.fill("!"); // whoever owns the pool uses it again
    const a = await creating;
    const b = await newNode("b", { keys: [bytes(key.slice(0, 32))] });
    await b.join([a.self.address]);
    const watch = new Watch(b);
    expect(text(b.member("a")?.meta ?? bytes(""))).toBe("meta");
    a.broadcast(part("broadcast"));
    await a.send("b", part("datagram"));
    await a.send("b", part("stream"), { reliable: true });
    a.updateMeta(part("changed"));
    pool.fill("!");
    await until(() => watch.of("message").length === 3, "all three");
    expect(texts(watch.of("message"))).toEqual(["broadcast", "datagram", "stream"]);
    await watch.until("update a");
    expect([a, b].map((node) => text(node.member("a")?.meta ?? bytes("")))).toEqual(["changed", "changed"]);
  });
});

describe("send", () => {
  it("finds its member by name, by snapshot and by address", async () => {
    const [a, b, watch] = await pair();
    await a.send("b", bytes("name"));
    await a.send(b.self, bytes("member"));
    await a.send(b.self.address, bytes("address"));
    await until(() => watch.of("message").length === 3, "three messages");
    expect(texts(watch.of("message"))).toEqual(["address", "member", "name"]);
    for (const message of watch.of("message")) {
      expect(message).toMatchObject({ from: "a", direct: true, reliable: false });
    }
  });

  it("reliably resolves once the other has it, by name, by snapshot and by address", async () => {
    const [a, b, watch] = await pair();
    for (const [i, to] of ["b", b.self, b.self.address].entries()) {
      await a.send(to, bytes(`${i}`), { reliable: true });
      expect(watch.of("message")).toHaveLength(i + 1);
    }
    expect(texts(watch.of("message"))).toEqual(["0", "1", "2"]);
    expect(watch.of("message")[0]).toMatchObject({ from: "a", direct: true, reliable: true });
  });

  it("reliably carries a mebibyte, whole", async () => {
    const [a, , watch] = await pair();
    const payload = filled(2 ** 20, 3);
    await a.send("b", payload, { reliable: true });
    expect(Buffer.compare(watch.of("message")[0]?.payload as Uint8Array, payload)).toBe(0);
  });

  it("reliably carries many at once, none mixed up", async () => {
    const [a, , watch] = await pair();
    const payloads = Array.from({ length: 40 }, (_, i) => filled(1000 * i, i));
    await Promise.all(payloads.map((payload) => a.send("b", payload, { reliable: true })));
    const got = watch.of("message").map(({ payload }) => Buffer.from(payload).toString("base64"));
    expect(got.sort()).toEqual(payloads.map((payload) => Buffer.from(payload).toString("base64")).sort());
  });

  it("reliably fails clearly when nobody is there, when it is too large, and when it is aborted", async () => {
    const [a, b] = await pair({ maxMessageBytes: 1000 });
    const gone = `127.0.0.1:${await closedPort()}`;
    expect((await errorOf(() => a.send(gone, bytes("x"), { reliable: true }))).code).toBe("TATTLER_STREAM_UNREACHABLE");
    const tooLarge = (): Promise<void> => a.send(b.self, new Uint8Array(1001), { reliable: true });
    expect((await errorOf(tooLarge)).code).toBe("TATTLER_MESSAGE_TOO_LARGE");
    const aborted = { reliable: true, signal: AbortSignal.abort() };
    expect((await errorOf(() => a.send("b", bytes("x"), aborted))).code).toBe("TATTLER_ABORTED");
  });

  it("to nobody known fails", async () => {
    const [a] = await pair();
    for (const reliable of [false, true]) {
      expect((await errorOf(() => a.send("nobody", bytes("x"), { reliable }))).code).toBe("TATTLER_MEMBER_UNKNOWN");
    }
    expect((await errorOf(() => a.send("", bytes("x")))).code).toBe("TATTLER_MEMBER_UNKNOWN");
  });

  it("too large for a datagram fails and sends nothing", async () => {
    const [a, , watch] = await pair();
    const most = filled(a.maxBroadcastBytes, 5);
    expect((await errorOf(() => a.send("b", new Uint8Array(most.length + 1)))).code).toBe("TATTLER_DATAGRAM_TOO_LARGE");
    await a.send("b", most);
    await until(() => watch.of("message").length === 1, "the largest datagram");
    expect(Buffer.compare(watch.of("message")[0]?.payload as Uint8Array, most)).toBe(0);
  });

  it("also reaches a node that does not know the sender; then it says no name for a datagram", async () => {
    const b = await newNode("b");
    const stranger = await newNode("stranger", { keys: [sharedKey] });
    const watch = new Watch(b);
    // In this process b's hub knows the stranger's name; what counts is that nothing fails.
    await stranger.send(b.self.address, bytes("datagram"));
    await stranger.send(b.self.address, bytes("stream"), { reliable: true });
    await until(() => watch.of("message").length === 2, "both");
    expect(texts(watch.of("message"))).toEqual(["datagram", "stream"]);
    expect(b.memberCount).toBe(1);
  });

  it("resolves a host name", async () => {
    const [a, b, watch] = await pair();
    await a.send(b.self.address.replace("127.0.0.1", "localhost"), bytes("x"), { reliable: true });
    expect(watch.of("message")).toHaveLength(1);
  });

  it("of a thousand datagrams loses none on loopback", async () => {
    const [a, , watch] = await pair();
    for (let i = 0; i < 1000; i++) await a.send("b", filled(200, i));
    await until(() => watch.of("message").length === 1000, "a thousand messages");
  });
});

describe("a message", () => {
  it("belongs to its receiver: later traffic does not change it", async () => {
    const [a, , watch] = await pair();
    const first = [filled(500, 1), filled(500, 2), filled(500, 3)];
    await a.send("b", first[0] as Uint8Array);
    a.broadcast(first[1] as Uint8Array);
    await a.send("b", first[2] as Uint8Array, { reliable: true });
    await until(() => watch.of("message").length === 3, "three messages");
    const kept = watch.of("message").map(({ payload }) => payload);
    // More than the slab holds, so that every byte of it is written again.
    const [rounds, each] = [60, 300];
    for (let round = 1; round <= rounds; round++) {
      for (let i = 0; i < each; i++) await a.send("b", new Uint8Array(a.maxBroadcastBytes).fill(0xee));
      const count = 3 + round * each;
      await until(() => watch.of("message").length >= count - each / 2, `${count} messages`);
    }
    expect(kept.map((payload) => Buffer.from(payload).toString("base64")).sort()).toEqual(
      first.map((payload) => Buffer.from(payload).toString("base64")).sort(),
    );
  });
});

describe("a reliable send", () => {
  it("ends with an error when its node closes in the middle", async () => {
    const [a, b] = await pair();
    const sending = errorOf(() => a.send(b.self, new Uint8Array(4_000_000), { reliable: true }));
    await a.close();
    expect((await within(sending, "its end")).code).toMatch(/TATTLER_(CLOSED|STREAM_\w+)/);
  });

  it("ends with an error when the receiver closes in the middle", async () => {
    const [a, b] = await pair();
    const sending = errorOf(() => a.send(b.self, new Uint8Array(4_000_000), { reliable: true }));
    await until(() => b.stats.streams.accepted > 0, "the connection");
    await b.close();
    expect((await within(sending, "its end")).code).toMatch(/TATTLER_STREAM_\w+/);
  });
});
