import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import type { Message } from "../src/delegates.js";
import type { GossipNode } from "../src/node.js";
import { failureOf, key, quick, TestCluster, until } from "./support/cluster.js";

const cluster = new TestCluster();
afterEach(() => cluster.close());

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

function eventsOf(node: GossipNode): string[] {
  const seen: string[] = [];
  for (const event of ["join", "update", "leave", "fail", "recover"] as const) {
    node.on(event, (member) => seen.push(`${event} ${member.name}`));
  }
  return seen;
}

for (const [what, options] of [
  ["the linux back end", { backend: "linux" }],
  ["the posix back end", { backend: "posix" }],
  ["IPv6", { bind: "[::1]:0" }],
  ["no encryption", { keys: [] }],
] as const) {
  describe(`a cluster over ${what}`, () => {
    it("forms, sees a crash as fail and a leave as leave", async () => {
      const [a, b, c, d] = (await cluster.form(4, options)) as [GossipNode, GossipNode, GossipNode, GossipNode];
      const seen = [eventsOf(a), eventsOf(b)];
      await c.close();
      await until(() => seen.every((events) => events.includes("fail n2")), "the failure");
      expect(await d.leave()).toBe(true);
      await d.close();
      await until(() => seen.every((events) => events.includes("leave n3")), "the leave");
      expect(seen).toEqual([
        ["fail n2", "leave n3"],
        ["fail n2", "leave n3"],
      ]);
      expect(a.members.map(({ name }) => name).sort()).toEqual(["n0", "n1"]);
      expect(a.member("n2")?.state).toBe("dead");
      expect(a.member("n3")?.state).toBe("left");
    });
  });
}

describe("joining", () => {
  it("tells the fate of each address and skips our own", async () => {
    const [a, b] = [await cluster.open("a"), await cluster.open("b")];
    const result = await b.join([a.self.address, b.self.address, "127.0.0.1:1"]);
    expect(result.joined).toBe(1);
    const outcomes = Object.fromEntries(result.attempts.map((attempt) => [attempt.address, attempt.outcome]));
    expect(outcomes).toEqual({ [a.self.address]: "joined", [b.self.address]: "skipped", "127.0.0.1:1": "failed" });
    expect(result.attempts.find(({ outcome }) => outcome === "joined")?.peer).toBe("a");
  });

  it("fails with every reason when no address answers", async () => {
    const a = await cluster.open("a");
    const error = await failureOf(a.join(["127.0.0.1:1", "127.0.0.1:2"]));
    expect(error).toMatchObject({ code: "TATTLER_JOIN_FAILED", message: expect.stringMatching(/:1: .*:2: /) });
    expect((await failureOf(Promise.resolve().then(() => a.join(["a:b:c:99999"])))).code).toBe(
      "TATTLER_ADDRESS_INVALID",
    );
  });

  it.each([
    ["another key", { keys: [new Uint8Array(32)] }, /key mismatch/],
    ["no key", { keys: [] }, /key mismatch/],
    ["another cluster", { cluster: "other" }, /another cluster/],
  ])("with %s fails clearly and leaves both sides alone", async (_what, options, reason) => {
    const [a, b] = [await cluster.open("a"), await cluster.open("b", options)];
    expect((await failureOf(b.join([a.self.address]))).message).toMatch(reason);
    expect([a.memberCount, b.memberCount]).toEqual([1, 1]);
    const rejected = (): number => a.stats.streams.rejectedSeal + a.stats.streams.rejectedCluster;
    await until(() => rejected() > 0, "the count");
  });

  it("can be aborted", async () => {
    const silent = createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const a = await cluster.open("a");
    const abort = new AbortController();
    const joining = failureOf(
      a.join([`127.0.0.1:${(silent.address() as AddressInfo).port}`], { signal: abort.signal }),
    );
    abort.abort();
    expect((await joining).message).toMatch(/aborted/);
    silent.close();
  });

  it("lets a member come back under its name and address after a crash", async () => {
    const [a, b] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const seen = eventsOf(a);
    const { address } = b.self;
    await b.close();
    await until(() => seen.includes("fail n1"), "the failure");
    const again = await cluster.open("n1", { bind: address });
    await again.join([a.self.address]);
    await until(() => seen.includes("recover n1"), "the recovery");
    expect(a.member("n1")?.state).toBe("alive");
  });
});

