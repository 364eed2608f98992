import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import { acquireDriver, Driver, type Hosted, releaseDriver } from "../../src/io/driver.js";
import type { SocketBackend } from "../../src/io/native.js";
import type { GossipNode } from "../../src/node.js";
import type { Swim } from "../../src/swim/swim.js";
import { backends, Counter, loopback } from "../support/hub.js";
import {
  bytes,
  closeAfterEach,
  closeLater,
  descriptors,
  fast,
  fewAgain,
  newNode,
  sharedKey,
  text,
  threads,
  until,
  Watch,
  within,
} from "../support/nodes.js";

closeAfterEach();

const never = Number.POSITIVE_INFINITY;

/** A core that only writes down when it is run. */
class FakeCore {
  readonly runs: { nowMs: number; drainedThroughMs: number }[] = [];
  deadlineMs = never;
  heard = 0;
  onAdvance: (nowMs: number, drainedThroughMs: number) => void = () => {
    this.deadlineMs = never;
  };

  advance(nowMs: number, drainedThroughMs: number): void {
    this.runs.push({ nowMs, drainedThroughMs });
    this.onAdvance(nowMs, drainedThroughMs);
  }

  flush(): void {}

  nextDeadline(): number {
    return this.deadlineMs;
  }

  handleHeard(): void {
    this.heard++;
  }
}

interface FakeNode extends Hosted {
  readonly core: FakeCore;
  readonly got: string[];
}

function newDriver(backend: SocketBackend = "linux"): Driver {
  return closeLater(new Driver(backend));
}

function newHosted(driver: Driver, name: string, onSettle: () => void = () => {}): FakeNode {
  const core = new FakeCore();
  const got: string[] = [];
  const endpoint = driver.hub.open({
    ip: loopback,
    port: 0,
    self: driver.hub.intern(name),
    cluster: "test",
    keyring: null,
    stallToleranceMs: 5000,
    pingsPerSecond: 0,
    datagramBytes: 1400,
    retransmitMult: 4,
    queueRecords: 100,
    messageShare: 0.25,
  });
  const node: FakeNode = {
    heapIndex: -1,
    deadlineMs: never,
    isTouched: false,
    isScheduled: false,
    endpoint,
    core,
    got,
    swim: core as unknown as Swim,
    handleMessage: (reader) => void got.push(text(reader.payload())),
    allowsAlive: () => true,
    handleRoundTrip: () => {},
    handlePong: () => {},
    settle: onSettle,
  };
  driver.add(node);
  return node;
}

function sendTo(driver: Driver, from: FakeNode, to: FakeNode, content: string): void {
  const address = driver.hub.internAddress(loopback, to.endpoint.port);
  expect(from.endpoint.message(address, bytes(content))).toBe(true);
  driver.hub.releaseAddress(address);
}

describe("perform", () => {
  it("runs the work, sends what it composed, then lets user code run, and returns the result", async () => {
    const driver = newDriver();
    const order: string[] = [];
    const b = newHosted(driver, "b", () => order.push("b settled"));
    const a = newHosted(driver, "a", () => order.push("a settled"));
    const result = driver.perform(a, () => {
      order.push("work");
      sendTo(driver, a, b, "hello");
      return 42;
    });
    expect([result, order]).toEqual([42, ["work", "a settled"]]);
    await until(() => b.got.length === 1, "the message");
    expect(order).toEqual(["work", "a settled", "b settled"]);
  });

  it("from within user code finishes what it is about before it returns", () => {
    const driver = newDriver();
    const order: string[] = [];
    const b = newHosted(driver, "b", () => order.push("b settled"));
    const a = newHosted(driver, "a", () => {
      order.push("a settles");
      driver.perform(b, () => order.push("work on b"));
      order.push("a settled");
    });
    driver.perform(a, () => {});
    expect(order).toEqual(["a settles", "work on b", "b settled", "a settled"]);
  });

  it("on a node that was removed runs no deadline of it any more", async () => {
    const driver = newDriver();
    const [a, b] = [newHosted(driver, "a"), newHosted(driver, "b")];
    driver.remove(a);
    driver.perform(a, (nowMs) => {
      a.core.deadlineMs = nowMs;
    });
    driver.perform(b, (nowMs) => {
      b.core.deadlineMs = nowMs + 5;
    });
    await until(() => b.core.runs.length === 1, "the deadline of b");
    expect(a.core.runs).toEqual([]);
  });
});

