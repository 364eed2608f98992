import { describe, expect, it } from "vitest";
import { formatIp } from "../../src/io/address.js";
import { resolve } from "../../src/io/resolve.js";
import { inOrderOfPreference, parseTarget, resolveService } from "../../src/io/service.js";
import { Random } from "../../src/random.js";
import { nameServer } from "../support/dns_server.js";
import { closeAfterEach, errorOf, until } from "../support/nodes.js";

closeAfterEach();

const record = (name: string, priority: number, weight: number) => ({ name, priority, weight });
const port = { defaultPort: 7946 };

describe("parseTarget", () => {
  it.each([
    ["_gossip._tcp.example.org", "_gossip._tcp.example.org"],
    ["_gossip._udp", "_gossip._udp"],
    ["srv:gossip.service.consul", "gossip.service.consul"],
    ["srv:_gossip._tcp.example.org", "_gossip._tcp.example.org"],
  ])("takes %s for a service", (text, host) => {
    expect(parseTarget(text, port)).toEqual({ name: null, host, port: 0, text, isService: true });
  });

  it.each(["seed:80", "_host", "_host:80", "crow/seed", "srv", "srv:80", "10.0.0.7", "[::1]:80"])(
    "takes %s for an address",
    (text) => {
      expect(parseTarget(text, port)).toMatchObject({ isService: false, text });
    },
  );

  it.each(["srv:", "srv:a:80", "srv:crow/a", "srv:[::1]", "srv:::1", "srv:10.0.0.7", "srv:two words"])(
    "refuses %s",
    (text) => {
      expect(() => parseTarget(text, port)).toThrow(expect.objectContaining({ code: "TATTLER_ADDRESS_INVALID" }));
    },
  );
});

describe("SRV records (RFC 2782)", () => {
  it("are taken by priority, whatever their weight", () => {
    const records = [record("c", 30, 900), record("a", 10, 0), record("b", 20, 1)];
    for (let seed = 0; seed < 20; seed++) {
      expect(inOrderOfPreference(records, new Random(seed)).map(({ name }) => name)).toEqual(["a", "b", "c"]);
    }
  });

  it("of one priority are drawn in proportion to their weight, each once", () => {
    const records = [record("none", 1, 0), record("small", 1, 10), record("large", 1, 30)];
    const random = new Random(1);
    const first = new Map<string, number>();
    for (let i = 0; i < 4000; i++) {
      const order = inOrderOfPreference(records, random).map(({ name }) => name);
      expect([...order].sort()).toEqual(["large", "none", "small"]);
      first.set(order[0] as string, (first.get(order[0] as string) ?? 0) + 1);
    }
    // Of 41 lots: 1, 10 and 30.
    expect(first.get("none")).toBeGreaterThan(50);
    expect(first.get("none")).toBeLessThan(180);
    expect(first.get("small")).toBeGreaterThan(800);
    expect(first.get("small")).toBeLessThan(1150);
  });

  it("give hosts and ports", async () => {
    const { resolver, asked } = await nameServer({
      "_gossip._tcp.test": [
        { name: "b.test", port: 2, priority: 2 },
        { name: "a.test", port: 1, priority: 1 },
      ],
    });
    const found = await resolveService("_gossip._tcp.test", { resolver }, new Random(1));
    expect(found.map(({ text, host, port }) => [text, host, port])).toEqual([
      ["a.test:1", "a.test", 1],
      ["b.test:2", "b.test", 2],
    ]);
    expect(asked).toEqual(["SRV _gossip._tcp.test"]);
  });

  it("that name the root say that nobody offers the service", async () => {
    const { resolver } = await nameServer({ "_gossip._tcp.test": [{ name: ".", port: 0 }] });
    const error = await errorOf(() => resolveService("_gossip._tcp.test", { resolver }, new Random(1)));
    expect(error.code).toBe("TATTLER_ADDRESS_UNRESOLVED");
    expect(error.message).toContain("nobody offers this service");
  });
});

describe("a name server that is given", () => {
  it("is asked for IPv4 and IPv6, and each address is returned once", async () => {
    const { resolver, asked } = await nameServer({ "seed.test": ["10.0.0.2", "10.0.0.1", "2001:db8::1", "10.0.0.2"] });
    const found = await resolve("seed.test", 80, { resolver });
    expect(found.map(({ ip }) => formatIp(ip)).sort()).toEqual(["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
    expect([...asked].sort()).toEqual(["A seed.test", "AAAA seed.test"]);
  });

  it.each([[["10.0.0.1"]], [["2001:db8::1"]]])("may know %j only", async (addresses) => {
    const { resolver } = await nameServer({ "seed.test": addresses });
    const found = await resolve("seed.test", 80, { resolver });
    expect(found.map(({ ip }) => formatIp(ip))).toEqual(addresses);
  });

  const services = (
    zone: "silent" | "truncated" | "garbage" | "nothing",
    patience?: { timeout: number; tries: number },
  ) => nameServer(zone === "nothing" ? {} : { "seed.test": zone, "_gossip._tcp.test": zone }, patience);

  it.each(["nothing", "truncated", "garbage", "silent"] as const)("that answers with %s is an error", async (zone) => {
    const { resolver } = await services(zone, zone === "silent" ? { timeout: 200, tries: 1 } : undefined);
    const host = await errorOf(() => resolve("seed.test", 80, { resolver }));
    const service = await errorOf(() => resolveService("_gossip._tcp.test", { resolver }, new Random(1)));
    expect([host.code, service.code]).toEqual(["TATTLER_ADDRESS_UNRESOLVED", "TATTLER_ADDRESS_UNRESOLVED"]);
    expect([host.message, service.message]).toEqual([
      expect.stringContaining("cannot resolve seed.test: "),
      expect.stringContaining("cannot resolve _gossip._tcp.test: "),
    ]);
    if (zone === "nothing") expect(service.message).toContain("ENOTFOUND");
  });

  it("is waited for as long as is allowed, and no longer", async () => {
    const { resolver } = await services("silent");
    for (const ask of [
      () => resolve("seed.test", 80, { resolver, timeoutMs: 20 }),
      () => resolveService("_gossip._tcp.test", { resolver, timeoutMs: 20 }, new Random(1)),
    ]) {
      const error = await errorOf(ask);
      expect(error.code).toBe("TATTLER_ADDRESS_UNRESOLVED");
      expect(error.message).toContain("no answer within 20 ms");
    }
  });

  it("is left alone when the look-up is aborted", async () => {
    const { resolver, asked } = await services("silent");
    for (const ask of [
      (signal: AbortSignal) => resolve("seed.test", 80, { resolver, signal }),
      (signal: AbortSignal) => resolveService("_gossip._tcp.test", { resolver, signal }, new Random(1)),
    ]) {
      asked.length = 0;
      const stop = new AbortController();
      const pending = errorOf(() => ask(stop.signal));
      await until(() => asked.length > 0, "the question");
      stop.abort("enough");
      expect(await pending).toMatchObject({ code: "TATTLER_ABORTED", cause: "enough" });
    }
  });
});
