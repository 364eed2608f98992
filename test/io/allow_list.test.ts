import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { parseOption, resolveConfig } from "../../src/config.js";
import { TattlerError } from "../../src/errors.js";
import { formatIp, parseIp } from "../../src/io/address.js";
import { AllowList } from "../../src/io/allow_list.js";
import { backends, Counter, loopback6, mapped, TestHub } from "../support/hub.js";

let hub: TestHub | undefined;
afterEach(() => hub?.close());

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

/** What the addon thinks of datagrams from these addresses. */
function nativeVerdicts(networks: Uint8Array, sources: readonly Uint8Array[]): boolean[] {
  const h = (hub = new TestHub("manual"));
  const [from, guarded] = [h.open("from"), h.open("guarded", { networks, stallToleranceMs: 0 })];
  const [into, info] = [new Uint8Array(2000), new Uint32Array(3)];
  const verdicts = sources.map((source, i) => {
    from.ping(h.hub.internAddress(mapped(10, 0, 0, 1), 1), h.hub.find("guarded"), i + 1);
    h.hub.takeOutgoing(into, info);
    const isKept = h.hub.deliver(guarded.index, h.hub.internAddress(source, 7946), into.slice(0, info[2]), i + 1);
    h.drain();
    return isKept;
  });
  expect(h.counter(guarded, Counter.dropDisallowed)).toBe(verdicts.filter((isKept) => !isKept).length);
  h.close();
  return verdicts;
}

describe("an allow list (T-018)", () => {
  it.each([
    ["one IPv4 network", ["10.0.0.0/8"], ["10.0.0.1", "10.255.255.255"], ["11.0.0.0", "9.255.255.255", "::1", "10::"]],
    ["host bits after the prefix", ["10.1.2.3/16"], ["10.1.0.0", "10.1.255.255"], ["10.2.0.0"]],
    ["one IPv4 address", ["192.0.2.7"], ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.6", "192.0.2.8"]],
    ["an odd length", ["192.0.2.128/25"], ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]],
    ["IPv6 only", ["fd00::/8"], ["fd00::1", "fdff::"], ["fc00::", "fe00::", "10.0.0.1"]],
    ["one IPv6 address", ["::1"], ["::1"], ["::2", "::", "127.0.0.1"]],
    [
      "several of both",
      ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"],
      ["10.1.1.1", "192.0.2.7", "2001:db8::9"],
      ["192.0.2.8", "2001:db9::"],
    ],
    ["all of IPv4", ["0.0.0.0/0"], ["0.0.0.0", "255.255.255.255"], ["::", "::1"]],
    ["all of IPv6, without the IPv4 addresses kept inside it", ["::/0"], ["::", "ffff::"], ["10.0.0.1", "0.0.0.0"]],
    ["IPv4 in its mapped form", ["::ffff:10.0.0.0/104"], ["10.1.1.1"], ["11.1.1.1", "::1"]],
  ])("of %s has the same members in TypeScript and in C++", (_, networks, inside, outside) => {
    const list = new AllowList(resolveConfig({ name: "n", allow: networks }).allow as readonly string[]);
    const sources = [...inside, ...outside].map(ip);
    const expected = [...inside.map(() => true), ...outside.map(() => false)];
    expect(sources.map((source) => list.allows(source))).toEqual(expected);
    expect(nativeVerdicts(list.flat, sources)).toEqual(expected);
  });

  it("of any networks has the same members in TypeScript and in C++", () => {
    const byte = fc.constantFrom(0, 0, 1, 127, 128, 255);
    const address = fc.oneof(
      fc.tuple(byte, byte, byte, byte).map((bytes) => bytes.join(".")),
      fc.array(byte, { minLength: 16, maxLength: 16 }).map((bytes) => formatIp(Uint8Array.from(bytes))),
    );
    const network = fc
      .tuple(address, fc.nat(128))
      .map(([text, bits]) => `${text}/${text.includes(":") ? bits : bits % 33}`);
    const lists = fc.array(network, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lists, fc.array(address, { minLength: 1, maxLength: 20 }), (networks, texts) => {
        const list = new AllowList(networks);
        const sources = texts.map(ip);
        expect(nativeVerdicts(list.flat, sources)).toEqual(sources.map((source) => list.allows(source)));
      }),
      { numRuns: 100 },
    );
  });

  it("is refused by the addon when it is none", () => {
    const h = (hub = new TestHub("manual"));
    const broken = [16, 18, 17 * 257].map((bytes) => new Uint8Array(bytes));
    for (const networks of [...broken, new Uint8Array(0), new Uint8Array(17).fill(129), null, "10.0.0.0/8"]) {
      expect(() => h.open("a", { networks: networks as Uint8Array })).toThrow(/no list of networks/);
    }
    expect(h.open("a", { networks: new Uint8Array(17 * 256) }).index).toBe(0);
  });

  it("with our own address outside of it names it", () => {
    const list = new AllowList(["10.0.0.0/8"]);
    list.checkOwn(ip("10.0.0.7"));
    expect(() => list.checkOwn(ip("192.0.2.7"))).toThrow(/allow: this node's own address 192\.0\.2\.7 is in none/);
  });
});

