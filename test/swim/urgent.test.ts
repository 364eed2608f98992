import { beforeEach, describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { Stage } from "../support/recorder.js";

const names = Array.from({ length: 20 }, (_, i) => `m${i + 1}`);
const quiet = { probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0 };

let stage: Stage;
beforeEach(() => {
  stage = new Stage({ ...quiet, urgentFanout: 4 }).started().knows(...names);
  stage.recorder.urgent.length = 0;
});

/** Everything that arrived together has been handled. */
function flush(): number[] {
  stage.swim.flush(stage.nowMs);
  return stage.recorder.take("sendUrgent").map(({ to }) => to as number);
}

function isUrgent(tell: () => void): boolean {
  stage.recorder.urgent.length = 0;
  tell();
  return stage.recorder.urgent.length > 0;
}

describe("urgent news (ARCHITECTURE 5.9)", () => {
  it("is a death, a leave and a refutation, of others and our own, each when it is news", () => {
    expect(isUrgent(() => stage.death("m1", "m2"))).toBe(true);
    expect(isUrgent(() => stage.death("m1", "m3"))).toBe(false);
    expect(isUrgent(() => stage.alive("m1", { incarnation: 2 }))).toBe(true);
    expect(isUrgent(() => stage.farewell("m3"))).toBe(true);
    expect(isUrgent(() => stage.suspect("m4", "m5"))).toBe(false);
    expect(isUrgent(() => stage.alive("m4", { incarnation: 2 }))).toBe(true);
    expect(isUrgent(() => stage.alive("m4", { incarnation: 3, meta: new Uint8Array([1]) }))).toBe(false);
    expect(isUrgent(() => stage.alive("m21"))).toBe(false);
    expect(isUrgent(() => stage.suspect("self", "m5"))).toBe(true);
    expect(isUrgent(() => stage.swim.updateMeta(stage.nowMs, new Uint8Array([2])))).toBe(false);
    expect(isUrgent(() => stage.swim.leave(stage.nowMs))).toBe(true);
  });

  it("goes to the successors on the rings at once, all that arrived together in one datagram", () => {
    for (const name of ["m1", "m2", "m3"]) stage.death(name, "m9", 1, Evidence.expired);
    const told = flush();
    expect(told.length).toBeGreaterThan(1);
    expect(new Set(told).size).toBe(told.length);
    const dead = ["m1", "m2", "m3"].map((name) => stage.addressOf(name));
    for (const address of told) expect(dead).not.toContain(address);
    expect(flush()).toEqual([]);
  });

  it("leaves four times in a row, then once in 25 ms", () => {
    const sent: number[] = [];
    for (let ms = 0; ms < 200; ms++) {
      stage.nowMs = 5000 + ms;
      stage.death(names[ms % 20] as string, "m9", 1);
      stage.alive(names[ms % 20] as string, { incarnation: 1 });
      stage.recorder.urgent.push(1);
      stage.swim.roster.become(stage.handle(names[ms % 20] as string), 0, 1, stage.nowMs);
      if (flush().length > 0) sent.push(ms);
    }
    expect(sent.slice(0, 4)).toEqual([0, 1, 2, 3]);
    expect(sent.length).toBeGreaterThanOrEqual(10);
    expect(sent.length).toBeLessThanOrEqual(4 + 200 / 25);
  });

  it("is sent later when pace forbids it now, or what was sent before has not left", () => {
    stage.recorder.isBusy = true;
    stage.death("m1", "m2");
    expect(flush()).toEqual([]);
    expect(stage.swim.nextDeadline(stage.nowMs)).toBe(stage.nowMs + 2);
    stage.recorder.isBusy = false;
    stage.runTo(stage.nowMs + 2);
    expect(stage.recorder.take("sendUrgent").length).toBeGreaterThan(0);
    stage.recorder.recordsPerUrgent = 1;
    for (const name of names.slice(1, 10)) stage.death(name, "m19");
    flush();
    stage.runTo(stage.nowMs + 1000);
    expect(stage.recorder.urgent).toEqual([]);
  });

  it("waits for the tick without a fan-out, and when nobody else is there", () => {
    stage = new Stage({ ...quiet, urgentFanout: 0 }).started().knows(...names);
    stage.death("m1", "m2");
    expect(flush()).toEqual([]);
    stage = new Stage({ ...quiet, urgentFanout: 4 }).started().knows("m1");
    stage.death("m1", "self");
    expect(flush()).toEqual([]);
    expect(stage.swim.nextDeadline(stage.nowMs)).toBeGreaterThan(stage.nowMs + 1000);
  });
});
