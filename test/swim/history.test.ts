import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entriesPerMember, History, type HistoryEntry, Outcome } from "../../src/swim/history.js";
import type { MemberHandle } from "../../src/wire/addon.js";
import { Evidence } from "../../src/wire/generated/wire/evidence.js";
import { FakeDirectory } from "../support/recorder.js";

class Scene {
  readonly directory = new FakeDirectory();
  readonly history: History;
  readonly members: MemberHandle[];

  constructor(maxMembers: number, members: number) {
    this.history = new History(this.directory, maxMembers);
    this.members = Array.from({ length: members }, (_, i) => this.directory.intern(`m${i}`));
  }

  note(about: number, by: number, outcome: Outcome = Outcome.suspected, atMs = 0): HistoryEntry {
    const from = by < 0 ? 0 : (this.members[by] as MemberHandle);
    const entry = { atMs, by: from, incarnation: 2 ** 32 - 1 - about, evidence: Evidence.expired, outcome };
    this.history.note(this.members[about] as MemberHandle, entry);
    return entry;
  }

  entries(about: number): HistoryEntry[] {
    return this.history.entriesOf(this.members[about] as MemberHandle);
  }

  /** References held beyond the one that each member has from the scene. */
  held(): string[] {
    return this.directory.held().filter((held) => !held.endsWith(" x1"));
  }
}

describe("the history of accusations", () => {
  it("names nobody where the accuser is gone: its handle may be another's by the time the entry is dropped", () => {
    const scene = new Scene(4, 3);
    scene.directory.release(scene.members[1] as MemberHandle);
    const noted = scene.note(0, 1);
    expect(scene.entries(0)).toEqual([{ ...noted, by: 0 }]);
    scene.history.clear();
    expect(scene.held()).toEqual([]);
  });

  it("gives entries back as they were noted, oldest first", () => {
    const scene = new Scene(4, 3);
    const noted = [scene.note(0, 1), scene.note(0, 2, Outcome.confirmed, 1.5), scene.note(0, -1, Outcome.dead, 7)];
    expect(scene.entries(0)).toEqual(noted);
    expect(scene.entries(1)).toEqual([]);
    expect([scene.history.has(scene.members[0] as number), scene.history.has(scene.members[1] as number)]).toEqual([
      true,
      false,
    ]);
  });

  it("keeps the first accuser and the verdict, however many confirm", () => {
    const scene = new Scene(4, 40);
    scene.note(0, 1);
    for (let by = 2; by < 40; by++) scene.note(0, by, Outcome.confirmed);
    scene.note(0, 3, Outcome.dead);
    const outcomes = scene.entries(0).map(({ outcome }) => outcome);
    expect(outcomes).toEqual([Outcome.suspected, ...Array(5).fill(Outcome.confirmed), Outcome.dead]);
    expect(scene.entries(0)[0]?.by).toBe(scene.members[1]);
  });

  it("keeps nothing when told so", () => {
    const scene = new Scene(0, 2);
    scene.note(0, 1);
    expect([scene.entries(0), scene.history.size, scene.held()]).toEqual([[], 0, []]);
  });

  it("agrees with a list that is cut, and holds a reference on exactly whom it names", () => {
    const step = fc.tuple(fc.nat(7), fc.integer({ min: -1, max: 7 }), fc.constantFrom(0, 2, 3, 4));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(step, { maxLength: 120, size: "max" }),
        (maxMembers, steps) => {
          const scene = new Scene(maxMembers, 8);
          const model = new Map<number, HistoryEntry[]>();
          steps.forEach(([about, by, outcome], i) => {
            const entry = scene.note(about, by, outcome as Outcome, i);
            const list = [...(model.get(about) ?? []), entry].slice(-entriesPerMember);
            model.delete(about);
            model.set(about, list);
            const [oldest] = model.keys();
            if (model.size > maxMembers) model.delete(oldest as number);
          });
          const references = new Map(scene.members.map((member) => [member, 1]));
          const count = (member: number): unknown => references.set(member, (references.get(member) ?? 0) + 1);
          for (let about = 0; about < 8; about++) {
            expect(scene.entries(about)).toEqual(model.get(about) ?? []);
            if (model.has(about)) count(scene.members[about] as number);
            for (const { by } of model.get(about) ?? []) if (by !== 0) count(by);
          }
          expect(scene.directory.held()).toEqual([...references].map(([member, n]) => `m${member - 1} x${n}`));
          scene.history.clear();
          expect(scene.held()).toEqual([]);
        },
      ),
    );
  });
});
