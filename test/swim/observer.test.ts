import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { observing } from "../support/observing.js";
import { ProbeScene } from "../support/probe_scene.js";
import { recordOf, Stage } from "../support/recorder.js";

const still = { gossipIntervalMs: 0, pushPullIntervalMs: 0, probeIntervalMs: 0 };

/** A core without ticks that knows m1 to m9, and what its observer is told. */
function observed(): { stage: Stage; told: () => string[] } {
  const members = Array.from({ length: 9 }, (_, i) => `m${i + 1}`);
  const stage = new Stage(still).started().knows(...members);
  const lines = observing(stage);
  return { stage, told: () => lines.splice(0) };
}

describe("an observer is told of suspicions", () => {
  it("with every accuser that counts, and how the time-out shrinks", () => {
    const { stage, told } = observed();
    stage.suspect("m1", "m2");
    stage.suspect("m1", "m2");
    stage.suspect("m1", "m3", 1, Evidence.hearsay);
    stage.suspect("m1", "m3");
    stage.suspect("m1", "m4");
    stage.suspect("m1", "m5");
    expect(told()).toEqual([
      "m1 alive > suspect 1 by m2 (timeout)",
      "m1 suspected by m2 at 1 (timeout), 0 of 2, 24000 ms",
      "m1 suspected by m3 at 1 (timeout), 1 of 2, 11381 ms",
      "m1 suspected by m4 at 1 (timeout), 2 of 2, 4000 ms",
    ]);
  });

  it("that start again at a higher incarnation", () => {
    const { stage, told } = observed();
    stage.suspect("m1", "m2");
    stage.suspect("m1", "m3", 4);
    expect(told().slice(2)).toEqual(["m1 suspected by m3 at 4 (timeout), 0 of 2, 24000 ms"]);
  });

  it("against ourselves, which are refuted at the price of our health", () => {
    const { stage, told } = observed();
    stage.suspect("self", "m2", 6);
    stage.death("self", "m3", 9);
    stage.suspect("self", "m4", 2);
    expect(told()).toEqual([
      "health 0 > 1",
      "refuted m2 at 6 (timeout) with 7",
      "health 1 > 2",
      "refuted m3 at 9 (expired) with 10",
    ]);
  });
});

describe("an observer is told of states", () => {
  it("with who caused them, each once", () => {
    const { stage, told } = observed();
    stage.suspect("m1", "m2");
    stage.alive("m1", { incarnation: 2 });
    stage.death("m1", "m3", 2);
    stage.death("m1", "m3", 5);
    stage.alive("m1", { incarnation: 6 });
    stage.farewell("m1", 6);
    stage.alive("m10");
    stage.swim.leave(stage.nowMs);
    expect(told().filter((line) => line.includes(">"))).toEqual([
      "m1 alive > suspect 1 by m2 (timeout)",
      "m1 suspect > alive 2 by - (hearsay)",
      "m1 alive > dead 2 by m3 (expired)",
      "m1 dead > alive 6 by - (hearsay)",
      "m1 alive > left 6 by m1 (farewell)",
      "m10 - > alive 1 by - (hearsay)",
      "self alive > left 1 by self (farewell)",
    ]);
  });

  it("also of those who were gone when we heard of them, and of our own verdict", () => {
    const { stage, told } = observed();
    stage.sync("m2", recordOf("m11", { state: MemberState.dead }));
    stage.suspect("m1", "m2");
    stage.runTo(stage.nowMs + 24_000);
    expect(told().filter((line) => line.includes(">"))).toEqual([
      "m11 - > dead 1 by - (hearsay)",
      "m1 alive > suspect 1 by m2 (timeout)",
      "m1 suspect > dead 1 by self (expired)",
    ]);
  });
});

describe("an observer is told of a probe", () => {
  it.each([
    [
      "answered directly",
      40,
      (scene: ProbeScene, target: number, seq: number) => scene.probe.handleAck(40, target, seq),
    ],
    [
      "answered through a helper",
      700,
      (scene: ProbeScene, _target: number, seq: number) => scene.probe.handleAck(700, 99, seq),
    ],
    [
      "answered over TCP",
      800,
      (scene: ProbeScene, _target: number, seq: number) => scene.probe.handleStreamAck(800, seq),
    ],
  ])("%s, with the round trip", (what, rttMs, answer) => {
    const scene = new ProbeScene();
    const { target } = scene.with(3);
    const lines = observing(scene);
    const seq = scene.start(target);
    if (rttMs > 500) scene.advance(500);
    answer(scene, target, seq);
    const how = { directly: "direct", helper: "indirect", TCP: "tcp" }[what.split(" ").at(-1) as string];
    expect(lines).toEqual(["probe target health 0", `${how} target rtt ${rttMs} health 0`]);
  });

  it("that failed, that says nothing because we are deaf, and whose target left", () => {
    const scene = new ProbeScene();
    const { target } = scene.with(3);
    const lines = observing(scene);
    scene.start(target);
    scene.hears(1);
    scene.advance(500);
    scene.advance(1000);
    scene.start(target, 2000);
    scene.advance(2500);
    scene.advance(9000);
    scene.start(target, 10_000);
    scene.roster.become(target, MemberState.left, 3, 10_001);
    scene.advance(10_500);
    expect(lines.filter((line) => !line.startsWith("probe"))).toEqual([
      expect.stringMatching(/^failed target rtt -1/),
      expect.stringMatching(/^inconclusive target rtt -1/),
      expect.stringMatching(/^gone target rtt -1/),
    ]);
  });
});
