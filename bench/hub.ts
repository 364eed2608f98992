import { randomBytes } from "node:crypto";
import type { Backend } from "../src/config.js";
import { type HubMemory, loadAddon, openHub } from "../src/io/native.js";
import type { Endpoint, Keyring } from "../src/wire/addon.js";

export const loopback = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1);

/** A hub outside any driver, for measuring the layer below it. */
export function openBenchHub(backend: Backend | "manual", onWake: () => void = () => {}): HubMemory {
  return openHub(loadAddon(), backend, onWake);
}

export function openEndpoint({ hub }: HubMemory, name: string, keyring: Keyring | null): Endpoint {
  return hub.open({
    ip: loopback,
    port: 0,
    self: hub.intern(name),
    cluster: "bench",
    keyring,
    stallToleranceMs: 5000,
    pingsPerSecond: 0,
    datagramBytes: 1400,
    retransmitMult: 4,
    queueRecords: 8192,
    messageShare: 0.25,
  });
}

export function freshKeyring(bits = 256): Keyring {
  const keyring = new (loadAddon().Keyring)();
  keyring.add(new Uint8Array(randomBytes(bits / 8)));
  return keyring;
}
