import { afterEach, describe, expect, it } from "vitest";
import { formatIp, parseIp } from "../../src/io/address.js";
import type { Endpoint } from "../../src/wire/addon.js";
import { RecordKind } from "../../src/wire/generated/wire/record-kind.js";
import { backends, Counter, loopback, loopback6, TestHub } from "../support/hub.js";

let hub: TestHub;
afterEach(() => hub.close());

const everywhere = new Uint8Array(16);

/** Pings `to` at `ip` and waits for the ack; returns where the ping seemed to come from and where the ack did. */
async function exchange(from: Endpoint, to: Endpoint, name: string, ip: Uint8Array, seq: number): Promise<string[]> {
  from.ping(hub.addressOf(to, ip), hub.hub.find(name), seq);
  hub.hub.flush();
  const find = (kind: RecordKind, at: Endpoint) =>
    hub.received.find((record) => record.kind === kind && record.endpoint === at.index && record.seq === seq);
  await hub.until(() => find(RecordKind.ack, from) !== undefined, `an ack of ${name}`);
  return [find(RecordKind.ping, to), find(RecordKind.ack, from)].map((record) => {
    const source = new Uint8Array(16);
    const port = hub.hub.addressOf(record?.source ?? 0, source);
    return `${formatIp(source)} ${port}`;
  });
}

for (const backend of backends) {
  describe(`on the ${backend} back end`, () => {
    it("a socket bound to :: talks to IPv4 and to IPv6, and each address has one form (E-10, E-23)", async () => {
      hub = new TestHub(backend);
      const both = hub.open("both", { ip: everywhere });
      const v4 = hub.open("v4");
      const v6 = hub.open("v6", { ip: loopback6 });
      for (const [endpoint, ip] of [
        [both, loopback],
        [both, loopback6],
        [v4, loopback],
        [v6, loopback6],
      ] as const)
        hub.addressOf(endpoint, ip);
      const from = (text: string, endpoint: Endpoint): string => `${text} ${endpoint.port}`;
      expect(await exchange(v4, both, "both", loopback, 1)).toEqual([from("127.0.0.1", v4), from("127.0.0.1", both)]);
      expect(await exchange(v6, both, "both", loopback6, 2)).toEqual([from("::1", v6), from("::1", both)]);
      expect(await exchange(both, v4, "v4", loopback, 3)).toEqual([from("127.0.0.1", both), from("127.0.0.1", v4)]);
      expect(await exchange(both, v6, "v6", loopback6, 4)).toEqual([from("::1", both), from("::1", v6)]);
    });

    it("an IPv4 socket does not send what is for IPv6 to the IPv4 address in its last bytes", async () => {
      hub = new TestHub(backend);
      const [a, b] = [hub.open("a"), hub.open("b")];
      a.ping(hub.addressOf(b, parseIp("2001:db8::7f00:1") as Uint8Array), hub.hub.find("b"), 1);
      await exchange(a, b, "b", loopback, 2);
      expect(hub.counter(a, Counter.sendErrors)).toBe(1);
      expect(hub.counter(b, Counter.datagramsReceived)).toBe(1);
    });

    it("an IPv6 socket that is not bound to :: has nothing to do with IPv4", async () => {
      hub = new TestHub(backend);
      const [v6, other] = [hub.open("v6", { ip: loopback6 }), hub.open("other", { ip: loopback6 })];
      v6.ping(hub.addressOf(hub.open("v4")), hub.hub.find("v4"), 1);
      await exchange(v6, other, "other", loopback6, 2);
      expect(hub.counter(v6, Counter.sendErrors)).toBe(1);
    });
  });
}

it.each([
  ["IPv4", loopback],
  ["IPv6", loopback6],
])("a refusal over %s reaches a socket bound to :: (Linux)", async (_, ip) => {
  hub = new TestHub("linux");
  const both = hub.open("both", { ip: everywhere });
  const gone = hub.open("gone", { ip });
  const address = hub.addressOf(gone, ip);
  gone.close();
  both.ping(address, hub.hub.find("both"), 1);
  hub.hub.flush();
  const isTold = () => hub.received.some(({ kind, source }) => kind === RecordKind.refused && source === address);
  await hub.until(isTold, "the refusal");
  expect(hub.counter(both, Counter.refusals)).toBe(1);
});
