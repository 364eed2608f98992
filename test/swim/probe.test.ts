import { beforeEach, describe, expect, it } from "vitest";
import type { MemberHandle } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { ProbeScene } from "../support/probe_scene.js";

const { suspect, dead, left } = MemberState;
const never = Number.POSITIVE_INFINITY;

let scene: ProbeScene;
beforeEach(() => {
  // gossipToTheDeadMs keeps everybody on the roster.
  scene = new ProbeScene({ gossipToTheDeadMs: 1e9 });
});

describe("the probe timeline (M-102, M-212)", () => {
  it("pings at its start, asks helpers and TCP at the probe time-out, and judges at the interval", () => {
    const { target, helpers } = scene.with(5);
    const seq = scene.start(target);
    const to = scene.roster.addressOf(target);
    expect(scene.recorder.take()).toEqual([{ verb: "ping", to, target, seq }]);
    expect(scene.probe.nextVerdictMs()).toBe(500);
    scene.hears(100);
    scene.advance(499.9);
    expect(scene.recorder.take()).toEqual([]);
    scene.advance(500);
    const [first, second, third, stream, ...more] = scene.recorder.take();
    for (const call of [first, second, third]) {
      expect(call).toMatchObject({ verb: "pingRequest", target, targetAddress: to, seq });
    }
    const asked = [first, second, third].map((call) => call?.to);
    expect(new Set(asked).size).toBe(3);
    expect(helpers.map((helper) => scene.roster.addressOf(helper))).toEqual(expect.arrayContaining(asked));
    expect(stream).toEqual({ verb: "streamPing", to, target, seq, timeoutMs: 500 });
    expect(more).toEqual([]);
    expect(scene.probe.nextVerdictMs()).toBe(1000);
    scene.advance(999.9);
    expect(scene.accusations).toEqual([]);
    scene.advance(1000);
    expect(scene.accusations).toEqual([
      { subject: target, from: scene.self, incarnation: 3, evidence: Evidence.timeout, ringIndex: -1 },
    ]);
    expect([scene.probe.isInFlight, scene.probe.nextVerdictMs()]).toEqual([false, never]);
  });

  it.each([1, 3, 7])("judges at the interval times health + 1, asking at the probe time-out still (%d)", (health) => {
    const { target } = scene.with(3);
    scene.awareness.apply(health);
    scene.start(target);
    scene.hears(100);
    scene.advance(500);
    expect(scene.recorder.take("streamPing")[0]?.timeoutMs).toBe((health + 1) * 1000 - 500);
    scene.advance((health + 1) * 1000 - 0.1);
    expect(scene.accusations).toEqual([]);
    scene.advance((health + 1) * 1000);
    expect(scene.accusations.length).toBe(1);
  });

  it("asks only members that are alive, never itself nor the target, and as many as there are", () => {
    const { target, helpers } = scene.with(2);
    for (const state of [suspect, dead, left]) scene.add(`no ${state}`, state);
    scene.start(target);
    scene.advance(500);
    const asked = scene.recorder.take("pingRequest").map((call) => call.to as number);
    expect(asked.sort()).toEqual(helpers.map((helper) => scene.roster.addressOf(helper)).sort());
  });

  it("asks nobody when told so", () => {
    scene = new ProbeScene({ indirectChecks: 0, tcpPing: false });
    const { target } = scene.with(3);
    scene.start(target);
    scene.recorder.take();
    scene.advance(500);
    expect(scene.recorder.take()).toEqual([]);
    scene.hears(600);
    scene.advance(1000);
    expect(scene.accusations.length).toBe(1);
  });

  it("does not overlap with another: a start in between does nothing (M-100)", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.recorder.take();
    scene.probe.start(700);
    expect([scene.recorder.take(), scene.probe.started]).toEqual([[], 1]);
  });

  it("does nothing in a cluster of one", () => {
    scene.probe.start(0);
    expect([scene.recorder.take(), scene.probe.started, scene.probe.isInFlight]).toEqual([[], 0, false]);
  });

  it("treats a datagram that could not be sent like one that was lost (E-06)", () => {
    const { target } = scene.with(3);
    scene.recorder.sends = false;
    scene.start(target);
    scene.advance(500);
    scene.hears(600);
    scene.advance(1000);
    expect(scene.accusations.length).toBe(1);
  });
});

