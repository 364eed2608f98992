import { spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import type { NodeEvent } from "../src/delegates.js";
import { acquireDriver, releaseDriver } from "../src/io/driver.js";
import { GossipNode } from "../src/node.js";
import {
  allSee,
  bytes,
  closeAfterEach,
  closeLater,
  descriptors,
  errorOf,
  fast,
  fewAgain,
  letters,
  newCluster,
  newNode,
  sharedKey,
  text,
  threads,
  until,
  Watch,
  within,
} from "./support/nodes.js";

closeAfterEach();

const index = fileURLToPath(new URL("../dist/index.js", import.meta.url));

async function taken<T extends Server | Socket>(holder: T): Promise<number> {
  await once(holder, "listening");
  closeLater({ close: () => void holder.close() });
  return (holder.address() as AddressInfo).port;
}

const takenTcp = (): Promise<number> => taken(createServer().listen(0, "127.0.0.1"));
const takenUdp = (): Promise<number> => taken(createSocket("udp4").bind(0, "127.0.0.1"));

describe("a closed node", () => {
  it("answers every call but close with TATTLER_CLOSED", async () => {
    const a = await newNode("a");
    await a.close();
    const calls: (() => unknown)[] = [
      () => a.self,
      () => a.members,
      () => a.memberCount,
      () => a.member("a"),
      () => a.stats,
      () => a.maxBroadcastBytes,
      () => a.events(),
      () => a.updateMeta("x"),
      () => a.broadcast(bytes("x")),
      () => a.send("a", bytes("x")),
      () => a.send("127.0.0.1:1", bytes("x"), { reliable: true }),
      () => a.join(["127.0.0.1:1"]),
      () => a.leave(),
    ];
    for (const call of calls) expect((await errorOf(call)).code, String(call)).toBe("TATTLER_CLOSED");
    await a.close();
    await a[Symbol.asyncDispose]();
  });

  it("is closed as soon as close() was called, and all its callers wait for the same end", async () => {
    const a = await newNode("a");
    const first = a.close();
    expect(a.close()).toBe(first);
    expect((await errorOf(() => a.members)).code).toBe("TATTLER_CLOSED");
    await first;
  });

  it("gives its port free", async () => {
    const a = await newNode("a");
    const { address } = a.self;
    await a.close();
    const again = await newNode("a", { bind: address });
    expect(again.self.address).toBe(address);
  });

  it("lets what was under way end with an error", async () => {
    const [a, b] = [await newNode("a"), await newNode("b")];
    const silent = await takenTcp();
    const joining = errorOf(() => b.join([`127.0.0.1:${silent}`], { timeoutMs: 60_000 }));
    await until(() => b.stats.streams.dialed === 1, "the dial");
    await b.close();
    expect((await within(joining, "the join", 2_000)).message).toMatch(/closed/);
    expect(a.memberCount).toBe(1);
  });
});

describe("the event iterator", () => {
  const label = (event: NodeEvent): string =>
    event.type === "message" ? text(event.detail.payload) : event.type === "error" ? "error" : event.detail.name;

  it("gives events in order until the node closes", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const seen: string[] = [];
    const stream = a.events();
    const reading = (async () => {
      for await (const event of stream) seen.push(`${event.type} ${label(event)}`);
    })();
    for (let i = 0; i < 5; i++) await b.send("a", bytes(`${i}`), { reliable: true });
    await b.leave();
    await until(() => seen.some((line) => line.startsWith("leave")), "the leave");
    await a.close();
    await within(reading, "the end of the loop");
    expect(seen).toEqual(["message 0", "message 1", "message 2", "message 3", "message 4", "leave b"]);
    expect(stream.dropped).toBe(0);
  });

  it("loses the oldest beyond 1,024 when nobody reads, and says how many", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const stream = a.events();
    const watch = new Watch(a);
    for (let i = 0; i < 1_100; i++) await b.send("a", bytes(`${i}`));
    await until(() => watch.of("message").length === 1_100, "all datagrams");
    expect(stream.dropped).toBe(76);
    const expected = watch
      .of("message")
      .slice(76)
      .map(({ payload }) => text(payload));
    await a.close();
    const seen: string[] = [];
    for await (const event of stream) seen.push(label(event));
    expect(seen).toEqual(expected);
  });

  it("ends when its loop is left, without harm to another", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const other = a.events();
    const stream = a.events();
    b.broadcast(bytes("one"));
    for await (const event of stream) {
      expect(label(event)).toBe("one");
      break;
    }
    await b.send("a", bytes("two"), { reliable: true });
    expect(await stream.next()).toMatchObject({ done: true });
    expect(label((await other.next()).value)).toBe("one");
    expect(label((await other.next()).value)).toBe("two");
  });
});

