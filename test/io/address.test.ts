import { isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TattlerError } from "../../src/errors.js";
import {
  classifyIp,
  formatAddress,
  formatIp,
  isPrivate,
  isPublic,
  parseAddress,
  parseIp,
} from "../../src/io/address.js";
import { chooseAdvertiseIp, resolve } from "../../src/io/resolve.js";

function ip(text: string): Uint8Array {
  const bytes = parseIp(text);
  if (bytes === null) throw new Error(`${text} is no IP`);
  return bytes;
}

function errorOf(run: () => unknown): TattlerError {
  try {
    run();
  } catch (error) {
    if (error instanceof TattlerError) return error;
    throw error;
  }
  throw new Error("it did not throw");
}

describe("parseAddress", () => {
  it.each([
    ["127.0.0.1", null, "127.0.0.1", 7946],
    ["127.0.0.1:80", null, "127.0.0.1", 80],
    ["seed-1.example.org", null, "seed-1.example.org", 7946],
    ["seed_1:9000", null, "seed_1", 9000],
    ["localhost:65535", null, "localhost", 65_535],
    ["::1", null, "::1", 7946],
    ["[::1]", null, "::1", 7946],
    ["[2001:db8::7]:80", null, "2001:db8::7", 80],
    ["crow/10.0.0.7:80", "crow", "10.0.0.7", 80],
    ["crow/[::1]:80", "crow", "::1", 80],
    ["crow/::1", "crow", "::1", 7946],
    // Also a valid IPv6 address: the brackets are not optional.
    ["::1:7947", null, "::1:7947", 7946],
  ])("reads %s", (text, name, host, port) => {
    expect(parseAddress(text, { defaultPort: 7946 })).toEqual({ name, host, port });
  });

  it.each([
    ["", /host is missing/],
    [":80", /host is missing/],
    ["crow/", /host is missing/],
    [`${"n".repeat(129)}/10.0.0.7`, /name is that long/],
    ["/:80", /name before \/ is empty/],
    ["/10.0.0.7", /name before \/ is empty/],
    ["127.0.0.1:80000", /up to 65535/],
    ["127.0.0.1:", /up to 65535/],
    ["127.0.0.1:+80", /up to 65535/],
    ["127.0.0.1:0x50", /up to 65535/],
    ["127.0.0.1:0", /port 0/],
    ["1:2:3:4:5:6:7:8:7946", /needs brackets/],
    ["[::1]80", /brackets must/],
    ["[::1", /brackets must/],
    ["[127.0.0.1]:80", /only an IPv6/],
    ["[]:80", /only an IPv6/],
    ["fe80::1%eth0", /zone/],
    ["[fe80::1%eth0]:80", /zone/],
    ["256.1.1.1", /no valid IPv4/],
    ["10.1:80", /no valid IPv4/],
    ["two words", /characters/],
    ["crow/wren/10.0.0.7", /characters/],
    [`${"x".repeat(254)}`, /characters/],
  ])("rejects %j", (text, why) => {
    const error = errorOf(() => parseAddress(text, { defaultPort: 7946 }));
    expect(error.code).toBe("TATTLER_ADDRESS_INVALID");
    expect(error.message).toMatch(why);
    expect(error.remedy).toContain("[ipv6]:port");
  });

  it("takes port 0 only for an address to bind", () => {
    expect(parseAddress("[::]:0", { defaultPort: 7946, allowPortZero: true }).port).toBe(0);
  });
});