describe("a deadline", () => {
  it("is kept: not early, and once", async () => {
    const driver = newDriver();
    const a = newHosted(driver, "a");
    const atMs = driver.hub.nowMs() + 25;
    driver.perform(a, () => {
      a.core.deadlineMs = atMs;
    });
    await until(() => a.core.runs.length > 0, "the run");
    expect(a.core.runs[0]?.nowMs).toBeGreaterThanOrEqual(atMs);
    const done = driver.hub.nowMs() + 30;
    await until(() => driver.hub.nowMs() > done, "some more time");
    expect(a.core.runs).toHaveLength(1);
  });

  it("that moves forward is kept as well, and those of many nodes come in order", async () => {
    const driver = newDriver();
    const nodes = Array.from({ length: 40 }, (_, i) => newHosted(driver, `n${i}`));
    const startMs = driver.hub.nowMs();
    const order: number[] = [];
    for (const [i, node] of nodes.entries()) {
      const advance = node.core.onAdvance;
      node.core.onAdvance = (...args) => {
        order.push(i);
        advance(...args);
      };
      for (const laterMs of [10_000, 60 - i]) {
        driver.perform(node, () => {
          node.core.deadlineMs = startMs + laterMs;
        });
      }
    }
    await until(() => order.length === 40, "all runs");
    expect(order).toEqual(nodes.map((_, i) => 39 - i));
  });

  it("that needs the sockets drained is run again when they are, without spinning", async () => {
    for (const backend of backends) {
      const driver = newDriver(backend);
      const a = newHosted(driver, "a");
      const atMs = driver.hub.nowMs() + 10;
      a.core.onAdvance = (_nowMs, drainedThroughMs) => {
        if (drainedThroughMs >= atMs) a.core.deadlineMs = never;
      };
      driver.perform(a, () => {
        a.core.deadlineMs = atMs;
      });
      await until(() => a.core.deadlineMs === never, "the verdict");
      const { runs } = a.core;
      expect(runs.at(-1)?.drainedThroughMs).toBeGreaterThanOrEqual(atMs);
      // Every 5 ms at most, for as long as the I/O thread took.
      expect(runs.length).toBeLessThan(20 + (driver.hub.nowMs() - atMs) / 5);
    }
  });

  it("after a stall of JavaScript is judged only with everything read that had arrived", async () => {
    for (const backend of backends) {
      const driver = newDriver(backend);
      const [a, b] = [newHosted(driver, "a"), newHosted(driver, "b")];
      const atMs = driver.hub.nowMs() + 5;
      const readAtVerdict: number[] = [];
      a.core.onAdvance = (_nowMs, drainedThroughMs) => {
        if (drainedThroughMs < atMs) return;
        readAtVerdict.push(a.got.length);
        a.core.deadlineMs = never;
      };
      driver.perform(a, () => {
        a.core.deadlineMs = atMs;
      });
      for (let i = 0; i < 100; i++) sendTo(driver, b, a, `${i}`);
      driver.hub.flush();
      const endMs = driver.hub.nowMs() + 100;
      const received = a.endpoint.index * Counter.count + Counter.recordsReceived;
      const hasAll = (): boolean => driver.counters[received] === 100n || driver.hub.nowMs() > endMs + 10_000;
      while (driver.hub.nowMs() < endMs || !hasAll()); // the event loop stands still until all has arrived
      await until(() => readAtVerdict.length > 0, "the verdict");
      expect(readAtVerdict).toEqual([100]);
    }
  });
});

describe("a node that closes", () => {
  it("while a datagram for it is handled gets no more of the same batch", async () => {
    const driver = newDriver();
    const [a, b] = [newHosted(driver, "a"), newHosted(driver, "b")];
    b.handleMessage = (reader) => {
      b.got.push(text(reader.payload()));
      driver.remove(b);
    };
    const c = newHosted(driver, "c");
    for (let i = 0; i < 50; i++) sendTo(driver, a, b, `${i}`);
    sendTo(driver, a, c, "last");
    driver.hub.flush();
    await until(() => c.got.length === 1, "the last message");
    expect(b.got).toEqual(["0"]);
  });
});

