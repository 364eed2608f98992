import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { Stage } from "../support/recorder.js";

const still = { gossipIntervalMs: 0, pushPullIntervalMs: 0, probeIntervalMs: 0 };
const members = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i + 1}`);

function ready(count: number, changes = {}): Stage {
  const stage = new Stage({ ...still, ...changes }).started().knows(...members(count));
  stage.forget();
  return stage;
}

const refuse = (stage: Stage, name: string): void => stage.swim.handleRefused(stage.nowMs, stage.addressOf(name));

describe("a refusal by a member's host (ARCHITECTURE 5.7)", () => {
  it("makes us suspect the member and ask two others to look for themselves, once", () => {
    const stage = ready(9);
    refuse(stage, "m1");
    expect([stage.view("m1"), stage.events()]).toEqual(["suspect 1", ["suspect m1"]]);
    const calls = stage.recorder.take();
    expect(calls[0]).toMatchObject({ verb: "queueSuspect", from: stage.self, evidence: Evidence.refused });
    const asked = calls.filter(({ verb }) => verb === "pingRequest");
    expect(asked).toHaveLength(2);
    for (const call of asked) expect(call).toMatchObject({ target: stage.handle("m1") });
    expect(new Set(asked.map(({ to }) => to)).size).toBe(2);
    refuse(stage, "m1");
    expect(stage.recorder.take()).toEqual([]);
  });

  it("that another member has seen, too, is a death at once, told with its evidence and refutable", () => {
    const stage = ready(9);
    refuse(stage, "m1");
    stage.suspect("m1", "m2", 1, Evidence.refused);
    expect(stage.recorder.events.at(-1)).toMatchObject({ from: stage.self, evidence: Evidence.refused });
    expect([stage.view("m1"), stage.events()]).toEqual(["dead 1", ["suspect m1", "fail m1"]]);
    expect(stage.swim.nextVerdict(stage.nowMs)).toBe(Number.POSITIVE_INFINITY);
    stage.alive("m1", { incarnation: 2 });
    expect([stage.view("m1"), stage.events().at(-1)]).toEqual(["alive 2", "recover m1"]);
  });

  it("is nothing that who leaves would tell: of all who leave at once some are gone before the news of it", () => {
    const stage = ready(9);
    stage.swim.leave(stage.nowMs);
    stage.forget();
    refuse(stage, "m1");
    expect([stage.view("m1"), stage.events(), stage.recorder.take()]).toEqual(["alive 1", [], []]);
  });

  it("counts when two others have seen it and we have not", () => {
    const stage = ready(9);
    stage.suspect("m1", "m2", 1, Evidence.refused);
    stage.suspect("m1", "m2", 1, Evidence.refused);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.suspect("m1", "m3", 1, Evidence.timeout);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.suspect("m1", "m3", 1, Evidence.refused);
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("of another incarnation counts apart", () => {
    const stage = ready(9);
    stage.suspect("m1", "m2", 1, Evidence.refused);
    stage.suspect("m1", "m3", 2, Evidence.refused);
    expect(stage.view("m1")).toBe("suspect 2");
    stage.suspect("m1", "m4", 2, Evidence.refused);
    expect(stage.view("m1")).toBe("dead 2");
  });

  it("is enough alone in a cluster of two, where nobody else could see it", () => {
    const stage = ready(1);
    refuse(stage, "m1");
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("counts for nothing for a minute after the member came back from one, but suspicion does", () => {
    const stage = ready(9);
    refuse(stage, "m1");
    stage.alive("m1", { incarnation: 2 });
    for (const from of ["m2", "m3", "m4"]) stage.suspect("m1", from, 2, Evidence.refused);
    expect(stage.view("m1")).toBe("suspect 2");
    stage.alive("m1", { incarnation: 3 });
    stage.runTo(stage.nowMs + 60_001);
    refuse(stage, "m1");
    stage.suspect("m1", "m2", 3, Evidence.refused);
    expect(stage.view("m1")).toBe("dead 3");
  });

  it("counts for nothing twice as long when the member comes back from one again soon", () => {
    const stage = ready(9);
    let incarnation = 1;
    const refuseAndReturn = (): string => {
      refuse(stage, "m1");
      stage.suspect("m1", "m2", incarnation, Evidence.refused);
      const view = stage.view("m1");
      stage.alive("m1", { incarnation: ++incarnation });
      return view;
    };
    expect(refuseAndReturn()).toBe("dead 1");
    stage.runTo(stage.nowMs + 60_001);
    expect(refuseAndReturn()).toBe("dead 2");
    stage.runTo(stage.nowMs + 60_001);
    expect(refuseAndReturn()).toBe("suspect 3");
    stage.runTo(stage.nowMs + 60_001);
    expect(refuseAndReturn()).toBe("dead 4");
  });

  it("declares nobody dead when refusedConfirmations is 0", () => {
    const stage = ready(9, { refusedConfirmations: 0 });
    refuse(stage, "m1");
    for (const from of ["m2", "m3", "m4"]) stage.suspect("m1", from, 1, Evidence.refused);
    expect(stage.view("m1")).toBe("suspect 1");
  });

  it("is passed on at once by a helper, under its nack, and the nack is not sent again", () => {
    const stage = ready(9);
    stage.swim.handlePingRequest(stage.nowMs, stage.addressOf("m2"), stage.handle("m1"), stage.addressOf("m1"), 7);
    stage.recorder.take();
    refuse(stage, "m1");
    const verbs = stage.recorder.take("queueSuspect", "nack").map(({ verb }) => verb);
    expect(verbs).toEqual(["queueSuspect", "nack"]);
    stage.runTo(stage.nowMs + 5000);
    expect(stage.recorder.take("nack")).toEqual([]);
  });
});
