import { describe, expect, it } from "vitest";
import { Payloads } from "../../src/io/payloads.js";
import type { RingReader } from "../../src/wire/receive.js";

/** Whether a broadcast that so many passed on before is delivered, and passed on, in a cluster of so many. */
function hear(members: number, hops: number): [isDelivered: boolean, isRelayed: boolean] {
  const relayed: number[] = [];
  const endpoint = {
    queueMessage: () => true,
    withdrawMessage: () => false,
    takeFinished: () => new Uint32Array(0),
    relay: (ringIndex: number) => relayed.push(ringIndex) > 0,
  };
  const payloads = new Payloads(endpoint, 1, 1, 64, () => members);
  const reader = { isDirect: false, from: 2, sequenceHigh: 1, sequenceLow: 1, hops, ringIndex: 77 };
  const isDelivered = payloads.accept(reader as RingReader);
  return [isDelivered, relayed.length > 0];
}

describe("a broadcast that was heard", () => {
  it.each([
    [1, 5],
    [2, 5],
    [3, 6],
    [8, 7],
    [9, 8],
    [2048, 15],
  ])("is passed on among %i members by %i in a row, and delivered by all", (members, most) => {
    expect(hear(members, 0)).toEqual([true, true]);
    expect(hear(members, most - 1)).toEqual([true, true]);
    expect(hear(members, most)).toEqual([true, false]);
    expect(hear(members, 255)).toEqual([true, false]);
  });
});
