import { describe, expect, it } from "vitest";
import { memberlistRules, resolveConfig } from "../../src/config.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { ProbeScene } from "../support/probe_scene.js";
import { recordOf, Stage } from "../support/recorder.js";

const { timeout } = Evidence;
const { suspicionMinMs, indirectTimeoutMs, probeTimeoutMinMs } = resolveConfig({ name: "n" });
const short = { suspicionMinMs, indirectTimeoutMs, probeTimeoutMinMs, pushPullIntervalMs: 0, gossipIntervalMs: 0 };
const names = Array.from({ length: 9 }, (_, i) => `m${i + 1}`);

/** Suspects m1, confirmed by two others, at 1,000 ms. Probes are off, so that nobody else is looked at. */
function suspecting(): Stage {
  const stage = new Stage({ ...short, probeIntervalMs: 0 }).started().knows(...names);
  stage.suspect("m1", "self", 1, timeout, -1);
  for (const helper of ["m2", "m3"]) stage.suspect("m1", helper, 1, timeout, -1);
  stage.swim.handleHeard(stage.nowMs);
  return stage;
}

function hearsAt(stage: Stage, atMs: number): void {
  stage.runTo(atMs);
  stage.swim.handleHeard(atMs);
}

/** The ping that looked once more at m1. */
function lastLook(stage: Stage): { seq: number } {
  return stage.recorder.take("pingAndAccuse").at(-1) as unknown as { seq: number };
}

