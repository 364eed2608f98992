import { describe, expect, it } from "vitest";
import { syncScale } from "../../src/swim/push_pull.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { ipOf, recordOf, Stage } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;

describe("the interval of state syncs (M-150, T-059)", () => {
  it.each([
    [1, 1],
    [32, 1],
    [33, 2],
    [64, 2],
    [65, 3],
    [128, 3],
    [129, 4],
    [1000, 6],
    [10_000, 10],
  ])("of %d members is scaled by %d", (members, scale) => {
    expect(syncScale(members)).toBe(scale);
  });
});

describe("our own state as a sync tells it (M-151)", () => {
  it("has everybody, the suspects, the dead, the left and ourselves included", () => {
    const stage = new Stage({}, 1, Uint8Array.of(7)).started().knows("m1", "m2", "m3", "m4");
    stage.alive("m5", { incarnation: 3, meta: Uint8Array.of(1), ip: ipOf(300), port: 81 });
    stage.suspect("m2", "m1");
    stage.death("m3", "m1");
    stage.farewell("m4");
    const records = stage.swim.sync.localRecords().sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(records).toEqual([
      recordOf("m1"),
      recordOf("m2", { state: suspect }),
      recordOf("m3", { state: dead }),
      recordOf("m4", { state: left }),
      recordOf("m5", { incarnation: 3, meta: Uint8Array.of(1), ip: ipOf(300), port: 81 }),
      recordOf("self", { meta: Uint8Array.of(7) }),
    ]);
  });
});

