import type { Endpoint } from "../wire/addon.js";
import { Counter } from "../wire/generated/wire/counter.js";
import type { Driver } from "./driver.js";
import { loadAddon } from "./native.js";
import type { StreamStats } from "./stream_limits.js";

/** Names of the native counters, as `stats.counters` lists them. */
export type CounterName = Exclude<keyof typeof Counter, "count">;

export function readCounters(driver: Driver, endpoint: Endpoint): Record<CounterName, number> {
  const perEndpoint = loadAddon().layout.countersPerEndpoint;
  const first = endpoint.index * perEndpoint;
  const counters: Partial<Record<CounterName, number>> = {};
  for (let i = 0; i < perEndpoint; i++) {
    counters[Counter[i] as CounterName] = Number(driver.counters[first + i]);
  }
  return counters as Record<CounterName, number>;
}

/** Whether what this counts is a loss that somebody may want to look into. */
export function countsDrops(name: CounterName | keyof StreamStats): boolean {
  return /^(drop|rejected)[A-Z]/.test(name) || losses.has(name);
}

const losses = new Set<string>([
  "sendErrors",
  "transmitRingFull",
  "recordsPruned",
  "framesRejected",
  "acceptFailed",
  "handlerFailed",
] satisfies (CounterName | keyof StreamStats)[]);