describe("a short suspicion (ARCHITECTURE 5.8)", () => {
  it("tells the accused at once, looks once more when it runs out, and then judges", () => {
    const stage = suspecting();
    const accusations = stage.recorder.take("pingAndAccuse");
    expect(accusations).toMatchObject([{ target: stage.handle("m1"), incarnation: 1, evidence: timeout }]);
    hearsAt(stage, 2999);
    expect(stage.recorder.take("pingAndAccuse")).toEqual([]);
    stage.runTo(3000);
    expect(stage.recorder.take("pingAndAccuse", "ping").map(({ verb }) => verb)).toEqual(["pingAndAccuse", "ping"]);
    expect(stage.view("m1")).toBe("suspect 1");
    hearsAt(stage, 3001);
    stage.runTo(3499);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.runTo(3500);
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("pings somebody who is there as well, and judges nobody until it has heard", () => {
    const stage = suspecting();
    hearsAt(stage, 2999);
    stage.runTo(30_000);
    expect(stage.view("m1")).toBe("suspect 1");
    const [control] = stage.recorder.take("ping");
    expect([stage.handle("m1"), stage.self]).not.toContain(control?.target);
    stage.swim.handleHeard(30_000);
    stage.runTo(40_000);
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("begins anew each time the suspect answers, and looks again", () => {
    const stage = suspecting();
    for (const atMs of [3000, 5500, 8000]) {
      hearsAt(stage, atMs - 1);
      stage.runTo(atMs);
      const { seq } = lastLook(stage);
      stage.swim.handleAck(atMs + 1, stage.handle("m1"), seq);
      stage.swim.handleHeard(atMs + 1);
      stage.runTo(atMs + 2);
    }
    expect(stage.view("m1")).toBe("suspect 1");
    stage.alive("m1", { incarnation: 2 });
    stage.runTo(60_000);
    expect(stage.view("m1")).toBe("alive 2");
  });

  it("takes no other ack for that answer", () => {
    const stage = suspecting();
    hearsAt(stage, 2999);
    stage.runTo(3000);
    const { seq } = lastLook(stage);
    stage.swim.handleAck(3001, stage.handle("m2"), seq);
    stage.swim.handleAck(3001, stage.handle("m1"), seq + 7);
    hearsAt(stage, 3001);
    stage.runTo(3500);
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("is longer while nobody confirms it", () => {
    const stage = new Stage({ ...short, probeIntervalMs: 0 }).started().knows(...names);
    stage.suspect("m1", "self", 1, timeout, -1);
    stage.swim.handleHeard(stage.nowMs);
    hearsAt(stage, 12_999);
    expect(stage.view("m1")).toBe("suspect 1");
    hearsAt(stage, 13_001);
    stage.runTo(13_500);
    expect(stage.view("m1")).toBe("dead 1");
  });
});

describe("an indirect probe with its own time-out", () => {
  function failWithNacksAt(...times: number[]): ProbeScene {
    const scene = new ProbeScene({ indirectTimeoutMs, probeTimeoutMinMs });
    const { target, helpers } = scene.with(3);
    scene.roundTrips.note(1);
    const seq = scene.start(target);
    scene.advance(100);
    scene.hears(150);
    times.forEach((atMs, i) => {
      scene.probe.handleNack(atMs, helpers[i] as number, seq);
    });
    scene.advance(399.9);
    expect(scene.accusations).toEqual([]);
    scene.advance(400);
    return scene;
  }

  it("ends that long after the direct one, which follows the round trip", () => {
    const scene = failWithNacksAt();
    expect(scene.accusations.map(({ from }) => from)).toEqual([scene.self]);
  });

  it("counts each helper's nack as an accusation of its own (5.4)", () => {
    const scene = failWithNacksAt(341, 342);
    expect(scene.accusations.map(({ from }) => scene.recorder.directory.nameOf(from))).toEqual([
      "self",
      "helper0",
      "helper1",
    ]);
  });

  it("does not count a nack that comes before the helper can have waited", () => {
    expect(failWithNacksAt(101, 249).accusations.length).toBe(1);
    expect(failWithNacksAt(101, 250).accusations.length).toBe(2);
  });

  it("has the longer time-out while our health is bad", () => {
    const scene = new ProbeScene({ indirectTimeoutMs, probeTimeoutMinMs });
    const { target } = scene.with(3);
    scene.awareness.apply(2);
    scene.start(target);
    scene.hears(100);
    scene.advance(500);
    scene.advance(1399.9);
    expect(scene.accusations).toEqual([]);
    scene.advance(1400);
    expect(scene.accusations.length).toBe(1);
  });
});

describe("a death that a state sync tells of", () => {
  const { suspect, dead } = MemberState;
  const scene = (): Stage => new Stage({ ...short, probeIntervalMs: 0 }).started().knows(...names);

  it("is asked about at once and believed after the shortest suspicion", () => {
    const stage = scene();
    stage.sync("m2", recordOf("m1", { state: dead }));
    expect(stage.recorder.take("pingAndAccuse")).toMatchObject([{ target: stage.handle("m1"), incarnation: 1 }]);
    for (const atMs of [1000, 2999, 3000, 3001]) hearsAt(stage, atMs);
    stage.runTo(3499);
    expect(stage.view("m1")).toBe("suspect 1");
    stage.runTo(3500);
    expect(stage.view("m1")).toBe("dead 1");
  });

  it("hastens a suspicion that runs, once", () => {
    const stage = scene();
    stage.suspect("m1", "m3");
    stage.recorder.take();
    const slow = stage.swim.nextVerdict(stage.nowMs) ?? 0;
    for (const peer of ["m2", "m4"]) stage.sync(peer, recordOf("m1", { state: dead }));
    expect(stage.recorder.take("pingAndAccuse").length).toBe(1);
    stage.swim.handleHeard(stage.nowMs);
    expect(stage.swim.nextVerdict(stage.nowMs)).toBe(slow - 5 * suspicionMinMs);
  });

  it("is no more than a suspicion when it is one, of another incarnation, or one of many", () => {
    const stage = scene();
    stage.sync("m2", recordOf("m1", { state: suspect }), recordOf("m3", { state: dead, incarnation: 0 }));
    expect(stage.recorder.take("pingAndAccuse")).toEqual([]);
    const crowd = Array.from({ length: 40 }, (_, i) => `c${i}`);
    stage.knows(...crowd).sync("m2", ...crowd.map((name) => recordOf(name, { state: dead })));
    expect(stage.recorder.take("pingAndAccuse").length).toBe(16);
  });

  it("is waited for as long as ever under memberlist's rules", () => {
    const stage = new Stage({ ...memberlistRules, pushPullIntervalMs: 0 }).started().knows(...names);
    stage.sync("m2", recordOf("m1", { state: dead }));
    expect(stage.recorder.take("pingAndAccuse")).toEqual([]);
  });
});

describe("the probe of the ring successor (5.6)", () => {
  it("looks at the same member every interval, besides the one in round-robin order", () => {
    const stage = new Stage({ ...short, ringProbe: true }).started().knows(...names);
    const targets = new Map<unknown, number>();
    for (let second = 2; second <= 21; second++) {
      stage.runTo(second * 1000);
      for (const { verb, target, seq } of stage.recorder.take("ping")) {
        if (verb !== "ping") continue;
        targets.set(target, (targets.get(target) ?? 0) + 1);
        stage.swim.handleAck(stage.nowMs, target as number, seq as number);
        stage.swim.handleHeard(stage.nowMs);
      }
    }
    const counts = [...targets.values()].sort((a, b) => b - a);
    expect(targets.size).toBe(9);
    expect(counts[0]).toBeGreaterThanOrEqual(18);
    expect(counts[1]).toBeLessThanOrEqual(4);
  });
});
