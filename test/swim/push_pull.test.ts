import { describe, expect, it } from "vitest";
import { Stage } from "../support/recorder.js";

const intervalMs = 30_000;
const names = ["m1", "m2", "m3", "m4", "m5"];

class SyncStage extends Stage {
  constructor(digestSyncIntervalMs = 1000) {
    super({ probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: intervalMs, digestSyncIntervalMs });
    this.started().knows(...names);
    this.swim.flush(this.nowMs);
  }

  agrees(from: string): void {
    const [low, high] = this.recorder.digest;
    this.swim.handleDigest(this.nowMs, this.handle(from), low, high);
  }

  differs(from: string): void {
    this.swim.handleDigest(this.nowMs, this.handle(from), 1, 1);
  }

  /** How many took place in so many intervals. */
  syncs(intervals: number): number {
    this.recorder.take();
    this.runTo(this.nowMs + intervals * intervalMs);
    return this.recorder.take("sync").length;
  }
}

describe("the periodic sync", () => {
  it("takes place every interval until more than three others have our view", () => {
    const stage = new SyncStage();
    expect(stage.syncs(4)).toBe(4);
    for (const name of ["m1", "m2", "m3", "m1"]) stage.agrees(name);
    expect(stage.syncs(4)).toBe(4);
  });

  it("takes place every fourth time while all have one view", () => {
    const stage = new SyncStage();
    for (const name of names) stage.agrees(name);
    expect([stage.syncs(3), stage.syncs(1), stage.syncs(8)]).toEqual([0, 1, 2]);
  });

  it("takes place every time again once somebody's view differs, or ours changes, until they agree anew", () => {
    const stage = new SyncStage();
    for (const name of names) stage.agrees(name);
    stage.differs("m2");
    expect(stage.syncs(3)).toBe(3);
    for (const name of names) stage.agrees(name);
    expect(stage.syncs(3)).toBe(0);
    stage.alive("m6");
    stage.swim.flush(stage.nowMs);
    expect(stage.syncs(3)).toBe(3);
    for (const name of names) stage.agrees(name);
    expect(stage.syncs(3)).toBe(0);
  });

  it("is never left out while the application has a state to trade", () => {
    const stage = new SyncStage();
    stage.recorder.carriesState = true;
    for (const name of names) stage.agrees(name);
    expect(stage.syncs(4)).toBe(4);
  });

  it("is never left out without digests", () => {
    const stage = new SyncStage(0);
    for (const name of names) stage.agrees(name);
    expect(stage.syncs(4)).toBe(4);
  });
});
