import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OnceFilter } from "../../src/io/once.js";

const window = 1024;

/** What the filter promises, said with a Set: each counter once, and nothing that is too far behind. */
class Model {
  readonly #seen = new Set<string>();
  readonly #highest = new Map<string, number>();

  accept(origin: number, boot: number, counter: number): boolean {
    const key = `${origin}/${boot}`;
    const highest = Math.max(this.#highest.get(key) ?? counter, counter);
    this.#highest.set(key, highest);
    if (highest - counter >= window || this.#seen.has(`${key}/${counter}`)) return false;
    this.#seen.add(`${key}/${counter}`);
    return true;
  }
}

const broadcast = fc.record({
  origin: fc.constantFrom(1, 2, 2_097_151),
  boot: fc.constantFrom(0, 0xffffffff),
  counter: fc.oneof(fc.nat(40), fc.nat(5_000), fc.constantFrom(1023, 1024, 1025, 2047, 2048)),
});

describe("the once filter", () => {
  it("agrees with a set of everything seen, inside its window", () => {
    fc.assert(
      fc.property(fc.array(broadcast, { maxLength: 400 }), (broadcasts) => {
        const filter = new OnceFilter(64, window);
        const model = new Model();
        for (const { origin, boot, counter } of broadcasts) {
          expect(filter.accept(origin, boot, counter)).toBe(model.accept(origin, boot, counter));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("agrees with a set when the counter wraps around 32 bits", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3_000), { maxLength: 300 }), (steps) => {
        const filter = new OnceFilter(4, window);
        const model = new Model();
        for (const step of steps) {
          const counter = (0xffffffff - 1_500 + step) >>> 0;
          expect(filter.accept(7, 7, counter)).toBe(model.accept(7, 7, step));
        }
      }),
    );
  });

  it("accepts a long burst in any order of neighbours, each once, and counts the rest", () => {
    const filter = new OnceFilter(4, window);
    let accepted = 0;
    for (let i = 0; i < 10_000; i++) if (filter.accept(1, 9, i ^ 0x3f)) accepted++;
    for (let i = 9_000; i < 10_000; i++) filter.accept(1, 9, i ^ 0x3f);
    expect(accepted).toBe(10_000);
    expect(filter.duplicates).toBe(1_000);
  });

  it("has a window for two starts of an origin, remembers how far eight more had come, and what others sent", () => {
    const filter = new OnceFilter(64, window);
    filter.accept(2, 0xffffffff, 0);
    for (let boot = 0; boot < 50; boot++) expect(filter.accept(1, boot, 0)).toBe(true);
    expect(filter.size).toBe(3);
    for (let boot = 40; boot < 50; boot++) expect(filter.accept(1, boot, 0)).toBe(false);
    expect(filter.accept(2, 0xffffffff, 0)).toBe(false);
    expect(filter.accept(1, 39, 0)).toBe(true);
  });

  it("accepts no copy twice, however the starts of an origin take turns", () => {
    const copy = fc.record({ boot: fc.integer({ min: 1, max: 9 }), counter: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(copy, { maxLength: 300 }), (copies) => {
        const filter = new OnceFilter(64, window);
        const accepted = copies.filter(({ boot, counter }) => filter.accept(1, boot, counter));
        expect(new Set(accepted.map(({ boot, counter }) => `${boot}/${counter}`)).size).toBe(accepted.length);
        expect(filter.size).toBeLessThanOrEqual(2);
      }),
    );
  });

  it("accepts a copy again only after nine other starts of its origin", () => {
    const copy = fc.record({ boot: fc.integer({ min: 1, max: 13 }), counter: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(copy, { minLength: 100, maxLength: 400, size: "max" }), (copies) => {
        const filter = new OnceFilter(64, window);
        const others = new Map<string, Set<number>>();
        for (const { boot, counter } of copies) {
          if (!filter.accept(1, boot, counter)) continue;
          const since = others.get(`${boot}/${counter}`);
          if (since !== undefined) expect(since.size).toBeGreaterThanOrEqual(9);
          for (const [copy, boots] of others) if (!copy.startsWith(`${boot}/`)) boots.add(boot);
          others.set(`${boot}/${counter}`, new Set());
        }
      }),
      { numRuns: 200 },
    );
  });

  it("remembers longest the start that ended last, even when it had ended before", () => {
    const filter = new OnceFilter(64, window);
    filter.accept(1, 100, 0);
    for (let boot = 1; boot <= 8; boot++) filter.accept(1, boot, 0);
    expect([filter.accept(1, 100, 1), filter.accept(1, 8, 1)]).toEqual([true, true]);
    for (const boot of [9, 10]) filter.accept(1, boot, 0);
    expect(filter.accept(1, 100, 1)).toBe(false);
  });

  it("goes on with a start that lost its window where it had come to", () => {
    const filter = new OnceFilter(64, window);
    for (const counter of [0, 2]) filter.accept(1, 5, counter);
    for (const boot of [6, 7, 8]) filter.accept(1, boot, 0);
    const counters = [2, 1, 4, 3, 3, 5];
    expect(counters.map((counter) => filter.accept(1, 5, counter))).toEqual([false, false, true, true, false, true]);
  });

  it("takes the window of the start that was heard least lately", () => {
    const filter = new OnceFilter(64, window);
    for (const boot of [1, 2, 1, 3]) filter.accept(1, boot, boot === 1 ? 10 : 0);
    expect(filter.accept(1, 1, 9)).toBe(true);
  });

  it("reaches as far back as asked, rounded up to a power of two", () => {
    for (const [asked, reach] of [
      [16, 1024],
      [1025, 2048],
      [8192, 8192],
    ] as const) {
      const filter = new OnceFilter(4, asked);
      filter.accept(1, 1, 20_000);
      expect([filter.accept(1, 1, 20_001 - reach), filter.accept(1, 1, 20_000 - reach)]).toEqual([true, false]);
    }
  });

  it("tells two starts of one origin apart", () => {
    const filter = new OnceFilter(4, window);
    expect([filter.accept(1, 1, 5), filter.accept(1, 2, 5), filter.accept(1, 1, 5)]).toEqual([true, true, false]);
  });

  it("takes the window of the origin longest unheard when there are enough", () => {
    const filter = new OnceFilter(3, window);
    for (const origin of [1, 2, 3]) filter.accept(origin, 0, 5);
    filter.accept(1, 0, 6);
    filter.accept(4, 0, 0);
    expect(filter.size).toBe(3);
    for (const origin of [1, 3]) expect(filter.accept(origin, 0, 4)).toBe(true);
    expect([4, 5, 6].map((counter) => filter.accept(2, 0, counter))).toEqual([false, false, true]);
  });

  it("forgets origins only when it knows sixteen times as many", () => {
    const filter = new OnceFilter(3, window);
    for (let origin = 1; origin <= 49; origin++) filter.accept(origin, 0, 0);
    for (let origin = 2; origin <= 49; origin++) expect(filter.accept(origin, 0, 0)).toBe(false);
    expect(filter.accept(1, 0, 0)).toBe(true);
  });
});
