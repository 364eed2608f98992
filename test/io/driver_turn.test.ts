import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeKeyring } from "../../src/io/native.js";
import { DriverBench, type ScriptedHost } from "../support/hosted.js";
import { Counter } from "../support/hub.js";
import { until } from "../support/nodes.js";

const never = Number.POSITIVE_INFINITY;
let bench: DriverBench;
beforeEach(() => {
  bench = new DriverBench();
});
afterEach(() => bench.close());

const nowMs = (): number => bench.driver.hub.nowMs();
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

/** Does nothing to the host but have the driver ask for its deadline. */
function touch(host: ScriptedHost): void {
  bench.driver.perform(host, () => {});
}

/** The host's core has one thing to do, then. */
function dueOnce(host: ScriptedHost, dueMs: number): void {
  host.nextDeadline = () => (host.of("advance").length === 0 ? dueMs : never);
  touch(host);
}

function block(durationMs: number): void {
  const endMs = nowMs() + durationMs;
  while (nowMs() < endMs);
}

describe("a turn of the driver", () => {
  it("serves any number of cores with one timer", async () => {
    const before = timers();
    const hosts = bench.open(50);
    const startMs = nowMs();
    for (const [index, host] of hosts.entries()) dueOnce(host, startMs + 20 + ((index * 7) % 50));
    expect(timers() - before).toBe(1);
    await until(() => hosts.every((host) => host.of("advance").length === 1), "all turns");
    expect(timers() - before).toBeLessThanOrEqual(1);
  });

  it("moves its timer only for what is due before it goes off", () => {
    const hosts = bench.open(50);
    const dueMs = nowMs() + 60_000;
    for (const host of hosts) dueOnce(host, dueMs);
    const armed = vi.spyOn(globalThis, "setTimeout");
    try {
      for (const host of hosts) touch(host);
      expect(armed).not.toHaveBeenCalled();
      dueOnce(hosts[9] as ScriptedHost, dueMs - 50);
      expect(armed).toHaveBeenCalledOnce();
    } finally {
      armed.mockRestore();
    }
  });

  it("asks a core to which nothing came but its time for its next deadline once", async () => {
    const [host] = bench.open(1) as [ScriptedHost];
    let asked = 0;
    dueOnce(host, nowMs() + 2);
    const { nextDeadline } = host;
    host.nextDeadline = (atMs) => {
      asked++;
      return nextDeadline(atMs);
    };
    await until(() => host.of("settle").length === 2, "the turn");
    expect([asked, host.of("advance").length, host.of("flush").length]).toEqual([1, 1, 1]);
  });

  it("tells a core what the I/O thread heard, even when all of it was stale", async () => {
    const [deaf, witness] = bench.open(2) as [ScriptedHost, ScriptedHost];
    deaf.isStale = () => true;
    witness.endpoint.queueSuspect(deaf.self, witness.self, 1, 0);
    const sentMs = nowMs();
    witness.endpoint.gossip(deaf.address);
    bench.driver.hub.flush();
    const received = deaf.endpoint.index * Counter.count + Counter.recordsReceived;
    await until(() => bench.driver.counters[received] === 1n, "the record");
    dueOnce(deaf, nowMs() + 5);
    await until(() => deaf.of("advance").length === 1, "the turn");
    const [heard] = deaf.of("handleHeard");
    expect(heard?.args[0]).toBeGreaterThanOrEqual(sentMs);
    expect(deaf.of("handleSuspect")).toEqual([]);
  });

  it("hands what arrived to the core it is for, and its round trips to the node", async () => {
    const [a, b] = bench.open(2) as [ScriptedHost, ScriptedHost];
    bench.driver.perform(a, () => a.endpoint.ping(b.address, b.self, 7));
    await until(() => a.of("roundTrip").length === 1 && b.of("handlePing").length === 1, "the round trip");
    expect(b.of("handlePing")[0]?.args.slice(1)).toEqual([a.self, expect.any(Number), 7, true]);
    expect(a.of("handleAck")[0]?.args.slice(1)).toEqual([b.self, 7]);
    expect([a.of("handlePing"), b.of("handleAck")]).toEqual([[], []]);
  });

  it("reads far more than a slice of the ring, in order and nothing twice", async () => {
    const [a, b] = bench.open(2) as [ScriptedHost, ScriptedHost];
    const count = 5000;
    const got: number[] = [];
    b.onMessage = (reader) => {
      const [low = 0, high = 0] = reader.payload();
      got.push(low | (high << 8));
    };
    const received = b.endpoint.index * Counter.count + Counter.recordsReceived;
    for (let i = 0; i < count; i++) {
      a.endpoint.message(b.address, Uint8Array.of(i, i >> 8));
      if (i % 100 !== 0) continue;
      bench.driver.hub.flush();
      // A datagram that finds the socket's buffer full is lost: the I/O thread is waited for.
      for (const endMs = nowMs() + 10_000; bench.driver.counters[received]! < i && nowMs() < endMs; ) block(0.1);
    }
    bench.driver.hub.flush();
    await until(() => got.length === count, "all messages");
    expect(got).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  it("reads what arrives while many cores run, before the ring is full", async () => {
    const hosts = bench.open(128);
    const [first] = hosts as [ScriptedHost];
    const runWhenRead: number[] = [];
    first.onMessage = () => void runWhenRead.push(hosts.filter((host) => host.of("advance").length > 0).length);
    const dueMs = nowMs() + 5;
    for (const host of hosts) {
      host.onAdvance = () => {
        if (host !== first) host.endpoint.message(first.address, Uint8Array.of(1));
        // Whoever runs last stays until the I/O thread, however busy the machine, has delivered what was sent before.
        const isLast = hosts.filter((other) => other.of("advance").length > 0).length >= 40;
        const end = nowMs() + 10_000;
        while (isLast && runWhenRead.length === 0 && bench.driver.hub.poll() === 0 && nowMs() < end) block(0.1);
      };
      dueOnce(host, dueMs);
    }
    await until(() => runWhenRead.length === 127, "all messages");
    expect(runWhenRead[0]).toBeLessThan(128);
  });

  it("lets user code run after the cores of all nodes, and of a node only when something happened to it", async () => {
    const [a, b, idle] = bench.open(3) as [ScriptedHost, ScriptedHost, ScriptedHost];
    const order: string[] = [];
    const dueMs = nowMs() + 10;
    const named = { a, b };
    for (const [name, host] of Object.entries(named)) {
      host.onAdvance = () => order.push(`advance ${name}`);
      dueOnce(host, dueMs);
      host.onSettle = () => order.push(`settle ${name}`);
    }
    block(30);
    // The clock stands still, so that all fits into one slice.
    const clock = vi.spyOn(bench.driver.hub, "nowMs").mockReturnValue(nowMs());
    try {
      await until(() => order.length === 4, "both turns");
    } finally {
      clock.mockRestore();
    }
    expect(order.map((line) => line.split(" ")[0])).toEqual(["advance", "advance", "settle", "settle"]);
    expect([...order].sort()).toEqual(["advance a", "advance b", "settle a", "settle b"]);
    expect(idle.calls).toEqual([]);
  });

  it("passes the exception of a call on, and goes on after it", () => {
    const [host] = bench.open(1) as [ScriptedHost];
    const fail = (): never => {
      throw new Error("no");
    };
    expect(() => bench.driver.perform(host, fail)).toThrow("no");
    expect(bench.driver.perform(host, () => 5)).toBe(5);
    expect(host.of("settle")).toHaveLength(1);
  });
});

describe("a keyring", () => {
  it("has the keys in their order, and is none without keys", () => {
    expect(makeKeyring([])).toBeNull();
    const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(16).fill(2)];
    const ids = makeKeyring([first, second])?.ids();
    expect(ids).toEqual([makeKeyring([first])?.ids()[0], makeKeyring([second])?.ids()[0]]);
  });
});
