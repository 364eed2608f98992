import { tattlerError } from "../errors.js";
import { abortFault, StreamFault } from "./stream_fault.js";

export interface SendLineLimits {
  readonly maxSendsPerPeer: number;
  readonly maxQueuedSends: number;
}

interface Waiter {
  take(): void;
  giveUp(fault: StreamFault): void;
}

interface Line {
  active: number;
  /** First come, first served; a Set, so that one that gives up leaves at once. */
  readonly waiting: Set<Waiter>;
}

/**
 * Back-pressure for reliable messages (E-57): to each peer so many at once, the rest in a line within their deadlines.
 * A thousand dials at once would only meet the peer's own limits, and use up the system's.
 */
export class SendLines {
  private readonly limits: SendLineLimits;
  private readonly lines = new Map<string, Line>();

  constructor(limits: SendLineLimits) {
    this.limits = limits;
  }

  /**
   * Resolves when it is this one's turn, with what ends the turn. Rejects with TATTLER_BACKLOG_FULL at once, else
   * with a StreamFault when the deadline passes, the signal fires or close() is called.
   */
  async enter(peer: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<() => void> {
    let line = this.lines.get(peer);
    if (line === undefined) this.lines.set(peer, (line = { active: 0, waiting: new Set() }));
    if (line.active < this.limits.maxSendsPerPeer) line.active++;
    else await this.wait(peer, line.waiting, timeoutMs, signal);
    return () => this.leave(peer, line);
  }

  /** Everybody who waits goes. */
  close(): void {
    for (const { waiting } of this.lines.values()) {
      for (const waiter of waiting) waiter.giveUp(new StreamFault("closed", "this node closed"));
    }
  }

  private wait(peer: string, waiting: Set<Waiter>, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { maxQueuedSends } = this.limits;
    if (waiting.size >= maxQueuedSends) throw tattlerError("TATTLER_BACKLOG_FULL", [String(maxQueuedSends), peer]);
    return new Promise((resolve, reject) => {
      const detail = `its turn did not come within ${timeoutMs} ms, ${waiting.size} were before it`;
      const timer = setTimeout(
        () => waiter.giveUp(new StreamFault("timeout", detail)),
        Math.min(timeoutMs, 0x7fffffff),
      );
      const abort = (): void => waiter.giveUp(abortFault(signal!));
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        waiting.delete(waiter);
      };
      const waiter: Waiter = {
        take: () => {
          settle();
          resolve();
        },
        giveUp: (fault) => {
          settle();
          reject(fault);
        },
      };
      waiting.add(waiter);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted) abort();
    });
  }

  /** The turn goes over to the next, so that `active` stays; the last one takes the line along. */
  private leave(peer: string, line: Line): void {
    const [next] = line.waiting;
    if (next !== undefined) next.take();
    else if (--line.active === 0) this.lines.delete(peer);
  }
}
