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

  it("remembers the last two starts of an origin, and what others sent", () => {
    const filter = new OnceFilter(64, window);
    filter.accept(2, 0xffffffff, 7);
    for (let boot = 0; boot < 50; boot++) expect(filter.accept(1, boot, 7)).toBe(true);
    expect(filter.size).toBe(3);
    for (const boot of [48, 49]) expect(filter.accept(1, boot, 7)).toBe(false);
    expect(filter.accept(2, 0xffffffff, 7)).toBe(false);
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

  it("forgets the origin longest unheard when it is full", () => {
    const filter = new OnceFilter(3, window);
    for (const origin of [1, 2, 3]) filter.accept(origin, 0, 0);
    filter.accept(1, 0, 1);
    filter.accept(4, 0, 0);
    expect(filter.size).toBe(3);
    expect(filter.accept(1, 0, 1)).toBe(false);
    expect(filter.accept(3, 0, 0)).toBe(false);
    expect(filter.accept(2, 0, 0)).toBe(true);
  });
});
