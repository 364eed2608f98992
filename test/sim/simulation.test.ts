import { afterEach, describe, expect, it } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import type { SimNode } from "../../src/sim/node.js";
import { type SimEvent, Simulation, type SimulationOptions } from "../../src/sim/simulation.js";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const defaultDelayMs = 0.2;
let sims: Simulation[] = [];
afterEach(() => {
  for (const sim of sims) sim.close();
  sims = [];
});

function newSimulation(options: SimulationOptions): Simulation {
  const sim = new Simulation(options);
  sims.push(sim);
  return sim;
}

/** Nodes n0 ... that all know each other. */
function form(sim: Simulation, count: number, options: Partial<GossipOptions> = {}): SimNode[] {
  const nodes = Array.from({ length: count }, (_, index) => sim.open(`n${index}`, options));
  for (const node of nodes.slice(1)) node.join("n0");
  expect(sim.run(minuteMs, () => nodes.every((node) => node.memberCount === count))).toBe(true);
  return nodes;
}

const line = ({ atMs, node, kind, about }: SimEvent): string => `${atMs} ${node} ${kind} ${about}`;
const key = new Uint8Array(32).fill(7);

/** A life of a cluster with loss, a crash, a leave and a broadcast, as a text. */
function story(seed: number): string {
  const told: string[] = [];
  const sim = newSimulation({ seed, observe: (event) => told.push(line(event)) });
  sim.network.lossRate = 0.1;
  sim.network.delay = { kind: "constant", ms: 1 };
  const nodes = form(sim, 12, { keys: [key] });
  nodes[1]?.broadcast(Uint8Array.of(1));
  nodes[2]?.close();
  nodes[3]?.leave();
  sim.run(minuteMs);
  return told.join("\n");
}

describe("a sim in memory", () => {
  it("forms a cluster and finds out about a crash, a leave and an update, each as what it is", () => {
    const told: SimEvent[] = [];
    const sim = newSimulation({ seed: 1, observe: (event) => told.push(event) });
    const [first, crashed, left, updated] = form(sim, 20, { keys: [key] }) as SimNode[];
    told.length = 0;
    crashed?.close();
    left?.leave();
    updated?.updateMeta(Uint8Array.of(1, 2, 3));
    // Who has left is told nothing more.
    const staying = sim.nodes.filter((node) => node !== left);
    expect(sim.run(minuteMs, () => staying.every((node) => node.stateOf("n1") === "dead"))).toBe(true);
    const about = (kind: string): string[] => [...new Set(told.filter((e) => e.kind === kind).map((e) => e.about))];
    expect([about("fail"), about("leave"), about("update")]).toEqual([["n1"], ["n2"], ["n3"]]);
    expect(told.filter((event) => event.kind === "leave")).toHaveLength(18);
    expect([first?.stateOf("n2"), first?.stateOf("nobody")]).toEqual(["left", null]);
  });

  it("tells the same story for the same seed, to the last millisecond, and another for another", () => {
    const first = story(3);
    expect(first.split("\n").length).toBeGreaterThan(12 * 11);
    expect(story(3)).toBe(first);
    expect(story(4)).not.toBe(first);
  });

  it("stands still but inside run(), which moves the clock as far as it is told", () => {
    const sim = newSimulation({ seed: 1 });
    const [a, b] = [sim.open("a"), sim.open("b")];
    b.join("a");
    expect([sim.nowMs, a.memberCount, b.memberCount]).toEqual([0, 1, 1]);
    sim.run(defaultDelayMs / 2);
    expect([sim.nowMs, a.memberCount, b.memberCount]).toEqual([defaultDelayMs / 2, 1, 1]);
    sim.run(minuteMs);
    expect([sim.nowMs, a.memberCount, b.memberCount]).toEqual([defaultDelayMs / 2 + minuteMs, 2, 2]);
    expect(sim.run(10, () => false)).toBe(false);
    expect(sim.run(10, () => true)).toBe(true);
    expect(sim.nowMs).toBe(defaultDelayMs / 2 + minuteMs + 10);
  });

  it("accuses nobody in an hour of peace, at any delay a datagram may take", () => {
    const told: SimEvent[] = [];
    const sim = newSimulation({ seed: 5, observe: (event) => told.push(event) });
    sim.network.delay = { kind: "uniform", minMs: 0, maxMs: 40 };
    form(sim, 8);
    told.length = 0;
    sim.run(hourMs);
    expect(told).toEqual([]);
  });

  it("needs no time where the route takes none", () => {
    const sim = newSimulation({ seed: 1 });
    sim.network.delay = { kind: "constant", ms: 0 };
    const nodes = form(sim, 5);
    sim.run(minuteMs);
    expect(nodes.map((node) => node.memberCount)).toEqual([5, 5, 5, 5, 5]);
  });

  it("delivers a broadcast once to everybody, although a fifth of all datagrams are lost", () => {
    const got = new Map<string, number>();
    const observe = (event: SimEvent): void => {
      if (event.kind === "message") got.set(event.node, (got.get(event.node) ?? 0) + 1);
    };
    const sim = newSimulation({ seed: 2, observe });
    const nodes = form(sim, 15);
    sim.network.lossRate = 0.2;
    expect(nodes[0]?.broadcast(Uint8Array.of(1, 2, 3))).toBe(true);
    sim.run(minuteMs);
    expect(got.size).toBe(14);
    expect([...got.values()]).toEqual(new Array(14).fill(1));
    expect(sim.network.lost).toBeGreaterThan(100);
    expect(nodes[0]?.broadcast(new Uint8Array(60_000))).toBe(false);
  });
});

