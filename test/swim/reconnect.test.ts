import { beforeEach, describe, expect, it } from "vitest";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { recordOf, Stage } from "../support/recorder.js";

const names = Array.from({ length: 20 }, (_, i) => `m${i + 1}`);
const quiet = { probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0 };
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

let stage: Stage;
beforeEach(() => {
  stage = ready();
});

function ready(changes = {}): Stage {
  return new Stage({ ...quiet, reconnectTimeoutMs: 24 * hourMs, gossipToTheDeadMs: 30_000, ...changes })
    .started()
    .knows(...names);
}

/** How often somebody of these is tried in so long. */
function triesIn(durationMs: number): string[] {
  stage.recorder.take();
  stage.runTo(stage.nowMs + durationMs);
  const { directory } = stage.recorder;
  return stage.recorder.take("reconcile").map(({ member }) => directory.nameOf(member as number));
}

describe("the dead after a partition (ARCHITECTURE 5.12)", () => {
  it("are tried again long after the roster forgot them, alone all the time", () => {
    for (const name of names) stage.death(name, "self");
    const tries = triesIn(10 * minuteMs);
    expect(stage.view("m1")).toBe("unknown");
    expect(tries.length).toBeGreaterThan(50);
    expect(new Set(tries).size).toBeGreaterThan(15);
    expect([stage.swim.stats().remembered, stage.swim.stats().reconnects]).toEqual([20, tries.length]);
  });

  it("are tried by the whole cluster together about once in ten seconds, later less often", () => {
    stage.death("m1", "m2");
    const soon = triesIn(100_000 * 20).length;
    expect(soon).toBeGreaterThan(0);
    stage.runTo(stage.nowMs + hourMs);
    const later = triesIn(100_000 * 20).length;
    expect(later).toBeLessThan(soon);
  });

  it("are tried no more once they are back, have left, or the time is over", () => {
    for (const name of ["m1", "m2", "m3"]) stage.death(name, "m4");
    stage.alive("m1", { incarnation: 2 });
    stage.farewell("m2", 2);
    triesIn(20_000);
    expect(stage.swim.stats().remembered).toBe(1);
    stage.runTo(stage.nowMs + 24 * hourMs + 20_000);
    expect(stage.swim.stats().remembered).toBe(0);
  });

  it("are not remembered when they left, when it is turned off, and after the end", () => {
    stage.farewell("m1");
    expect(stage.swim.stats().remembered).toBe(0);
    stage.death("m2", "m3");
    expect(stage.swim.stats().remembered).toBe(1);
    expect(stage.heldAfterStop()).toEqual([]);
    stage = ready({ reconnectTimeoutMs: 0 });
    for (const name of names) stage.death(name, "self");
    expect(triesIn(10 * minuteMs)).toEqual([]);
  });

  it("are 4,096 at most, the latest", () => {
    for (let i = 0; i < 4100; i++) {
      stage.alive(`x${i}`, { ip: recordOf(`m${(i % 60_000) + 1}`).ip });
      stage.death(`x${i}`, "m1");
    }
    expect(stage.swim.stats().remembered).toBe(4096);
  });
});

describe("a member that a peer holds for alive and we for dead, at one incarnation", () => {
  it("is asked to refute, as nobody else can settle it; not more than 16 of a peer's", () => {
    for (const name of names) stage.death(name, "self");
    stage.recorder.take();
    stage.sync("peer", ...names.map((name) => recordOf(name)));
    const asked = stage.recorder.take("pingAndAccuse");
    expect(asked.length).toBe(16);
    expect(asked[0]).toMatchObject({ target: stage.handle("m1"), to: stage.addressOf("m1"), incarnation: 1 });
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("is not asked when the peer knows more, less, or nothing better", () => {
    for (const name of ["m1", "m2", "m3"]) stage.death(name, "m4", 1);
    stage.recorder.take();
    const told = [recordOf("m1", { incarnation: 2 }), recordOf("m2", { state: MemberState.dead })];
    stage.sync("peer", ...told, recordOf("m3", { state: MemberState.suspect }), recordOf("m5"));
    expect(stage.recorder.take("pingAndAccuse")).toEqual([]);
  });
});
