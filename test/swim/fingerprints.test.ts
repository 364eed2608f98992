import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FingerprintTable } from "../../src/swim/fingerprints.js";

/** Places of our own that a table has met. */
function metOf(table: FingerprintTable, own: Uint32Array): number[] {
  return Array.from(own.keys()).filter((place) => table.isMet(place));
}

/** Few different ones, the lowest and the highest among them, that share their low bits. */
const print = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 12 }));
const prints = fc
  .uniqueArray(
    print.map(([high, low]) => ((high << 30) | (low - 6)) >>> 0),
    { maxLength: 50 },
  )
  .map((list) => Uint32Array.from(list));

describe("a table of fingerprints", () => {
  it("knows which of our own a peer has, and which of the peer's we lack, in its order", () => {
    fc.assert(
      fc.property(prints, prints, (own, theirs) => {
        const table = new FingerprintTable(own);
        expect([...table.meet(theirs)]).toEqual([...theirs].filter((one) => !own.includes(one)));
        expect(metOf(table, own).map((place) => own[place])).toEqual([...own].filter((one) => theirs.includes(one)));
      }),
    );
  });

  it("takes of two members with one fingerprint the first for known, however often it is told", () => {
    const own = Uint32Array.of(7, 9, 7);
    const table = new FingerprintTable(own);
    expect([[...table.meet(Uint32Array.of(7, 7))], metOf(table, own)]).toEqual([[], [0]]);
  });

  it("finds all of a large view", () => {
    const own = Uint32Array.from({ length: 20_000 }, (_, i) => Math.imul(i + 1, 0x9e3779b1));
    const table = new FingerprintTable(own);
    expect([table.meet(own).length, metOf(table, own).length]).toEqual([0, 20_000]);
  });

  it("takes those that somebody made to collide for unknown, before they cost time", () => {
    const own = Uint32Array.from({ length: 4000 }, (_, i) => i << 20);
    const table = new FingerprintTable(own);
    const others = table.meet(own);
    expect([others[0], others.length, metOf(table, own).length]).toEqual([own[32], 4000 - 32, 32]);
  });
});
