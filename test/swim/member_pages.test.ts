import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { everybodyAlive, MemberPages } from "../../src/swim/member_pages.js";
import { type LiveWatcher, Roster } from "../../src/swim/roster.js";
import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { FakeDirectory, ipOf } from "../support/recorder.js";

const { alive, suspect, dead } = MemberState;

interface Acquaintance {
  readonly self: MemberHandle;
  readonly address: AddressHandle;
}

function newMembers(directory: FakeDirectory, count: number): Acquaintance[] {
  return Array.from({ length: count }, (_, i) => {
    return { self: directory.intern(`m${i}`), address: directory.internAddress(ipOf(i), 7946) };
  });
}

/** Everything that a roster says of these. */
function viewOf(roster: Roster, members: readonly Acquaintance[]): unknown[] {
  return [
    [...roster.members()],
    roster.liveCount,
    members.map(({ self, address }) => {
      if (!roster.has(self)) return [roster.findByAddress(address)];
      const told = [roster.stateOf(self), roster.incarnationOf(self), roster.changedAtMs(self), roster.addressOf(self)];
      return [...told, roster.versionsOf(self), roster.findByAddress(address)];
    }),
  ];
}

/** What may happen to a member; the second argument is a time. */
const changes: readonly ((roster: Roster, member: Acquaintance, nowMs: number) => void)[] = [
  (roster, { self }, nowMs) => roster.become(self, suspect, roster.incarnationOf(self), nowMs),
  (roster, { self }, nowMs) => roster.become(self, dead, roster.incarnationOf(self), nowMs),
  (roster, { self }, nowMs) => roster.become(self, alive, roster.incarnationOf(self) + 1, nowMs),
  (roster, { self }, nowMs) => roster.setVersions(self, nowMs),
  (roster, _, nowMs) => roster.forget(nowMs),
  (roster, { self }, nowMs) => roster.nextProbeTarget(self, nowMs),
];

describe("members that rosters share", () => {
  it("are as if each roster had been told of them one by one, whatever happens to them then", () => {
    const life = fc.array(fc.tuple(fc.nat(changes.length - 1), fc.nat(), fc.nat(1)), { maxLength: 40 });
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 600 }), fc.integer(), life, (count, seed, steps) => {
        const directory = new FakeDirectory();
        const members = newMembers(directory, count);
        const pages = everybodyAlive(members);
        const handles = members.map(({ self }) => self);
        const pairs = [0, 1].map((own) => {
          const [told, sharing] = [
            new Roster(directory, new Random(seed + own)),
            new Roster(directory, new Random(seed + own)),
          ];
          for (const roster of [told, sharing]) {
            const { self, address } = members[own] as Acquaintance;
            roster.add(self, address, alive, 1, 0);
            roster.setVersions(self, 7);
          }
          for (const { self, address } of members) if (self !== handles[own]) told.add(self, address, alive, 1, 0);
          sharing.adopt(pages, handles);
          return [told, sharing] as const;
        });
        steps.forEach(([change, which, whose], step) => {
          const member = members[which % count] as Acquaintance;
          for (const roster of pairs[whose] as readonly [Roster, Roster]) {
            if (roster.has(member.self)) (changes[change] as (typeof changes)[number])(roster, member, 10 * step);
          }
        });
        for (const [told, sharing] of pairs) expect(viewOf(sharing, members)).toEqual(viewOf(told, members));
        const last = new Roster(directory, new Random(1));
        last.adopt(pages, handles);
        expect(handles.every((self) => last.stateOf(self) === alive && last.changedAtMs(self) === 0)).toBe(true);
        for (const roster of [...pairs.flat(), last]) roster.clear();
        expect(directory.held().every((text) => text.endsWith(" x1"))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("are told to who watches, but for those that were known", () => {
    const directory = new FakeDirectory();
    const members = newMembers(directory, 4);
    const came: MemberHandle[] = [];
    const watcher: LiveWatcher = { handleCame: (member) => came.push(member), handleWent: () => {} };
    const roster = new Roster(directory, new Random(1), [watcher]);
    const handles = members.map(({ self }) => self);
    const [own] = members as [Acquaintance];
    roster.add(own.self, own.address, alive, 9, 50);
    roster.adopt(everybodyAlive(members), handles);
    expect(came).toEqual(handles);
    expect([roster.incarnationOf(own.self), roster.changedAtMs(own.self)]).toEqual([9, 50]);
  });

  it("cost nothing until somebody changes one of them", () => {
    const [base, sharing] = [everybodyAlive([{ self: 5, address: 3 }]), new MemberPages()];
    sharing.adopt(base);
    sharing.setVersionKind(5, 0);
    sharing.setIncarnation(5, 1);
    expect(sharing.owned).toBe(0);
    sharing.setIncarnation(5, 2);
    expect([sharing.owned, base.owned]).toEqual([1, 0]);
    base.setIncarnation(5, 3);
    expect([base.owned, base.incarnationOf(5), sharing.incarnationOf(5)]).toEqual([1, 3, 2]);
  });
});

describe("the pages of a roster", () => {
  it("are made for the handles that are used only", () => {
    const pages = new MemberPages();
    pages.setState(100_000, alive, 1);
    expect([pages.owned, pages.stateOf(100_000)]).toEqual([1, alive]);
    const others = [0, 99_999, 100_001, 100_352, 2 ** 32 - 1].map((member) => pages.stateOf(member));
    expect(new Set(others)).toEqual(new Set([255]));
  });

  it("know members with handles of more than sixteen bits", () => {
    const directory = new FakeDirectory();
    for (let i = 0; i < 65_520; i++) directory.intern(`other${i}`);
    const members = newMembers(directory, 100);
    const roster = new Roster(directory, new Random(1));
    for (const { self, address } of members) roster.add(self, address, alive, 1, 0);
    const handles = members.map(({ self }) => self);
    const targets = new Set(members.map(() => roster.nextProbeTarget(0, 0)));
    expect([...targets].sort((a, b) => a - b)).toEqual(handles);
    expect(Math.max(...handles)).toBeGreaterThan(65_536);
    expect([...roster.firsthand()].sort((a, b) => a - b)).toEqual(handles);
  });
});
