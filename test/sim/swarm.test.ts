import { describe, expect, it } from "vitest";
import { regressions } from "../../src/sim/regressions.js";
import { runSwarm } from "../../src/sim/swarm.js";

describe("the swarm scenario", () => {
  it("finds nothing in a slice of seeds, and agrees again within the bound after each", () => {
    for (let seed = 1; seed <= 8; seed++) {
      const { violations, healMs } = runSwarm(seed, 20);
      expect(violations, `seed ${seed}`).toEqual([]);
      expect(healMs, `seed ${seed}`).not.toBeNull();
    }
  });

  it("is the same run for the same seed, to the byte, and another for another", () => {
    const first = runSwarm(5, 12);
    expect(runSwarm(5, 12)).toEqual(first);
    expect(runSwarm(6, 12).traceHash).not.toBe(first.traceHash);
    expect(first.events).toBeGreaterThan(1000);
  });

  it("turns some faults off entirely, others on, over the seeds", () => {
    const drawn = Array.from({ length: 12 }, (_, i) => new Set(runSwarm(100 + i, 4).faults));
    for (const fault of ["loss", "crash", "partition", "scriptStall"]) {
      const on = drawn.filter((faults) => faults.has(fault)).length;
      expect([fault, on > 0, on < drawn.length]).toEqual([fault, true, true]);
    }
  });

  it.each(regressions)("no longer finds that $found (seed $seed)", ({ seed, nodes }) => {
    expect(runSwarm(seed, nodes).violations).toEqual([]);
  });
});
