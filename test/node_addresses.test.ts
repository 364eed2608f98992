import { afterEach, describe, expect, it, vi } from "vitest";
import { ownInterfaces } from "../src/io/resolve.js";
import type { GossipNode } from "../src/node.js";
import { allSee, bytes, closeAfterEach, errorOf, newNode, until, Watch } from "./support/nodes.js";

closeAfterEach();
afterEach(() => vi.restoreAllMocks());

const portOf = (node: GossipNode): string => node.self.address.split(":").at(-1) as string;

for (const backend of ["linux", "posix"] as const) {
  describe(`addresses on the ${backend} back end`, () => {
    it("bound to [::], a node talks to peers of IPv4 and of IPv6 (T-013)", async () => {
      // No probes: the two peers cannot reach each other.
      const still = { backend, probeIntervalMs: 0 };
      const both = await newNode("both", { ...still, bind: "[::]:0", advertise: "127.0.0.1" });
      const v4 = await newNode("v4", still);
      const v6 = await newNode("v6", { ...still, bind: "[::1]:0" });
      const watches = [both, v4, v6].map((node) => new Watch(node));
      const [at4, at6] = [`127.0.0.1:${portOf(both)}`, `[::1]:${portOf(both)}`];
      expect((await v4.join([at4])).joined).toBe(1);
      expect((await v6.join([at6])).joined).toBe(1);
      await allSee([both, v4, v6], 3);
      for (const reliable of [true, false]) {
        await v4.send(at4, bytes("from v4"), { reliable });
        await v6.send(at6, bytes("from v6"), { reliable });
        await both.send("v4", bytes("to v4"), { reliable });
        await both.send("v6", bytes("to v6"), { reliable });
      }
      const got = (i: number): string[] =>
        (watches[i] as Watch).of("message").map(({ from, payload }) => `${from} ${Buffer.from(payload)}`);
      await until(() => got(0).length === 4 && got(1).length === 2 && got(2).length === 2, "all messages");
      expect([got(0).sort(), got(1), got(2)]).toEqual([
        ["v4 from v4", "v4 from v4", "v6 from v6", "v6 from v6"],
        ["both to v4", "both to v4"],
        ["both to v6", "both to v6"],
      ]);
    });

    it.each([
      ["[::1]:0", /^\[::1\]:\d+$/],
      ["localhost:0", /^(127\.0\.0\.1|\[::1\]):\d+$/],
      ["127.0.0.3:0", /^127\.0\.0\.3:\d+$/],
    ])("bound to %s, a node is there and nowhere else (E-23)", async (bind, address) => {
      const node = await newNode("a", { backend, bind });
      expect(node.self.address).toMatch(address);
      const peer = await newNode("b", { backend, bind: node.self.address.startsWith("[") ? "[::1]:0" : "127.0.0.1:0" });
      await peer.join([node.self.address]);
      await allSee([node, peer], 2);
      const elsewhere = await newNode("c", { backend });
      const error = await errorOf(() => elsewhere.join([`127.0.0.9:${portOf(node)}`]));
      expect(error.cause).toMatchObject({ code: "TATTLER_STREAM_UNREACHABLE" });
    });

    it("a node is known by what it advertises, in one form (M-045, E-10)", async () => {
      const first = await newNode("a", { backend });
      const node = await newNode("b", { backend, bind: "0.0.0.0:0", advertise: "::ffff:127.0.0.4" });
      await node.join([first.self.address]);
      await allSee([first, node], 2);
      expect(first.member("b")?.address).toBe(`127.0.0.4:${portOf(node)}`);
      const watch = new Watch(node);
      await first.send("b", bytes("there"), { reliable: true });
      await until(() => watch.of("message").length === 1, "the message");
      const apart = await newNode("c", { backend, advertise: "192.0.2.1:7000" });
      expect(apart.self.address).toBe("192.0.2.1:7000");
      expect((await errorOf(() => newNode("d", { advertise: "some.host" }))).message).toContain("is not an IP address");
    });
  });
}

describe("a public address (M-004)", () => {
  it("without encryption is warned of once, and with it or in private not at all", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    await newNode("secret", { advertise: "8.8.8.8" });
    await newNode("private", { advertise: "10.0.0.7", keys: [] });
    expect(warn).not.toHaveBeenCalled();
    const open = await newNode("open", { advertise: "8.8.8.8", keys: [] });
    await newNode("another", { advertise: "2606:4700::1", keys: [] });
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn).toHaveBeenCalledWith(
      `${open.self.address} is a public address, and nothing that this node sends is encrypted`,
      expect.objectContaining({ code: "TATTLER_PUBLIC_PLAINTEXT" }),
    );
  });
});

describe("network interfaces that cannot be listed", () => {
  it("are an error with a remedy", () => {
    const cause = new Error("A system error occurred: uv_interface_addresses returned Unknown system error 24");
    const list = (): never => {
      throw cause;
    };
    const failure = (() => {
      try {
        return ownInterfaces(list);
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toMatchObject({ code: "TATTLER_INTERFACES_UNREADABLE", cause });
    expect((failure as Error).message).toMatch(/Unknown system error 24; .*ulimit -n.*name the address to advertise/);
  });
});