describe("a partition", () => {
  it("makes each side declare the other dead and nobody of its own, and ends with one join across", () => {
    const failed: string[] = [];
    const observe = ({ kind, node, about }: SimEvent): void => void (kind === "fail" && failed.push(node + about));
    const sim = newSimulation({ seed: 9, observe });
    const nodes = form(sim, 10);
    const isLeft = (name: string): boolean => Number(name.slice(1)) < 5;
    const names = nodes.map(({ name }) => name);
    sim.network.partition([names.filter(isLeft), names.filter((name) => !isLeft(name))]);
    const isSplit = (): boolean => nodes.every((node) => node.memberCount === 5);
    expect(sim.run(5 * minuteMs, isSplit)).toBe(true);
    expect(failed).toHaveLength(50);
    expect(failed.filter((pair) => isLeft(pair.slice(0, 2)) === isLeft(pair.slice(2)))).toEqual([]);
    sim.network.heal();
    nodes[0]?.join("n9");
    expect(sim.run(minuteMs, () => nodes.every((node) => node.memberCount === 10))).toBe(true);
  });

  it("of the datagrams alone kills nobody: the streams still answer (M-108)", () => {
    const told: SimEvent[] = [];
    const sim = newSimulation({ seed: 4, observe: (event) => told.push(event) });
    form(sim, 3);
    told.length = 0;
    for (const name of ["n0", "n1", "n2"]) sim.network.setLossTo(name, 1);
    sim.run(10 * minuteMs);
    expect(told.filter(({ kind }) => kind === "fail" || kind === "suspect")).toEqual([]);
    sim.network.heal();
    sim.network.partition([["n2"], ["n0", "n1"]]);
    sim.run(minuteMs);
    expect(told.some(({ kind, about }) => kind === "fail" && about === "n2")).toBe(true);
  });
});

describe("a node in memory", () => {
  it("that comes back under its name has its old address, and recovers", () => {
    const told: string[] = [];
    const sim = newSimulation({ seed: 6, observe: ({ node, kind, about }) => told.push(`${node} ${kind} ${about}`) });
    const [a, , c] = form(sim, 3) as SimNode[];
    c?.close();
    c?.close();
    sim.run(minuteMs, () => a?.stateOf("n2") === "dead");
    const again = sim.open("n2");
    expect(again.address).toBe(c?.address);
    again.join("n0");
    sim.run(minuteMs, () => told.includes("n0 recover n2"));
    expect(a?.stateOf("n2")).toBe("alive");
    expect(again.memberCount).toBe(3);
  });

  it("cannot run twice under one name, nor join whom nobody runs", () => {
    const sim = newSimulation({ seed: 1 });
    const a = sim.open("a");
    expect(() => sim.open("a")).toThrow(expect.objectContaining({ code: "TATTLER_BIND_FAILED" }));
    expect(() => a.join("b")).toThrow(expect.objectContaining({ code: "TATTLER_MEMBER_UNKNOWN" }));
  });

  it("may be called from what is told, which then is told after the rest", () => {
    const told: string[] = [];
    const sim = newSimulation({
      seed: 1,
      observe: ({ node, kind, about }) => {
        told.push(`${node} ${kind} ${about}`);
        if (kind === "join") sim.nodes.find(({ name }) => name === node)?.broadcast(Uint8Array.of(1));
        if (kind === "message") sim.nodes.find(({ name }) => name === node)?.close();
      },
    });
    const [, b] = [sim.open("a"), sim.open("b")];
    b.join("a");
    sim.run(minuteMs);
    expect(told.slice(0, 2).sort()).toEqual(["a join b", "b join a"]);
    expect(told.filter((text) => text.includes("message"))).toHaveLength(1);
    expect(sim.nodes).toHaveLength(1);
  });
});
