import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventKind } from "../../src/swim/events.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { ipOf, Stage } from "../support/recorder.js";

interface Message {
  readonly kind: "alive" | "suspect" | "death" | "farewell";
  readonly about: string;
  readonly from: string;
  readonly incarnation: number;
}

const known = ["m1", "m2", "m3"];
const someone = fc.constantFrom(...known);
const kinds = fc.constantFrom<Message["kind"]>("alive", "suspect", "death", "farewell");

function messages(incarnations: fc.Arbitrary<number>): fc.Arbitrary<Message[]> {
  return fc.array(fc.record({ kind: kinds, about: someone, from: someone, incarnation: incarnations }), {
    maxLength: 30,
  });
}

function tell(stage: Stage, { kind, about, from, incarnation }: Message): void {
  if (kind === "alive") stage.alive(about, { incarnation });
  else if (kind === "farewell") stage.farewell(about, incarnation);
  // A death whose accuser is its subject would be a farewell.
  else stage[kind](about, from === about ? "accuser" : from, incarnation);
}

function ready(): Stage {
  return new Stage().started().knows(...known, "accuser");
}

/** Messages with some of them repeated, in another order. */
const reordered = (all: Message[], random: number[]): Message[] =>
  [...all, ...all.filter((_, i) => (random[i] ?? 0) % 3 === 0)]
    .map((message, i) => ({ message, place: random[i % random.length] ?? 0 }))
    .sort((a, b) => a.place - b.place)
    .map(({ message }) => message);

describe("messages about known members (SWIM section 4.2, E-12)", () => {
  for (const [range, from] of [
    ["low incarnations", 1],
    ["incarnations around the wrap", 0xffff_fffc],
  ] as const) {
    it(`end in the same view in whatever order and however often they come (${range})`, () => {
      const incarnations = fc.nat(8).map((step) => (from + step) % 2 ** 32 || 1);
      const dice = fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 });
      fc.assert(
        fc.property(messages(incarnations), dice, (all, random) => {
          const [one, two] = [ready(), ready()];
          if (from > 8) for (const stage of [one, two]) rise(stage, from);
          for (const message of all) tell(one, message);
          for (const message of reordered(all, random)) tell(two, message);
          expect(known.map((name) => two.view(name))).toEqual(known.map((name) => one.view(name)));
          expect(two.swim.stats().members).toBe(one.swim.stats().members);
        }),
        { numRuns: 400 },
      );
    });
  }

  it("tell events that make a story: nobody fails twice in a row or leaves without being there", () => {
    const after: Record<EventKind, EventKind[]> = {
      join: ["update", "suspect", "fail", "leave"],
      recover: ["update", "suspect", "fail", "leave"],
      update: ["update", "suspect", "fail", "leave"],
      suspect: ["update", "suspect", "fail", "leave"],
      fail: ["recover", "leave"],
      leave: ["join"],
    };
    fc.assert(
      fc.property(messages(fc.integer({ min: 1, max: 6 })), (all) => {
        const stage = ready();
        for (const message of all) tell(stage, message);
        const last = new Map<number, EventKind>(known.map((name) => [stage.handle(name), "join"]));
        for (const { member, kind } of stage.recorder.events) {
          expect(after[last.get(member) ?? "join"], `${kind} after ${last.get(member)}`).toContain(kind);
          last.set(member, kind);
        }
      }),
      { numRuns: 400 },
    );
  });
});

/** Brings the members to a high incarnation by steps that an alive may take. */
function rise(stage: Stage, to: number): void {
  for (let at = 1; at < to; ) {
    at = Math.min(to, at + 2 ** 30);
    for (const name of known) stage.alive(name, { incarnation: at });
  }
}

describe("isStale", () => {
  /** Everything that handling a message could change. */
  function everything(stage: Stage): string {
    const { swim, recorder } = stage;
    const members = ["self", ...known, "accuser"].map((name) => [
      stage.view(name),
      stage.addressOf(name),
      swim.roster.changedAtMs(stage.handle(name)),
      [...swim.roster.metaOf(stage.handle(name))],
    ]);
    const { conflicts: _, ...stats } = swim.stats();
    return JSON.stringify([members, recorder.calls, recorder.events, stats, swim.nextDeadline(stage.nowMs)]);
  }

  const recordKinds = { alive: RecordKind.alive, suspect: RecordKind.suspect, death: RecordKind.death };
  const anyone = fc.constantFrom(...known, "self", "stranger");
  const one = fc.record({
    kind: fc.constantFrom("alive", "suspect", "death"),
    about: anyone,
    from: fc.constantFrom(...known, "self"),
    incarnation: fc.oneof(fc.nat(4), fc.constantFrom(65_538, 2 ** 30, 2 ** 31, 0xffff_ffff)),
    host: fc.constantFrom(null, 99),
    meta: fc.nat(1),
  });

  it("never dismisses what would change or spread something", () => {
    let stale = 0;
    fc.assert(
      fc.property(fc.array(one, { minLength: 30, maxLength: 60 }), (all) => {
        const stage = ready();
        for (const { kind, about, from, incarnation, host, meta } of all) {
          const isStale = stage.swim.isStale(recordKinds[kind], stage.handle(about), incarnation);
          const before = isStale ? everything(stage) : "";
          stage.nowMs += 100;
          const bytes = { meta: new Uint8Array(meta) };
          if (kind !== "alive") stage[kind](about, from, incarnation, Evidence.timeout);
          else if (host === null) stage.alive(about, { incarnation, ...bytes });
          else stage.alive(about, { incarnation, ip: ipOf(host), ...bytes });
          if (!isStale) continue;
          stale++;
          stage.nowMs -= 100;
          expect(everything(stage)).toBe(before);
          stage.nowMs += 100;
        }
      }),
      { numRuns: 200 },
    );
    expect(stale).toBeGreaterThan(1000);
  });

  it("dismisses nearly all gossip: what is known already, and what is older", () => {
    const stage = ready();
    const { swim } = stage;
    for (let incarnation = 2; incarnation <= 4; incarnation++) stage.alive("m1", { incarnation });
    const m1 = stage.handle("m1");
    expect([3, 4, 5].map((at) => swim.isStale(RecordKind.alive, m1, at))).toEqual([true, true, false]);
    expect([3, 4].map((at) => swim.isStale(RecordKind.suspect, m1, at))).toEqual([true, false]);
    expect([3, 4].map((at) => swim.isStale(RecordKind.death, m1, at))).toEqual([true, false]);
    stage.farewell("m1", 4);
    expect([3, 4, 5].map((at) => swim.isStale(RecordKind.death, m1, at))).toEqual([true, true, false]);
    expect(swim.isStale(RecordKind.suspect, m1, 4)).toBe(true);
  });

  it("says no when in doubt: of strangers, of ourselves, of other kinds", () => {
    const stage = ready();
    const { swim } = stage;
    expect(swim.isStale(RecordKind.alive, 0, 1)).toBe(false);
    expect(swim.isStale(RecordKind.alive, 9999, 1)).toBe(false);
    expect(swim.isStale(RecordKind.suspect, stage.self, 1)).toBe(false);
    expect(swim.isStale(RecordKind.message, stage.handle("m1"), 0)).toBe(false);
  });
});
