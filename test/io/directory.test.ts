import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CountedDirectory } from "../../src/io/directory.js";
import { type HubMemory, loadAddon, openHub } from "../../src/io/native.js";
import type { Directory } from "../../src/swim/effects.js";
import type { Hub } from "../../src/wire/addon.js";
import { writeMappedIpv4 } from "../../src/wire/ip.js";

let counted: HubMemory;
let plain: HubMemory;
let directory: CountedDirectory;
beforeEach(() => {
  [counted, plain] = [openHub(loadAddon(), "manual", () => {}), openHub(loadAddon(), "manual", () => {})];
  directory = new CountedDirectory(counted.hub);
});
afterEach(() => {
  counted.hub.close();
  plain.hub.close();
});

/** Two IPv4 and two IPv6 addresses. */
function ipOf(which: number): Uint8Array {
  const ip = Uint8Array.from({ length: 16 }, (_, i) => i + which);
  if (which < 2) writeMappedIpv4(0x0a000001 + which, ip);
  return ip;
}

/** What a directory says after a step, its handles included. */
function play(target: Directory, held: Map<string, number>, [what, which]: readonly [number, number]): unknown[] {
  const ip = new Uint8Array(16);
  const name = `m${which}`;
  const [member, address] = [held.get(name) ?? 0, held.get(`a${which}`) ?? 0];
  if (what === 0) held.set(name, target.intern(name));
  else if (what === 1) held.set(`a${which}`, target.internAddress(ipOf(which), 7946));
  // Names of an earlier list may still be held: they are no handles of this one.
  else if (member !== 0 && target.find(name) === member) {
    if (what === 2) target.release(member);
    else target.retain(member);
  }
  const known = target.find(name);
  const text = known === 0 ? "" : target.nameOf(known);
  const keys = known === 0 ? [] : [0, 3, 5].map((ring) => target.ringKey(known, ring));
  const port = address === 0 ? 0 : target.addressOf(address, ip);
  return [known, text, keys, held.get(`a${which}`), port, [...ip]];
}

describe("the directory of all nodes of a thread", () => {
  it("says what the hub says that it spares the counting, whatever is taken and given back", () => {
    const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (list) => {
        const [here, there] = [new Map<string, number>(), new Map<string, number>()];
        for (const step of list) expect(play(directory, here, step)).toEqual(play(plain.hub, there, step));
      }),
      { numRuns: 50 },
    );
  });

  it("counts more of them than it had room for at first", () => {
    const names = Array.from({ length: 100 }, (_, i) => `n${i}`);
    const ip = ipOf(0);
    const members = names.map((name) => directory.intern(name));
    const addresses = names.map((_, i) => directory.internAddress(ip, 1 + i));
    for (const name of names) directory.intern(name);
    for (const address of addresses) directory.retainAddress(address);
    const giveBack = (): void => {
      for (const member of members) directory.release(member);
      for (const address of addresses) directory.releaseAddress(address);
    };
    giveBack();
    expect(names.map((name) => directory.find(name))).toEqual(members);
    expect(addresses.map((address) => directory.addressOf(address, ip))).toEqual(names.map((_, i) => 1 + i));
    giveBack();
    expect(names.map((name) => directory.find(name))).toEqual(names.map(() => 0));
    expect(names.some((name) => counted.hub.find(name) !== 0)).toBe(false);
  });

  it("takes nothing of a handle that was given back, which then is nobody's", () => {
    const member = directory.intern("gone");
    directory.release(member);
    expect(directory.retain(member)).toBe(false);
    expect(directory.find("gone")).toBe(0);
    directory.release(member);
    expect(directory.find("gone")).toBe(0);
    const again = directory.intern("gone");
    expect(counted.hub.find("gone")).toBe(again);
    expect(directory.retain(again)).toBe(true);
  });

  it("has nothing to give back of a hub that is full", () => {
    const full = { intern: () => 0, internAddress: () => 0, retain: () => false } as unknown as Hub;
    const empty = new CountedDirectory(full);
    for (const which of [0, 2]) empty.releaseAddress(empty.internAddress(ipOf(which), 1));
    empty.release(empty.intern("late"));
    expect([empty.internAddress(ipOf(0), 1), empty.intern("late"), empty.retain(0)]).toEqual([0, 0, false]);
  });

  it("has each address as text, also one that only others of the hub refer to", () => {
    const held = [0, 2].map((which) => directory.internAddress(ipOf(which), 7946));
    const texts = ["10.0.0.1:7946", "[203:405:607:809:a0b:c0d:e0f:1011]:7946"];
    for (let i = 0; i < 2; i++) expect(held.map((address) => directory.addressText(address))).toEqual(texts);
    expect(directory.addressText(counted.hub.internAddress(ipOf(1), 1))).toBe("10.0.0.2:1");
  });

  it("has no text left of the address that a handle was before", () => {
    const reusing = { internAddress: () => 1, releaseAddress: () => {} } as unknown as Hub;
    const short = new CountedDirectory(reusing);
    const texts = [0, 1].map((which) => {
      const address = short.internAddress(ipOf(which), 1);
      const text = short.addressText(address);
      short.releaseAddress(address);
      return text;
    });
    expect(texts).toEqual(["10.0.0.1:1", "10.0.0.2:1"]);
  });

  it("gives an address back with its last reference, and counts those of others of the hub apart", () => {
    for (const which of [0, 2]) {
      const address = directory.internAddress(ipOf(which), 1);
      expect(directory.internAddress(ipOf(which), 1)).toBe(address);
      directory.retainAddress(address);
      for (let i = 0; i < 3; i++) directory.releaseAddress(address);
      // It rests until the ring was read, so that the same address gets another handle.
      expect(counted.hub.internAddress(ipOf(which), 1)).not.toBe(address);
    }
    const member = counted.hub.intern("queued");
    expect(directory.find("queued")).toBe(member);
    directory.retain(member);
    directory.release(member);
    expect(directory.nameOf(member)).toBe("queued");
    counted.hub.release(member);
    expect(directory.find("queued")).toBe(0);
  });
});
