import { afterEach, describe, expect, it } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import { type MemoryEvent, MemoryNetwork, type MemoryOptions } from "../../src/io/memory.js";
import type { MemoryNode } from "../../src/io/memory_node.js";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const defaultDelayMs = 0.2;
let networks: MemoryNetwork[] = [];
afterEach(() => {
  for (const network of networks) network.close();
  networks = [];
});

function newNetwork(options: MemoryOptions): MemoryNetwork {
  const network = new MemoryNetwork(options);
  networks.push(network);
  return network;
}

/** Nodes n0 ... that all know each other. */
function form(network: MemoryNetwork, count: number, options: Partial<GossipOptions> = {}): MemoryNode[] {
  const nodes = Array.from({ length: count }, (_, index) => network.open(`n${index}`, options));
  for (const node of nodes.slice(1)) node.join("n0");
  expect(network.run(minuteMs, () => nodes.every((node) => node.memberCount === count))).toBe(true);
  return nodes;
}

const line = ({ atMs, node, kind, about }: MemoryEvent): string => `${atMs} ${node} ${kind} ${about}`;
const key = new Uint8Array(32).fill(7);

/** A life of a cluster with loss, a crash, a leave and a broadcast, as a text. */
function story(seed: number): string {
  const told: string[] = [];
  const network = newNetwork({ seed, observe: (event) => told.push(line(event)) });
  network.route = (_from, _to, via) => (via === "datagram" && network.random.below(10) === 0 ? null : 1);
  const nodes = form(network, 12, { keys: [key] });
  nodes[1]?.broadcast(Uint8Array.of(1));
  nodes[2]?.close();
  nodes[3]?.leave();
  network.run(minuteMs);
  return told.join("\n");
}

describe("a network in memory", () => {
  it("forms a cluster and finds out about a crash, a leave and an update, each as what it is", () => {
    const told: MemoryEvent[] = [];
    const network = newNetwork({ seed: 1, observe: (event) => told.push(event) });
    const [first, crashed, left, updated] = form(network, 20, { keys: [key] }) as MemoryNode[];
    told.length = 0;
    crashed?.close();
    left?.leave();
    updated?.updateMeta(Uint8Array.of(1, 2, 3));
    // Who has left is told nothing more.
    const staying = network.nodes.filter((node) => node !== left);
    expect(network.run(minuteMs, () => staying.every((node) => node.stateOf("n1") === "dead"))).toBe(true);
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
    const network = newNetwork({ seed: 1 });
    const [a, b] = [network.open("a"), network.open("b")];
    b.join("a");
    expect([network.nowMs, a.memberCount, b.memberCount]).toEqual([0, 1, 1]);
    network.run(defaultDelayMs / 2);
    expect([network.nowMs, a.memberCount, b.memberCount]).toEqual([defaultDelayMs / 2, 1, 1]);
    network.run(minuteMs);
    expect([network.nowMs, a.memberCount, b.memberCount]).toEqual([defaultDelayMs / 2 + minuteMs, 2, 2]);
    expect(network.run(10, () => false)).toBe(false);
    expect(network.run(10, () => true)).toBe(true);
    expect(network.nowMs).toBe(defaultDelayMs / 2 + minuteMs + 10);
  });

  it("accuses nobody in an hour of peace, at any delay a datagram may take", () => {
    const told: MemoryEvent[] = [];
    const network = newNetwork({ seed: 5, observe: (event) => told.push(event) });
    network.route = () => network.random.nextFloat() * 40;
    form(network, 8);
    told.length = 0;
    network.run(hourMs);
    expect(told).toEqual([]);
  });

  it("needs no time where the route takes none", () => {
    const network = newNetwork({ seed: 1, route: () => 0 });
    const nodes = form(network, 5);
    network.run(minuteMs);
    expect(nodes.map((node) => node.memberCount)).toEqual([5, 5, 5, 5, 5]);
  });

  it("delivers a broadcast once to everybody, although a fifth of all datagrams are lost", () => {
    const got = new Map<string, number>();
    const observe = (event: MemoryEvent): void => {
      if (event.kind === "message") got.set(event.node, (got.get(event.node) ?? 0) + 1);
    };
    const network = newNetwork({ seed: 2, observe });
    const nodes = form(network, 15);
    network.route = (_from, _to, via) => (via === "datagram" && network.random.below(5) === 0 ? null : 1);
    expect(nodes[0]?.broadcast(Uint8Array.of(1, 2, 3))).toBe(true);
    network.run(minuteMs);
    expect(got.size).toBe(14);
    expect([...got.values()]).toEqual(new Array(14).fill(1));
    expect(network.lost).toBeGreaterThan(100);
    expect(nodes[0]?.broadcast(new Uint8Array(60_000))).toBe(false);
  });
});

