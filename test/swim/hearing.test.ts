import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Hearing } from "../../src/swim/hearing.js";

describe("deafness (ARCHITECTURE 5.2)", () => {
  it("begins with a ping, and ends with whatever is heard after it", () => {
    const hearing = new Hearing(60_000, 0);
    expect(hearing.isDeaf(1000)).toBe(false);
    hearing.notePing(1000);
    expect([hearing.isDeaf(999), hearing.isDeaf(1000), hearing.isDeaf(5000)]).toEqual([false, true, true]);
    hearing.noteHeard(5000);
    expect([hearing.isDeaf(5000), hearing.lastHeardMs]).toEqual([false, 5000]);
  });

  it("counts from the oldest ping that nothing was heard since, not from the last", () => {
    const hearing = new Hearing(60_000, 0);
    for (const pingMs of [1000, 2000, 50_000]) hearing.notePing(pingMs);
    expect(hearing.deafUntilMs()).toBe(61_000);
    expect([hearing.isDeaf(60_999), hearing.isDeaf(61_000)]).toEqual([true, false]);
  });

  it("is told of when its end sets clocks going again", () => {
    const hearing = new Hearing(60_000, 500);
    expect(hearing.noteHeard(900)).toBe(false);
    hearing.notePing(1000);
    expect([hearing.noteHeard(1500), hearing.noteHeard(1600)]).toEqual([false, false]);
    hearing.notePing(2000);
    expect([hearing.noteHeard(2501), hearing.noteHeard(2502)]).toEqual([true, false]);
  });

  it("is not ended by what arrived before the ping left", () => {
    const hearing = new Hearing(60_000, 0);
    hearing.notePing(1000);
    hearing.noteHeard(999);
    expect(hearing.isDeaf(1001)).toBe(true);
    hearing.noteHeard(1000);
    expect(hearing.isDeaf(1001)).toBe(false);
    hearing.noteHeard(500);
    expect(hearing.lastHeardMs).toBe(1000);
  });

  it("lasts for the limit at most, and begins anew only after something was heard", () => {
    const hearing = new Hearing(60_000, 0);
    hearing.notePing(0);
    hearing.notePing(70_000);
    expect(hearing.isDeaf(70_001)).toBe(false);
    hearing.noteHeard(80_000);
    hearing.notePing(90_000);
    expect(hearing.isDeaf(90_001)).toBe(true);
  });

  it("does not exist with a limit of 0", () => {
    const hearing = new Hearing(0, 0);
    hearing.notePing(10);
    expect([hearing.isDeaf(10), hearing.isDeaf(20), hearing.frozenMs(20)]).toEqual([false, false, 0]);
  });
});

describe("hearing time", () => {
  it("stands still from the ping to what is heard, and adds up", () => {
    const hearing = new Hearing(60_000, 0);
    hearing.notePing(1000);
    expect([hearing.frozenMs(500), hearing.frozenMs(1000), hearing.frozenMs(1400)]).toEqual([0, 0, 400]);
    hearing.noteHeard(1500);
    expect(hearing.frozenMs(9000)).toBe(500);
    hearing.notePing(10_000);
    expect(hearing.frozenMs(10_100)).toBe(600);
  });

  it("runs again after the limit, and what was frozen stays frozen", () => {
    const hearing = new Hearing(60_000, 0);
    hearing.notePing(0);
    expect(hearing.frozenMs(100_000)).toBe(60_000);
    hearing.noteHeard(200_000);
    expect(hearing.frozenMs(300_000)).toBe(60_000);
  });

  it("never runs backwards nor faster than time, whatever is pinged and heard", () => {
    const step = fc.tuple(fc.constantFrom("ping", "heard", "wait"), fc.integer({ min: 0, max: 3000 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const hearing = new Hearing(5000, 0);
        let nowMs = 0;
        let frozenMs = 0;
        for (const [action, ms] of steps) {
          const before = nowMs;
          nowMs += ms;
          if (action === "ping") hearing.notePing(nowMs);
          if (action === "heard") hearing.noteHeard(nowMs);
          const now = hearing.frozenMs(nowMs);
          expect(now).toBeGreaterThanOrEqual(frozenMs);
          expect(now - frozenMs).toBeLessThanOrEqual(nowMs - before);
          frozenMs = now;
        }
      }),
    );
  });
});
