import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Cluster, Traffic } from "../../src/cluster.js";
import { round, type Spread } from "../scenario.js";

/** What the operating system and the nodes counted between two moments. */
export interface Metered {
  readonly elapsedMs: number;
  readonly cpuSeconds: number;
  readonly packets: number;
  readonly bytes: number;
  readonly streamBytes: number;
  readonly drops: number;
  readonly loopDelayMs: Spread;
}

/** Seldom enough that the looking itself costs nothing beside an idle cluster. */
const loopResolutionMs = 100;

/** Starts at once. The CPU is that of the whole process: JavaScript, I/O thread and kernel. */
export class Meter {
  readonly #cluster: Cluster;
  readonly #beganMs: number;
  readonly #cpu: NodeJS.CpuUsage;
  readonly #loop: IntervalHistogram;
  readonly #traffic: Traffic;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#traffic = cluster.traffic();
    this.#loop = monitorEventLoopDelay({ resolution: loopResolutionMs });
    this.#loop.enable();
    this.#beganMs = performance.now();
    this.#cpu = process.cpuUsage();
  }

  stop(): Metered {
    const { user, system } = process.cpuUsage(this.#cpu);
    const elapsedMs = round(performance.now() - this.#beganMs);
    this.#loop.disable();
    const now = this.#cluster.traffic();
    const { sent, sentBytes, streamBytes, dropped } = this.#traffic;
    return {
      elapsedMs,
      cpuSeconds: round((user + system) / 1e6),
      packets: now.sent - sent,
      bytes: now.sentBytes - sentBytes,
      streamBytes: now.streamBytes - streamBytes,
      drops: now.dropped - dropped,
      loopDelayMs: this.#loopDelay(),
    };
  }

  /** By how much the loop was late: the histogram has the sampling interval in it. */
  #loopDelay(): Spread {
    const late = (ns: number): number => round(Math.max(0, ns / 1e6 - loopResolutionMs));
    return { p50: late(this.#loop.percentile(50)), p99: late(this.#loop.percentile(99)), max: late(this.#loop.max) };
  }
}

export function rssBytes(): number {
  return process.memoryUsage.rss();
}

/** RSS once the garbage is gone, as far as the allocator gives it back. The bench runs with --expose-gc. */
export function cleanRssBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return rssBytes();
}

export function megabytes(bytes: number): number {
  return Number((bytes / 2 ** 20).toFixed(1));
}
