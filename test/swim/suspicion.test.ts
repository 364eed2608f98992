import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectedConfirmations, Suspicions, scaledSuspicionMs, suspicionTimeoutMs } from "../../src/swim/suspicion.js";

const never = Number.POSITIVE_INFINITY;

describe("the least and the longest suspicion (M-113, M-114, M-119)", () => {
  it.each([
    ["lan", 4, 1000, [4, 8, 12, 16]],
    ["wan", 6, 5000, [30, 60, 90, 120]],
    ["local", 3, 1000, [3, 6, 9, 12]],
  ] as const)("is that of memberlist's table in the profile %s", (_profile, mult, intervalMs, seconds) => {
    const sizes = [10, 100, 1000, 10_000];
    expect(sizes.map((members) => scaledSuspicionMs(mult, members, intervalMs) / 1000)).toEqual(seconds);
  });

  it("does not shrink below ten members, nor for a count of none", () => {
    expect([0, 1, 2, 5, 9, 10].map((members) => scaledSuspicionMs(4, members, 1000))).toEqual(Array(6).fill(4000));
  });

  it("cuts the logarithm to three decimals", () => {
    // log10(32) = 1.50514..., log10(2000) = 3.30102...
    expect(scaledSuspicionMs(4, 32, 1000)).toBe(6020);
    expect(scaledSuspicionMs(4, 2000, 1000)).toBe(13_204);
    expect(scaledSuspicionMs(1, 32, 1)).toBe(1);
  });

  it("never shrinks when the cluster grows", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 64 }), (members, mult) => {
        expect(scaledSuspicionMs(mult, members + 1, 1000)).toBeGreaterThanOrEqual(
          scaledSuspicionMs(mult, members, 1000),
        );
      }),
    );
  });
});

describe("expected confirmations (M-115)", () => {
  it("are the multiplier less two, and none in a cluster too small to give them", () => {
    const lan = [1, 2, 3, 4, 5, 100].map((members) => expectedConfirmations(4, members));
    const wan = [5, 6, 100].map((members) => expectedConfirmations(6, members));
    const local = [2, 3, 100].map((members) => expectedConfirmations(3, members));
    expect({ lan, wan, local }).toEqual({ lan: [0, 0, 0, 2, 2, 2], wan: [0, 4, 4], local: [0, 1, 1] });
  });

  it("are not more than none with the smallest multipliers", () => {
    expect([1, 2].map((mult) => expectedConfirmations(mult, 100))).toSatisfy((counts: number[]) =>
      counts.every((count) => count < 1),
    );
  });
});

describe("the time-out under confirmations (M-116, M-120, T-031, T-032)", () => {
  it("falls from 24 s over 11.381 s to 4 s in the LAN example", () => {
    expect([0, 1, 2].map((count) => suspicionTimeoutMs(count, 2, 4000, 24_000))).toEqual([24_000, 11_381, 4000]);
  });

  it("falls as in memberlist's own test with three expected", () => {
    // T-032: k = 3 from 30 s to 2 s.
    const timeouts = [0, 1, 2, 3].map((count) => suspicionTimeoutMs(count, 3, 2000, 30_000));
    expect(timeouts).toEqual([30_000, 16_000, 7810, 2000]);
  });

  it("stays at the least for more confirmations than expected", () => {
    expect([3, 4, 50].map((count) => suspicionTimeoutMs(count, 2, 4000, 24_000))).toEqual([4000, 4000, 4000]);
  });

  it("is the least when nobody can confirm", () => {
    expect([-1, 0].map((expected) => suspicionTimeoutMs(0, expected, 4000, 24_000))).toEqual([4000, 4000]);
  });

  it("lies between its bounds, in whole milliseconds, and falls with every confirmation", () => {
    const numbers = fc.tuple(fc.integer({ min: 1, max: 62 }), fc.integer({ min: 1, max: 9999 }), fc.nat(50_000));
    fc.assert(
      fc.property(numbers, ([expected, minMs, extraMs]) => {
        const maxMs = minMs + extraMs;
        const all = Array.from({ length: expected + 1 }, (_, c) => suspicionTimeoutMs(c, expected, minMs, maxMs));
        expect([all[0], all.at(-1)]).toEqual([maxMs, minMs]);
        expect(all.every(Number.isInteger)).toBe(true);
        expect(all.toSorted((a, b) => b - a)).toEqual(all);
      }),
    );
  });
});