describe("the option allow", () => {
  const errorOf = (allow: unknown): TattlerError => {
    try {
      resolveConfig({ name: "n", allow: allow as string[] });
    } catch (error) {
      if (error instanceof TattlerError) return error;
    }
    throw new Error("it did not throw");
  };

  it("is everybody by default, and a frozen copy of what is given", () => {
    expect(resolveConfig({ name: "n" }).allow).toBeNull();
    const given = ["10.0.0.0/8"];
    const { allow } = resolveConfig({ name: "n", allow: given });
    given.push("::1");
    expect([allow, Object.isFrozen(allow)]).toEqual([["10.0.0.0/8"], true]);
  });

  it.each([
    [[], /0 networks are not from 1 to 256/],
    [Array(257).fill("::1"), /257 networks/],
    ["10.0.0.0/8", /"10\.0\.0\.0\/8" is not an array/],
    [null, /null is not an array/],
    [[7], /7 is neither/],
    [["10.0.0.0/33"], /"10\.0\.0\.0\/33" is neither an IP nor a network/],
    [["::/129"], /"::\/129" is neither/],
    [["10.0.0.0/"], /is neither/],
    [["10.0.0.0/-1"], /is neither/],
    [["10.0.0.0/8/8"], /is neither/],
    [["10.0.0"], /is neither/],
    [["fe80::1%eth0"], /is neither/],
    [["localhost"], /is neither/],
    [["::1", ""], /"" is neither/],
  ])("refuses %j", (allow, why) => {
    const error = errorOf(allow);
    expect(error.code).toBe("TATTLER_OPTION_INVALID");
    expect(error.message).toMatch(why);
    expect(error.remedy).toContain("leave it out to allow all");
  });

  it("is read from a command line with commas", () => {
    expect(parseOption("allow", "10.0.0.0/8, ::1")).toEqual({ allow: ["10.0.0.0/8", "::1"] });
    expect(() => parseOption("allow", "")).toThrow(/"" is neither/);
    expect(() => parseOption("allow", "10.0.0.0/8,")).toThrow(/"" is neither/);
  });
});

for (const backend of backends) {
  it(`drops datagrams from elsewhere unopened on the ${backend} back end`, async () => {
    const h = (hub = new TestHub(backend));
    const networks = new AllowList(["127.0.0.1", "fd00::/8"]).flat;
    const guarded = h.open("guarded", { networks });
    const [near, far] = [h.open("near"), h.open("far", { ip: mapped(127, 0, 0, 2) })];
    const guarded6 = h.open("guarded6", { networks, ip: loopback6 });
    const far6 = h.open("far6", { ip: loopback6 });
    const isAnswered = (endpoint: typeof near) =>
      h.received.some(({ kind, endpoint: at }) => kind === 1 && at === endpoint.index);
    far.ping(h.addressOf(guarded), h.hub.find("guarded"), 1);
    far6.ping(h.addressOf(guarded6, loopback6), h.hub.find("guarded6"), 2);
    h.hub.flush();
    const dropped = (endpoint: typeof near) => h.counter(endpoint, Counter.dropDisallowed);
    await h.until(() => dropped(guarded) === 1 && dropped(guarded6) === 1, "both drops");
    near.ping(h.addressOf(guarded), h.hub.find("guarded"), 3);
    h.hub.flush();
    await h.until(() => isAnswered(near), "the ack");
    expect([dropped(guarded), isAnswered(far), isAnswered(far6)]).toEqual([1, false, false]);
    expect(h.counter(guarded, Counter.instantAcks)).toBe(1);
  });
}