describe("the buddy system (M-103, T-034)", () => {
  it.each([
    ["its own", Evidence.timeout],
    ["hearsay", Evidence.hearsay],
  ])("pings a suspect together with the accusation, so that it can refute at once", (_, evidence) => {
    const { target } = scene.with(3);
    scene.roster.become(target, suspect, 9, 0);
    const accuser = evidence === Evidence.timeout ? scene.self : scene.add("accuser");
    scene.suspicions.start(target, accuser, 0, { minMs: 1000, maxMs: 1000, expected: 0 });
    const seq = scene.start(target);
    const to = scene.roster.addressOf(target);
    expect(scene.recorder.take()).toEqual([{ verb: "pingAndAccuse", to, target, seq, incarnation: 9, evidence }]);
  });
});

describe("an answer (M-110)", () => {
  let target: MemberHandle;
  let helper: MemberHandle;
  let seq: number;
  beforeEach(() => {
    const made = scene.with(3);
    target = made.target;
    helper = made.helpers[0] as MemberHandle;
    scene.awareness.apply(2);
    seq = scene.start(target);
  });

  const isSpared = (): void => {
    scene.advance(60_000);
    expect(scene.accusations).toEqual([]);
    expect([scene.probe.failed, scene.awareness.score]).toEqual([0, 1]);
  };

  it("of the target ends the probe, tells the round trip and improves the health", () => {
    expect(scene.probe.handleAck(0.4, target, seq)).toBeCloseTo(0.4);
    expect([scene.probe.isInFlight, scene.probe.nextVerdictMs()]).toEqual([false, never]);
    isSpared();
    expect(scene.recorder.take("pingRequest", "streamPing")).toEqual([]);
  });

  it("of the target that comes after helpers were asked ends it too, but is no measure of the path", () => {
    scene.advance(500);
    expect(scene.probe.handleAck(2900, target, seq)).toBe(-1);
    isSpared();
  });

  it("that a helper passed on ends it", () => {
    scene.advance(500);
    expect(scene.probe.handleAck(700, helper, seq)).toBe(-1);
    isSpared();
  });

  it("over TCP ends it, from nobody in particular", () => {
    scene.advance(500);
    expect(scene.probe.handleAck(900, 0, seq)).toBe(-1);
    isSpared();
  });

  it("counts once", () => {
    scene.probe.handleAck(1, target, seq);
    expect(scene.probe.handleAck(2, target, seq)).toBe(-1);
    expect(scene.awareness.score).toBe(1);
  });

  it("to another number, or after the verdict, counts for nothing", () => {
    expect(scene.probe.handleAck(1, target, seq + 1)).toBe(-1);
    scene.hears(100);
    scene.advance(500);
    scene.advance(3000);
    const score = scene.awareness.score;
    expect(scene.probe.handleAck(3001, target, seq)).toBe(-1);
    expect([scene.accusations.length, scene.awareness.score]).toEqual([1, score]);
  });
});

describe("a failed probe and our own health (M-112, T-033)", () => {
  function failWithNacks(nacksFrom: (helpers: MemberHandle[], seq: number) => [MemberHandle, number][]): number {
    const { target, helpers } = scene.with(3);
    const seq = scene.start(target);
    scene.advance(500);
    scene.hears(600);
    for (const [from, nackSeq] of nacksFrom(helpers, seq)) scene.probe.handleNack(900, from, nackSeq);
    scene.advance(1000);
    expect([scene.accusations.length, scene.probe.failed]).toEqual([1, 1]);
    return scene.awareness.score;
  }

  it("costs nothing when every helper sent its nack", () => {
    expect(failWithNacks((helpers, seq) => helpers.map((helper) => [helper, seq]))).toBe(0);
  });

  it("costs one for each helper that stayed silent", () => {
    expect(failWithNacks(() => [])).toBe(3);
    scene = new ProbeScene();
    expect(failWithNacks(([first], seq) => [[first as number, seq]])).toBe(2);
  });

  it("does not count a nack twice, nor one of a stranger or of another probe", () => {
    expect(
      failWithNacks(([first, second], seq) => [
        [first as number, seq],
        [first as number, seq],
        [second as number, seq - 1],
        [9999, seq],
      ]),
    ).toBe(2);
  });

  it("costs one when there was nobody to ask", () => {
    const { target } = scene.with(0);
    scene.start(target);
    scene.advance(500);
    scene.advance(1000);
    expect([scene.accusations.length, scene.awareness.score]).toEqual([1, 1]);
  });
});