describe("disposal", () => {
  it("leaves first, then closes", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(a);
    await b[Symbol.asyncDispose]();
    await watch.until("leave b");
    expect(watch.story(true)).toEqual(["leave b"]);
    expect((await errorOf(() => b.self)).code).toBe("TATTLER_CLOSED");
  });
});

describe("create", () => {
  for (const [what, take] of [
    ["TCP", takenTcp],
    ["UDP", takenUdp],
  ] as const) {
    it(`on a port that is taken on ${what} only fails and leaves nothing behind`, async () => {
      await (await newNode("warm-up")).close();
      const port = await take();
      const before = { threads: threads(), descriptors: descriptors() };
      for (let i = 0; i < 3; i++) {
        const error = await errorOf(() => newNode("a", { bind: `127.0.0.1:${port}` }));
        expect(error.code).toBe("TATTLER_BIND_FAILED");
        expect(error.message).toContain(String(port));
        expect(error.message).toMatch(/in use/i);
      }
      await fewAgain(before);
      expect((await newNode("a")).memberCount).toBe(1);
    });
  }

  it("on an address that is not this machine's fails and leaves nothing behind", async () => {
    await (await newNode("warm-up")).close();
    const before = { threads: threads(), descriptors: descriptors() };
    expect((await errorOf(() => newNode("a", { bind: "192.0.2.1:0" }))).code).toBe("TATTLER_BIND_FAILED");
    expect(descriptors()).toBe(before.descriptors);
    await fewAgain(before);
  });

  it("twenty times, with close, leaves no handle, thread or descriptor", async () => {
    await (await newNode("warm-up")).close();
    const resources = (): string[] => process.getActiveResourcesInfo().filter((name) => /TCP|UDP|Timeout/.test(name));
    const before = { threads: threads(), descriptors: descriptors(), resources: resources().length };
    const nodes = await newCluster(letters(20));
    await Promise.all(nodes.map((node) => node.close()));
    await fewAgain(before);
    await until(() => resources().length <= before.resources, "ended timers and handles");
  });

  it("and close give back every name they interned, whatever happened in between", async () => {
    const { hub } = acquireDriver("auto");
    closeLater({ close: () => releaseDriver("auto") });
    const names = ["keeper", "leaver", "crasher", "twin", "banned", "messenger"];
    const keeper = await newNode("keeper", {}, { allowAlive: ({ name }) => name !== "banned" });
    const [leaver, crasher] = [await newNode("leaver"), await newNode("crasher")];
    const [twin, second, banned] = [await newNode("twin"), await newNode("twin"), await newNode("banned")];
    const messenger = await newNode("messenger");
    const nodes = [leaver, crasher, twin, second, banned, messenger];
    for (const node of nodes) await node.join([keeper.self.address]);
    const watch = new Watch(keeper);
    messenger.broadcast(bytes("x"));
    messenger.updateMeta("y");
    await crasher.close();
    await leaver.leave();
    await watch.until("fail crasher");
    await watch.until("update messenger");
    expect(names.map((name) => hub.find(name) > 0)).toEqual(names.map(() => true));
    await Promise.all([keeper, ...nodes].map((node) => node.close()));
    expect(names.filter((name) => hub.find(name) > 0)).toEqual([]);
  });

  it("one after the other in one process works as often as wanted", async () => {
    const before = { threads: threads(), descriptors: descriptors() };
    for (let i = 0; i < 30; i++) await (await newNode(`n${i}`)).close();
    await until(() => descriptors() <= before.descriptors, "closed descriptors");
    expect(threads()).toBeLessThanOrEqual(before.threads + 4); // libuv may have grown its pool
  });
});

for (const [what, options] of [
  ["the linux back end", { backend: "linux" }],
  ["the posix back end", { backend: "posix" }],
  ["IPv6", { bind: "[::1]:0" }],
  ["AES-128", { keys: [sharedKey.slice(0, 16)] }],
  ["JavaScript that answers pings itself", { stallToleranceMs: 0 }],
] as const) {
  it(`a cluster over ${what} joins, gossips, fails and leaves`, async () => {
    const nodes = (await newCluster(["a", "b", "c", "d"], options)) as [GossipNode, GossipNode, GossipNode, GossipNode];
    const [a, b, c, d] = nodes;
    const [watch, other] = [new Watch(a), new Watch(b)];
    d.broadcast(bytes("hello"));
    await a.send("b", bytes("direct"));
    await a.send("b", bytes("reliable"), { reliable: true });
    await until(() => watch.of("message").length === 1 && other.of("message").length === 3, "all messages");
    await c.close();
    await watch.until("fail c");
    expect(await d.leave()).toBe(true);
    await d.close();
    await watch.until("leave d");
    await other.until("leave d");
    await other.until("fail c");
    expect(watch.story()).toEqual(["fail c", "leave d"]);
    await allSee([a, b], 2);
  });
}

