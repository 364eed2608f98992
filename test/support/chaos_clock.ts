import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const library = fileURLToPath(new URL("../../build/chaos/clock_shift.so", import.meta.url));
const nsPerMs = 1_000_000;

/** A clock that jumps when told to, for agents that run with its environment (test/support/native/clock_shift.cc). */
export class ChaosClock {
  readonly #folder = mkdtempSync(join(tmpdir(), "tattler-clock-"));
  readonly #file = openSync(join(this.#folder, "clock"), "w");
  #wallMs = 0;
  #monotonicMs = 0;

  constructor() {
    this.#write(0);
  }

  get env(): Record<string, string> {
    return { LD_PRELOAD: library, CHAOS_CLOCK: join(this.#folder, "clock") };
  }

  /** The wall clock is so far from the true time from now on. */
  jumpTo(wallMs: number): void {
    const before = this.#wallMs;
    this.#wallMs = wallMs;
    this.#write(before);
  }

  /** As after the machine was paused: both clocks go on from later. */
  resumeAfter(ms: number): void {
    const before = this.#wallMs;
    this.#wallMs += ms;
    this.#monotonicMs += ms;
    this.#write(before);
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#folder, { recursive: true });
  }

  #write(wallBeforeMs: number): void {
    const all = [wallBeforeMs, this.#wallMs, Date.now(), this.#monotonicMs];
    writeSync(this.#file, new BigInt64Array(all.map((ms) => BigInt(ms) * BigInt(nsPerMs))), 0, 32, 0);
  }
}
