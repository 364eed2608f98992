import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { allSee, closeAfterEach, errorOf, newNode, until, Watch } from "./support/nodes.js";

closeAfterEach();

const portOf = (node: GossipNode): string => node.self.address.split(":").at(-1) as string;
const sees = (node: GossipNode): string[] => node.members.map(({ name }) => name).sort();

/** Both families: an address inside, the network for it, an address outside that this machine has. */
const families = [
  ["IPv4", "127.0.0.1", "127.0.0.1/32", "127.0.0.2"],
  ["IPv6", "[::1]", "::1/128", "127.0.0.1"],
] as const;

for (const backend of ["linux", "posix"] as const) {
  describe.each(families)(
    `an allow list on the ${backend} back end, %s (M-183, T-008)`,
    (_, inside, network, outside) => {
      const start = (name: string, allow: readonly string[], more = {}) =>
        newNode(name, { bind: `${inside}:0`, backend, allow, ...more });

      it("of one network lets its members find each other", async () => {
        const [a, b] = [await start("a", [network]), await start("b", [network])];
        await b.join([a.self.address]);
        await allSee([a, b], 2);
      });

      it("of several networks does too", async () => {
        const [a, b] = [
          await start("a", ["10.0.0.0/8", "fd00::/8", network]),
          await start("b", [network, "10.0.0.0/8"]),
        ];
        await b.join([a.self.address]);
        await allSee([a, b], 2);
      });

      it("shows the members to a rogue that is inside with a claim that is not, and it to nobody", async () => {
        const [a, b] = [await start("a", [network]), await start("b", [network])];
        await b.join([a.self.address]);
        const watches = [new Watch(a), new Watch(b)];
        const rogue = await newNode("rogue", { bind: `${inside}:0`, backend, advertise: "192.0.2.66" });
        expect((await rogue.join([a.self.address])).joined).toBe(1);
        expect(sees(rogue)).toEqual(["a", "b", "rogue"]);
        await until(() => a.stats.disallowed > 0 && b.stats.disallowed > 0, "its claim, by stream and by gossip");
        expect([sees(a), sees(b)]).toEqual([
          ["a", "b"],
          ["a", "b"],
        ]);
        expect(watches.flatMap((watch) => watch.of("join"))).toEqual([]);
      });

      it("keeps out a rogue that is outside, on streams and datagrams, before anything is read", async () => {
        const a = await start("a", [network], { bind: inside === "[::1]" ? "[::]:0" : "0.0.0.0:0", advertise: inside });
        const rogue = await newNode("rogue", { bind: `${outside}:0`, backend });
        const reach = `${outside === "127.0.0.2" ? "127.0.0.1" : outside}:${portOf(a)}`;
        const error = await errorOf(() => rogue.join([reach]));
        expect(error.cause).toMatchObject({ code: "TATTLER_STREAM_BUSY", remedy: expect.stringMatching(/allow list/) });
        expect(a.stats.streams.rejectedAddress).toBeGreaterThan(0);
        expect(a.stats.streams).toMatchObject({ accepted: 0, bytesIn: 0 });
        await rogue.send(reach, Uint8Array.of(1));
        await until(() => a.stats.counters.dropDisallowed > 0, "its datagram");
        expect([sees(a), sees(rogue)]).toEqual([["a"], ["rogue"]]);
      });

      it("does not join through an address outside of it", async () => {
        const a = await start("a", [network]);
        const b = await newNode("b", { bind: `${outside}:0`, backend });
        const error = await errorOf(() => a.join([b.self.address]));
        expect(error.cause).toMatchObject({ code: "TATTLER_ADDRESS_DISALLOWED" });
        expect(error.message).toContain(`${b.self.address} is outside the allow list`);
        expect([a.stats.streams.dialed, b.memberCount]).toEqual([0, 1]);
      });

      it("that denies the node itself is an error that names its address", async () => {
        const error = await errorOf(() => start("a", ["10.0.0.0/8"]));
        expect(error.code).toBe("TATTLER_OPTION_INVALID");
        expect(error.message).toContain(`own address ${inside.replace(/[[\]]/g, "")} is in none of the networks`);
      });
    },
  );
}

describe("without an allow list", () => {
  it("any address of loopback is as good as the other, and streams come from the bound one", async () => {
    const [a, b] = [await newNode("a"), await newNode("b", { bind: "127.0.0.2:0" })];
    await b.join([a.self.address]);
    await allSee([a, b], 2);
    await a.join([b.self.address]);
    expect(a.stats.counters.dropDisallowed).toBe(0);
  });
});