it("nodes of both back ends share a cluster and a process", async () => {
  const a = await newNode("a", { backend: "linux" });
  const b = await newNode("b", { backend: "posix" });
  await b.join([a.self.address]);
  const watch = new Watch(a);
  await allSee([a, b], 2);
  b.broadcast(bytes("x"));
  await until(() => watch.of("message").length === 1, "the broadcast");
});

describe("the process", () => {
  const run = (body: string): { status: number | null; stdout: string; stderr: string } => {
    const script = `const { GossipNode } = require(${JSON.stringify(index)});
      const options = ${JSON.stringify(fast)};
      (async () => { ${body} })();`;
    return spawnSync(process.execPath, ["-e", script], { encoding: "utf8", timeout: 20_000 });
  };

  it("ends by itself once its nodes are closed", () => {
    const { status, stdout, stderr } = run(`
      const a = await GossipNode.create({ ...options, name: "a" });
      const b = await GossipNode.create({ ...options, name: "b" });
      await b.join([a.self.address]);
      await b[Symbol.asyncDispose]();
      await a.close();
      console.log("closed");`);
    expect([status, stdout, stderr]).toEqual([0, "closed\n", ""]);
  });

  it("ends by itself after a create that failed", () => {
    const { status, stdout, stderr } = run(`
      const a = await GossipNode.create({ ...options, name: "a" });
      await GossipNode.create({ ...options, name: "b", bind: a.self.address }).catch(({ code }) => console.log(code));
      await a.close();`);
    expect([status, stdout, stderr]).toEqual([0, "TATTLER_BIND_FAILED\n", ""]);
  });

  it("may exit in the middle of everything", () => {
    const { status, stderr } = run(`
      const a = await GossipNode.create({ ...options, name: "a" });
      const b = await GossipNode.create({ ...options, name: "b" });
      await b.join([a.self.address]);
      b.on("message", () => process.exit(7));
      a.broadcast(new Uint8Array(5));`);
    expect([status, stderr]).toEqual([7, ""]);
  });
});

describe("a worker thread", () => {
  it("hosts a node that is a member like any other, and may be terminated", async () => {
    const a = await newNode("a");
    const watch = new Watch(a);
    const worker = new Worker(
      `const { GossipNode } = require(${JSON.stringify(index)});
       const { parentPort, workerData } = require("node:worker_threads");
       (async () => {
         const node = await GossipNode.create({ ...workerData.options, name: "w" });
         node.on("message", ({ from, payload }) => node.send(from, payload, { reliable: true }));
         await node.join([workerData.seed]);
         parentPort.once("message", async () => { await node.leave(); await node.close(); parentPort.close(); });
       })();`,
      { eval: true, workerData: { seed: a.self.address, options: { ...fast, keys: [sharedKey] } } },
    );
    closeLater({ close: () => worker.terminate() });
    await watch.until("join w");
    await a.send("w", bytes("echo"), { reliable: true });
    await until(() => watch.of("message").length === 1, "the echo");
    expect(watch.of("message")[0]).toMatchObject({ from: "w", payload: bytes("echo"), reliable: true });
    const exited = once(worker, "exit");
    worker.postMessage("leave");
    await watch.until("leave w");
    const [code] = await within(exited, "the end of the worker");
    expect(code).toBe(0);
  });

  it("that is terminated is seen as failed", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(a);
    const worker = new Worker(
      `const { GossipNode } = require(${JSON.stringify(index)});
       const { workerData } = require("node:worker_threads");
       GossipNode.create({ ...workerData.options, name: "w" }).then((node) => node.join([workerData.seed]));`,
      { eval: true, workerData: { seed: b.self.address, options: { ...fast, keys: [sharedKey] } } },
    );
    await watch.until("join w");
    await worker.terminate();
    await watch.until("fail w");
    expect(await GossipNode.create({ ...fast, name: "c", keys: [sharedKey] }).then((node) => node.close())).toBe(
      undefined,
    );
  });
});
