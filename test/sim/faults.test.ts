import { afterEach, describe, expect, it, vi } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import type { SimNode } from "../../src/sim/node.js";
import { type SimEvent, Simulation } from "../../src/sim/simulation.js";

const secondMs = 1000;
const minuteMs = 60 * secondMs;
let sim: Simulation;
let told: SimEvent[];
afterEach(() => sim.close());

/** n0 ... that all know each other; `told` holds what came after that. */
function form(count: number, options: Partial<GossipOptions> = {}, seed = 1): SimNode[] {
  told = [];
  sim = new Simulation({ seed, observe: (event) => told.push(event) });
  const nodes = Array.from({ length: count }, (_, index) => sim.open(`n${index}`, options));
  for (const node of nodes.slice(1)) node.join("n0");
  expect(sim.run(minuteMs, () => nodes.every((node) => node.memberCount === count))).toBe(true);
  told.length = 0;
  return nodes;
}

const fails = (): string[] => told.filter(({ kind }) => kind === "fail").map(({ node, about }) => `${node} ${about}`);
const suspects = (): SimEvent[] => told.filter(({ kind }) => kind === "suspect");

describe("a machine", () => {
  it("whose JavaScript stands still answers for its tolerance: nobody fails, and it accuses nobody", () => {
    const [a] = form(8) as [SimNode];
    a.stall("scriptStalled");
    sim.run(4 * secondMs);
    expect(suspects()).toEqual([]);
    a.resume();
    sim.run(minuteMs);
    expect([fails(), suspects()]).toEqual([[], []]);
  });

  it("whose JavaScript stands still for longer is found, accuses nobody, and is back in seconds", () => {
    const [a] = form(8) as [SimNode];
    a.stall("scriptStalled");
    sim.run(3 * minuteMs, () => fails().length === 7);
    expect(new Set(told.filter(({ kind }) => kind === "fail").map(({ about }) => about))).toEqual(new Set(["n0"]));
    a.resume();
    expect(sim.run(minuteMs, () => sim.nodes.every((node) => node.memberCount === 8))).toBe(true);
    expect(told.filter(({ kind, node }) => kind === "fail" && node === "n0")).toEqual([]);
  });

  it("that is stopped for a moment harms nobody; for longer it fails, and recovers when it goes on", () => {
    const [a] = form(8) as [SimNode];
    a.stall("stopped");
    sim.run(300);
    a.resume();
    sim.run(minuteMs);
    expect(fails()).toEqual([]);
    a.stall("stopped");
    expect(sim.run(3 * minuteMs, () => fails().length === 7)).toBe(true);
    a.resume();
    expect(sim.run(minuteMs, () => sim.nodes.every((node) => node.memberCount === 8))).toBe(true);
    expect(fails().every((pair) => pair.endsWith(" n0"))).toBe(true);
  });

  it("with a clock that runs a tenth too slow or too fast, or jumps by an hour, fails nobody", () => {
    const [slow, quick, jumping] = form(8) as SimNode[];
    slow?.host.setRate(0.9, sim.nowMs);
    quick?.host.setRate(1.1, sim.nowMs);
    jumping?.host.jump(60 * minuteMs, sim.nowMs);
    sim.run(10 * minuteMs);
    expect(fails()).toEqual([]);
    expect(sim.nodes.map((node) => node.memberCount)).toEqual(Array(8).fill(8));
  });

  it("that crashed while it refuses is asked about at once by whoever sent it something", () => {
    const nodes = form(8);
    nodes[7]?.close({ refuses: true });
    sim.run(10 * secondMs);
    expect(sim.nodes.reduce((sum, { swim }) => sum + swim.stats().refusals, 0)).toBeGreaterThan(0);
  });
});

