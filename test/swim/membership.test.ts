import { describe, expect, it } from "vitest";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { FakeAlive, ipOf, recordOf, ringIndex, Stage } from "../support/recorder.js";

/** Brings "m1" into a state at incarnation 5, quietly. "m2" and "m3" are there to accuse. */
const known: Record<string, (stage: Stage) => void> = {
  unknown: () => {},
  alive: (stage) => stage.alive("m1", { incarnation: 5 }),
  suspect: (stage) => {
    stage.alive("m1", { incarnation: 5 });
    stage.suspect("m1", "m2", 5);
  },
  dead: (stage) => {
    stage.alive("m1", { incarnation: 5 });
    stage.death("m1", "m2", 5);
  },
  left: (stage) => {
    stage.alive("m1", { incarnation: 5 });
    stage.farewell("m1", 5);
  },
};

function stageWith(state: string): Stage {
  const stage = new Stage().started().knows("m2", "m3");
  known[state]?.(stage);
  stage.forget();
  return stage;
}

const meta = Uint8Array.of(1, 2, 3);
const relayed = [{ verb: "relay", ringIndex }];

type Row = readonly [before: string, said: number, after: string, events: string[], spreads: boolean];

function check(row: Row, tell: (stage: Stage, incarnation: number) => void): void {
  const [before, said, after, events, spreads] = row;
  const stage = stageWith(before);
  tell(stage, said);
  expect(stage.view("m1")).toBe(after);
  expect(stage.events()).toEqual(events);
  expect(stage.recorder.take()).toEqual(spreads ? relayed : []);
  expect(stage.heldAfterStop()).toEqual([]);
}

