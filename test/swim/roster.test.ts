import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { grown } from "../../src/swim/grown.js";
import { MemberPages } from "../../src/swim/member_pages.js";
import { Roster } from "../../src/swim/roster.js";
import { VersionColumn } from "../../src/swim/version_column.js";
import type { MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { unknownVersions } from "../../src/wire/versions.js";
import { FakeDirectory, ipOf } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;
const nobody = 0;
const forgetNone = Number.NEGATIVE_INFINITY;

let directory: FakeDirectory;
let roster: Roster;
beforeEach(() => {
  directory = new FakeDirectory();
  roster = new Roster(directory, new Random(1));
});

/** Adds a member whose only references are the roster's. */
function add(name: string, state = alive, incarnation = 1, nowMs = 0): MemberHandle {
  const member = directory.intern(name);
  const address = directory.internAddress(ipOf(member), 7946);
  roster.add(member, address, state, incarnation, nowMs);
  directory.release(member);
  directory.releaseAddress(address);
  return member;
}

function addMany(count: number, state = alive): MemberHandle[] {
  return Array.from({ length: count }, (_, i) => add(`m${i}-${state}`, state));
}

function targets(count: number, self = nobody, forgetBeforeMs = forgetNone): MemberHandle[] {
  return Array.from({ length: count }, () => roster.nextProbeTarget(self, forgetBeforeMs));
}

const ascending = (members: Iterable<MemberHandle>): MemberHandle[] => [...members].sort((a, b) => a - b);

describe("what the roster knows", () => {
  it("is what it was told: state, incarnation, address, time and metadata", () => {
    const member = add("a", suspect, 7, 123);
    expect(roster.has(member)).toBe(true);
    expect(roster.stateOf(member)).toBe(suspect);
    expect(roster.incarnationOf(member)).toBe(7);
    expect(roster.changedAtMs(member)).toBe(123);
    expect(roster.addressOf(member)).toBe(directory.internAddress(ipOf(member), 7946));
    expect([...roster.metaOf(member)]).toEqual([]);
  });

  it("does not include the handle 0, nor handles beyond or between its members", () => {
    const first = add("a");
    directory.intern("between");
    const last = add("b");
    expect([nobody, first, first + 1, last, last + 1, 1_000_000].map((member) => roster.has(member))).toEqual([
      false,
      true,
      false,
      true,
      false,
      false,
    ]);
    expect([roster.isLive(first + 1), roster.isLive(1_000_000)]).toEqual([false, false]);
  });

  it("keeps incarnations of 32 bits whole", () => {
    expect(roster.incarnationOf(add("a", alive, 0xffff_ffff))).toBe(0xffff_ffff);
  });

  it("keeps a copy of metadata, and none of what is empty", () => {
    const member = add("a");
    const meta = Uint8Array.of(1, 2);
    roster.setMeta(member, meta);
    meta[0] = 9;
    expect([...roster.metaOf(member)]).toEqual([1, 2]);
    roster.setMeta(member, new Uint8Array(0));
    expect(roster.metaOf(member).length).toBe(0);
    roster.setMeta(member, Uint8Array.of(3));
    roster.setMeta(member, null);
    expect(roster.metaOf(member).length).toBe(0);
  });

  it("moves the time of change only with the state", () => {
    const member = add("a", alive, 1, 100);
    roster.become(member, alive, 5, 200);
    expect([roster.changedAtMs(member), roster.incarnationOf(member)]).toEqual([100, 5]);
    roster.become(member, dead, 5, 300);
    expect([roster.changedAtMs(member), roster.isLive(member)]).toEqual([300, false]);
  });

  it("grows to thousands of members and loses none", () => {
    const members = addMany(3000);
    expect(roster.size).toBe(3000);
    expect(ascending(roster.members())).toEqual(members);
    expect(members.every((member) => roster.incarnationOf(member) === 1 && roster.isLive(member))).toBe(true);
  });

  it("grows at once to a handle far beyond all others", () => {
    const near = add("near", suspect, 2, 5);
    for (let i = 0; i < 500; i++) directory.intern(`other process ${i}`);
    const far = add("far", suspect, 3, 6);
    expect(far).toBeGreaterThan(500);
    expect([near, far].map((member) => roster.incarnationOf(member))).toEqual([2, 3]);
    expect([near, far].map((member) => roster.changedAtMs(member))).toEqual([5, 6]);
    expect(roster.addressOf(far)).toBe(directory.internAddress(ipOf(far), 7946));
    expect([roster.has(far - 1), roster.count(suspect)]).toEqual([false, 2]);
    roster.clear();
    expect(roster.has(far)).toBe(false);
  });

  it("finds a member by its address, and nobody at another", () => {
    const [, second] = addMany(3);
    expect(roster.findByAddress(roster.addressOf(second!))).toBe(second);
    expect(roster.findByAddress(directory.internAddress(ipOf(999), 1))).toBe(nobody);
  });
});

describe("counts (E-13)", () => {
  it("follow every change of state, and live are the alive and the suspect", () => {
    const states = fc.array(fc.constantFrom(alive, suspect, dead, left), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        states,
        fc.array(fc.tuple(fc.nat(19), fc.constantFrom(alive, suspect, dead, left))),
        (first, next) => {
          directory = new FakeDirectory();
          roster = new Roster(directory, new Random(1));
          const members = first.map((state, i) => add(`m${i}`, state));
          for (const [index, state] of next) roster.become(members[index % members.length]!, state, 2, 5);
          for (const state of [alive, suspect, dead, left]) {
            expect(roster.count(state)).toBe(members.filter((member) => roster.stateOf(member) === state).length);
          }
          expect(roster.liveCount).toBe(members.filter((member) => roster.stateOf(member) <= suspect).length);
          expect(roster.size).toBe(members.length);
        },
      ),
    );
  });
});

