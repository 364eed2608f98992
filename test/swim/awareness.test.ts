import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Awareness } from "../../src/swim/awareness.js";

describe("the local health score (M-111, M-112, T-033)", () => {
  it("is memberlist's own table: it moves by the deltas and stays from 0 to the maximum less one", () => {
    const rows = [
      [0, 0],
      [-1, 0],
      [-10, 0],
      [1, 1],
      [-1, 0],
      [10, 7],
      [-1, 6],
      [-1, 5],
      [-1, 4],
      [-1, 3],
      [-1, 2],
      [-1, 1],
      [-1, 0],
      [-1, 0],
    ] as const;
    const awareness = new Awareness(8);
    for (const [delta, score] of rows) {
      awareness.apply(delta);
      expect([awareness.score, awareness.scale(1000)]).toEqual([score, (score + 1) * 1000]);
    }
  });

  it("stays at 0 with a multiplier of 1, which turns it off", () => {
    const awareness = new Awareness(1);
    awareness.apply(5);
    expect([awareness.score, awareness.scale(500)]).toEqual([0, 500]);
  });

  it("is a sum that is clamped after every step, whatever the deltas", () => {
    const deltas = fc.array(fc.integer({ min: -10, max: 10 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), deltas, (max, all) => {
        const awareness = new Awareness(max);
        let score = 0;
        for (const delta of all) {
          awareness.apply(delta);
          score += delta;
          if (score < 0) score = 0;
          if (score > max - 1) score = max - 1;
          expect(awareness.score).toBe(score);
        }
      }),
    );
  });

  it("grows by one for each time-out that a task ran late (ARCHITECTURE 5.4)", () => {
    for (const [lagMs, score] of [
      [0, 0],
      [499, 0],
      [500, 1],
      [1700, 3],
      [60_000, 7],
    ] as const) {
      const awareness = new Awareness(8);
      awareness.noteLag(lagMs, 500);
      expect(awareness.score).toBe(score);
    }
  });
});