describe("members", () => {
  it("are frozen snapshots with metadata that follows updates", async () => {
    const [a, b] = (await cluster.form(2, { meta: "v1" })) as [GossipNode, GossipNode];
    const before = a.member("n1");
    expect(Object.isFrozen(before)).toBe(true);
    const seen = eventsOf(a);
    b.updateMeta("v2");
    await until(() => seen.includes("update n1"), "the update");
    expect([text(before?.meta ?? bytes("")), text(a.member("n1")?.meta ?? bytes(""))]).toEqual(["v1", "v2"]);
    expect(() => b.updateMeta("x".repeat(513))).toThrow(/513 bytes.*at most 512/);
    expect(text(b.self.meta)).toBe("v2");
  });
});

describe("messages", () => {
  it("broadcast reach all others exactly once", async () => {
    // Enough copies of each that none misses all of them: a broadcast reaches all with high probability only.
    const nodes = await cluster.form(10, { retransmitMult: 10 });
    const counts = new Map<string, number>();
    for (const node of nodes) {
      node.on("message", ({ from, payload, direct }) => {
        const id = `${node.self.name} got ${text(payload)} of ${from} ${direct}`;
        counts.set(id, (counts.get(id) ?? 0) + 1);
      });
    }
    const perNode = 30;
    for (const node of nodes) for (let i = 0; i < perNode; i++) node.broadcast(bytes(`${i}`));
    const expected = nodes.length * perNode * (nodes.length - 1);
    await until(() => counts.size === expected, `${expected} deliveries`);
    await until(() => nodes.every((node) => node.stats.messageDepth === 0), "quiet");
    expect([...counts.values()].every((count) => count === 1)).toBe(true);
    expect(nodes.some((node) => node.stats.duplicates > 0)).toBe(true);
  });

  it("go to one member by name, snapshot or address, with or without a receipt", async () => {
    const [a, b] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const got: Message[] = [];
    b.on("message", (message) => got.push(message));
    await a.send("n1", bytes("1"));
    await a.send(b.self, bytes("2"));
    await a.send(b.self.address, bytes("3"));
    await until(() => got.length === 3, "three datagrams");
    const large = new Uint8Array(2 ** 20).map((_, i) => i * 7);
    await a.send("n1", large, { reliable: true });
    await until(() => got.length === 4, "the reliable message");
    expect(
      got
        .slice(0, 3)
        .map(({ payload }) => text(payload))
        .sort(),
    ).toEqual(["1", "2", "3"]);
    expect(got[3]).toMatchObject({ from: "n0", reliable: true, direct: true });
    expect(Buffer.compare(got[3]?.payload ?? bytes(""), large)).toBe(0);
  });

  it("that cannot be sent say why", async () => {
    const [a] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const large = new Uint8Array(a.maxBroadcastBytes + 1);
    expect(() => a.broadcast(large)).toThrow(expect.objectContaining({ code: "TATTLER_DATAGRAM_TOO_LARGE" }));
    expect((await failureOf(a.send("n1", large))).code).toBe("TATTLER_DATAGRAM_TOO_LARGE");
    expect((await failureOf(a.send("nobody", bytes("x")))).code).toBe("TATTLER_MEMBER_UNKNOWN");
    const huge = new Uint8Array(5 * 2 ** 20);
    expect((await failureOf(a.send("n1", huge, { reliable: true }))).code).toBe("TATTLER_MESSAGE_TOO_LARGE");
    expect(a.stats.messageDepth).toBe(0);
  });
});