describe("an alive (section 2.1, T-037)", () => {
  const rows: Row[] = [
    ["unknown", 1, "alive 1", ["join m1"], true],
    ["unknown", 0xffff_ffff, "alive 4294967295", ["join m1"], true],
    ["unknown", 0, "unknown", [], false], // E-09
    ["alive", 6, "alive 6", [], true],
    ["alive", 5, "alive 5", [], false],
    ["alive", 4, "alive 5", [], false],
    ["suspect", 6, "alive 6", [], true],
    ["suspect", 5, "suspect 5", [], false],
    ["suspect", 4, "suspect 5", [], false],
    ["dead", 6, "alive 6", ["recover m1"], true],
    ["dead", 5, "dead 5", [], false],
    ["dead", 4, "dead 5", [], false],
    ["left", 6, "alive 6", ["join m1"], true],
    ["left", 5, "left 5", [], false],
    ["left", 4, "left 5", [], false],
  ];
  it.each(rows)("about one who is %s, at %d, makes it %s", (...row) => {
    check(row, (stage, incarnation) => stage.alive("m1", { incarnation }));
  });

  it.each([
    ["alive", ["update m1"]],
    ["suspect", ["update m1"]],
    ["dead", ["recover m1"]],
    ["left", ["join m1"]],
  ])("with new metadata about one who is %s tells %s", (before, events) => {
    const stage = stageWith(before);
    stage.alive("m1", { incarnation: 6, meta });
    expect(stage.events()).toEqual(events);
    expect([...stage.swim.roster.metaOf(stage.handle("m1"))]).toEqual([1, 2, 3]);
    stage.alive("m1", { incarnation: 7, meta });
    stage.alive("m1", { incarnation: 7 });
    expect(stage.events()).toEqual([]);
    stage.alive("m1", { incarnation: 8 });
    expect(stage.events()).toEqual(["update m1"]);
  });

  it("with metadata longer than allowed is ignored, whole (E-26)", () => {
    const stage = stageWith("alive");
    stage.alive("m1", { incarnation: 6, meta: new Uint8Array(513) });
    stage.alive("m4", { meta: new Uint8Array(513) });
    expect([stage.view("m1"), stage.view("m4"), stage.events()]).toEqual(["alive 5", "unknown", []]);
    stage.alive("m4", { meta: new Uint8Array(512) });
    expect(stage.view("m4")).toBe("alive 1");
  });

  it("is dropped when the process has no room for its name or address, and nothing leaks", () => {
    const stage = stageWith("unknown");
    stage.recorder.directory.addresses.capacity = 1;
    stage.alive("m1");
    expect(stage.view("m1")).toBe("unknown");
    stage.recorder.directory.addresses.capacity = 100;
    stage.recorder.directory.names.capacity = 1;
    stage.alive("m1");
    expect([stage.view("m1"), stage.events(), stage.recorder.take()]).toEqual(["unknown", [], []]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it("that came by stream is spread as a record of our own", () => {
    const stage = stageWith("unknown");
    stage.alive("m1", { incarnation: 3, meta }, -1);
    expect(stage.recorder.take()).toEqual([
      {
        verb: "queueAlive",
        subject: stage.handle("m1"),
        address: stage.addressOf("m1"),
        incarnation: 3,
        meta: [1, 2, 3],
      },
    ]);
  });
});

describe("a newcomer", () => {
  it("comes under its name when nobody refers to its handle any more", () => {
    const stage = new Stage().started().knows("m2");
    const { directory } = stage.recorder;
    const handle = directory.intern("m1");
    directory.release(handle);
    stage.swim.handleAlive(stage.nowMs, handle, 1, new FakeAlive(recordOf("m1")));
    expect([stage.view("m1"), stage.handle("m1") === handle]).toEqual(["alive 1", false]);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it.each([false, true])("whose name is refused leaves no reference, known to others or not (%s)", (isKnown) => {
    const stage = new Stage().started().knows("m2");
    const { directory } = stage.recorder;
    if (isKnown) directory.intern("m1");
    stage.recorder.mayBeCalled = (name) => name !== "m1";
    stage.alive("m1");
    stage.sync("m2", recordOf("m1"), recordOf("m1", { state: MemberState.dead }));
    expect([stage.view("m1"), stage.swim.stats().misnamed]).toEqual(["unknown", 3]);
    if (isKnown) directory.release(stage.handle("m1"));
    expect(stage.heldAfterStop()).toEqual([]);
  });
});

describe("a suspicion (section 2.2, T-038)", () => {
  const rows: Row[] = [
    ["unknown", 5, "unknown", [], false],
    ["alive", 4, "alive 5", [], false],
    ["alive", 5, "suspect 5", ["suspect m1"], true],
    ["alive", 6, "suspect 6", ["suspect m1"], true],
    ["suspect", 4, "suspect 5", [], false],
    ["suspect", 5, "suspect 5", [], true], // m3 is a new accuser: M-117
    ["suspect", 6, "suspect 6", [], true],
    ["dead", 5, "dead 5", [], false],
    ["dead", 6, "suspect 6", ["recover m1", "suspect m1"], true], // E-12
    ["left", 5, "left 5", [], false],
    ["left", 6, "suspect 6", ["join m1", "suspect m1"], true], // E-12
  ];
  it.each(rows)("about one who is %s, at %d, makes it %s", (...row) => {
    check(row, (stage, incarnation) => stage.suspect("m1", "m3", incarnation));
  });

  it("that is repeated by the same accuser is not spread again (M-117)", () => {
    const stage = stageWith("suspect");
    stage.suspect("m1", "m2", 5);
    expect(stage.recorder.take()).toEqual([]);
    stage.suspect("m1", "m3", 5);
    stage.suspect("m1", "m3", 5);
    expect(stage.recorder.take()).toEqual(relayed);
  });

  it("is told with its accuser and evidence", () => {
    const stage = stageWith("alive");
    stage.suspect("m1", "m3", 5, Evidence.refused);
    expect(stage.recorder.events).toEqual([
      { kind: "suspect", member: stage.handle("m1"), incarnation: 5, from: stage.handle("m3"), evidence: 1 },
    ]);
  });

  it("at incarnation 0 is nonsense even across the wrap (E-09)", () => {
    const stage = new Stage().started().knows("m2", "m3");
    stage.alive("m1", { incarnation: 0xffff_ffff });
    stage.suspect("m1", "m2", 0);
    expect(stage.view("m1")).toBe("alive 4294967295");
    stage.suspect("m1", "m2", 0xffff_ffff);
    stage.suspect("m1", "m3", 0);
    expect(stage.view("m1")).toBe("suspect 4294967295");
    stage.suspect("m1", "m3", 1);
    expect(stage.view("m1")).toBe("suspect 1");
  });
});

describe("a death or a farewell (section 2.3, T-039)", () => {
  const deaths: Row[] = [
    ["unknown", 5, "unknown", [], false],
    ["alive", 4, "alive 5", [], false],
    ["alive", 5, "dead 5", ["fail m1"], true],
    ["alive", 6, "dead 6", ["fail m1"], true],
    ["suspect", 4, "suspect 5", [], false],
    ["suspect", 5, "dead 5", ["fail m1"], true],
    ["dead", 5, "dead 5", [], false],
    ["dead", 6, "dead 6", [], true], // E-12
    ["left", 5, "left 5", [], false],
    ["left", 6, "dead 6", ["join m1", "fail m1"], true], // it had come back unnoticed
    ["alive", 0, "alive 5", [], false],
  ];
  it.each(deaths)("that others declare of one who is %s, at %d, makes it %s", (...row) => {
    check(row, (stage, incarnation) => stage.death("m1", "m3", incarnation));
  });

  const farewells: Row[] = [
    ["unknown", 5, "unknown", [], false],
    ["alive", 4, "alive 5", [], false],
    ["alive", 5, "left 5", ["leave m1"], true],
    ["alive", 6, "left 6", ["leave m1"], true],
    ["suspect", 5, "left 5", ["leave m1"], true],
    ["dead", 4, "dead 5", [], false],
    ["dead", 5, "left 5", ["leave m1"], true], // E-12: a late leave counts
    ["left", 5, "left 5", [], false],
    ["left", 6, "left 6", [], true],
  ];
  it.each(farewells)("that one who is %s announces itself, at %d, makes it %s", (...row) => {
    check(row, (stage, incarnation) => stage.farewell("m1", incarnation));
  });

  it("tells a failure with its accuser and evidence, and a leave without (E-01)", () => {
    const stage = stageWith("alive");
    const member = stage.handle("m1");
    stage.death("m1", "m3", 5, Evidence.expired);
    stage.alive("m1", { incarnation: 6 });
    stage.farewell("m1", 6);
    const [fail, recover, leave] = stage.recorder.events;
    expect(fail).toEqual({
      kind: "fail",
      member,
      incarnation: 5,
      from: stage.handle("m3"),
      evidence: Evidence.expired,
    });
    expect(recover).toMatchObject({ kind: "recover", member, incarnation: 6, from: 0 });
    expect(leave).toEqual({ kind: "leave", member, incarnation: 6, from: 0, evidence: Evidence.farewell });
  });

  it.each(["alive", "suspect"])("keeps an alive that is as old from bringing the one who was %s back", (before) => {
    const stage = stageWith(before);
    stage.death("m1", "m3", 5);
    stage.alive("m1", { incarnation: 5 });
    expect(stage.view("m1")).toBe("dead 5");
  });
});

describe("a name conflict (M-170, M-171, T-014, T-037)", () => {
  const elsewhere = { ip: ipOf(99) };

  it.each(["alive", "suspect", "dead"])("with one who is %s is told, not taken, and not spread", (before) => {
    const stage = stageWith(before);
    const [view, address] = [stage.view("m1"), stage.addressOf("m1")];
    stage.alive("m1", { incarnation: 9, ...elsewhere });
    stage.alive("m1", { incarnation: 9, port: 1 });
    expect([stage.view("m1"), stage.addressOf("m1"), stage.events()]).toEqual([view, address, []]);
    expect(stage.recorder.take()).toEqual([]);
    expect(stage.recorder.conflicts.map(({ member }) => member)).toEqual([stage.handle("m1"), stage.handle("m1")]);
    expect(stage.swim.stats().conflicts).toBe(2);
    expect(stage.heldAfterStop()).toEqual([]);
  });

  it.each([1, 4, 5])("is seen in an alive that is stale otherwise, at incarnation %d (M-170)", (said) => {
    const stage = stageWith("alive");
    const { swim } = stage;
    const m1 = stage.recorder.directory.find("m1");
    const there = stage.recorder.directory.internAddress(ipOf(99), 7946);
    expect(swim.isStale(RecordKind.alive, m1, said)).toBe(true);
    expect([swim.roster.addressOf(m1), there, 0].map((address) => swim.isElsewhere(m1, address))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it.each([1, 5, 6])("does not arise with one who left: the name is free at once, at any incarnation (%d)", (said) => {
    const stage = stageWith("left");
    stage.alive("m1", { incarnation: said, ...elsewhere });
    expect([stage.view("m1"), stage.events()]).toEqual([`alive ${said}`, ["join m1"]]);
    expect(stage.recorder.take()).toEqual(relayed);
    expect(stage.addressOf("m1")).toBe(stage.recorder.directory.internAddress(ipOf(99), 7946));
    stage.recorder.directory.releaseAddress(stage.addressOf("m1"));
    expect(stage.heldAfterStop()).toEqual([]);
  });

  function deadFor(ms: number, deadReclaimMs: number, changes: Partial<MemberRecord>): Stage {
    const stage = new Stage({ deadReclaimMs }).started().knows("m2");
    known.dead?.(stage);
    stage.nowMs += ms;
    stage.forget();
    stage.alive("m1", changes);
    return stage;
  }

  it("does not arise with one who is dead for long enough", () => {
    const early = deadFor(9999, 10_000, { incarnation: 1, ...elsewhere });
    expect([early.view("m1"), early.recorder.conflicts.length]).toEqual(["dead 5", 1]);
    const late = deadFor(10_000, 10_000, { incarnation: 1, ...elsewhere });
    expect([late.view("m1"), late.events(), late.recorder.conflicts]).toEqual(["alive 1", ["recover m1"], []]);
  });

  it("keeps the name of the dead for ever when reclaiming is off, which it is by default", () => {
    const stage = deadFor(1e9, 0, { incarnation: 9, ...elsewhere });
    expect([stage.view("m1"), stage.recorder.conflicts.length]).toEqual(["dead 5", 1]);
  });

  it("is not what an alive of the same address is: reclaiming does not let an old one in", () => {
    const stage = deadFor(20_000, 10_000, { incarnation: 5 });
    expect([stage.view("m1"), stage.events()]).toEqual(["dead 5", []]);
  });
});

describe("the size of the cluster (M-130)", () => {
  const others = Array.from({ length: 8 }, (_, i) => `m${i + 1}`);
  const come: Record<string, (stage: Stage) => void> = {
    alive: (stage) => stage.alive("m9"),
    sync: (stage) => stage.sync("m1", recordOf("m9")),
    suspicion: (stage) => stage.sync("m1", recordOf("m9", { state: MemberState.suspect })),
    return: (stage) => {
      stage.sync("m1", recordOf("m9", { state: MemberState.dead }));
      stage.suspect("m9", "m2", 2);
    },
    rebirth: (stage) => {
      stage.sync("m1", recordOf("m9", { state: MemberState.dead }));
      stage.alive("m9", { incarnation: 2 });
    },
  };
  const go: Record<string, (stage: Stage) => void> = {
    death: (stage) => stage.death("m9", "m2", 2),
    farewell: (stage) => stage.farewell("m9", 2),
    leave: (stage) => stage.swim.leave(stage.nowMs),
  };
  const ways = Object.keys(come).flatMap((came) => Object.keys(go).map((went) => [came, went] as const));

  it.each(ways)("is told when it gets another digit, by %s, or loses one, by %s", (came, went) => {
    const stage = new Stage().started().knows(...others);
    const sizes = [stage.recorder.clusterSize];
    come[came]?.(stage);
    sizes.push(stage.recorder.clusterSize);
    go[went]?.(stage);
    sizes.push(stage.recorder.clusterSize);
    expect(sizes).toEqual([1, 10, 9]);
  });

  it("is told from nobody to 100, once for each number of digits", () => {
    const stage = new Stage().started();
    const sizes = new Set<number>();
    for (let i = 1; i < 100; i++) {
      stage.alive(`m${i}`);
      sizes.add(stage.recorder.clusterSize);
    }
    stage.swim.leave(stage.nowMs);
    for (let i = 1; i < 100; i++) {
      stage.farewell(`m${i}`);
      sizes.add(stage.recorder.clusterSize);
    }
    expect([...sizes]).toEqual([1, 10, 100, 99, 9, 0]);
  });
});
