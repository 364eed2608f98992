import { describe, expect, it } from "vitest";
import { Random } from "../src/random.js";

/** The 99.9 % quantile of chi-square with `freedom` degrees, by Wilson and Hilferty. */
function quantile(freedom: number): number {
  const part = 2 / (9 * freedom);
  return freedom * (1 - part + 3.09 * Math.sqrt(part)) ** 3;
}

function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

function tally(buckets: number, draws: number, draw: () => number): number[] {
  const counts = new Array<number>(buckets).fill(0);
  for (let i = 0; i < draws; i++) {
    const bucket = draw();
    counts[bucket] = counts[bucket]! + 1;
  }
  return counts;
}

const seeds = [0, 1, 42, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];

describe("the dice", () => {
  it("fall the same for the same seed", () => {
    for (const seed of seeds) {
      const [one, two] = [new Random(seed), new Random(seed)];
      const draw = (random: Random): number[] => Array.from({ length: 50 }, () => random.nextUint32());
      expect(draw(one)).toEqual(draw(two));
    }
  });

  it("are sfc32 seeded as written, so that old seeds in logs keep their meaning", () => {
    // From the published definitions of sfc32 and splitmix32, in arithmetic of unbounded integers.
    const random = new Random(1);
    expect(Array.from({ length: 4 }, () => random.nextUint32())).toEqual([
      2_420_951_833, 2_513_034_076, 3_847_892_949, 4_064_752_930,
    ]);
  });

  it("fall differently for seeds that differ in one bit, low or high", () => {
    const firsts = new Set<number>();
    for (let bit = 0; bit < 53; bit++) firsts.add(new Random(2 ** bit).nextUint32());
    firsts.add(new Random(0).nextUint32());
    expect(firsts.size).toBe(54);
  });

  it("give 32 bits of which each is set half the time", () => {
    const random = new Random(7);
    const draws = 20_000;
    const ones = new Array<number>(32).fill(0);
    for (let i = 0; i < draws; i++) {
      const word = random.nextUint32();
      if (word !== word >>> 0) throw new Error(`${word} is not a word of 32 bits`);
      for (let bit = 0; bit < 32; bit++) ones[bit] = ones[bit]! + ((word >>> bit) & 1);
    }
    // Four and a half standard deviations.
    for (const count of ones) expect(Math.abs(count - draws / 2)).toBeLessThan(4.5 * Math.sqrt(draws / 4));
  });

  it("give floats in [0, 1) that are uniform", () => {
    const random = new Random(3);
    const counts = tally(100, 100_000, () => {
      const value = random.nextFloat();
      if (!(value >= 0 && value < 1)) throw new Error(`${value} is outside`);
      return Math.floor(value * 100);
    });
    expect(chiSquare(counts)).toBeLessThan(quantile(99));
  });

  it("do not repeat what they gave: neighbours in a row are independent", () => {
    const random = new Random(5);
    let last = random.below(10);
    const counts = tally(100, 100_000, () => {
      const next = random.below(10);
      const pair = last * 10 + next;
      last = next;
      return pair;
    });
    expect(chiSquare(counts)).toBeLessThan(quantile(99));
  });
});

describe("below", () => {
  it("stays within its bound, and reaches both ends", () => {
    for (const bound of [1, 2, 3, 7, 10, 1000]) {
      const random = new Random(bound);
      const seen = new Set(Array.from({ length: bound * 50 }, () => random.below(bound)));
      expect([Math.min(...seen), Math.max(...seen)]).toEqual([0, bound - 1]);
    }
  });

  it("is uniform for bounds that do not divide 2^32, small and large", () => {
    for (const bound of [3, 10, 48]) {
      const random = new Random(100 + bound);
      expect(chiSquare(tally(bound, 30_000, () => random.below(bound)))).toBeLessThan(quantile(bound - 1));
    }
    // The remainder alone would give the lower third of this bound twice as often as the rest.
    const bound = 3 * 2 ** 30;
    const random = new Random(9);
    const thirds = tally(3, 30_000, () => Math.floor(random.below(bound) / 2 ** 30));
    expect(chiSquare(thirds)).toBeLessThan(quantile(2));
  });

  it("takes the largest bound, 2^32, as the word itself", () => {
    const [one, two] = [new Random(11), new Random(11)];
    for (let i = 0; i < 100; i++) expect(one.below(2 ** 32)).toBe(two.nextUint32());
  });
});

describe("shuffle", () => {
  it("permutes: nothing is lost or doubled, in arrays and typed arrays", () => {
    const random = new Random(13);
    for (const length of [0, 1, 2, 17, 256]) {
      const items = Array.from({ length }, (_, i) => i);
      random.shuffle(items, length);
      const typed = Uint32Array.from({ length }, (_, i) => i);
      random.shuffle(typed, length);
      const sorted = Array.from({ length }, (_, i) => i);
      expect(items.toSorted((a, b) => a - b)).toEqual(sorted);
      expect([...typed].sort((a, b) => a - b)).toEqual(sorted);
    }
  });

  it("leaves what lies beyond the length alone", () => {
    const items = Array.from({ length: 20 }, (_, i) => i);
    new Random(17).shuffle(items, 10);
    expect(items.slice(10)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(items.slice(0, 10)).not.toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("gives each of the 24 orders of four items as often as the other", () => {
    const random = new Random(19);
    const orders = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const items = [0, 1, 2, 3];
      random.shuffle(items, 4);
      const order = items.join("");
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(24);
    expect(chiSquare([...orders.values()])).toBeLessThan(quantile(23));
  });
});

describe("a child", () => {
  it("is the same for the same parent, and differs from parent and siblings", () => {
    const draw = (random: Random): string => Array.from({ length: 8 }, () => random.nextUint32()).join();
    const family = (seed: number): string[] => {
      const parent = new Random(seed);
      return [draw(parent.child()), draw(parent.child()), draw(parent)];
    };
    expect(family(23)).toEqual(family(23));
    expect(new Set(family(23)).size).toBe(3);
  });
});
