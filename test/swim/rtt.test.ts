import { describe, expect, it } from "vitest";
import { RoundTrips } from "../../src/swim/rtt.js";

const lan = { probeTimeoutMinMs: 100, probeTimeoutMs: 500 };

describe("the time-out of a direct probe (ARCHITECTURE 5.8)", () => {
  it("is the longest until a round trip is known", () => {
    expect(new RoundTrips(lan).timeoutMs).toBe(500);
  });

  it("is mean + 4 x variation (RFC 6298)", () => {
    const trips = new RoundTrips({ probeTimeoutMinMs: 1, probeTimeoutMs: 10_000 });
    trips.note(80);
    expect(trips.timeoutMs).toBe(80 + 4 * 40);
    trips.note(120);
    expect(trips.timeoutMs).toBe(85 + 4 * (40 + (40 - 40) / 4));
    for (let i = 0; i < 200; i++) trips.note(100);
    expect(trips.timeoutMs).toBeCloseTo(100);
  });

  it("stays within its bounds, and is fixed without a shorter one", () => {
    const trips = new RoundTrips(lan);
    trips.note(0.2);
    expect(trips.timeoutMs).toBe(100);
    trips.note(5000);
    expect(trips.timeoutMs).toBe(500);
    const fixed = new RoundTrips({ probeTimeoutMinMs: 0, probeTimeoutMs: 500 });
    fixed.note(1);
    expect(fixed.timeoutMs).toBe(500);
  });
});