describe("delegates", () => {
  it("trade state in both directions of a join", async () => {
    const merged: string[] = [];
    const delegatesOf = (name: string) => ({
      localState: (join: boolean) => bytes(`${name} ${join}`),
      mergeRemoteState: (state: Uint8Array, join: boolean) => void merged.push(`${name}: ${text(state)} ${join}`),
    });
    const a = await cluster.open("a", {}, delegatesOf("a"));
    const b = await cluster.open("b", {}, delegatesOf("b"));
    await b.join([a.self.address]);
    await until(() => merged.length === 2, "both merges");
    expect(merged.sort()).toEqual(["a: b true true", "b: a true true"]);
  });

  it("veto a merge on either end, before anything is told or changed (E-75)", async () => {
    const veto = { allowMerge: () => "not today" };
    const [guarded, open] = [await cluster.open("guarded", {}, veto), await cluster.open("open")];
    expect((await failureOf(open.join([guarded.self.address]))).message).toMatch(/not today/);
    expect([guarded.memberCount, open.member("guarded")]).toEqual([1, undefined]);
    expect((await failureOf(guarded.join([open.self.address]))).message).toMatch(/not today/);
    expect(guarded.stats.syncsMerged).toBe(0);
  });

  it("veto a single member", async () => {
    const seed = await cluster.open("seed", {}, { allowAlive: (member) => member.name !== "banned" });
    const [banned, welcome] = [await cluster.open("banned"), await cluster.open("welcome")];
    await banned.join([seed.self.address]);
    await welcome.join([seed.self.address]);
    await until(() => seed.memberCount === 2, "the welcome one");
    expect(seed.member("banned")).toBeUndefined();
  });

  it("hear of a name conflict and of round trips", async () => {
    const beganMs = performance.now();
    const conflicts: string[] = [];
    const trips: number[] = [];
    const a = await cluster.open(
      "a",
      {},
      {
        onConflict: ({ name }) => void conflicts.push(name),
        onRoundTrip: (_member, rttMs) => void trips.push(rttMs),
      },
    );
    const [b, impostor] = [await cluster.open("b"), await cluster.open("b")];
    await b.join([a.self.address]);
    await impostor.join([a.self.address]);
    await until(() => conflicts.includes("b") && trips.length > 0, "both");
    expect(a.member("b")?.address).toBe(b.self.address);
    expect(trips.every((rttMs) => rttMs >= 0 && rttMs < performance.now() - beganMs)).toBe(true);
  });

  it("and listeners that throw are reported and break nothing", async () => {
    const a = await cluster.open(
      "a",
      {},
      {
        localState: () => {
          throw new Error("no state");
        },
      },
    );
    const b = await cluster.open("b");
    const errors: string[] = [];
    a.on("error", (error) => errors.push(error.message));
    a.on("join", () => {
      throw new Error("no join");
    });
    await b.join([a.self.address]);
    await until(() => errors.length === 2, "both errors");
    expect(errors.sort()).toEqual(["no join", "no state"]);
    expect([a.memberCount, b.memberCount]).toEqual([2, 2]);
  });

  it("and listeners may call the node again", async () => {
    const [a, b] = [await cluster.open("a"), await cluster.open("b")];
    const got: string[] = [];
    a.on("join", () => {
      a.broadcast(bytes("welcome"));
      a.updateMeta("busy");
    });
    b.on("message", ({ payload }) => {
      got.push(text(payload));
      void b.close();
    });
    await b.join([a.self.address]);
    await until(() => got.length > 0 && a.member("b")?.state === "dead", "the answer and the end");
    expect(got).toEqual(["welcome"]);
  });
});

describe("the event iterator", () => {
  it("gives events in order, drops the oldest for a slow reader, and ends with the node", async () => {
    const [a, b] = (await cluster.form(2)) as [GossipNode, GossipNode];
    const stream = a.events();
    const most = 1100;
    for (let i = 0; i < most; i++) await b.send("n0", bytes(`${i}`), { reliable: i % 50 === 0 });
    await until(() => stream.dropped > 0 || a.stats.counters.dropRingMessages > 0, "drops");
    await a.close();
    let count = 0;
    for await (const event of stream) {
      expect(event.type).toBe("message");
      count++;
    }
    expect(count + stream.dropped).toBeGreaterThanOrEqual(1024);
  });
});