describe("IP text", () => {
  it.each([
    ["0.0.0.0"],
    ["255.254.253.252"],
    ["::"],
    ["::1"],
    ["1::"],
    ["2001:db8::1"],
    ["1:2:3:4:5:6:7:8"],
    ["2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1::1"],
    ["1::1:0:0:1"],
    ["fe80::1"],
  ])("%s survives both ways", (text) => {
    expect(formatIp(ip(text))).toBe(text);
  });

  it.each([
    ["::ffff:1.2.3.4", "1.2.3.4"],
    ["::ffff:102:304", "1.2.3.4"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["2001:DB8::A", "2001:db8::a"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ])("%s has one form, %s", (text, form) => {
    expect(formatIp(ip(text))).toBe(form);
  });

  it.each([[""], ["localhost"], ["1.2.3"], ["1.2.3.256"], ["fe80::1%eth0"], ["[::1]"], [":::"]])(
    "%j is none",
    (text) => {
      expect(parseIp(text)).toBeNull();
    },
  );

  it("of any 16 bytes is read back as the same bytes", () => {
    const sparse = fc
      .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
      .map((a) => Uint8Array.from(a));
    fc.assert(
      fc.property(fc.oneof(sparse, fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
        const text = formatIp(bytes);
        expect(text.includes(".") || isIPv6(text)).toBe(true);
        expect(ip(text)).toEqual(bytes);
      }),
    );
  });

  it("with a port has brackets around IPv6 only", () => {
    expect([formatAddress(ip("1.2.3.4"), 7946), formatAddress(ip("::1"), 7946)]).toEqual([
      "1.2.3.4:7946",
      "[::1]:7946",
    ]);
  });
});

describe("classifyIp", () => {
  it.each([
    ["0.0.0.0", "unspecified"],
    ["::", "unspecified"],
    ["127.3.2.1", "loopback"],
    ["::1", "loopback"],
    ["169.254.1.1", "linkLocal"],
    ["fe80::1", "linkLocal"],
    ["febf::1", "linkLocal"],
    ["10.255.0.1", "private"],
    ["172.15.0.1", "public"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["172.32.0.1", "public"],
    ["192.168.9.9", "private"],
    ["192.169.0.1", "public"],
    ["100.64.0.1", "private"],
    ["100.128.0.1", "public"],
    ["fd00::1", "private"],
    ["fc00::1", "private"],
    ["fe00::1", "public"],
    ["224.0.0.1", "multicast"],
    ["ff02::1", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["192.0.2.1", "reserved"],
    ["0.1.2.3", "reserved"],
    ["2001:db8::1", "reserved"],
    ["::2", "reserved"],
    ["8.8.8.8", "public"],
    ["2606:4700::1", "public"],
  ])("%s is %s", (text, expected) => {
    expect(classifyIp(ip(text))).toBe(expected);
    expect([isPrivate(ip(text)), isPublic(ip(text))]).toEqual([expected === "private", expected === "public"]);
  });
});

describe("resolve", () => {
  const never = async (): Promise<never> => {
    throw new Error("asked the resolver");
  };

  it("takes an IP as it is, without asking", async () => {
    expect(await resolve("10.0.0.7", 80, { lookup: never })).toEqual([{ ip: ip("10.0.0.7"), port: 80 }]);
    expect(await resolve("::1", 80, { lookup: never })).toEqual([{ ip: ip("::1"), port: 80 }]);
  });

  it("returns every address once, in order, and none with a zone", async () => {
    const found = ["10.0.0.2", "::ffff:10.0.0.2", "fe80::1%eth0", "2001:db8::1"].map((address) => ({ address }));
    const got = await resolve("seed", 80, { lookup: async () => found });
    expect(got).toEqual([
      { ip: ip("10.0.0.2"), port: 80 },
      { ip: ip("2001:db8::1"), port: 80 },
    ]);
  });

  it("asks the system by default", async () => {
    const texts = (await resolve("localhost", 80)).map((address) => formatIp(address.ip));
    expect(texts.some((text) => text === "127.0.0.1" || text === "::1")).toBe(true);
  });

  it("names the host that it cannot resolve", async () => {
    const failure = Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND" });
    const error = await resolve("no.such", 80, { lookup: () => Promise.reject(failure) }).catch((e) => e);
    expect(error).toMatchObject({ code: "TATTLER_ADDRESS_UNRESOLVED", cause: failure });
    expect(error.message).toContain("cannot resolve no.such: getaddrinfo ENOTFOUND");
    await expect(resolve("empty", 80, { lookup: async () => [] })).rejects.toMatchObject({
      code: "TATTLER_ADDRESS_UNRESOLVED",
    });
  });

  it("ends at once when it is aborted, although the system's look-up goes on", async () => {
    const abort = new AbortController();
    const pending = resolve("slow", 80, { lookup: () => new Promise(() => {}), signal: abort.signal });
    abort.abort("enough");
    await expect(pending).rejects.toMatchObject({ code: "TATTLER_ABORTED", cause: "enough" });
    await expect(resolve("slow", 80, { lookup: never, signal: abort.signal })).rejects.toMatchObject({
      code: "TATTLER_ABORTED",
    });
  });
});

describe("chooseAdvertiseIp", () => {
  const loopback = [
    { address: "127.0.0.1", internal: true },
    { address: "::1", internal: true },
  ];
  const face = (...addresses: string[]) => addresses.map((address) => ({ address, internal: false }));
  it.each([
    ["the bound address itself", "10.9.9.9", { eth0: face("10.0.0.1") }, "10.9.9.9"],
    ["loopback when bound to it", "127.0.0.1", { eth0: face("10.0.0.1") }, "127.0.0.1"],
    [
      "the first private IPv4",
      "0.0.0.0",
      { lo: loopback, a: face("8.8.8.8"), b: face("192.168.1.2"), c: face("10.0.0.1") },
      "192.168.1.2",
    ],
    ["no IPv6 for 0.0.0.0", "0.0.0.0", { a: face("fd00::1", "8.8.8.8") }, "8.8.8.8"],
    ["a private IPv6 for ::", "::", { a: face("8.8.8.8", "fd00::1") }, "fd00::1"],
    ["IPv4 for :: when there is nothing else", "::", { a: face("10.0.0.1") }, "10.0.0.1"],
    ["a public address before a link-local one", "0.0.0.0", { a: face("169.254.0.9"), b: face("8.8.8.8") }, "8.8.8.8"],
    ["a link-local IPv4 at last", "0.0.0.0", { lo: loopback, a: face("169.254.0.9") }, "169.254.0.9"],
  ])("picks %s", (_, bind, interfaces, expected) => {
    expect(formatIp(chooseAdvertiseIp(ip(bind), interfaces))).toBe(expected);
  });

  it.each([
    ["only loopback", "0.0.0.0", { lo: loopback }],
    ["only a link-local IPv6", "::", { a: face("fe80::1") }],
    ["only IPv6 for 0.0.0.0", "0.0.0.0", { a: face("fd00::1") }],
    ["nothing", "::", {}],
  ])("fails with %s", (_, bind, interfaces) => {
    expect(errorOf(() => chooseAdvertiseIp(ip(bind), interfaces)).code).toBe("TATTLER_ADVERTISE_MISSING");
  });

  it("reads this machine's interfaces by default", () => {
    const picked = (() => {
      try {
        return chooseAdvertiseIp(ip("0.0.0.0"));
      } catch (error) {
        return error;
      }
    })();
    if (picked instanceof Uint8Array) expect(classifyIp(picked)).not.toBe("loopback");
    else expect(picked).toMatchObject({ code: "TATTLER_ADVERTISE_MISSING" });
  });
});
