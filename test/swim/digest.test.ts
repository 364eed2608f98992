import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { ViewDigest } from "../../src/swim/digest.js";
import { Roster } from "../../src/swim/roster.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { FakeDirectory, ipOf, recordOf, Stage } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;
const names = Array.from({ length: 12 }, (_, i) => `m${i + 1}`);
const quiet = { probeIntervalMs: 0, gossipIntervalMs: 0, pushPullIntervalMs: 0, digestSyncIntervalMs: 1000 };

class Watched {
  readonly directory = new FakeDirectory();
  readonly digest = new ViewDigest(this.directory);
  readonly roster = new Roster(this.directory, new Random(1), [this.digest]);

  set(id: number, state: MemberState, incarnation: number): void {
    const member = this.directory.intern(`m${id}`);
    const address = this.directory.internAddress(ipOf(id), 7946);
    if (this.roster.has(member)) this.roster.become(member, state, incarnation, 0);
    else this.roster.add(member, address, state, incarnation, 0);
  }

  get value(): readonly [number, number] {
    return [this.digest.low, this.digest.high];
  }
}

const step = fc.record({
  id: fc.integer({ min: 1, max: 8 }),
  state: fc.constantFrom(alive, suspect, dead, left),
  incarnation: fc.integer({ min: 1, max: 4 }),
  forget: fc.boolean(),
});

describe("the digest of a view (ARCHITECTURE 5.11)", () => {
  it("is that of whoever is live at what incarnation, whatever happened before", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const lived = new Watched();
        for (const { id, state, incarnation, forget } of steps) {
          lived.set(id, state, incarnation);
          if (forget) lived.roster.forget(1);
        }
        const built = new ViewDigest(lived.directory);
        for (const member of [...lived.roster.members()].reverse()) {
          if (lived.roster.isLive(member)) built.handleCame(member, lived.roster.incarnationOf(member));
        }
        expect(lived.value).toEqual([built.low, built.high]);
      }),
    );
  });

  it("takes a suspect for alive, the gone for absent, and tells incarnations and members apart", () => {
    const view = new Watched();
    const empty = view.value;
    view.set(1, alive, 1);
    const one = view.value;
    view.set(1, suspect, 1);
    expect(view.value).toEqual(one);
    view.set(1, alive, 2);
    expect(view.value).not.toEqual(one);
    view.set(1, dead, 2);
    expect(view.value).toEqual(empty);
    view.set(2, alive, 1);
    expect(view.value).not.toEqual(one);
  });

  it("is published when it has changed, once for all that arrived together", () => {
    const stage = new Stage(quiet).started();
    const told = new Set<string>();
    for (const name of names) {
      stage.alive(name);
      expect(stage.recorder.digest).toEqual([0, 0]);
    }
    stage.swim.flush(stage.nowMs);
    told.add(String(stage.recorder.digest));
    stage.death("m1", "m2");
    stage.swim.flush(stage.nowMs);
    told.add(String(stage.recorder.digest));
    expect(told.size).toBe(2);
    const off = new Stage({ ...quiet, digestSyncIntervalMs: 0 }).started().knows(...names);
    off.swim.flush(off.nowMs);
    expect(off.recorder.digest).toEqual([0, 0]);
  });
});

