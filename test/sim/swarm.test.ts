import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../src/config.js";
import { Random } from "../../src/random.js";
import { healBoundMs, quarantineBoundMs, refutationBoundMs, suspicionBoundMs } from "../../src/sim/bounds.js";
import { faults } from "../../src/sim/faults.js";
import { regressions } from "../../src/sim/regressions.js";
import { runSwarm, type Swarm } from "../../src/sim/swarm.js";

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
    for (const fault of ["loss", "crash", "partition", "scriptStall", "links", "clog", "deaf", "lossy"]) {
      const on = drawn.filter((faults) => faults.has(fault)).length;
      expect([fault, on > 0, on < drawn.length]).toEqual([fault, true, true]);
    }
  });

  it("is the run that is written down here, on every Node and machine", () => {
    expect(runSwarm(5, 6).traceHash).toBe("9829927046cc0deb");
  });

  it("partitions into 2 to 5 parts", () => {
    const parts = new Set<number>();
    const names = Array.from({ length: 10 }, (_, i) => `n${i}`);
    const swarm = {
      names,
      dice: new Random(1),
      sim: {
        at: () => {},
        network: { partition: (groups: string[][]) => parts.add(groups.length) },
      },
      markNetwork: () => {},
    };
    for (let i = 0; i < 100; i++) faults.partition?.(swarm as unknown as Swarm);
    expect([...parts].sort()).toEqual([2, 3, 4, 5]);
  });

  it("takes its bounds from the constants: they grow with members, intervals and the length of the faults", () => {
    const config = resolveConfig({ name: "a" });
    expect(suspicionBoundMs(config, 50)).toBe(6 * 2000);
    // 4 x ceil(log10(51)) gossip ticks of 200 ms, 5 probes and a comparison; there and back.
    expect(refutationBoundMs(config, 50)).toBe(2 * (1600 + 5000 + 1000));
    expect(healBoundMs(config, 50, 90_000)).toBe(70_000 + 15_200);
    expect(healBoundMs(config, 1000, 90_000)).toBe(1_012_000 + 2 * (3200 + 6000));
    expect(healBoundMs(config, 50, 3_600_000)).toBe(7 * 360_000 + 15_200);
    // Three quarantines fit into the faults; half of the last twenty probes were bad.
    expect(quarantineBoundMs(config, 90_000)).toBe(8 * 30_000 + 20_000);
    expect(quarantineBoundMs({ ...config, quarantineMs: 0 }, 90_000)).toBe(0);
  });

  it.each(regressions)("no longer finds that $found (seed $seed)", ({ seed, nodes }) => {
    expect(runSwarm(seed, nodes).violations).toEqual([]);
  });
});
