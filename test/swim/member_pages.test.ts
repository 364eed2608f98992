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

/** Those of one page live at addresses of another one. */
function newMembers(directory: FakeDirectory, count: number): Acquaintance[] {
  const addresses = Array.from({ length: count }, (_, i) => directory.internAddress(ipOf(i), 7946)).reverse();
  return addresses.map((address, i) => ({ self: directory.intern(`m${i}`), address }));
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
  (roster, { self, address }) => roster.moveTo(self, (address % 5) + 1),
];

describe("members that rosters share", () => {
  it("are as if each roster had been told of them one by one, whatever happens to them then", () => {
    const life = fc.array(fc.tuple(fc.nat(changes.length - 1), fc.nat(), fc.nat(1)), { maxLength: 40 });
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 1200 }), fc.integer(), life, (count, seed, steps) => {
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
        const late = [0, 1].map(() => new Roster(directory, new Random(1))) as [Roster, Roster];
        for (const { self, address } of members) late[0].add(self, address, alive, 1, 0);
        late[1].adopt(pages, handles);
        expect(viewOf(late[1], members)).toEqual(viewOf(late[0], members));
        for (const roster of [...pairs.flat(), ...late]) roster.clear();
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

  it("can be shared when handles between them are nobody's", () => {
    const pages = everybodyAlive([{ self: 100_000, address: 100_001 }]);
    const rosters = [new MemberPages(), new MemberPages()];
    for (const sharing of rosters) sharing.adopt(pages);
    expect(rosters.map((sharing) => sharing.stateOf(100_000))).toEqual([alive, alive]);
  });
});

describe("a list of handles of more than sixteen bits", () => {
  it.each(["last", "first", "in between"])("has them all when the largest come %s", (when) => {
    const directory = new FakeDirectory();
    const small = newMembers(directory, 100);
    for (let i = 0; i < 65_500; i++) directory.intern(`other${i}`);
    const large = ["x", "y"].map((name) => ({
      self: directory.intern(name),
      address: directory.internAddress(ipOf(1), 1),
    }));
    expect(Math.min(...large.map(({ self }) => self))).toBeGreaterThan(65_535);
    const before = { last: 100, first: 0, "in between": 17 }[when] as number;
    const members = [...small.slice(0, before), ...large, ...small.slice(before)];
    const roster = new Roster(directory, new Random(1));
    const held = directory.held();
    for (const { self, address } of members) roster.add(self, address, alive, 1, 0);
    const handles = members.map(({ self }) => self).sort((a, b) => a - b);
    const targets = new Set(members.map(() => roster.nextProbeTarget(0, 0)));
    expect([...targets].sort((a, b) => a - b)).toEqual(handles);
    expect([...roster.firsthand()].sort((a, b) => a - b)).toEqual(handles);
    roster.clear();
    expect(directory.held()).toEqual(held);
  });
});
