import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { recordOf, Stage } from "../support/recorder.js";

const { suspect, dead, left } = MemberState;

describe("a dead record of a sync", () => {
  it("is a suspicion: the peer's, by hearsay, and spread as such (M-152, E-11)", () => {
    const stage = new Stage().started().knows("peer", "m1");
    stage.sync("peer", recordOf("m1", { state: dead }));
    expect(stage.view("m1")).toBe("suspect 1");
    const told = { from: stage.handle("peer"), evidence: Evidence.hearsay };
    expect(stage.recorder.events).toMatchObject([{ kind: "suspect", ...told }]);
    expect(stage.recorder.take("queueSuspect")).toMatchObject([{ subject: stage.handle("m1"), ...told }]);
  });

  it("is not our own confirmation: ours, from a probe, still counts (E-11)", () => {
    const stage = new Stage().started().knows("peer", "m1", "m2", "m3", "m4");
    stage.sync("peer", recordOf("m1", { state: dead }));
    const before = stage.swim.nextVerdict(stage.nowMs);
    stage.sync("m2", recordOf("m1", { state: dead }));
    stage.sync("m3", recordOf("m1", { state: suspect }));
    expect(stage.swim.nextVerdict(stage.nowMs)).toBe(before);
    stage.suspect("m1", "self", 1, Evidence.timeout, -1);
    expect(stage.swim.nextVerdict(stage.nowMs)).toBeLessThan(before);
  });

  it("of one who is dead here too raises the incarnation and tells nobody (E-12)", () => {
    const stage = new Stage().started().knows("peer", "m1");
    stage.death("m1", "peer", 3);
    stage.forget();
    stage.sync("peer", recordOf("m1", { state: dead, incarnation: 5 }));
    expect([stage.view("m1"), stage.events(), stage.recorder.take()]).toEqual(["dead 5", [], []]);
    stage.alive("m1", { incarnation: 5 });
    expect(stage.view("m1")).toBe("dead 5");
  });
});

describe("a late leave (E-12)", () => {
  it.each(["gossip", "a sync"])("by %s turns the dead into one who left, and is told once", (way) => {
    const stage = new Stage().started().knows("peer", "m1");
    stage.death("m1", "peer");
    for (let round = 0; round < 2; round++) {
      if (way === "gossip") stage.farewell("m1");
      else stage.sync("peer", recordOf("m1", { state: left }));
    }
    expect([stage.view("m1"), stage.events()]).toEqual(["left 1", ["fail m1", "leave m1"]]);
  });
});

describe("a joiner (E-12)", () => {
  it("learns of the dead and the left, whom no alive of then revives and a newer one does", () => {
    const stage = new Stage().started();
    stage.sync(
      "peer",
      recordOf("peer"),
      recordOf("m1", { state: dead, incarnation: 4 }),
      recordOf("m2", { state: left }),
    );
    expect([stage.view("m1"), stage.view("m2"), stage.events()]).toEqual(["dead 4", "left 1", ["join peer"]]);
    stage.alive("m1", { incarnation: 4 });
    stage.alive("m2");
    expect([stage.view("m1"), stage.view("m2")]).toEqual(["dead 4", "left 1"]);
    stage.alive("m1", { incarnation: 5 });
    stage.alive("m2", { incarnation: 2 });
    expect([stage.view("m1"), stage.view("m2")]).toEqual(["alive 5", "alive 2"]);
    expect(stage.events()).toEqual(["join m1", "join m2"]);
  });
});
