import type { AddressHandle } from "../wire/addon.js";

/** A datagram that its host could not handle when it came. */
export interface Held {
  readonly source: AddressHandle;
  readonly bytes: Uint8Array;
  readonly atMs: number;
  readonly isAnswered: boolean;
}

/** What a socket's buffer holds; more is lost. */
const mostHeld = 4096;

export type Stall = "scriptStalled" | "stopped" | "gated";

/**
 * The machine under a node. `running`: as it should. `scriptStalled`: JavaScript stands still, the I/O thread goes on
 * and answers pings for its tolerance. `stopped`: the whole process stands still, as after SIGSTOP; the kernel holds
 * what comes. `gated`: Lifeguard's anomaly (section V): whatever it sends or receives is blocked, its timers go on, and
 * it does not know. Its clock may run at another rate and jump.
 */
export class SimHost {
  state: "running" | Stall = "running";
  stalledSinceMs = 0;
  readonly #held: Held[] = [];
  readonly #unsent: (() => void)[] = [];
  #rate = 1;
  #realBaseMs = 0;
  #localBaseMs = 0;

  get isRunning(): boolean {
    return this.state === "running";
  }

  /** Whether its timers go off. */
  get hasTimers(): boolean {
    return this.isRunning || this.state === "gated";
  }

  stall(state: Stall, nowMs: number): void {
    if (this.state === "running") this.stalledSinceMs = nowMs;
    this.state = state;
  }

  /** What came meanwhile, in order. */
  resume(): Held[] {
    this.state = "running";
    return this.#held.splice(0);
  }

  hold(datagram: Held): void {
    if (this.#held.length < mostHeld) this.#held.push(datagram);
  }

  /** Something to send when it goes on; more than a socket's buffer holds is lost. */
  holdUnsent(send: () => void): void {
    if (this.#unsent.length < mostHeld) this.#unsent.push(send);
  }

  /** What it wanted to send meanwhile, in order. */
  takeUnsent(): (() => void)[] {
    return this.#unsent.splice(0);
  }

  // --- clock

  /** From now on a second lasts `1 / rate` seconds on this host's clock. */
  setRate(rate: number, nowMs: number): void {
    this.#localBaseMs = this.localMs(nowMs);
    this.#realBaseMs = nowMs;
    this.#rate = rate;
  }

  /** Monotonic clocks jump forward only, as when a virtual machine is resumed. */
  jump(byMs: number, nowMs: number): void {
    this.#localBaseMs = this.localMs(nowMs) + byMs;
    this.#realBaseMs = nowMs;
  }

  localMs(realMs: number): number {
    return this.#localBaseMs + (realMs - this.#realBaseMs) * this.#rate;
  }

  realMs(localMs: number): number {
    return this.#realBaseMs + (localMs - this.#localBaseMs) / this.#rate;
  }
}
