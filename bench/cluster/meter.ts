import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Cluster, Traffic } from "../../src/cluster.js";
import { round, type Spread } from "../scenario.js";
import type { Crew } from "./crew.js";
import type { Stage } from "./stage.js";

/** What the operating system and the nodes counted between two moments. */
export interface Metered {
  readonly elapsedMs: number;
  readonly cpuSeconds: number;
  readonly packets: number;
  readonly bytes: number;
  readonly streamBytes: number;
  readonly drops: number;
  /** Each is that of the thread that is worst. */
  readonly loopDelayMs: Spread;
}

/** Seldom enough that the looking itself costs nothing beside an idle cluster. */
const loopResolutionMs = 100;

/** Starts at once. The CPU is that of the whole process: all its threads and the kernel. */
export class Meter {
  readonly #cluster: Cluster;
  readonly #crew: Crew;
  readonly #beganMs: number;
  readonly #cpu: NodeJS.CpuUsage;
  readonly #loop: IntervalHistogram;
  readonly #traffic: Traffic;

  constructor({ cluster, crew }: Stage) {
    this.#cluster = cluster;
    this.#crew = crew;
    this.#traffic = cluster.traffic();
    this.#loop = monitorEventLoopDelay({ resolution: loopResolutionMs });
    this.#loop.enable();
    this.#beganMs = performance.now();
    this.#cpu = process.cpuUsage();
  }

  /** Together, see Stage. */
  async stop(): Promise<Metered> {
    const { user, system } = process.cpuUsage(this.#cpu);
    const elapsedMs = round(performance.now() - this.#beganMs);
    this.#loop.disable();
    const parts = await this.#crew.share({ traffic: this.#trafficSince(), loop: this.#loopDelay() });
    const sum = (name: keyof Traffic): number => parts.reduce((all, { traffic }) => all + traffic[name], 0);
    const worst = (name: keyof Spread): number => Math.max(...parts.map(({ loop }) => loop[name]));
    return {
      elapsedMs,
      cpuSeconds: round((user + system) / 1e6),
      packets: sum("sent"),
      bytes: sum("sentBytes"),
      streamBytes: sum("streamBytes"),
      drops: sum("dropped"),
      loopDelayMs: { p50: worst("p50"), p99: worst("p99"), max: worst("max") },
    };
  }

  #trafficSince(): Traffic {
    const [before, now] = [this.#traffic, this.#cluster.traffic()];
    return {
      sent: now.sent - before.sent,
      received: now.received - before.received,
      sentBytes: now.sentBytes - before.sentBytes,
      streamBytes: now.streamBytes - before.streamBytes,
      dropped: now.dropped - before.dropped,
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

/** RSS once this thread's garbage is gone, as far as the allocator gives it back. The bench runs with --expose-gc. */
export function cleanRssBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return rssBytes();
}

/** Together, see Stage: RSS once the garbage of all threads is gone. */
export async function cleanRssOfAll(crew: Crew): Promise<number> {
  cleanRssBytes();
  await crew.share(null);
  return rssBytes();
}

export function megabytes(bytes: number): number {
  return Number((bytes / 2 ** 20).toFixed(1));
}