describe("a merge (M-152, T-040)", () => {
  type Row = [before: string, told: MemberState, at: number, after: string, events: string[]];
  const rows: Row[] = [
    ["unknown", alive, 5, "alive 5", ["join m1"]],
    ["unknown", suspect, 5, "suspect 5", ["join m1", "suspect m1"]], // E-12
    ["unknown", dead, 5, "dead 5", []], // E-12
    ["unknown", left, 5, "left 5", []], // E-12
    ["alive", alive, 5, "alive 5", []],
    ["alive", alive, 6, "alive 6", []],
    ["alive", suspect, 5, "suspect 5", ["suspect m1"]],
    ["alive", dead, 5, "suspect 5", ["suspect m1"]],
    ["alive", dead, 4, "alive 5", []],
    ["alive", left, 5, "left 5", ["leave m1"]],
    ["suspect", alive, 5, "suspect 5", []],
    ["suspect", alive, 6, "alive 6", []],
    ["suspect", dead, 5, "suspect 5", []],
    ["dead", alive, 5, "dead 5", []],
    ["dead", alive, 6, "alive 6", ["recover m1"]],
    ["dead", dead, 4, "dead 5", []],
    ["dead", dead, 6, "dead 6", []], // both agree
    ["dead", left, 5, "left 5", ["leave m1"]],
    ["left", alive, 5, "left 5", []],
    ["left", dead, 5, "left 5", []],
  ];

  it.each(rows)("of one who is %s with state %d at %d makes it %s", (before, state, incarnation, after, events) => {
    const stage = new Stage().started().knows("peer");
    if (before !== "unknown") stage.alive("m1", { incarnation: 5 });
    if (before === "suspect") stage.suspect("m1", "peer", 5);
    if (before === "dead") stage.death("m1", "peer", 5);
    if (before === "left") stage.farewell("m1", 5);
    stage.forget();
    stage.sync("peer", recordOf("m1", { incarnation, state }));
    expect([stage.view("m1"), stage.events()]).toEqual([after, events]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("spreads what is news, as records of our own", () => {
    const stage = new Stage().started().knows("peer", "m1", "m2");
    stage.sync(
      "peer",
      recordOf("m1", { state: dead }),
      recordOf("m2", { state: left }),
      recordOf("m3"),
      recordOf("m4", { state: dead }),
    );
    const [peer, m1, m2, m3] = ["peer", "m1", "m2", "m3"].map((name) => stage.handle(name));
    expect(stage.recorder.take()).toEqual([
      { verb: "queueAlive", subject: m3, address: stage.addressOf("m3"), incarnation: 1, meta: [] },
      { verb: "queueSuspect", subject: m1, from: peer, incarnation: 1, evidence: 2 },
      { verb: "queueDeath", subject: m2, from: m2, incarnation: 1, evidence: 3 },
    ]);
  });

  it("leaves to comparisons whom a peer tells of besides itself, but not who refutes", () => {
    const stage = new Stage({ digestSyncIntervalMs: 1000 }).started().knows("m1");
    stage.suspect("m1", "m1", 1);
    stage.recorder.take();
    stage.sync("peer", recordOf("peer"), recordOf("m2"), recordOf("m3"), recordOf("m1", { incarnation: 2 }));
    const told = stage.recorder.take("queueAlive").map(({ subject }) => subject);
    expect(told).toEqual(["peer", "m1"].map((name) => stage.handle(name)));
    for (const name of ["m2", "m3"]) expect(stage.view(name)).toBe("alive 1");
  });

  it("takes suspicions as the peer's hearsay, which confirms nothing (E-11)", () => {
    const stage = new Stage().started().knows("m1", "m2", "m3", "m4", "m5");
    stage.suspect("m1", "m2");
    stage.recorder.take();
    const before = stage.swim.nextVerdict(stage.nowMs);
    for (const peer of ["m3", "m4", "m5"]) stage.sync(peer, recordOf("m1", { state: suspect }));
    expect([stage.swim.nextVerdict(stage.nowMs), stage.recorder.take()]).toEqual([before, []]);
    stage.suspect("m1", "m3");
    expect(stage.swim.nextVerdict(stage.nowMs)).toBeLessThan(before);
  });

  it("knows everybody before it applies the accusations, in whatever order the records come", () => {
    const records: MemberRecord[] = [
      recordOf("m1", { state: suspect }),
      recordOf("m2", { state: dead }),
      recordOf("m3"),
      recordOf("peer"),
    ];
    for (const order of [records, records.toReversed()]) {
      const stage = new Stage().started();
      stage.sync("peer", ...order);
      const views = ["m1", "m2", "m3", "peer"].map((name) => stage.view(name));
      expect(views).toEqual(["suspect 1", "dead 1", "alive 1", "alive 1"]);
      expect(stage.recorder.events.find((event) => event.kind === "suspect")?.from).toBe(stage.handle("peer"));
      expect(stage.heldAfterStop()).toEqual([]);
    }
  });

  it("refutes what it says of ourselves", () => {
    for (const state of [suspect, dead, left]) {
      const stage = new Stage().started().knows("peer");
      stage.sync("peer", recordOf("self", { incarnation: 4, state }));
      expect([stage.view("self"), stage.swim.stats().refutations]).toEqual(["alive 5", 1]);
    }
  });

  it("is not fooled by an old alive about one whom it learnt as dead (E-12)", () => {
    const stage = new Stage().started().knows("peer");
    stage.sync("peer", recordOf("m1", { incarnation: 5, state: dead }));
    stage.alive("m1", { incarnation: 5 });
    expect(stage.view("m1")).toBe("dead 5");
  });

  it.each([dead, left])(
    "does not tell on whom it learnt of as gone, so that all forget in the end (state %d)",
    (state) => {
      const stage = new Stage().started().knows("peer");
      stage.sync("peer", recordOf("m1", { incarnation: 5, state }), recordOf("m2", { incarnation: 5, state }));
      stage.death("m2", "peer", 6);
      const told = (): string[] =>
        stage.swim.sync
          .localRecords()
          .map((record) => record.name)
          .sort();
      expect(told()).toEqual(["peer", "self"]);
      stage.alive("m1", { incarnation: 6 });
      expect(told()).toEqual(["m1", "peer", "self"]);
      stage.death("m1", "peer", 6);
      expect(told()).toEqual(["m1", "peer", "self"]);
    },
  );

  it.each([dead, left])("tells the return of one who was gone before we came as a join, state %d", (state) => {
    const stage = new Stage().started().knows("peer");
    const gone = (name: string) => recordOf(name, { incarnation: 5, state });
    stage.sync("peer", gone("m1"), gone("m2"), gone("m3"));
    stage.farewell("m1", 6);
    stage.death("m1", "peer", 7);
    expect(stage.events()).toEqual([]);
    stage.alive("m1", { incarnation: 8 });
    stage.suspect("m2", "peer", 6);
    stage.sync("peer", recordOf("m3", { incarnation: 6 }));
    expect(stage.events()).toEqual(["join m1", "join m2", "suspect m2", "join m3"]);
    stage.death("m1", "peer", 8);
    stage.alive("m1", { incarnation: 9 });
    expect(stage.events()).toEqual(["fail m1", "recover m1"]);
  });

  it.each([dead, left])("leaves no ghost of a record without incarnation (E-09), state %d", (state) => {
    const stage = new Stage().started().knows("peer");
    stage.sync("peer", recordOf("m1", { incarnation: 0, state }), recordOf("m2", { incarnation: 0 }));
    expect([stage.view("m1"), stage.view("m2"), stage.swim.roster.size]).toEqual(["unknown", "unknown", 2]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it.each([alive, dead, left])("ignores metadata longer than allowed (E-26), state %d", (state) => {
    const stage = new Stage().started().knows("peer");
    stage.sync("peer", recordOf("m1", { state, meta: new Uint8Array(513) }));
    expect(stage.view("m1")).toBe("unknown");
  });

  it("of a peer that nobody knows works, and is counted", () => {
    const stage = new Stage().started().knows("m1");
    stage.sync("stranger", recordOf("m1", { state: suspect }));
    stage.swim.handleSyncFailed();
    expect([stage.view("m1"), stage.recorder.events.at(-1)?.from]).toEqual(["suspect 1", 0]);
    expect(stage.swim.stats()).toMatchObject({ syncsMerged: 1, syncsFailed: 1 });
  });

  it("gives every reference back when there is no room", () => {
    const stage = new Stage().started().knows("peer");
    stage.recorder.directory.names.capacity = 2;
    stage.sync("peer", recordOf("m1"), recordOf("m2", { state: dead }));
    stage.recorder.directory.names.capacity = 100;
    stage.recorder.directory.addresses.capacity = 1;
    stage.sync("peer", recordOf("m1"), recordOf("m2", { state: dead }));
    expect([stage.swim.roster.size, stage.heldAfterStop()]).toEqual([2, []]);
  });
});
