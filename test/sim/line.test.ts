import { afterEach, describe, expect, it } from "vitest";
import { Stage } from "../../src/sim/stage.js";

const secondMs = 1000;

describe("a host that all nodes share", () => {
  let stage: Stage;
  afterEach(() => void stage.close());

  it("sends no more than it can, and everything once there is time", () => {
    stage = new Stage({ nodes: 20, seed: 1 });
    const { sim } = stage;
    sim.shareHost(40);
    const before = sim.datagrams;
    sim.run(10 * secondMs);
    expect(sim.datagrams - before).toBe(400);
    sim.shareHost(10_000);
    sim.run(secondMs);
    const [late, suspects] = [sim.datagrams, sim.nodes.map(({ swim }) => swim.stats().suspect)];
    sim.run(10 * secondMs);
    // Two probes a second and their answers.
    expect((sim.datagrams - late) / 20 / 10).toBeCloseTo(4, 0);
    expect(suspects).toEqual(new Array(20).fill(0));
  });

  it.each([false, true])("passes no verdict while something waits, unless told to; told: %s", (judgesBehind) => {
    stage = new Stage({ nodes: 20, seed: 1, options: { deafLimitMs: 0, tcpPing: false } });
    const { sim } = stage;
    // Half of what they send in peace.
    sim.shareHost(40, { judgesBehind });
    sim.run(30 * secondMs);
    const accusations = sim.nodes.reduce((sum, { swim }) => sum + swim.stats().failedProbes, 0);
    expect([accusations > 0, stage.falseFailures > 0]).toEqual([judgesBehind, judgesBehind]);
  });

  it("is the same run again", () => {
    const hashOf = (): string => {
      const same = new Stage({ nodes: 10, seed: 3 });
      same.sim.shareHost(30);
      same.sim.run(5 * secondMs);
      return same.close();
    };
    stage = new Stage({ nodes: 10, seed: 3 });
    stage.sim.run(5 * secondMs);
    expect(hashOf()).toBe(hashOf());
    expect(hashOf()).not.toBe(stage.sim.trace.hash);
  });
});
