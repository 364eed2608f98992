import { beforeEach, describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { Rings, ringCount } from "../../src/swim/rings.js";
import { Roster } from "../../src/swim/roster.js";
import type { MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { FakeDirectory, ipOf } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;
const rings = Array.from({ length: ringCount }, (_, ring) => ring);

let directory: FakeDirectory;
let self: MemberHandle;
let ringsOfSelf: Rings;
let roster: Roster;

beforeEach(() => {
  directory = new FakeDirectory();
  self = directory.intern("self");
  ringsOfSelf = new Rings(self, directory);
  roster = new Roster(directory, new Random(1), [ringsOfSelf]);
  roster.add(self, directory.internAddress(ipOf(0), 1), alive, 1, 0);
});

function come(name: string, state: MemberState = alive): MemberHandle {
  const member = directory.intern(name);
  roster.add(member, directory.internAddress(ipOf(member), 1), state, 1, 0);
  return member;
}

/** By looking at everybody. */
function expected(ring: number): MemberHandle {
  const own = directory.ringKey(self, ring);
  const distance = (member: MemberHandle): number => (directory.ringKey(member, ring) - own) >>> 0;
  const live = [...roster.members()].filter((member) => member !== self && roster.isLive(member));
  return live.reduce((best, member) => (best === 0 || distance(member) < distance(best) ? member : best), 0);
}

function successors(): MemberHandle[] {
  return rings.map((ring) => ringsOfSelf.successor(ring, roster));
}

describe("successors on rings (ARCHITECTURE 5.5)", () => {
  it("are nobody when we are alone, and everybody's own when there are many", () => {
    expect(successors()).toEqual(rings.map(() => 0));
    expect(ringsOfSelf.successors(ringCount, roster)).toEqual([]);
    for (let i = 0; i < 100; i++) come(`m${i}`);
    expect(successors()).toEqual(rings.map(expected));
    expect(new Set(successors()).size).toBeGreaterThan(1);
  });

  it("follow whoever comes, goes, is suspected, forgotten and comes back", () => {
    const random = new Random(7);
    const states = [alive, suspect, dead, left] as const;
    const members = Array.from({ length: 40 }, (_, i) => come(`m${i}`));
    const seen = new Set<MemberHandle>();
    for (let step = 0; step < 2000; step++) {
      const member = members[random.below(members.length)] as MemberHandle;
      if (roster.has(member)) roster.become(member, states[random.below(4)] as MemberState, step + 2, step);
      else come(directory.nameOf(member));
      if (step % 100 === 99) roster.forget(step - 20);
      expect(successors()).toEqual(rings.map(expected));
      for (const successor of successors()) seen.add(successor);
    }
    expect(seen.size).toBeGreaterThan(10);
  });

  it("are named once each when several rings have the same", () => {
    const only = come("only");
    expect(successors()).toEqual(rings.map(() => only));
    expect(ringsOfSelf.successors(ringCount, roster)).toEqual([only]);
  });

  it("are a permutation on each ring: everybody follows exactly one other", () => {
    const members = Array.from({ length: 50 }, (_, i) => come(`m${i}`));
    for (const ring of rings) {
      const followed = [self, ...members].map((member) => new Rings(member, directory).successor(ring, roster));
      expect(new Set(followed).size).toBe(51);
    }
  });
});