describe("running suspicions (M-116, T-032)", () => {
  const timing = { minMs: 4000, maxMs: 24_000, expected: 2 };
  const plain = { ...timing, expected: 0 };
  const [subject, accuser, other, third, fourth] = [10, 1, 2, 3, 4] as const;

  function suspected(): Suspicions {
    const suspicions = new Suspicions();
    suspicions.start(subject, accuser, 100, timing);
    return suspicions;
  }

  it("start at the longest time and come down with every new accuser", () => {
    const suspicions = suspected();
    const expiries = [suspicions.earliestHeardMs()];
    for (const from of [other, third]) {
      suspicions.confirm(subject, from);
      expiries.push(suspicions.earliestHeardMs());
    }
    expect(expiries).toEqual([24_100, 11_481, 4100]);
  });

  it("count neither the first accuser, nor anybody twice, nor unknown ones", () => {
    const suspicions = suspected();
    expect(suspicions.confirm(subject, accuser)).toBe(false);
    expect(suspicions.confirm(subject, 0)).toBe(false);
    expect(suspicions.confirm(subject, other)).toBe(true);
    expect(suspicions.confirm(subject, other)).toBe(false);
    expect(suspicions.earliestHeardMs()).toBe(11_481);
  });

  it("count an unknown first accuser once as well", () => {
    const suspicions = new Suspicions();
    suspicions.start(subject, 0, 0, timing);
    expect([suspicions.confirm(subject, 0), suspicions.confirm(subject, accuser)]).toEqual([false, true]);
    expect(suspicions.earliestHeardMs()).toBe(11_381);
  });

  it("ignore confirmations past the expected ones, and of whoever is not suspected", () => {
    const suspicions = suspected();
    expect([other, third, fourth].map((from) => suspicions.confirm(subject, from))).toEqual([true, true, false]);
    expect(suspicions.confirm(subject + 1, other)).toBe(false);
  });

  it("are due at their time and not a millisecond before, and stay until they are ended", () => {
    const suspicions = suspected();
    expect(suspicions.expired(24_099, 0)).toEqual([]);
    expect(suspicions.expired(24_100, 0)).toEqual([subject]);
    expect(suspicions.expired(24_100, 0)).toEqual([subject]);
    suspicions.end(subject);
    expect(suspicions.expired(1e9, 0)).toEqual([]);
  });

  it("are due at once when a confirmation comes later than it would have expired", () => {
    const suspicions = suspected();
    suspicions.confirm(subject, other);
    expect(suspicions.expired(20_000, 0)).toEqual([subject]);
  });

  it("stand still while the clock does", () => {
    const suspicions = suspected();
    expect(suspicions.expired(24_100 + 4999, 5000)).toEqual([]);
    expect(suspicions.expired(24_100 + 5000, 5000)).toEqual([subject]);
  });

  it("are due exactly when the deadline that is built from them comes, whatever the fractions", () => {
    const ms = fc.double({ min: 0, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(ms, ms, (startedMs, frozenMs) => {
        const suspicions = new Suspicions();
        suspicions.start(subject, accuser, startedMs, plain);
        expect(suspicions.expired(suspicions.earliestHeardMs() + frozenMs, frozenMs)).toEqual([subject]);
      }),
    );
  });

  it("know the earliest of many, after any starts, confirmations and ends", () => {
    const member = fc.integer({ min: 1, max: 6 });
    const step = fc.tuple(fc.constantFrom("start", "confirm", "end"), member, fc.nat(4), fc.nat(1000));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const suspicions = new Suspicions();
        const model = new Map<number, { startedMs: number; accusers: Set<number> }>();
        for (const [action, about, from, atMs] of steps) {
          if (action === "start" && !model.has(about)) {
            suspicions.start(about, from, atMs, timing);
            model.set(about, { startedMs: atMs, accusers: new Set([from]) });
          } else if (action === "confirm") {
            suspicions.confirm(about, from);
            const known = model.get(about);
            if (from !== 0 && known !== undefined && known.accusers.size <= 2) known.accusers.add(from);
          } else if (action === "end") {
            suspicions.end(about);
            model.delete(about);
          }
          const expiries = [...model.values()].map(
            ({ startedMs, accusers }) => startedMs + [24_000, 11_381, 4000][accusers.size - 1]!,
          );
          expect(suspicions.earliestHeardMs()).toBe(Math.min(never, ...expiries));
          expect(suspicions.size).toBe(model.size);
        }
      }),
    );
  });

  it("are left no less than the shortest time when they are renewed, nor less than they had, and a new look", () => {
    const suspicions = suspected();
    suspicions.start(other, accuser, 100, plain);
    const looked = suspicions.of(other);
    if (looked !== undefined) looked.checkSeq = 7;
    suspicions.renew(4000);
    expect(suspicions.of(other)?.checkSeq).toBe(0);
    expect([suspicions.expired(7999, 0), suspicions.expired(8000, 0)]).toEqual([[], [other]]);
    suspicions.end(other);
    expect(suspicions.earliestHeardMs()).toBe(24_100);
  });

  it("have no expiry when there are none", () => {
    expect(new Suspicions().earliestHeardMs()).toBe(never);
    expect(new Suspicions().expired(never, 0)).toEqual([]);
  });
});