describe("a partition", () => {
  it("makes each side declare the other dead and nobody of its own, and ends with one join across", () => {
    const failed: string[] = [];
    const observe = ({ kind, node, about }: MemoryEvent): void => void (kind === "fail" && failed.push(node + about));
    const network = newNetwork({ seed: 9, observe });
    const nodes = form(network, 10);
    const isLeft = (name: string): boolean => Number(name.slice(1)) < 5;
    network.route = (from, to) => (isLeft(from) === isLeft(to) ? 1 : null);
    const isSplit = (): boolean => nodes.every((node) => node.memberCount === 5);
    expect(network.run(5 * minuteMs, isSplit)).toBe(true);
    expect(failed).toHaveLength(50);
    expect(failed.filter((pair) => isLeft(pair.slice(0, 2)) === isLeft(pair.slice(2)))).toEqual([]);
    network.route = () => 1;
    nodes[0]?.join("n9");
    expect(network.run(minuteMs, () => nodes.every((node) => node.memberCount === 10))).toBe(true);
  });

  it("of the datagrams alone kills nobody: the streams still answer (M-108)", () => {
    const told: MemoryEvent[] = [];
    const network = newNetwork({ seed: 4, observe: (event) => told.push(event) });
    form(network, 3);
    told.length = 0;
    network.route = (from, to, via) => (via === "datagram" && (from === "n2" || to === "n2") ? null : 1);
    network.run(10 * minuteMs);
    expect(told.filter(({ kind }) => kind === "fail" || kind === "suspect")).toEqual([]);
    network.route = (from, to) => (from === "n2" || to === "n2" ? null : 1);
    network.run(minuteMs);
    expect(told.some(({ kind, about }) => kind === "fail" && about === "n2")).toBe(true);
  });
});

describe("a node in memory", () => {
  it("that comes back under its name has its old address, and recovers", () => {
    const told: string[] = [];
    const network = newNetwork({ seed: 6, observe: ({ node, kind, about }) => told.push(`${node} ${kind} ${about}`) });
    const [a, , c] = form(network, 3) as MemoryNode[];
    c?.close();
    c?.close();
    network.run(minuteMs, () => a?.stateOf("n2") === "dead");
    const again = network.open("n2");
    expect(again.address).toBe(c?.address);
    again.join("n0");
    network.run(minuteMs, () => told.includes("n0 recover n2"));
    expect(a?.stateOf("n2")).toBe("alive");
    expect(again.memberCount).toBe(3);
  });

  it("cannot run twice under one name, nor join whom nobody runs", () => {
    const network = newNetwork({ seed: 1 });
    const a = network.open("a");
    expect(() => network.open("a")).toThrow(expect.objectContaining({ code: "TATTLER_BIND_FAILED" }));
    expect(() => a.join("b")).toThrow(expect.objectContaining({ code: "TATTLER_MEMBER_UNKNOWN" }));
  });

  it("may be called from what is told, which then is told after the rest", () => {
    const told: string[] = [];
    const network = newNetwork({
      seed: 1,
      observe: ({ node, kind, about }) => {
        told.push(`${node} ${kind} ${about}`);
        if (kind === "join") network.nodes.find(({ name }) => name === node)?.broadcast(Uint8Array.of(1));
        if (kind === "message") network.nodes.find(({ name }) => name === node)?.close();
      },
    });
    const [, b] = [network.open("a"), network.open("b")];
    b.join("a");
    network.run(minuteMs);
    expect(told.slice(0, 2).sort()).toEqual(["a join b", "b join a"]);
    expect(told.filter((text) => text.includes("message"))).toHaveLength(1);
    expect(network.nodes).toHaveLength(1);
  });
});
