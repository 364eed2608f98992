import { type CounterName, countsDrops } from "./counters.js";
import type { StreamStats } from "./stream_limits.js";

/** Between two summaries, so that a flood of bad datagrams is no flood of lines. */
const summaryIntervalMs = 10_000;
/** Between two looks at the counters. */
const lookIntervalMs = 1000;

export interface DropSources {
  readonly counters: () => Readonly<Record<CounterName, number>>;
  readonly streams: Readonly<StreamStats>;
  /** Broadcasts dropped for want of a known origin. */
  readonly unknownOrigins: () => number;
}

/** Sums up what was dropped since it last said so, at most every 10 s. No timer of its own: it is asked. */
export class DropWatch {
  readonly #sources: DropSources;
  readonly #told = new Map<string, number>();
  #nextAtMs = Number.NEGATIVE_INFINITY;

  constructor(sources: DropSources) {
    this.#sources = sources;
  }

  /** What was dropped since the last answer that was not null, by counter; null when it is nothing, or too early. */
  take(nowMs: number): Record<string, number> | null {
    if (nowMs < this.#nextAtMs) return null;
    const drops: Record<string, number> = {};
    const { counters, streams, unknownOrigins } = this.#sources;
    for (const [name, value] of Object.entries(counters())) {
      if (countsDrops(name as CounterName)) this.#compare(drops, name, value);
    }
    for (const [name, value] of Object.entries(streams)) {
      if (countsDrops(name as keyof StreamStats)) this.#compare(drops, `streams.${name}`, value);
    }
    this.#compare(drops, "unknownOrigins", unknownOrigins());
    const hasDrops = Object.keys(drops).length > 0;
    this.#nextAtMs = nowMs + (hasDrops ? summaryIntervalMs : lookIntervalMs);
    return hasDrops ? drops : null;
  }

  #compare(drops: Record<string, number>, name: string, value: number): void {
    const change = value - (this.#told.get(name) ?? 0);
    if (change === 0) return;
    drops[name] = change;
    this.#told.set(name, value);
  }
}