describe("the probe order (M-100, T-041)", () => {
  it("visits everybody but itself once in each sweep", () => {
    const [self, ...others] = addMany(20) as [MemberHandle, ...MemberHandle[]];
    for (let sweep = 0; sweep < 10; sweep++) expect(ascending(targets(19, self))).toEqual(others);
  });

  it("is another one in every sweep", () => {
    addMany(20);
    const sweeps = Array.from({ length: 20 }, () => targets(20).join());
    expect(new Set(sweeps).size).toBe(20);
  });

  it("skips the dead and the left, but not suspects", () => {
    const live = [...addMany(3), ...addMany(3, suspect)];
    addMany(5, dead);
    addMany(5, left);
    for (let sweep = 0; sweep < 20; sweep++) expect(ascending(targets(6))).toEqual(ascending(live));
  });

  it("has nobody when there is nobody else alive", () => {
    expect(roster.nextProbeTarget(nobody, forgetNone)).toBe(nobody);
    const self = add("self");
    addMany(4, dead);
    expect(targets(10, self)).toEqual(Array(10).fill(nobody));
  });

  it("always finds the one who is alive, however many dead stand in between", () => {
    const self = add("self");
    addMany(30, dead);
    const only = add("only");
    expect(targets(500, self)).toEqual(Array(500).fill(only));
  });

  it("loses nobody of the sweep when somebody joins in the middle of it", () => {
    const members = addMany(10);
    const before = targets(5);
    const joined = add("new");
    const rest = targets(7);
    expect([...before, ...rest]).toEqual(expect.arrayContaining(members));
    expect(ascending(roster.members())).toEqual(ascending([...members, joined]));
  });

  it("puts new members at random places, each as likely as the other", () => {
    const places = new Array<number>(10).fill(0);
    for (let seed = 0; seed < 2000; seed++) {
      directory = new FakeDirectory();
      roster = new Roster(directory, new Random(seed));
      addMany(9);
      const joined = add("new");
      const place = [...roster.members()].indexOf(joined);
      places[place] = places[place]! + 1;
    }
    const chiSquare = places.reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
    expect(chiSquare).toBeLessThan(27.9); // 99.9 % quantile of 9 degrees of freedom
  });
});

describe("forgetting (M-175, T-041)", () => {
  it("takes the dead and left that are old enough, at the end of a sweep only", () => {
    const lively = addMany(4);
    const oldDead = add("old dead", dead, 1, 100);
    const oldLeft = add("old left", left, 1, 199);
    const young = add("young dead", dead, 1, 200);
    targets(4, nobody, 200);
    expect([oldDead, oldLeft, young].map((member) => roster.has(member))).toEqual([true, true, true]);
    targets(1, nobody, 200);
    expect([oldDead, oldLeft, young].map((member) => roster.has(member))).toEqual([false, false, true]);
    expect(ascending(roster.members())).toEqual(ascending([...lively, young]));
    expect([roster.size, roster.count(dead), roster.count(left)]).toEqual([5, 1, 0]);
  });

  it("gives the references of the forgotten back, with their metadata", () => {
    const gone = add("gone", dead);
    roster.setMeta(gone, Uint8Array.of(1));
    add("here");
    targets(5, nobody, 1);
    expect(directory.held().some((text) => text.startsWith("gone"))).toBe(false);
    expect(directory.held().length).toBe(2);
    expect(roster.metaOf(gone).length).toBe(0);
  });

  it("forgets with them who was known as gone only, and so does a return", () => {
    const [first, second] = [add("first", dead), add("second", dead, 1, 50)];
    for (const member of [first, second]) roster.noteHearsay(member);
    roster.become(second, left, 2, 50);
    expect([first, second].map((member) => roster.isHearsay(member))).toEqual([true, true]);
    add("here");
    targets(5, nobody, 1);
    roster.become(second, suspect, 3, 60);
    expect([first, second].map((member) => roster.isHearsay(member))).toEqual([false, false]);
  });

  it("lets a forgotten member come back as a new one", () => {
    const first = add("x", dead, 9);
    add("here");
    targets(5, nobody, 1);
    const again = add("x", alive, 1, 50);
    expect([roster.has(first), roster.incarnationOf(again), roster.size]).toEqual([false, 1, 2]);
  });

  it("keeps everybody else in the order, whoever goes", () => {
    const states = fc.array(fc.constantFrom(alive, dead, left), { maxLength: 30 });
    fc.assert(
      fc.property(states, fc.integer(), (all, seed) => {
        directory = new FakeDirectory();
        roster = new Roster(directory, new Random(seed));
        const live = all
          .map((state, i) => [add(`m${i}`, state), state] as const)
          .filter(([, state]) => state === alive);
        targets(all.length + 2, nobody, 1);
        expect(ascending(roster.members())).toEqual(live.map(([member]) => member));
        expect(ascending(new Set(targets(2 * live.length)))).toEqual(live.map(([member]) => member));
      }),
    );
  });
});