describe("the shared driver", () => {
  it("is one for all who ask for the same back end, and ends with the last of them", async () => {
    acquireDriver("auto");
    const running = threads();
    releaseDriver("auto");
    // The system goes on counting a thread for a moment after it was joined.
    await until(() => threads() < running, "the end of the I/O thread");
    const before = { threads: threads(), descriptors: descriptors() };
    const [first, second, third] = [acquireDriver("auto"), acquireDriver("linux"), acquireDriver("posix")];
    // Not toBe(), which compares their memory byte by byte for its message.
    expect([second === first, third === first]).toEqual([true, false]);
    releaseDriver("posix");
    releaseAll([first]);
    expect(acquireDriver("linux") === first).toBe(true);
    releaseAll([first, first]);
    const fresh = acquireDriver("auto");
    expect(fresh === first).toBe(false);
    releaseAll([fresh]);
    await fewAgain(before);
  });

  function releaseAll(drivers: readonly Driver[]): void {
    for (const _ of drivers) releaseDriver("auto");
  }
});

const index = fileURLToPath(new URL("../../dist/index.js", import.meta.url));

/** Nodes in another thread, whose JavaScript can be blocked. */
class RemoteNodes {
  readonly #worker: Worker;
  constructor(names: readonly string[], seed: string, options: Partial<GossipOptions>) {
    this.#worker = new Worker(
      `const { GossipNode } = require(${JSON.stringify(index)});
       const { parentPort, workerData } = require("node:worker_threads");
       const nodes = [];
       const seen = [];
       parentPort.on("message", (blockMs) => {
         const end = Date.now() + blockMs;
         while (Date.now() < end);
         const raised = nodes.map((node) => node.stats.suspicionsRaised);
         parentPort.postMessage({ seen, raised });
       });
       (async () => {
         for (const name of workerData.names) {
           const node = await GossipNode.create({ ...workerData.options, name });
           nodes.push(node);
           for (const type of ["suspect", "fail"]) node.on(type, (member) => seen.push(type + " " + member.name));
           await node.join([workerData.seed]);
         }
       })();`,
      { eval: true, workerData: { names, seed, options: { ...fast, keys: [sharedKey], ...options } } },
    );
    closeLater({ close: () => this.#worker.terminate() });
  }

  /** Blocks their JavaScript, if so long; then tells what they have seen and how many suspicions they raised. */
  report(blockMs = 0): Promise<{ seen: string[]; raised: number[] }> {
    const answer = new Promise<{ seen: string[]; raised: number[] }>((resolve, reject) => {
      this.#worker.once("message", resolve).once("error", reject);
    });
    this.#worker.postMessage(blockMs);
    return within(answer, "the other thread");
  }
}

/** Probes with some air, so that only the stall could be blamed. */
const patient = { probeIntervalMs: 200, probeTimeoutMs: 150 } as const;

describe("a node whose JavaScript stands still", () => {
  for (const backend of backends) {
    it(`accuses nobody when it comes back, and nobody has accused it (${backend})`, async () => {
      const node = await newNode("blocked", { ...patient, backend });
      const watch = new Watch(node);
      const remote = new RemoteNodes(["p1", "p2", "p3"], node.self.address, { ...patient, backend });
      await until(() => node.memberCount === 4, "the peers");
      const before = await remote.report();
      const { probes } = node.stats;
      const endMs = performance.now() + 1_500;
      while (performance.now() < endMs); // more than seven probe intervals
      const more = node.stats.probes + 3;
      await until(() => node.stats.probes >= more, "probes after the stall");
      expect(node.stats.probes).toBeGreaterThan(probes);
      expect([node.stats.suspicionsRaised, watch.story(true).filter((line) => !line.startsWith("join"))]).toEqual([
        0,
        [],
      ]);
      const after = await remote.report();
      expect(after.seen.filter((line) => line.startsWith("fail"))).toEqual([]);
      expect([before.seen, node.self.state]).toEqual([[], "alive"]);
    });
  }

  it("stays alive to others for as long as its stall tolerance, and is declared dead after", async () => {
    const nodes: GossipNode[] = [await newNode("a", patient), await newNode("b", patient)];
    const [a, b] = nodes as [GossipNode, GossipNode];
    await b.join([a.self.address]);
    const watches = nodes.map((node) => new Watch(node));
    const remote = new RemoteNodes(["r"], a.self.address, { ...patient, stallToleranceMs: 2_000 });
    await until(() => nodes.every((node) => node.member("r") !== undefined), "the remote node");
    await remote.report(1_500);
    expect(watches.flatMap((watch) => watch.of("fail"))).toEqual([]);
    expect(nodes.map((node) => node.member("r")?.state)).toEqual(["alive", "alive"]);
    const blocked = remote.report(8_000);
    for (const watch of watches) await watch.until("fail r");
    const { raised } = await blocked;
    expect(raised).toEqual([0]);
    for (const watch of watches) await watch.until("recover r");
  });
});
