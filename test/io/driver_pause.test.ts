import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DriverBench, type ScriptedHost } from "../support/hosted.js";
import { Counter } from "../support/hub.js";
import { until } from "../support/nodes.js";

/** What the driver has answered to each wake-up: whether it comes back by itself. */
const answers: unknown[] = [];
vi.mock("../../src/io/native.js", async (importOriginal) => {
  const native = await importOriginal<typeof import("../../src/io/native.js")>();
  const openHub: typeof native.openHub = (addon, backend, onWake, options) =>
    native.openHub(
      addon,
      backend,
      () => {
        const answer = onWake();
        answers.push(answer);
        return answer;
      },
      options,
    );
  return { ...native, openHub };
});

const never = Number.POSITIVE_INFINITY;
let bench: DriverBench;
beforeEach(() => {
  bench = new DriverBench();
  answers.length = 0;
});
afterEach(() => bench.close());

const nowMs = (): number => bench.driver.hub.nowMs();

function block(durationMs: number): void {
  const endMs = nowMs() + durationMs;
  while (nowMs() < endMs);
}

/** Opens hosts that have one thing to do each, one after the other, all of it overdue. */
function overdue(count: number, onAdvance: (index: number) => void): ScriptedHost[] {
  const hosts = bench.open(count);
  const dueMs = nowMs() + 1;
  for (const [i, host] of hosts.entries()) {
    host.onAdvance = () => onAdvance(i);
    host.nextDeadline = () => (host.of("advance").length === 0 ? dueMs + i / 1000 : never);
    bench.driver.perform(host, () => {});
  }
  block(5);
  return hosts;
}

const runsOf = (hosts: readonly ScriptedHost[]): number[] => hosts.map((host) => host.of("advance").length);
const received = (host: ScriptedHost): number =>
  Number(bench.driver.counters[host.endpoint.index * Counter.count + Counter.recordsReceived]);

/** Holds JavaScript up until the I/O thread has put so many records into the ring. */
function awaitRecords(host: ScriptedHost, count: number): void {
  for (const end = nowMs() + 10_000; received(host) < count && nowMs() < end; ) block(0.1);
  expect(received(host)).toBe(count);
}

/** What `count` gives each time that Node's event loop comes round, until it gives `last`. */
async function watchLoop(count: () => number, last: number): Promise<number[]> {
  const seen: number[] = [];
  for (const end = nowMs() + 20_000; count() < last && nowMs() < end; ) {
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(count());
  }
  return seen;
}

describe("a long turn of the driver", () => {
  it("lets Node's event loop run between two nodes, and runs each of them once, at its time", async () => {
    const hosts = overdue(10, () => block(30));
    const seen = await watchLoop(() => runsOf(hosts).filter((runs) => runs > 0).length, hosts.length);
    expect(seen.filter((count) => count > 0 && count < hosts.length).length).toBeGreaterThanOrEqual(3);
    expect(runsOf(hosts)).toEqual(hosts.map(() => 1));
    const runs = hosts.map((host) => host.of("advance")[0]);
    for (const [i, run] of runs.slice(1).entries()) {
      expect(run?.args[0]).toBeGreaterThan(runs[i]?.atMs ?? never);
    }
  });

  it("keeps Node's event loop waiting for no more than a few milliseconds of work", async () => {
    // A slice ends with the first node past 5 ms, so it holds five of these at most, on a slow machine fewer.
    const hosts = overdue(60, () => block(1));
    const seen = await watchLoop(() => runsOf(hosts).filter((runs) => runs > 0).length, hosts.length);
    const steps = seen.map((count, i) => count - (seen[i - 1] ?? 0));
    expect([Math.max(...steps) <= 6, seen.at(-1)]).toEqual([true, hosts.length]);
  });

  it("lets Node's event loop run while much is read", async () => {
    const [a, b] = bench.open(2) as [ScriptedHost, ScriptedHost];
    const count = 2000;
    let got = 0;
    b.onMessage = () => {
      got++;
      block(0.1);
    };
    for (let i = 0; i < count; i++) {
      a.endpoint.message(b.address, Uint8Array.of(i, i >> 8));
      if (i % 100 !== 99) continue;
      bench.driver.hub.flush();
      block(1); // a datagram that finds the socket's buffer full is lost
    }
    awaitRecords(b, count);
    expect(got).toBe(0);
    const seen = await watchLoop(() => got, count);
    expect(seen.filter((so) => so > 0 && so < count).length).toBeGreaterThanOrEqual(2);
  });

  it("reads what came in its last pause, though the wake-up came to nothing", async () => {
    // A pause after each of the last three, and no look at the ring between them: that is after the 32nd.
    const hosts = overdue(35, (i) => block(i < 32 ? 0 : 60));
    const [first, sender] = [hosts[0] as ScriptedHost, hosts[32] as ScriptedHost];
    let isRead = false;
    first.onMessage = () => {
      isRead = true;
    };
    let answersBefore = -1;
    sender.onSettle = () => {
      if (sender.of("advance").length === 0) return;
      answersBefore = answers.length;
      sender.endpoint.message(first.address, Uint8Array.of(1));
      bench.driver.hub.flush();
      awaitRecords(first, 1);
    };
    await until(() => isRead, "the message");
    expect(runsOf(hosts)).toEqual(hosts.map(() => 1));
    // Once, and not as often as the event loop allows.
    expect(answers.slice(answersBefore)).toContain(true);
    expect(answers.length - answersBefore).toBeLessThan(10);
  });

  it.each([
    ["first", 0],
    ["later", 8],
  ])("is followed by another one when a core throws in its %s slice", async (_, index) => {
    let thrown = 0;
    const hosts = overdue(10, (i) => {
      block(30);
      if (i === index && thrown++ === 0) throw new Error("no");
    });
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const errors: string[] = [];
    process.on("uncaughtException", ({ message }) => errors.push(message));
    try {
      await until(() => runsOf(hosts).every((runs) => runs > 0), "all turns");
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    }
    expect(errors).toEqual(["no"]);
  });

  it("does not run a node that was closed in a pause", async () => {
    const hosts = overdue(10, () => block(30));
    const [first, last] = [hosts[0] as ScriptedHost, hosts[9] as ScriptedHost];
    first.onSettle = () => {
      if (first.of("advance").length > 0) bench.closeOne(last);
    };
    await until(() => runsOf(hosts.slice(0, 9)).every((runs) => runs === 1), "all turns");
    expect(last.of("advance")).toEqual([]);
  });

  it("ends with its driver, and leaves nothing behind", async () => {
    const hosts = overdue(10, () => block(30));
    await until(() => runsOf(hosts).some((runs) => runs > 0), "the first slice");
    const immediates = (): number => process.getActiveResourcesInfo().filter((name) => name === "Immediate").length;
    const before = immediates();
    const ran = runsOf(hosts);
    bench.close();
    expect(before - immediates()).toBe(1);
    bench = new DriverBench();
    await new Promise((resolve) => setImmediate(resolve));
    expect(runsOf(hosts)).toEqual(ran);
  });
});
