import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.js";
import { Roster } from "../../src/swim/roster.js";
import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import { FakeDirectory, ipOf, Stage } from "../support/recorder.js";

const { alive, suspect, dead, left } = MemberState;

class Scene {
  readonly directory = new FakeDirectory();
  readonly roster = new Roster(this.directory, new Random(1));
  /** Held by the scene, as by the receive ring, so that the handle stays the same. */
  readonly addresses = Array.from({ length: 4 }, (_, i) => this.directory.internAddress(ipOf(i), 7946));

  at(place: number): AddressHandle {
    return this.addresses[place] as AddressHandle;
  }

  add(name: string, place: number, state = alive): MemberHandle {
    const member = this.directory.intern(name);
    this.roster.add(member, this.at(place), state, 1, 0);
    return member;
  }
}

describe("findByAddress", () => {
  it("finds the live member, not one who was there before it and is gone", () => {
    const scene = new Scene();
    for (const [name, state] of [
      ["old", dead],
      ["older", left],
    ] as const)
      scene.add(name, 0, state);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(0);
    const member = scene.add("new", 0);
    scene.add("other", 1);
    expect([0, 1, 2].map((place) => scene.roster.findByAddress(scene.at(place)))).toEqual([member, member + 1, 0]);
    scene.roster.become(member, suspect, 1, 1);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(member);
    scene.roster.become(member, dead, 1, 2);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(0);
    scene.roster.become(member, alive, 2, 3);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(member);
  });

  it("lets a crowd at one address go as fast as it came: a search for each would take minutes", () => {
    const scene = new Scene();
    const crowd = Array.from({ length: 100_000 }, (_, i) => scene.add(`x${i}`, 0));
    const found = crowd.map((member) => {
      scene.roster.become(member, left, 1, 1);
      return scene.roster.findByAddress(scene.at(0));
    });
    expect(found.pop()).toBe(0);
    expect(found.filter((member) => member !== crowd.at(-1))).toEqual([]);
  });

  it("follows a member to another address", () => {
    const scene = new Scene();
    const member = scene.add("a", 0);
    scene.roster.moveTo(member, scene.at(1));
    expect([0, 1].map((place) => scene.roster.findByAddress(scene.at(place)))).toEqual([0, member]);
  });

  it("of several live names finds the last to come, and after its end the one before", () => {
    const scene = new Scene();
    const [a, b, c] = [scene.add("a", 0), scene.add("b", 0), scene.add("c", 0)];
    scene.roster.become(b, dead, 1, 1);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(c);
    scene.roster.become(c, left, 1, 1);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(a);
    scene.roster.become(b, alive, 2, 2);
    expect(scene.roster.findByAddress(scene.at(0))).toBe(b);
  });

  it("agrees with a search of all members, whatever happens to them", () => {
    const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(5), fc.nat(3)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (list) => {
        const scene = new Scene();
        const { roster, directory } = scene;
        for (const [what, who, where] of list) {
          const member = directory.find(`m${who}`);
          if (!roster.has(member)) scene.add(`m${who}`, where, what as MemberState);
          else if (what === 0) roster.moveTo(member, scene.at(where));
          else if (what === 1) roster.forget(roster.changedAtMs(member) + (where === 0 ? 1 : 0));
          else roster.become(member, where as MemberState, 1, where);
          for (const address of scene.addresses) {
            const live = [...roster.members()].filter((one) => roster.isLive(one) && roster.addressOf(one) === address);
            const found = roster.findByAddress(address);
            if (live.length === 0) expect(found).toBe(0);
            else expect(live).toContain(found);
          }
        }
        roster.clear();
        expect(scene.addresses.map((address) => roster.findByAddress(address))).toEqual([0, 0, 0, 0]);
      }),
    );
  });
});

it("a refusal at the address of a dead member and a live one speeds the probe of the live one", () => {
  const stage = new Stage({ tcpPing: false }).started().knows("m1", "m2");
  stage.death("m1", "m2");
  stage.alive("m3", { ip: ipOf(1) });
  stage.forget();
  const address = stage.addressOf("m3");
  expect(stage.addressOf("m1")).toBe(address);
  const isProbed = (): boolean => stage.recorder.take("ping").some(({ target }) => target === stage.handle("m3"));
  while (!isProbed()) stage.runTo(stage.swim.nextDeadline(stage.nowMs));
  stage.swim.handleRefused(stage.nowMs, address);
  expect(stage.recorder.take("pingRequest").map(({ target }) => target)).toEqual([stage.handle("m3")]);
});