describe("room for members", () => {
  it("grows by a quarter, not to twice as much", () => {
    const before = new Uint32Array(1000).fill(7);
    const after = grown(before, Uint32Array, 1001);
    expect([after.length, after[999], after[1000]]).toEqual([1250, 7, 0]);
    expect(grown(before, Uint32Array, 5000).length).toBe(5000);
  });
});

describe("the versions of members", () => {
  it("are unknown until told, and again when a forgotten member comes back", () => {
    const member = add("a", dead);
    const address = roster.addressOf(member);
    // As by the receive ring, so that the handles stay the same.
    directory.retain(member);
    directory.retainAddress(address);
    expect(roster.versionsOf(member)).toBe(unknownVersions);
    roster.setVersions(member, 7);
    expect(roster.versionsOf(member)).toBe(7);
    roster.forget(1);
    expect(roster.versionsOf(add("b"))).toBe(unknownVersions);
    roster.add(member, address, alive, 1, 0);
    expect(roster.versionsOf(member)).toBe(unknownVersions);
  });

  it("are what each was told last, however many different ones there are", () => {
    const told = fc.array(fc.tuple(fc.nat(399), fc.integer({ min: -1, max: 600 })), { maxLength: 1200 });
    const column = (list: readonly (readonly [number, number])[]): void => {
      const versions = new VersionColumn(new MemberPages());
      const expected = new Map<number, number>();
      for (const [member, value] of list) {
        versions.set(member, value);
        expected.set(member, value);
      }
      for (let member = 0; member < 400; member++) {
        expect(versions.of(member)).toBe(expected.get(member) ?? unknownVersions);
      }
    };
    column(Array.from({ length: 1200 }, (_, i) => [i % 400, (i * 7) % 601] as const));
    fc.assert(fc.property(told, column), { numRuns: 30 });
  });
});

describe("references on members and addresses", () => {
  it("are one each, and all given back at the end", () => {
    addMany(50);
    addMany(5, dead);
    expect(directory.held().every((text) => text.endsWith(" x1"))).toBe(true);
    roster.clear();
    expect([directory.held(), roster.size, roster.liveCount]).toEqual([[], 0, 0]);
  });

  it("move with the member, also to the address it has already", () => {
    const member = add("a");
    const [from, to] = [roster.addressOf(member), directory.internAddress(ipOf(500), 1)];
    roster.moveTo(member, to);
    directory.releaseAddress(to);
    expect(roster.addressOf(member)).toBe(to);
    expect(() => directory.addresses.textOf(from)).toThrow("dead handle");
    roster.moveTo(member, to);
    roster.clear();
    expect(directory.held()).toEqual([]);
  });
});

describe("samples (M-137)", () => {
  it("have different members that are accepted, as many as asked for or as there are", () => {
    const arbitrary = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.nat(12), fc.integer({ min: 1, max: 4 }), fc.nat());
    fc.assert(
      fc.property(arbitrary, ([size, count, every, seed]) => {
        directory = new FakeDirectory();
        roster = new Roster(directory, new Random(seed));
        const members = addMany(size);
        const accepts = (member: MemberHandle): boolean => member % every === 0;
        const sample = roster.sample(count, accepts);
        expect(new Set(sample).size).toBe(sample.length);
        expect(sample.every((member) => accepts(member) && roster.has(member))).toBe(true);
        const available = members.filter(accepts).length;
        expect(sample.length).toBeLessThanOrEqual(Math.min(count, available));
        if (size < 3 * count) expect(sample.length).toBe(Math.min(count, available));
      }),
    );
  });

  it("find all they can in a larger cluster too", () => {
    const members = addMany(100);
    expect(roster.sample(3, () => true).length).toBe(3);
    expect(roster.sample(3, (member) => member === members[17])).toEqual([members[17]]);
    expect(roster.sample(3, () => false)).toEqual([]);
  });

  it.each([5, 50])("take each of %d members as often as the other", (size) => {
    const members = addMany(size);
    const counts = new Map(members.map((member) => [member, 0]));
    const rounds = 2000;
    for (let i = 0; i < rounds; i++) {
      for (const member of roster.sample(3, () => true)) counts.set(member, counts.get(member)! + 1);
    }
    const expected = (3 * rounds) / size;
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 99.9 % quantiles of 4 and 49 degrees of freedom; draws without repetition vary less than that.
    expect(chiSquare).toBeLessThan(size === 5 ? 18.5 : 85.4);
  });
});