describe("the end of a node", () => {
  it("makes every call fail but close, which may be repeated", async () => {
    const a = await cluster.open("a");
    await Promise.all([a.close(), a.close()]);
    for (const call of [
      () => a.self,
      () => a.members,
      () => a.stats,
      () => a.broadcast(bytes("x")),
      () => a.events(),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: "TATTLER_CLOSED" }));
    }
    expect((await failureOf(a.send("b", bytes("x")))).code).toBe("TATTLER_CLOSED");
  });

  it("leaves no descriptor and no thread", async () => {
    const count = (what: string): number => readdirSync(`/proc/self/${what}`).length;
    await cluster.form(3);
    await cluster.close();
    const before = { descriptors: count("fd"), threads: count("task") };
    for (let round = 0; round < 3; round++) {
      await cluster.form(5);
      await cluster.close();
    }
    // The system goes on counting a thread for a moment after it was joined.
    await until(() => count("task") <= before.threads, `${before.threads} threads`);
    await until(() => count("fd") === before.descriptors, `${before.descriptors} descriptors`);
  });

  it("lets the process end by itself, and disposal leaves first", () => {
    const index = fileURLToPath(new URL("../dist/index.js", import.meta.url));
    const script = `
      const { GossipNode } = require(${JSON.stringify(index)});
      (async () => {
        const options = { bind: "127.0.0.1:0", profile: "local", gossipIntervalMs: 20 };
        const a = await GossipNode.create({ name: "a", ...options });
        const b = await GossipNode.create({ name: "b", ...options });
        await b.join([a.self.address]);
        const left = new Promise((resolve) => a.on("leave", (member) => resolve(member.name)));
        await b[Symbol.asyncDispose]();
        console.log("left", await left);
        await a.close();
      })();`;
    const { status, stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8", timeout: 20_000 });
    expect([status, stdout]).toEqual([0, "left b\n"]);
  });

  it("tells a taken port, TCP or UDP, and leaves nothing open", async () => {
    const tcp = createServer();
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const udp = createSocket("udp4");
    udp.bind(0, "127.0.0.1");
    await once(udp, "listening");
    for (const { port } of [tcp.address() as AddressInfo, udp.address()]) {
      const error = await failureOf(cluster.open("a", { bind: `127.0.0.1:${port}` }));
      expect(error).toMatchObject({ code: "TATTLER_BIND_FAILED", message: expect.stringContaining(`:${port}`) });
    }
    tcp.close();
    udp.close();
  });
});

describe("a node whose JavaScript is blocked", () => {
  /** A node in a worker that blocks its event loop for so long once told to. */
  async function blockable(seed: string, stallToleranceMs: number): Promise<Worker> {
    const index = fileURLToPath(new URL("../dist/index.js", import.meta.url));
    const options = { ...quick, name: "blocked", bind: "127.0.0.1:0", stallToleranceMs };
    const worker = new Worker(
      `const { GossipNode } = require(${JSON.stringify(index)});
       const { parentPort, workerData } = require("node:worker_threads");
       (async () => {
         const node = await GossipNode.create({ ...workerData.options, keys: [workerData.key] });
         await node.join([workerData.seed]);
         parentPort.on("message", (ms) => {
           const end = Date.now() + ms;
           while (Date.now() < end);
           parentPort.postMessage({ members: node.members.map(({ name, state }) => name + " " + state) });
         });
         parentPort.postMessage("joined");
       })();`,
      { eval: true, workerData: { options, key, seed } },
    );
    await once(worker, "message");
    return worker;
  }

  it("stays a member while the I/O thread answers, and accuses nobody when it comes back", async () => {
    const nodes = await cluster.form(3);
    const seen = nodes.map(eventsOf);
    const worker = await blockable(nodes[0]?.self.address ?? "", 10_000);
    await until(() => nodes.every((node) => node.member("blocked") !== undefined), "the fourth");
    worker.postMessage(4000);
    const [{ members }] = (await once(worker, "message")) as [{ members: string[] }];
    expect(members.filter((member) => !member.endsWith("alive"))).toEqual([]);
    expect(seen.flat().filter((event) => event.startsWith("fail"))).toEqual([]);
    await worker.terminate();
  });

  it("is found once it exceeds the stall tolerance", async () => {
    const nodes = await cluster.form(3);
    const worker = await blockable(nodes[0]?.self.address ?? "", 300);
    await until(() => nodes.every((node) => node.member("blocked") !== undefined), "the fourth");
    worker.postMessage(15_000);
    await until(() => nodes.every((node) => node.member("blocked")?.state === "dead"), "the verdict");
    await worker.terminate();
  });
});
