/** How long a node waits before it asks again whether its host has caught up. */
export const retryMs = 5;

/**
 * A host that all nodes share and that handles so many datagrams a second. What it has not handled waits in the addon's
 * transmit ring, where the nodes' own rules see it. Without a limit nothing waits.
 */
export class HostLine {
  #gapMs = 0;
  #judgesBehind = false;
  #freeAtMs = 0;
  #clearThroughMs = 0;
  #isWaiting = false;

  /** @param judgesBehind nodes are told that nothing waits: what comes of it (EXPERIMENTS C). */
  limit(datagramsPerSecond: number, judgesBehind: boolean): void {
    this.#gapMs = 1000 / datagramsPerSecond;
    this.#judgesBehind = judgesBehind;
  }

  isFree(nowMs: number): boolean {
    return this.#freeAtMs <= nowMs;
  }

  noteSent(nowMs: number): void {
    this.#freeAtMs = nowMs + this.#gapMs;
  }

  /** Calls `resume` once the next datagram may leave; a host that is free has nothing left to send. */
  wait(nowMs: number, later: (delayMs: number, work: () => void) => void, resume: () => void): void {
    if (this.isFree(nowMs)) {
      this.#clearThroughMs = nowMs;
      return;
    }
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    later(this.#freeAtMs - nowMs, () => {
      this.#isWaiting = false;
      resume();
    });
  }

  /** Everything that was to be sent or received before this time has been. */
  drainedThroughMs(nowMs: number): number {
    return this.#isWaiting && !this.#judgesBehind ? this.#clearThroughMs : nowMs;
  }
}
