import { describe, expect, it } from "vitest";
import { Stage } from "../support/recorder.js";

describe("gossip ticks", () => {
  it("come later while late: by four times the lateness, of at most one interval", () => {
    const nextAfter = (lateMs: number): number => {
      const stage = new Stage({ probeIntervalMs: 0, pushPullIntervalMs: 0 }).started().knows("m1");
      stage.recorder.messages = 1;
      stage.nowMs = stage.swim.nextDeadline(stage.nowMs) + lateMs;
      stage.swim.advance(stage.nowMs, stage.nowMs);
      return Math.round(stage.swim.nextDeadline(stage.nowMs) - stage.nowMs);
    };
    expect([0, 10, 200, 5000].map(nextAfter)).toEqual([200, 240, 1000, 1000]);
  });

  it.each([
    [0, 200],
    [1, 200],
    [200, 200],
    [201, 400],
    [999, 1000],
  ])("wake nobody while there is nothing to gossip; what comes %d ms later leaves after %d", (comesMs, leavesMs) => {
    const stage = new Stage({ probeIntervalMs: 0, pushPullIntervalMs: 0 }).started().knows("m1");
    const firstMs = stage.swim.nextDeadline(stage.nowMs);
    stage.swim.advance(firstMs, firstMs);
    expect(stage.swim.nextDeadline(firstMs)).toBe(firstMs + 1000);
    stage.recorder.messages = 1;
    expect(stage.swim.nextDeadline(firstMs + comesMs)).toBe(firstMs + leavesMs);
    stage.recorder.take();
    stage.swim.advance(firstMs + leavesMs, firstMs + leavesMs);
    expect(stage.recorder.take().map(({ verb }) => verb)).toEqual(["gossip"]);
    expect(stage.swim.nextDeadline(firstMs + leavesMs)).toBe(firstMs + leavesMs + 200);
  });
});
