import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DropWatch } from "../../src/io/drops.js";
import { Log } from "../../src/io/log.js";
import { Past } from "../../src/io/past.js";
import { newStreamStats } from "../../src/io/stream_limits.js";
import { Witness } from "../../src/io/witness.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { recordOf, Stage } from "../support/recorder.js";

const still = { gossipIntervalMs: 0, pushPullIntervalMs: 0, probeIntervalMs: 0 };

/** A core with a history; its time 1,000 is noon. */
class Scene {
  readonly stage = new Stage(still).started().knows(...Array.from({ length: 9 }, (_, i) => `m${i + 1}`));
  readonly past: Past;

  constructor(maxMembers = 100) {
    const { recorder, self } = this.stage;
    const { directory } = recorder;
    this.past = new Past({ directory, nowMs: () => this.stage.nowMs, maxMembers });
    const drops = new DropWatch({ counters: () => ({}) as never, streams: newStreamStats(), unknownOrigins: () => 0 });
    const parts = { node: "self", self, directory, log: new Log(null, "self"), drops, past: this.past };
    const observer = new Witness({ ...parts, later: (call) => call() });
    Object.assign(recorder, { observer });
  }

  explain(name: string): string {
    vi.setSystemTime(Date.UTC(2026, 0, 1, 12) + this.stage.nowMs - 1000);
    return this.past.explain(name, this.stage.swim.roster);
  }

  /** Time passes in which nothing is due. */
  wait(ms: number): this {
    this.stage.nowMs += ms;
    return this;
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

describe("explain answers why a member is as it is", () => {
  it("declared dead by ourselves: who accused, who confirmed, how long it was suspected", () => {
    const scene = new Scene();
    scene.wait(250).stage.suspect("m3", "m1");
    scene.wait(100).stage.suspect("m3", "m7");
    scene.wait(100).stage.suspect("m3", "m9");
    scene.stage.runTo(20_000);
    expect(scene.explain("m3")).toBe(
      "m3 failed at 2026-01-01T12:00:04.250Z: declared dead by self after 4.0 s of suspicion; " +
        "accused by m1 (timeout), confirmed by m7 (timeout), m9 (timeout), no refutation",
    );
  });

  it("declared dead by another, with and without a suspicion that we heard of", () => {
    const scene = new Scene();
    scene.stage.suspect("m3", "m1", 1, Evidence.hearsay);
    scene.wait(1_520).stage.death("m3", "m2");
    scene.stage.death("m4", "m2");
    expect([scene.explain("m3"), scene.explain("m4")]).toEqual([
      "m3 failed at 2026-01-01T12:00:01.520Z: declared dead by m2 after 1.5 s of suspicion; " +
        "accused by m1 (hearsay), no refutation",
      "m4 failed at 2026-01-01T12:00:01.520Z: declared dead by m2; this node had heard no accusation before",
    ]);
  });

  it("alive, suspected, left, unknown, dead before our time", () => {
    const scene = new Scene();
    scene.wait(500).stage.suspect("m1", "m2");
    scene.wait(500).stage.farewell("m3");
    scene.stage.suspect("m4", "m2");
    scene.wait(500).stage.farewell("m4");
    scene.stage.sync("m2", recordOf("m20", { state: MemberState.dead }), recordOf("m21", { state: MemberState.left }));
    expect(["m5", "m1", "m3", "m4", "m99", "m20", "m21"].map((name) => scene.explain(name))).toEqual([
      "m5 is alive",
      "m1 is suspected since 2026-01-01T12:00:00.500Z: accused by m2 (timeout), no refutation",
      "m3 left by itself at 2026-01-01T12:00:01.000Z",
      "m4 left by itself at 2026-01-01T12:00:01.500Z",
      "m99 is unknown to this node",
      "m20 was dead when this node first heard of it",
      "m21 left by itself, before this node first heard of it",
    ]);
  });

  it("alive after it refuted, also its death, and for ourselves", () => {
    const scene = new Scene();
    scene.stage.suspect("m1", "m2");
    scene.wait(500).stage.alive("m1", { incarnation: 2 });
    scene.stage.death("m3", "m2");
    scene.wait(500).stage.alive("m3", { incarnation: 2 });
    scene.stage.suspect("self", "m4", 5);
    expect(["m1", "m3", "self"].map((name) => scene.explain(name))).toEqual([
      "m1 is alive; last accused by m2 (timeout), refuted at 2026-01-01T12:00:00.500Z",
      "m3 is alive; it was declared dead by m2 and refuted that at 2026-01-01T12:00:01.000Z",
      "self is alive; last accused by m4 (timeout), refuted at 2026-01-01T12:00:01.000Z",
    ]);
  });

  it("when the roster has forgotten it, and when no history is kept", () => {
    const scene = new Scene();
    scene.stage.death("m1", "m2");
    scene.stage.swim.roster.forget(Number.POSITIVE_INFINITY);
    expect(scene.explain("m1")).toBe(
      "m1 failed at 2026-01-01T12:00:00.000Z: declared dead by m2; this node had heard no accusation before; " +
        "forgotten as a member since",
    );
    const without = new Scene(0);
    without.stage.death("m1", "m2");
    expect(without.explain("m1")).toBe("m1 failed at 2026-01-01T12:00:00.000Z; who accused it is no longer remembered");
  });
});

describe("history", () => {
  it("gives the entries with names and dates, frozen", () => {
    const scene = new Scene();
    scene.stage.suspect("m1", "m2", 4);
    scene.wait(500).stage.alive("m1", { incarnation: 5 });
    scene.explain("m1");
    const entries = scene.past.entriesOf("m1");
    const at = new Date("2026-01-01T12:00:00.000Z");
    expect(entries).toEqual([
      { at, outcome: "suspected", by: "m2", evidence: "timeout", incarnation: 4 },
      { at: new Date(at.getTime() + 500), outcome: "refuted", by: "m1", evidence: null, incarnation: 5 },
    ]);
    expect([Object.isFrozen(entries), Object.isFrozen(entries[0])]).toEqual([true, true]);
  });

  it("begins with an accusation, not with a join, an update, a leave or a return", () => {
    const scene = new Scene();
    scene.stage.death("m3", "m1");
    scene.stage.farewell("m3", 2);
    scene.stage.alive("m3", { incarnation: 3 });
    scene.stage.alive("m20");
    scene.stage.alive("m1", { incarnation: 3 });
    scene.stage.farewell("m2");
    scene.stage.alive("m2", { incarnation: 2 });
    expect(["m20", "m1", "m2", "m99"].flatMap((name) => scene.past.entriesOf(name))).toEqual([]);
    expect(scene.past.entriesOf("m3").map(({ outcome }) => outcome)).toEqual(["dead", "left"]);
  });

  it("gives every reference back", () => {
    const scene = new Scene(2);
    for (const name of ["m1", "m2", "m3", "m4"]) scene.stage.suspect(name, "m9");
    scene.stage.suspect("self", "m5");
    scene.past.clear();
    expect(scene.stage.heldAfterStop()).toEqual([]);
  });
});