describe("a comparison of views", () => {
  function ready(changes = {}): Stage {
    const stage = new Stage({ ...quiet, ...changes }).started().knows(...names);
    stage.swim.flush(stage.nowMs);
    return stage;
  }

  function hears(stage: Stage, from: string, differs: boolean): boolean {
    const [low, high] = stage.recorder.digest;
    stage.swim.handleDigest(stage.nowMs, stage.handle(from), differs ? low ^ 1 : low, high);
    return stage.recorder.take("reconcile").length > 0;
  }

  it("begins at the first difference until four others agreed, then at the fourth in a row", () => {
    const stage = ready();
    for (const name of ["m1", "m2", "m3", "m3"]) {
      expect(hears(stage, name, false)).toBe(false);
      expect(hears(stage, name, true)).toBe(true);
      stage.nowMs += 1000;
    }
    expect(hears(stage, "m4", false)).toBe(false);
    const differences = ["m1", "m2", "m3", "m4"].map((name) => hears(stage, name, true));
    expect(differences).toEqual([false, false, false, true]);
    stage.nowMs += 1000;
    for (const name of ["m1", "m2", "m3"]) hears(stage, name, true);
    hears(stage, "m5", false);
    expect(["m1", "m2", "m3", "m4"].map((name) => hears(stage, name, true))).toEqual([false, false, false, true]);
    expect(stage.swim.stats().reconciliations).toBe(6);
  });

  it("needs the agreement of all others where they are fewer", () => {
    const stage = new Stage(quiet).started().knows("m1", "m2");
    stage.swim.flush(stage.nowMs);
    hears(stage, "m1", false);
    expect(hears(stage, "m1", true)).toBe(true);
    stage.nowMs += 1000;
    hears(stage, "m2", false);
    expect(hears(stage, "m1", true)).toBe(false);
  });

  it("is not put off by the few who share our ignorance and say so every second", () => {
    const stage = ready();
    for (const name of ["m1", "m2", "m3", "m4"]) hears(stage, name, false);
    const asked: boolean[] = [];
    for (const stranger of ["m5", "m6", "m7", "m8", "m9", "m1"]) {
      for (const twin of ["m2", "m3", "m4"]) hears(stage, twin, false);
      asked.push(hears(stage, stranger, true));
    }
    expect(asked).toEqual([false, false, false, true, false, false]);
    // What has changed meanwhile is another view, with which they agree anew.
    stage.nowMs += 1000;
    stage.alive("m20");
    stage.swim.flush(stage.nowMs);
    for (let i = 0; i < 9; i++) expect(hears(stage, i % 3 === 0 ? `m${2 + i / 3}` : "m5", i % 3 > 0)).toBe(false);
  });

  it("is begun with a live member only, at most once an interval, and never when turned off", () => {
    const stage = ready();
    expect(hears(stage, "m1", true)).toBe(true);
    stage.nowMs += 999;
    expect(hears(stage, "m2", true)).toBe(false);
    stage.nowMs += 1;
    expect(hears(stage, "m2", true)).toBe(true);
    stage.nowMs += 5000;
    stage.death("m3", "m4");
    expect([hears(stage, "m3", true), hears(stage, "self", true), hears(stage, "nobody", true)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(hears(ready({ digestSyncIntervalMs: 0 }), "m1", true)).toBe(false);
  });

  it("waits while there is more to do than time for it and news still come", () => {
    const stage = ready({ gossipIntervalMs: 100 });
    stage.recorder.messages = 1;
    const hearsWithNews = (name: string): boolean => {
      stage.alive(name);
      stage.swim.flush(stage.nowMs);
      return hears(stage, "m1", true);
    };
    expect(hearsWithNews("m20")).toBe(true);
    stage.runTo(stage.nowMs + 1000);
    stage.nowMs += 220;
    stage.swim.advance(stage.nowMs, stage.nowMs);
    expect(hearsWithNews("m21")).toBe(false);
    stage.runTo(stage.nowMs + 6000);
    expect(hearsWithNews("m22")).toBe(true);
  });

  it("does not wait, however late we are, once the view has been the same for four gossip intervals", () => {
    const stage = ready({ gossipIntervalMs: 100 });
    expect(hears(stage, "m1", true)).toBe(true);
    stage.alive("m20");
    stage.swim.flush(stage.nowMs);
    for (const name of ["m2", "m6", "m7", "m8"]) hears(stage, name, false);
    const lateAfter = (afterMs: number, from: string): boolean => {
      stage.nowMs += afterMs;
      stage.swim.advance(stage.nowMs, stage.nowMs);
      return [1, 2, 3, 4].map(() => hears(stage, from, true)).includes(true);
    };
    stage.nowMs += 1000;
    stage.alive("m21");
    stage.swim.flush(stage.nowMs);
    expect([lateAfter(0, "m3"), lateAfter(399, "m4"), lateAfter(1, "m5")]).toEqual([false, false, true]);
  });

  it("gives each side what it lacks, and nothing else", () => {
    const a = ready();
    const b = ready();
    const salt = 7;
    expect(b.swim.sync.compare(salt, a.swim.sync.fingerprints(salt)).records).toEqual([]);
    a.alive("m20");
    a.alive("m1", { incarnation: 5 });
    b.alive("m30");
    b.farewell("m2");
    const { records, wanted } = b.swim.sync.compare(salt, a.swim.sync.fingerprints(salt));
    expect(records.map(({ name }) => name).sort()).toEqual(["m1", "m2", "m30"]);
    a.swim.handleSync(a.nowMs, "m9", records);
    const rest = a.swim.sync.recordsOf(salt, wanted);
    expect(rest.map(({ name }) => name).sort()).toEqual(["m1", "m20", "self"]);
    b.swim.handleSync(b.nowMs, "m8", rest);
    for (const name of ["m1", "m2", "m20", "m30"]) expect([name, a.view(name)]).toEqual([name, b.view(name)]);
  });

  it("tells in the third turn that we refuted what the second said of us", () => {
    const a = ready();
    const { self } = a;
    a.swim.handleSync(a.nowMs, "m1", [recordOf("self", { state: dead, incarnation: 1 })]);
    expect(a.swim.roster.incarnationOf(self)).toBeGreaterThan(1);
    const [record] = a.swim.sync.recordsOf(1, new Uint32Array(0));
    expect(record).toMatchObject({ name: "self", incarnation: a.swim.roster.incarnationOf(self) });
  });

  it("tells ourselves once, asked for or not", () => {
    const { sync } = ready().swim;
    const told = (asked: Uint32Array): string[] => sync.recordsOf(7, asked).map(({ name }) => name);
    const everybody = sync.localRecords().map(({ name }) => name);
    expect([told(sync.fingerprints(7)), told(new Uint32Array(0))]).toEqual([everybody, ["self"]]);
  });

  it("with another salt has other fingerprints", () => {
    const stage = ready();
    const all = [1, 2].flatMap((salt) => [...stage.swim.sync.fingerprints(salt)]);
    expect(new Set(all).size).toBe(2 * 13);
  });
});
