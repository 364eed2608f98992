import { beforeEach, describe, expect, it } from "vitest";
import type { MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { ProbeScene } from "../support/probe_scene.js";
import { ipOf } from "../support/recorder.js";

const { alive, dead, left } = MemberState;

let scene: ProbeScene;
beforeEach(() => {
  // gossipToTheDeadMs keeps everybody on the roster.
  scene = new ProbeScene({ gossipToTheDeadMs: 1e9 });
});

describe("no verdict before drain (ARCHITECTURE 5.1)", () => {
  it("neither asks helpers nor judges while something that came before is unhandled", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.recorder.take();
    scene.advance(10_000, 499);
    expect([scene.recorder.take(), scene.accusations]).toEqual([[], []]);
    scene.advance(10_000, 500);
    expect(scene.recorder.take("pingRequest").length).toBe(3);
    scene.advance(10_000, 999);
    expect(scene.accusations).toEqual([]);
  });

  it("judges later when nothing came, and gives whoever was asked late the same time to answer", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.hears(100);
    scene.advance(10_000, 10_000);
    expect(scene.recorder.take("streamPing")[0]?.timeoutMs).toBe(500);
    expect([scene.accusations, scene.probe.nextVerdictMs()]).toEqual([[], 10_500]);
    scene.advance(10_499.9);
    expect(scene.accusations).toEqual([]);
    scene.advance(10_500);
    expect(scene.accusations.length).toBe(1);
  });

  it("spares the target when its ack was waiting", () => {
    const { target } = scene.with(3);
    const seq = scene.start(target);
    scene.advance(10_000, 100);
    expect(scene.probe.handleAck(0.3, target, seq)).toBeCloseTo(0.3);
    scene.advance(10_000, 10_000);
    expect([scene.accusations, scene.awareness.score]).toEqual([[], 0]);
  });

  it("spares the target when a late ack was waiting between its deadline and the drain", () => {
    const { target } = scene.with(3);
    const seq = scene.start(target);
    scene.advance(500);
    scene.advance(1200, 999);
    scene.probe.handleAck(1100, target, seq);
    scene.advance(1300, 1300);
    expect(scene.accusations).toEqual([]);
  });
});

describe("a deaf member (ARCHITECTURE 5.2)", () => {
  it("judges nobody, and thinks less of itself", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.advance(500);
    scene.advance(1000);
    expect(scene.accusations).toEqual([]);
    expect([scene.probe.inconclusive, scene.probe.failed, scene.awareness.score]).toEqual([1, 0, 1]);
  });

  it("judges again once it hears anybody", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.advance(500);
    scene.hears(999);
    scene.advance(1000);
    expect(scene.accusations.length).toBe(1);
  });

  it("judges after a minute, as it may be the last one standing", () => {
    const { target } = scene.with(3);
    scene.hearing.notePing(-59_000);
    scene.start(target);
    scene.advance(500);
    scene.advance(1000);
    expect(scene.accusations.length).toBe(1);
  });

  it("is not meant among two, where silence says that the other is gone", () => {
    const { target } = scene.with(0);
    scene.start(target);
    expect(scene.hearing.isDeaf(900)).toBe(false);
    scene.advance(500);
    scene.advance(1000);
    expect(scene.accusations.length).toBe(1);
  });
});

describe("a target that changed meanwhile", () => {
  it("is accused at what it is known by at the verdict", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.hears(100);
    scene.advance(500);
    scene.roster.become(target, alive, 8, 600);
    scene.advance(1000);
    expect(scene.accusations[0]).toMatchObject({ subject: target, incarnation: 8 });
  });

  it.each([dead, left])("is not asked about any more once it is gone (state %d)", (state) => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.roster.become(target, state, 3, 100);
    scene.recorder.take();
    scene.advance(500);
    expect([scene.recorder.take(), scene.probe.isInFlight, scene.awareness.score]).toEqual([[], false, 0]);
  });

  it.each([dead, left])("is not accused once it is gone (state %d)", (state) => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.advance(500);
    scene.hears(600);
    scene.roster.become(target, state, 3, 700);
    scene.advance(1000);
    expect(scene.accusations).toEqual([]);
  });

  it("is asked about at its new address when its name moved", () => {
    const { target } = scene.with(3);
    scene.start(target);
    const { directory } = scene.recorder;
    const before = scene.roster.addressOf(target);
    const moved = directory.internAddress(ipOf(777), 1);
    scene.roster.moveTo(target, moved);
    directory.releaseAddress(before);
    scene.recorder.take();
    scene.advance(500);
    const calls = scene.recorder.take();
    expect(calls.filter((call) => call.targetAddress === moved).length).toBe(3);
    expect(calls.at(-1)).toMatchObject({ verb: "streamPing", to: moved });
  });
});

describe("a refusal by the target's host", () => {
  it("asks helpers at once, and leaves the verdict where it is", () => {
    const { target } = scene.with(3);
    scene.start(target);
    scene.probe.handleRefused(2, target);
    expect(scene.recorder.take("pingRequest").length).toBe(3);
    expect(scene.probe.nextVerdictMs()).toBe(1000);
    scene.probe.handleRefused(3, target);
    scene.advance(500);
    expect(scene.recorder.take("pingRequest")).toEqual([]);
  });

  it("of another member does nothing", () => {
    const { target, helpers } = scene.with(3);
    scene.start(target);
    scene.recorder.take();
    scene.probe.handleRefused(2, helpers[0] as MemberHandle);
    scene.probe.handleRefused(2, 0);
    expect(scene.recorder.take()).toEqual([]);
  });
});
