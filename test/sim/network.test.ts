import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { Network } from "../../src/sim/network.js";

/** Delays of `count` datagrams from a to b, sent one millisecond after the other; lost ones are left out. */
function send(network: Network, count: number, { from = "a", to = "b", bytes = 100, nowMs = 0 } = {}): number[] {
  const delaysMs: number[] = [];
  for (let i = 0; i < count; i++) network.carry(from, to, bytes, nowMs + i, (delayMs) => delaysMs.push(delayMs));
  return delaysMs;
}

const newNetwork = (): Network => new Network(new Random(1));
const share = (values: readonly number[], isSo: (value: number) => boolean): number =>
  values.filter(isSo).length / values.length;

describe("a link's delays", () => {
  it("are lognormal: half below the median, a sixth above a sigma, none below zero", () => {
    const network = newNetwork();
    network.delay = { kind: "lognormal", medianMs: 10, sigma: 0.5 };
    const delaysMs = send(network, 20_000);
    expect(share(delaysMs, (ms) => ms < 10)).toBeCloseTo(0.5, 1);
    expect(share(delaysMs, (ms) => ms > 10 * Math.exp(0.5))).toBeCloseTo(0.159, 1);
    expect(Math.min(...delaysMs)).toBeGreaterThan(0);
  });

  it("are uniform between the bounds", () => {
    const network = newNetwork();
    network.delay = { kind: "uniform", minMs: 2, maxMs: 4 };
    const delaysMs = send(network, 10_000);
    expect([Math.min(...delaysMs) >= 2, Math.max(...delaysMs) < 4]).toEqual([true, true]);
    expect(share(delaysMs, (ms) => ms < 3)).toBeCloseTo(0.5, 1);
  });

  it("are longer by the distance, one way, for streams as well", () => {
    const network = newNetwork();
    network.setLink("a", "b", { baseDelayMs: 80 });
    expect([send(network, 1), send(network, 1, { from: "b", to: "a" })]).toEqual([[80.2], [0.2]]);
    expect([network.dial("a", "b", 0), network.dial("b", "a", 0)]).toEqual([80.2, 0.2]);
    network.heal();
    expect(send(network, 1)).toEqual([0.2]);
  });
});

describe("a link", () => {
  it("loses its own share one way, and no other link does", () => {
    const network = newNetwork();
    network.setLink("a", "b", { lossRate: 0.4 });
    expect(send(network, 10_000).length / 10_000).toBeCloseTo(0.6, 1);
    expect([send(network, 100, { to: "c" }).length, send(network, 100, { from: "b", to: "a" }).length]).toEqual([
      100, 100,
    ]);
  });

  it("that is clogged holds everything, then delivers all of it; the way back is open", () => {
    const network = newNetwork();
    network.clog("a", "b", 5000);
    const arriveAtMs = send(network, 3, { nowMs: 1000 }).map((delayMs, i) => 1000 + i + delayMs);
    expect(arriveAtMs.map(Math.round)).toEqual([5000, 5000, 5000]);
    expect(network.dial("a", "b", 4000)).toBe(1000.2);
    expect([send(network, 1, { from: "b", to: "a" }), send(network, 1, { nowMs: 5000 })]).toEqual([[0.2], [0.2]]);
  });

  it("that reorders lets later datagrams overtake some", () => {
    const network = newNetwork();
    network.reorderRate = 0.1;
    network.reorderMs = 20;
    const delaysMs = send(network, 10_000);
    expect(share(delaysMs, (ms) => ms > 0.2)).toBeCloseTo(0.1, 1);
    const arriveAtMs = delaysMs.map((ms, i) => i + ms);
    expect(arriveAtMs.some((atMs, i) => i > 0 && atMs < (arriveAtMs[i - 1] as number))).toBe(true);
    expect(Math.max(...delaysMs)).toBeLessThan(20.2);
  });

  it("that duplicates delivers its share twice", () => {
    const network = newNetwork();
    network.duplicateRate = 0.25;
    expect(send(network, 10_000).length / 10_000).toBeCloseTo(1.25, 1);
  });
});

describe("a narrow sender", () => {
  it("makes datagrams wait for their turn, and drops what finds its queue full", () => {
    const network = newNetwork();
    network.setBandwidth("a", 1000, 300);
    const delaysMs: number[] = [];
    for (let i = 0; i < 5; i++) network.carry("a", "b", 100, 0, (delayMs) => delaysMs.push(delayMs));
    expect(delaysMs).toEqual([100.2, 200.2, 300.2]);
    expect([network.dropped, network.lost]).toEqual([2, 0]);
    expect(send(network, 1, { nowMs: 300 })).toEqual([100.2]);
    expect(send(network, 1, { from: "b", to: "a" })).toEqual([0.2]);
  });
});

describe("a partition", () => {
  it.each([2, 3, 4, 5])("into %i parts lets each hear its own part only", (parts) => {
    const network = newNetwork();
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    const partOf = (name: string): number => names.indexOf(name) % parts;
    network.partition(Array.from({ length: parts }, (_, part) => names.filter((name) => partOf(name) === part)));
    for (const from of names) {
      for (const to of names) expect(network.isReachable(from, to)).toBe(partOf(from) === partOf(to));
    }
  });
});
