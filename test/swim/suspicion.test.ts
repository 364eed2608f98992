import { describe, expect, it } from "vitest";
import { Awareness } from "../../src/swim/awareness.js";
import { Hearing } from "../../src/swim/hearing.js";
import { expectedConfirmations, Suspicions, suspicionMinMs, suspicionTimeoutMs } from "../../src/swim/suspicion.js";
import { syncScale } from "../../src/swim/sync.js";

describe("suspicion time-outs", () => {
  it.each([
    ["lan", 4, 1000, [4, 8, 12, 16]],
    ["wan", 6, 5000, [30, 60, 90, 120]],
    ["local", 3, 1000, [3, 6, 9, 12]],
  ] as const)("of %s are those of M-119", (_profile, mult, intervalMs, seconds) => {
    const sizes = [10, 100, 1000, 10_000];
    expect(sizes.map((n) => suspicionMinMs(mult, n, intervalMs) / 1000)).toEqual(seconds);
    expect(suspicionMinMs(mult, 1, intervalMs)).toBe(mult * intervalMs);
  });

  it("fall with confirmations as M-120 says", () => {
    expect([0, 1, 2, 3].map((c) => suspicionTimeoutMs(c, 2, 4000, 24_000))).toEqual([24_000, 11_381, 4000, 4000]);
  });

  it("are the least when nobody could confirm (M-116)", () => {
    expect(suspicionTimeoutMs(0, 0, 4000, 24_000)).toBe(4000);
  });

  it("expect no confirmations in clusters too small for them (M-115)", () => {
    expect([2, 3, 4, 5].map((n) => expectedConfirmations(4, n))).toEqual([0, 0, 2, 2]);
    expect(expectedConfirmations(3, 100)).toBe(1);
  });
});

describe("running suspicions", () => {
  const timing = { minMs: 4000, maxMs: 24_000, expected: 2 };

  it("count each independent accuser once, and neither the first nor unknown ones", () => {
    const suspicions = new Suspicions();
    suspicions.start(9, 1, 0, timing);
    expect(suspicions.earliestHeardMs()).toBe(24_000);
    expect([suspicions.confirm(9, 1), suspicions.confirm(9, 0), suspicions.confirm(8, 2)]).toEqual([
      false,
      false,
      false,
    ]);
    expect([suspicions.confirm(9, 2), suspicions.confirm(9, 2)]).toEqual([true, false]);
    expect(suspicions.earliestHeardMs()).toBe(11_381);
    expect(suspicions.confirm(9, 3)).toBe(true);
    expect(suspicions.confirm(9, 4)).toBe(false);
    expect(suspicions.earliestHeardMs()).toBe(4000);
  });

  it("tell who has run out, and the next expiry after some ended", () => {
    const suspicions = new Suspicions();
    suspicions.start(1, 9, 0, { ...timing, expected: 0 });
    suspicions.start(2, 9, 1000, { ...timing, expected: 0 });
    expect(suspicions.expired(3999)).toEqual([]);
    expect(suspicions.expired(4000)).toEqual([1]);
    suspicions.end(1);
    expect(suspicions.earliestHeardMs()).toBe(5000);
    suspicions.end(2);
    expect([suspicions.earliestHeardMs(), suspicions.size]).toEqual([Number.POSITIVE_INFINITY, 0]);
  });
});

describe("local health (M-111, M-112)", () => {
  it("stays within its bounds and scales time-outs", () => {
    const awareness = new Awareness(8);
    awareness.apply(-3);
    expect([awareness.score, awareness.scale(1000)]).toEqual([0, 1000]);
    awareness.apply(3);
    expect([awareness.score, awareness.scale(1000)]).toEqual([3, 4000]);
    awareness.apply(50);
    expect(awareness.score).toBe(7);
    awareness.apply(-1);
    expect(awareness.score).toBe(6);
  });
});

describe("hearing (ARCHITECTURE 5.2)", () => {
  it("is lost when nothing came since the oldest ping, and freezes clocks meanwhile", () => {
    const hearing = new Hearing(60_000);
    hearing.noteHeard(10);
    expect(hearing.isDeaf(1000)).toBe(false);
    hearing.notePing(1000);
    hearing.notePing(2000);
    expect([hearing.isDeaf(1500), hearing.frozenMs(1500)]).toEqual([true, 500]);
    hearing.noteHeard(4000);
    expect([hearing.isDeaf(5000), hearing.frozenMs(5000)]).toEqual([false, 3000]);
  });

  it("comes back by limit, so that the last one standing judges again", () => {
    const hearing = new Hearing(60_000);
    hearing.notePing(0);
    expect([hearing.isDeaf(59_999), hearing.isDeaf(60_000)]).toEqual([true, false]);
    expect([hearing.deafUntilMs(), hearing.frozenMs(90_000)]).toEqual([60_000, 60_000]);
  });

  it("is not restored by what came before the ping left", () => {
    const hearing = new Hearing(60_000);
    hearing.notePing(100);
    hearing.noteHeard(99);
    expect(hearing.isDeaf(200)).toBe(true);
  });
});

describe("the interval of state syncs (M-150, T-059)", () => {
  it.each([
    [1, 1],
    [32, 1],
    [33, 2],
    [64, 2],
    [65, 3],
    [128, 3],
    [1000, 6],
    [10_000, 10],
  ])("of %d members is scaled by %d", (members, scale) => {
    expect(syncScale(members)).toBe(scale);
  });
});