describe("a network", () => {
  it("that duplicates, delays and reorders delivers broadcasts once and fails nobody", () => {
    const [a] = form(10) as [SimNode];
    sim.network.duplicateRate = 0.3;
    sim.network.delay = { kind: "tail", minMs: 1, meanMs: 30 };
    for (let i = 0; i < 20; i++) a.broadcast(Uint8Array.of(i));
    sim.run(minuteMs);
    const got = told
      .filter(({ kind }) => kind === "message")
      .map((event) => `${event.node} ${"payload" in event ? event.payload : ""}`);
    expect(new Set(got).size).toBe(got.length);
    expect(got.length).toBe(9 * 20);
    expect(fails()).toEqual([]);
  });

  it("with a narrow sender makes its datagrams wait for their turn", () => {
    const [a, b] = form(2) as [SimNode, SimNode];
    sim.network.setBandwidth("n0", 100);
    const before = sim.nowMs;
    a.broadcast(new Uint8Array(100));
    expect(sim.run(minuteMs, () => told.some(({ kind, node }) => kind === "message" && node === b.name))).toBe(true);
    expect(sim.nowMs - before).toBeGreaterThan(1000);
  });

  it("cut one way loses what goes that way only", () => {
    const [a] = form(3) as [SimNode];
    sim.network.cut("n0", "n1");
    expect([sim.network.isReachable("n0", "n1"), sim.network.isReachable("n1", "n0")]).toEqual([false, true]);
    sim.run(minuteMs);
    expect(sim.network.stopped).toBeGreaterThan(10);
    // Helpers and the third member keep both alive.
    expect([fails(), a.memberCount]).toEqual([[], 3]);
  });

  it("whose streams fail in every way is survived by those who try again", () => {
    const [a] = form(5) as [SimNode];
    sim.network.streamFaultRate = 1;
    const late = sim.open("late");
    for (let i = 0; i < 10; i++) late.join("n0");
    sim.run(minuteMs);
    expect(late.swim.stats().syncsFailed).toBeGreaterThanOrEqual(10); // and its own periodic ones
    sim.network.heal();
    late.join("n0");
    expect(sim.run(minuteMs, () => a.memberCount === 6)).toBe(true);
  });
});

describe("a stream", () => {
  it("that stalls half way leaves the joiner known there, and tells it that nothing came after its time-out", () => {
    const [a] = form(3) as [SimNode];
    const late = sim.open("late", { streamTimeoutMs: 3000 });
    sim.network.drawStreamFault = () => "stalled";
    const before = sim.nowMs;
    late.join("n0");
    sim.run(100);
    expect([a.stateOf("late"), late.swim.stats().syncsFailed]).toEqual(["alive", 0]);
    sim.run(secondMs * 4, () => late.swim.stats().syncsFailed === 1);
    expect(sim.nowMs - before).toBeCloseTo(3000, 0);
  });
});

describe("the wall clock", () => {
  it("may jump at any time: nothing depends on it", () => {
    const life = (): string => {
      form(5);
      sim.network.lossRate = 0.1;
      sim.run(minuteMs);
      const { hash } = sim.trace;
      sim.close();
      return hash;
    };
    const calm = life();
    const clock = vi.spyOn(Date, "now");
    let jumps = 0;
    clock.mockImplementation(() => (jumps++ % 2 === 0 ? 0 : 4e12));
    const jumping = life();
    clock.mockRestore();
    expect(jumping).toBe(calm);
  });
});

describe("a restart", () => {
  it("at a new address after a leave is a join, at the old one after a crash a recovery", () => {
    const [, b, c] = form(5) as SimNode[];
    b?.leave();
    sim.run(5 * secondMs);
    b?.close();
    c?.close();
    sim.run(minuteMs, () => sim.node("n0")?.stateOf("n2") === "dead");
    sim.open("n1", {}, { newAddress: true }).join("n0");
    sim.open("n2").join("n0");
    expect(sim.run(minuteMs, () => sim.nodes.every((node) => node.memberCount === 5))).toBe(true);
    const kinds = told.filter(({ node }) => node === "n0").map(({ kind, about }) => `${kind} ${about}`);
    expect(kinds).toEqual(expect.arrayContaining(["join n1", "recover n2"]));
  });
});

describe("the trace", () => {
  const life = (seed: number): string => {
    const nodes = form(6, {}, seed);
    sim.network.lossRate = 0.2;
    nodes[1]?.close();
    nodes[2]?.stall("stopped");
    sim.run(minuteMs);
    const { hash } = sim.trace;
    expect(sim.trace.events).toBeGreaterThan(1000);
    sim.close();
    return hash;
  };

  it("is the same for the same seed, and another for another", () => {
    const first = life(7);
    expect(first).toMatch(/^[0-9a-f]{16}$/);
    expect(life(7)).toBe(first);
    expect(life(8)).not.toBe(first);
  });
});
